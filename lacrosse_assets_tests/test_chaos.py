"""A few trials of the fault matrix, so that it cannot rot; `make chaos` runs all of it."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from lacrosse_assets_tests.chaos.faults import FAULTS
from lacrosse_assets_tests.chaos.harness import Platform, platform
from lacrosse_assets_tests.chaos.matrix import play
from lacrosse_assets_tests.chaos.moments import Moment
from lacrosse_assets_tests.chaos.verdict import Truth

FEW = [
    ("run killed (SIGKILL)", Moment.TABLES),
    ("code server killed", Moment.MIDDLE),
    ("document store gone in mid-write", Moment.END),
]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    # A platform of its own: what is killed and cut here must not be another test's.
    with platform(tmp_path_factory.mktemp("chaos"), print) as up:
        yield up


@pytest.fixture(scope="module")
def truths() -> dict[str, Truth]:
    return {}


@pytest.mark.parametrize(("name", "moment"), FEW, ids=lambda each: getattr(each, "name", each))
def test_survived(up: Platform, truths: dict[str, Truth], name: str, moment: Moment) -> None:
    fault = next(fault for fault in FAULTS if fault.name == name and moment in fault.moments)
    outcome = play(up, truths, fault, moment, random.Random(f"{name} {moment.name}"))
    assert outcome.problems == []
    assert outcome.recovered_in is not None


def test_the_verdict_sees_what_is_wrong(up: Platform, truths: dict[str, Truth], tmp_path: Path) -> None: ...
