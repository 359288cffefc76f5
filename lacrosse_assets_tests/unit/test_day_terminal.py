"""`lacrosse gameday` without its services: the scoreboard in the terminal, and what is missing at the end."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable
from rich.console import Console
from sqlalchemy import update

from lacrosse_assets.automation import MAX_ATTEMPTS
from lacrosse_assets.embedded import day_scoreboard as terminal
from lacrosse_assets.embedded.cli import main
from lacrosse_assets.embedded.day_scoreboard import DayBoard, day_scoreboard
from lacrosse_assets.embedded.game import Runs
from lacrosse_assets.embedded.gameday import missing_games, missing_rows, of_this_play, summary
from lacrosse_assets.resources.object_store import StreamVersion

WRITTEN = datetime(2026, 3, 7, 18, tzinfo=UTC)
HEIGHT = 24


def game(number: int, clock: str = "30:00", score: tuple[int, int] = (3, 2), late: int = 0, **fields: Any) -> Any:
    home, away = score
    status = {True: "winning", False: "losing"}
    return {
        "_id": number,
        "event": 9,
        "timestamp": clock,
        "final": False,
        "home": {"name": f"Saint Home-{number}'s", "score": home, "status": status.get(home > away)},
        "away": {"name": f"Université d'Away {number}", "score": away, "status": status.get(away > home)},
        "stream": {"last_modified": WRITTEN, "fetched_at": WRITTEN + timedelta(seconds=late)},
        "fingerprint": f"{number:032}",
        **fields,
    }


def lines_of(board: DayBoard, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=HEIGHT, force_terminal=True, color_system=None)
    console.print(board.render(console.height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def board_of(games: Sequence[Any], scheduled: int) -> DayBoard:
    board = DayBoard(scheduled)
    board.take(games)
    return board


def test_twelve_games_fit_into_twenty_four_lines() -> None:
    games = [game(number, final=number > 9) for number in range(1, 12)]
    lines = lines_of(board_of(games, 12))
    assert len(lines) <= HEIGHT
    assert lines[0].startswith("Game day: 9 live, 2 final, 1 not started; 55 goals")
    for number, line in zip(range(1, 12), lines[1:], strict=True):
        assert line.split()[0] == str(number)
        assert f"Saint Home-{number}'s  3  2 Université d'Away {number} " in line
        assert line.rstrip().endswith("final" if number > 9 else "30:00")
        assert len(line) <= 80


def test_hundreds_of_games_are_summarized() -> None:
    """The ones that have changed last are shown, live ones first."""
    board = board_of([game(number) for number in range(1, 301)], 400)
    board.take([game(7, "29:00"), game(8, "00:00", final=True), game(250, "28:00")])
    lines = lines_of(board)
    assert len(lines) <= HEIGHT
    assert lines[0].startswith("Game day: 299 live, 1 final, 100 not started")
    assert [line.split()[0] for line in lines[1:4]] == ["250", "7", "300"]
    assert "281 more" in lines[-1]


def test_a_small_terminal_shows_at_least_one_game() -> None:
    console = Console(file=io.StringIO(), width=40, height=3, force_terminal=True)
    console.print(board_of([game(1), game(2)], 2).render(console.height))


def test_markup_in_a_name_is_text() -> None:
    evil = game(1, home={"name": "[red]x[/red]", "score": 1, "status": "winning"})
    assert "[red]x[/red]" in "".join(lines_of(board_of([evil], 1)))


def test_a_late_update_is_marked() -> None:
    lines = lines_of(board_of([game(1, late=2), game(2, late=12)], 2))
    assert "late" not in lines[1]
    assert "12 s late 30:00" in lines[2]


def test_without_a_terminal_final_scores_are_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "REPORT_INTERVAL_SECONDS", 3600)
    output = io.StringIO()
    with day_scoreboard(2, Console(file=output)) as show:
        show([])
        show([game(1)])
        show([game(1, "20:00")])
        show([game(1, "00:00", final=True), game(2)])
        show([game(1, "00:00", final=True), game(2, "29:00")])
        show([game(1, "00:00", final=True), game(2, "00:00", (4, 4), final=True)])
    assert output.getvalue().splitlines() == [
        "1 live, 0 final, 1 not started; 5 goals",
        "final: Saint Home-1's 3 : 2 Université d'Away 1",
        "1 live, 1 final, 0 not started; 10 goals",
        "final: Saint Home-2's 4 : 4 Université d'Away 2",
        "0 live, 2 final, 0 not started; 13 goals",
    ]


def test_what_is_missing_is_named() -> None:
    final = {number: game(number, final=True) for number in (1, 2)}
    assert missing_games(2, final) is None
    assert missing_games(3, final) == "1 game (3) of 3 without a final box score"
    assert missing_games(2, {1: final[1], 2: game(2)}) == "1 game (2) of 2 without a final box score"
    assert missing_games(100, {}) == "100 games (1, 2, 3, 4, 5, …) of 100 without a final box score"
    rows = [{"id": number, "fingerprint": each["fingerprint"]} for number, each in final.items()]
    assert missing_rows(final, rows) is None
    assert missing_rows(final, rows[:1]) == "1 game (2) missing in the final tables"
    assert missing_rows(final, [rows[0], {"id": 2, "fingerprint": "of an earlier version"}]) == (
        "1 game (2) missing in the final tables"
    )


def test_the_summary_says_what_the_games_have_added() -> None:
    teams = [{"id": number, "wins": 2, "losses": 1} for number in (1, 2, 3, 4)]
    teams2 = [{**teams[0], "wins": 3}, {**teams[1], "losses": 2}, *teams[2:]]
    players = [{"id": 1, "shots": 5, "goals": 2}]
    players2 = [{"id": 1, "shots": 9, "goals": 3}]
    games2 = [{"id": 1, "home_score": 1, "away_score": 0}, {"id": 2, "home_score": 0, "away_score": 0}]
    tables = {"games2": games2, "teams": teams, "teams2": teams2, "players": players, "players2": players2}
    assert summary(tables) == [
        "games2: 2 games, 1 of them tied",
        "teams2: 4 rows, 1 wins and 1 losses more than teams",
        "players2: 1 rows, 4 shots and 1 goals more than players",
    ]


@pytest.mark.parametrize(
    ("command", "key", "words"),
    [
        ("gameday", "gamestream.txt", "GAMESTREAM_KEY must end with / on a game day (got 'gamestream.txt')"),
        ("game", "games/", "GAMESTREAM_KEY names a game day: unset it"),
    ],
)
def test_a_key_of_the_other_command_is_one_line(command: str, key: str, words: str) -> None:
    environ = {"GAMESTREAM_KEY": key, "DELAY": "1", "LACROSSE_DEPLOYMENT": ""}
    ended = CliRunner().invoke(main, [command], env=environ)
    assert ended.exit_code == 1
    assert ended.output.startswith(f"Error: {words}")
    assert ended.output.count("\n") == 1


def test_games_of_this_play_are_those_that_have_changed_whatever_their_dates() -> None:
    """With a clock that is set back in mid-game, those of this play are the older ones."""
    ahead, now = datetime(2030, 1, 1, tzinfo=UTC), datetime(2026, 3, 7, tzinfo=UTC)
    of_earlier = dict.fromkeys((1, 2), StreamVersion("e", ahead, None))
    played = {"_id": 1, "final": False, "stream": {"etag": "e", "last_modified": now}}
    computed_again = {"_id": 2, "final": True, "stream": {"etag": "e", "last_modified": ahead}, "fingerprint": "new"}
    first = {"_id": 3, "final": False, "stream": {"etag": "e", "last_modified": now}}

    assert of_this_play([played, computed_again, first], of_earlier) == {1: played, 3: first}


def test_runs_of_this_play_are_those_that_were_launched_since_whatever_their_dates(tmp_path: Path) -> None:
    with DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        for _ in range(MAX_ATTEMPTS):
            instance.add_run(DagsterRun("live_boxscore", status=DagsterRunStatus.FAILURE))
        runs = Runs(instance)
        assert runs.failed_repeatedly() is None
        assert runs.last_runs() == "Dagster has launched no run"

        for _ in range(MAX_ATTEMPTS):
            instance.add_run(DagsterRun("live_boxscore", status=DagsterRunStatus.FAILURE))
        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
            connection.execute(update(RunsTable).values(create_timestamp=datetime(2020, 1, 1)))
        assert str(runs.failed_repeatedly()).startswith(f"{MAX_ATTEMPTS} runs in a row have failed; run ")
