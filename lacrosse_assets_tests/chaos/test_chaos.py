"""A few trials of the fault matrix. `make chaos` runs all of it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner
from pymongo import MongoClient

from lacrosse_assets_tests.chaos.__main__ import main
from lacrosse_assets_tests.chaos.faults import FAULTS
from lacrosse_assets_tests.chaos.harness import Platform, platform
from lacrosse_assets_tests.chaos.matrix import play
from lacrosse_assets_tests.chaos.phases import Phase
from lacrosse_assets_tests.chaos.verdict import GameWatcher, Stores, Truth, difference_from_truth
from lacrosse_assets_tests.support.waiting import wait_until

FEW = [
    ("run killed (SIGKILL)", Phase.TABLES),
    ("code server killed", Phase.MIDDLE),
    ("document store gone in mid-write", Phase.END),
]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    # A separate platform: other tests must not be affected.
    with platform(tmp_path_factory.mktemp("chaos"), print) as up:
        yield up


@pytest.fixture(scope="module")
def truths() -> dict[str, Truth]:
    return {}


@pytest.mark.parametrize(("name", "phase"), FEW, ids=lambda each: getattr(each, "name", each))
def test_the_fault_is_survived(up: Platform, truths: dict[str, Truth], name: str, phase: Phase) -> None:
    fault = next(fault for fault in FAULTS if fault.name == name and phase in fault.phases)
    outcome = play(up, truths, fault, phase, random.Random(f"{name} {phase.name}"))
    assert outcome.problems == []
    assert outcome.recovered_in is not None


def test_the_verdict_detects_errors(up: Platform, truths: dict[str, Truth]) -> None:
    stores = Stores(up.addresses, up.database)
    outcome = play(up, truths, FAULTS[0], Phase.MIDDLE, random.Random(0))
    assert outcome.problems == []
    etag = stores.etag()
    assert etag
    truth = truths[etag]
    with MongoClient[dict[str, Any]](up.addresses["MONGODB_URI"]) as client:
        boxscores = client["sidearm"]["boxscores"]
        current = stores.documents()[-1]  # type: ignore[index]

        boxscores.delete_one({"_id": 3})
        assert "box scores of events [0, 1, 2, 4" in str(difference_from_truth(stores, truth))
        boxscores.insert_one({**current, "_id": 3})
        assert "the box score of event 3 is wrong" in str(difference_from_truth(stores, truth))
        boxscores.replace_one({"_id": 3}, next(each for each in truth.timeline if each["_id"] == 3))
        assert difference_from_truth(stores, truth) is None

        with seen(stores, truths) as watcher:
            boxscores.update_one({"_id": current["_id"]}, {"$inc": {"home.score": 1}})
            stores.sql("DELETE FROM players2 WHERE id = 1")
            before = watcher.polls
            wait_until(lambda: watcher.polls >= before + 2, "a whole poll")
        assert [words.split(": ")[0] for words in watcher.faults] == [
            "a wrong current box score was seen",
            "final tables of no game were seen",
        ]
        assert "is wrong: home" in str(difference_from_truth(stores, truth))
        boxscores.replace_one({"_id": current["_id"]}, current)
        assert difference_from_truth(stores, truth) == "teams2 and players2 are not those of the final box score"
    stores.close()


def test_an_unmet_requirement_is_reported_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 1
    assert result.output == (
        "Error: disk full (local state): a small disk is a mount, which needs root; "
        "`--without 'disk full (local state)'` leaves it out\n"
    )
    left = CliRunner().invoke(main, ["--list", "--without", "disk full (local state)"]).output.splitlines()
    everything = CliRunner().invoke(main, ["--list"]).output.splitlines()
    assert [line for line in everything if not line.startswith("disk full")] == left


@contextmanager
def seen(stores: Stores, truths: dict[str, Truth]) -> Iterator[GameWatcher]:
    watcher = GameWatcher(stores, truths, stores.tables())
    watcher.start()
    wait_until(lambda: watcher.polls >= 2, "a whole poll")
    yield watcher
    watcher.stop()
