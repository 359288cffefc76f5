"""A few trials of the fault matrix of game days. `make chaos` runs all of them."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from lacrosse_assets_tests.chaos.day import DayStores, league, random_day
from lacrosse_assets_tests.chaos.day_trial import DayTrial
from lacrosse_assets_tests.chaos.faults import FAULTS, GAME_DAY
from lacrosse_assets_tests.chaos.harness import Platform, platform
from lacrosse_assets_tests.chaos.matrix import DAY_ENVIRON, play
from lacrosse_assets_tests.chaos.phases import Phase
from lacrosse_assets_tests.chaos.trial import Fault

FEW = ["game day: unknown team", "game day: run killed in mid-batch"]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    # A separate platform: other tests must not be affected.
    with platform(tmp_path_factory.mktemp("day"), print, DAY_ENVIRON) as up:
        yield up


def fault_of(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


@pytest.mark.parametrize("name", FEW)
def test_the_fault_is_survived(up: Platform, name: str) -> None:
    outcome = play(up, {}, fault_of(name), Phase.MIDDLE, random.Random(name))
    assert outcome.problems == []
    assert outcome.recovered_in is not None


def test_the_verdict_of_a_day_detects_errors(up: Platform) -> None:
    stores = DayStores(up.addresses, up.database)
    trial = DayTrial(up, stores, random.Random(0))
    assert trial.play(fault_of("game day: none (control)"), Phase.MIDDLE).problems == []
    assert trial.difference() is None
    game, document = max((stores.games() or {}).items())
    with MongoClient[dict[str, Any]](up.addresses["MONGODB_URI"]) as client:
        games = client["sidearm"]["games"]

        def damaged(change: Callable[[], Any]) -> tuple[str | None, list[str]]:
            """What the verdict and the watcher say after this change, which is taken back."""
            change()
            trial.watcher.faults.clear()
            trial.watcher.poll()
            found = trial.difference(), list(trial.watcher.faults)
            games.replace_one({"_id": game}, document, upsert=True)
            return found

        assert damaged(lambda: games.delete_one({"_id": game}))[0] == f"game {game} has no document"
        difference, seen = damaged(lambda: games.update_one({"_id": game}, {"$inc": {"home.score": 1}}))
        assert str(difference).startswith(f"the document of game {game} is wrong: home")
        assert [words.partition(": ")[0] for words in seen] == [f"a wrong document of game {game} was seen"]
        plays = {"plays": document["plays"][1:]}
        assert f"game {game} is wrong: plays" in str(
            damaged(lambda: games.update_one({"_id": game}, {"$set": plays}))[0]
        )
    sums, other_games, no_result = "are not the sums of", "or other results of them", "a result that no game ended with"
    for statement, found, seen_as in (
        ("UPDATE players2 SET shots = shots + 1 WHERE id = (SELECT min(id) FROM players2)", sums, sums),
        (f"DELETE FROM games2 WHERE id = {game}", other_games, sums),
        (f"UPDATE games2 SET home_score = home_score + 1 WHERE id = {game}", no_result, no_result),
    ):
        before = stores.final_tables()
        assert before
        stores.sql(statement)
        assert found in str(trial.difference())
        trial.watcher.faults.clear()
        trial.watcher.poll()
        assert seen_as in "".join(trial.watcher.faults)
        for table, rows in zip(("players2", "games2"), before[1:], strict=True):
            stores.sql(f"DELETE FROM {table}")
            stores.insert(table, rows)
    assert trial.difference() is None
    stores.close()


def test_a_day_is_a_function_of_its_seed() -> None:
    one, other = (random_day(random.Random(7), league(), first_id=1) for _ in range(2))
    assert one == other
    assert one != random_day(random.Random(8), league(), first_id=1)


def test_every_fault_of_a_game_day_has_a_platform_of_game_days() -> None:
    assert all(fault.name.startswith("game day: ") == (fault.needs == GAME_DAY) for fault in FAULTS)
