"""The faults of a game day: problems of one game among twenty, and what may happen to a run of many games.

Faults of `faults.py` that make sense on a game day are injected into it as well: see `FAULTS` there.
"""

import gzip
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

from lacrosse_assets.jobs import live_boxscore
from lacrosse_assets.resources.object_store import LISTING_PAGE_SIZE
from lacrosse_assets_tests.chaos.day import key_of, scheduled
from lacrosse_assets_tests.chaos.day_trial import DayTrial
from lacrosse_assets_tests.chaos.harness import kill
from lacrosse_assets_tests.chaos.verdict import Row

UNKNOWN_TEAM_ID = 999
ANSWER_SECONDS = 0.3  # of a slow document store
UPLOADS = 16  # at the same time


# A problem of one game: the others must not be held up, and no run may fail.


@contextmanager
def unknown_team(trial: DayTrial) -> Iterator[None]:
    """The away team of a game has no row in `teams`, until somebody adds it."""
    teams, players = trial.truth.references[-1]
    team = {**teams[0], "id": UNKNOWN_TEAM_ID, "name": "a late entry"}
    roster = [{**players[0], "id": 10 * UNKNOWN_TEAM_ID + number, "number": f"{number}"} for number in range(3)]
    roster = [{**player, "teamid": UNKNOWN_TEAM_ID} for player in roster]
    game, state = trial.add_game(teams[0]["id"], UNKNOWN_TEAM_ID, [*players, *roster])
    trial.stores.insert("games", [game])
    trial.producer.put(game, state)
    trial.until_reported("roster", "rosters_are_complete", f"table teams has no row with id {UNKNOWN_TEAM_ID}")
    trial.until_others_are_current(game)
    yield
    trial.truth.references.append(([*teams, team], [*players, *roster]))
    trial.stores.insert("teams", [team])
    trial.stores.insert("players", roster)


@contextmanager
def unreadable_stream(trial: DayTrial) -> Iterator[None]:
    """A producer uploads half of a gzip file."""
    game = trial.live_game()
    trial.producer.take(game)
    trial.stores.put_object(key_of(game), gzip.compress(trial.producer.current[game["id"]])[:-9])
    trial.until_reported("raw_gamestream", "stream_is_clean", f"{key_of(game)} has Content-Encoding gzip")
    trial.until_others_are_current(game)
    yield
    trial.producer.give_back(game)


@contextmanager
def invalid_lines(trial: DayTrial) -> Iterator[None]:
    """A producer appends what is no event."""
    game = trial.live_game()
    trial.producer.take(game)
    state = trial.producer.current[game["id"]] + b"9 12:00 101\n\xff\xfe\n10 soon 101 6 1\n"
    trial.truth.know(game, [state])
    trial.stores.put_object(key_of(game), state)
    trial.until_reported("raw_gamestream", "stream_is_clean", "3 fields instead of 5")
    trial.until_others_are_current(game)
    yield
    trial.producer.give_back(game)


@contextmanager
def two_in_one_jersey(trial: DayTrial) -> Iterator[None]:
    """A correction of the roster gives a player the jersey of another, and is taken back."""
    game = trial.live_game()
    teams, players = trial.truth.references[-1]
    one, other = [player for player in players if player["teamid"] == game["home"]][:2]
    corrected = {**other, "number": one["number"]}

    def is_counted(number: str) -> bool:
        document = (trial.stores.games() or {}).get(game["id"])
        players = document["home"]["players"] if document else []
        return any(player["id"] == other["id"] and player["number"] == number for player in players)

    trial.truth.references.append((teams, [corrected if player is other else player for player in players]))
    trial.stores.sql(f"UPDATE players SET number = '{one['number']}' WHERE id = {other['id']}")
    trial.until("the correction is counted", lambda: is_counted(one["number"]))
    trial.until_others_are_current(game)
    yield
    trial.truth.references.append((teams, players))
    trial.stores.sql(f"UPDATE players SET number = '{other['number']}' WHERE id = {other['id']}")
    trial.until("the roster is as before", lambda: is_counted(other["number"]))


@contextmanager
def stream_without_a_game(trial: DayTrial) -> Iterator[None]:
    """An object belongs to no game, until somebody adds the game to the schedule."""
    teams, players = trial.truth.references[-1]
    game, state = trial.add_game(teams[0]["id"], teams[1]["id"], players, stream="feeds/late.txt")
    trial.stores.put_object(key_of(game), state)
    trial.until_reported("raw_gamestream", "stream_is_clean", f"{key_of(game)} belongs to no game")
    trial.until_others_are_current(game)
    yield
    trial.stores.insert("games", [game])
    trial.producer.put(game, state)


@contextmanager
def stream_deleted(trial: DayTrial) -> Iterator[None]:
    """The stream of a live game is deleted, and written again."""
    game = trial.live_game()
    trial.producer.take(game)
    trial.stores.remove([key_of(game)])
    trial.until_others_are_current(game)
    yield
    trial.producer.give_back(game)


@contextmanager
def replay(trial: DayTrial) -> Iterator[None]:
    """A game that is over, and in the final tables, starts again at its first event."""
    game = trial.game_in_the_tables()
    states = trial.producer.states_of(game)
    trial.producer.put(game, states[0])
    trial.until("the game has begun again", lambda: not _is_in_the_tables(trial, game))
    yield
    for state in states[1:]:
        trial.producer.put(game, state)
        time.sleep(trial.rng.uniform(0, 0.5))


@contextmanager
def correction(trial: DayTrial) -> Iterator[None]:
    """A goal is added to a game that is over, and in the final tables, or taken from it."""
    game = trial.game_in_the_tables()
    lines = trial.producer.states_of(game)[-1].decode().splitlines()
    number = trial.rng.choice([number for number, line in enumerate(lines) if line.split()[2] != "0"])
    lines[number] = f"{lines[number][:-1]}{1 - int(lines[number][-1])}"
    state = "".join(f"{line}\n" for line in lines).encode()
    trial.truth.know(game, [state])
    trial.producer.put(game, state)
    yield


def _is_in_the_tables(trial: DayTrial, game: Row) -> bool:
    tables = trial.stores.final_tables()
    return tables is None or any(row["id"] == game["id"] for row in tables[2])


# What happens to the run of many games, and to the listing of many streams.


@contextmanager
def run_killed_in_mid_batch(trial: DayTrial) -> Iterator[None]:
    """SIGKILL to a run of several games while it writes their documents, to a slow document store."""

    def is_writing() -> bool:
        for run in trial.instance.get_runs(
            RunsFilter(job_name=live_boxscore.name, statuses=[DagsterRunStatus.STARTED]), limit=1
        ):
            ops: Any = run.run_config["ops"]
            steps = trial.instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_START)
            if len(ops["raw_gamestream"]["config"]["games"]) > 1 and any(
                entry.get_dagster_event().step_key == "boxscore_doc" for entry in steps
            ):
                return True
        return False

    trial.platform.lines["mongodb"].slow(ANSWER_SECONDS)

    def is_killed() -> bool:
        if not is_writing():
            return False
        time.sleep(trial.rng.uniform(0, 3 * ANSWER_SECONDS))
        return bool(kill(trial.platform.runs()))

    trial.until("a run of several games is killed", is_killed, every=0.01)
    trial.platform.lines["mongodb"].restore()
    yield


def second_page_fails(response: bytes) -> Callable[[DayTrial], AbstractContextManager[None]]:
    """The store answers the second page of the listing with an error.

    A thousand scheduled games, whose streams are empty so far, fill the first page.
    """

    @contextmanager
    def inject(trial: DayTrial) -> Iterator[None]:
        teams, _ = trial.truth.references[-1]
        first = max(trial.truth.schedule) + 1000
        games = [
            scheduled(first + number, teams[0]["id"], teams[1]["id"], f"-{number:04}.txt")
            for number in range(LISTING_PAGE_SIZE)
        ]
        with ThreadPoolExecutor(UPLOADS) as threads:
            list(threads.map(lambda game: trial.stores.put_object(key_of(game), b""), games))
        trial.stores.insert("games", games)
        trial.platform.lines["s3"].answer(response, request=b"continuation-token=")
        trial.until_skipped("object store at ")
        yield
        trial.platform.lines["s3"].restore()

    return inject
