"""Games on the stack of docker-compose.yaml, built from the checkout's Dockerfile.

Documents and tables are compared with the reference model, which shares no code with the product.
"""

import time
from collections.abc import Iterator

import pytest

from lacrosse_assets.gamestream.game_day import game_day
from lacrosse_assets.gamestream.reference_data import PLAYERS, TEAMS, original_rows
from lacrosse_assets.gamestream.simulator import read_game
from lacrosse_assets_tests.chaos.verdict import GameWatcher, Truth, difference_from_truth
from lacrosse_assets_tests.compose.stack import Stack, stack
from lacrosse_assets_tests.support.day import expected_results
from lacrosse_assets_tests.support.waiting import wait_until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]  # with the images' first build

FAST_DELAY = 0.01  # a game of 36 s
KILLS_DELAY = 0.06  # a game of 216 s, long enough to kill every service in it
BOX_SCORE_TIMEOUT_SECONDS = 120  # after a kill: a sensor tick that hangs on a store that is gone ends after a minute
GAMES = 12  # of a game day
REFERENCE = original_rows(TEAMS), original_rows(PLAYERS)
LINES = [event.line for event in read_game()]
# Every state of the stream that readers may see, by its ETag.
TRUTHS = {
    truth.etag: truth
    for number in range(1, len(LINES) + 1)
    for truth in [Truth("".join(f"{line}\n" for line in LINES[:number]).encode(), *REFERENCE)]
}
FINAL = list(TRUTHS.values())[-1]
LAST_EVENT = 70


@pytest.fixture(scope="module", name="stack")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack")) as own:
        yield own


def event(stack: Stack) -> int:
    """The event of the current box score; -1 without one."""
    current = stack.current()
    return current["_id"] if current else -1


def wait_for_event(stack: Stack, number: int, when: str) -> None:
    """Wait for a box score of this event, or of a later one."""
    wait_until(
        lambda: event(stack) >= number, f"a box score of event {number} {when}", timeout=BOX_SCORE_TIMEOUT_SECONDS
    )


def wait_for_the_start(stack: Stack) -> None:
    """Wait until the current box score is of a game that is played again."""
    wait_until(lambda: event(stack) < LAST_EVENT, "the new game's first box score", timeout=60)


def wait_for_the_end(stack: Stack, timeout: float) -> None:
    """Wait for the documents and the final tables of the whole game."""

    def differs() -> str | None:
        return difference_from_truth(stack, FINAL)

    wait_until(lambda: differs() is None, lambda: str(differs()), timeout=timeout, every=1)


def run_notebook(stack: Stack, name: str, user: str, **variables: str) -> str:
    """The notebook with its outputs, run from top to bottom in a new container of the service jupyter."""
    command = ("jupyter", "nbconvert", "--execute", "--to", "notebook", "--stdout", name)
    return stack.compose("run", "--rm", "--no-deps", "-T", "--user", user, "jupyter", *command, **variables)


def test_a_whole_game(stack: Stack) -> None:
    stack.play(FAST_DELAY)
    wait_for_the_end(stack, timeout=180)

    assert stack.stream() == FINAL.body
    assert stack.get("PAGE_PORT", "/boxscore.json")["_id"] == LAST_EVENT
    assert stack.failed_runs() == []
    assert stack.not_as_expected() == {}
    simulator = stack.logs("gamestream")
    for line in (
        "Bucket created successfully `s3/gamestreams`.",
        "Wrote gamestream.txt to bucket gamestreams at 59:51",
    ):
        assert line in simulator
    assert "Traceback" not in stack.logs()


def test_jupyter_serves_the_notebooks_with_the_token(stack: Stack) -> None:
    token = {"Authorization": f"token {stack.settings['JUPYTER_TOKEN']}"}
    listed = stack.get("JUPYTER_PORT", "/api/contents", **token)
    assert "boxscore.ipynb" in {file["name"] for file in listed["content"]}


@pytest.mark.parametrize("user", ["1000:1000", "4321:4321"], ids=["owner", "another user"])
def test_a_notebook_runs_as_any_user(stack: Stack, user: str) -> None:
    """The second one is a user whom the image does not know."""
    assert f"Final: syracuse 11 : 9 johns hopkins, 00:00, event {LAST_EVENT}" in run_notebook(
        stack, "boxscore.ipynb", user
    )


def test_a_replay(stack: Stack) -> None:
    """Documents of the earlier game are gone with the first new one; its tables stay until the new game is over."""
    stack.compose("restart", "gamestream")
    wait_for_the_start(stack)
    assert not any(document["final"] for document in stack.documents() or [])
    assert stack.tables() == FINAL.tables

    wait_for_the_end(stack, timeout=180)


def test_each_service_is_killed_in_mid_game(stack: Stack) -> None:
    """Docker starts it again, it gets healthy, box scores go on, and nobody has seen a wrong one."""
    stack.play(KILLS_DELAY)
    watcher = GameWatcher(stack, TRUTHS, None)
    watcher.sees_tables = False
    watcher.start()
    try:
        for service in [name for name in stack.states() if name != "page_user"]:
            killed_at = time.monotonic()
            stack.kill(service)
            stack.wait_until_healthy()
            healthy_after = time.monotonic() - killed_at
            newest = Truth(stack.stream(), *REFERENCE)
            assert not newest.is_final, f"the game was over before {service} was killed: KILLS_DELAY is too short"
            written = newest.document["_id"] if newest.document else -1
            wait_for_event(stack, written, f"after {service} was killed")
            print(
                f"{service}: healthy after {healthy_after:.0f} s, box score after {time.monotonic() - killed_at:.0f} s"
            )
        wait_for_the_end(stack, timeout=400)
    finally:
        watcher.stop()
    assert list(watcher.faults) == []
    assert watcher.polls > 0


def test_no_password_is_in_a_log(stack: Stack) -> None:
    """Nor in the errors about services that were killed."""
    logs = stack.logs()
    secrets = [name for name in stack.settings if name.endswith(("_PASSWORD", "_TOKEN", "_SECRET_ACCESS_KEY"))]
    assert len(secrets) == 6
    assert [name for name in secrets if stack.settings[name] in logs] == []


def test_the_stack_goes_down_and_up(stack: Stack) -> None:
    """The data is on volumes: what was there before is there again, and a further game has a place."""
    stack.compose("down")
    assert stack.states() == {}
    services = stack.compose("config", "--services").split()
    stack.compose("up", "--detach", *(name for name in services if name != "gamestream"))
    stack.wait_until_healthy()

    assert difference_from_truth(stack, FINAL) is None
    assert stack.get("PAGE_PORT", "/boxscore.json")["final"] is True

    stack.play(FAST_DELAY)
    wait_for_the_start(stack)
    wait_for_the_end(stack, timeout=180)


def test_a_game_day(stack: Stack) -> None:
    """Twelve games at once, on the same stack with another setting; the notebook of a game day reads them."""
    services = stack.compose("config", "--services").split()
    stack.compose("up", "--detach", *services, GAMESTREAM_KEY="games/", GAMES=str(GAMES), DELAY=str(FAST_DELAY))
    day = game_day(GAMES)
    teams2, players2, scores = expected_results(day)

    def is_over() -> bool:
        found = stack.rows("games2", "teams2", "players2")
        in_games2 = {row["id"]: (row["home_score"], row["away_score"]) for row in found["games2"]}
        return in_games2 == scores and (found["teams2"], found["players2"]) == (teams2, players2)

    wait_until(is_over, "the final tables of the day", timeout=240, every=1)
    shown = stack.get("PAGE_PORT", "/games.json")
    assert {line["_id"]: (line["home"]["score"], line["away"]["score"]) for line in shown} == scores
    assert all(line["final"] for line in shown)
    stack.wait_until_healthy()

    assert f"0 live, {GAMES} final, 0 not started" in run_notebook(
        stack, "gameday.ipynb", "1000:1000", GAMESTREAM_KEY="games/"
    )
