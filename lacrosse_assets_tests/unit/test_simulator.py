"""The pace at which the simulator plays a game (docs/contract.md, section 1), on a simulated clock."""

from typing import TYPE_CHECKING, cast

import pytest

from lacrosse_assets.gamestream import simulator
from lacrosse_assets.gamestream.simulator import play, read_game
from lacrosse_assets.settings import load_settings
from lacrosse_assets_tests.support.clock import SimulatedClock
from lacrosse_assets_tests.support.slow_store import SlowStore

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

EVENTS = read_game()
SETTINGS = load_settings({"LACROSSE_DEPLOYMENT": "mock", "DELAY": "1"})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    clock = SimulatedClock()
    monkeypatch.setattr(simulator, "time", clock)
    return clock


def test_the_stream_grows_line_by_line_at_the_pace_of_the_game(clock: SimulatedClock) -> None:
    """The durations of the writes do not add up."""
    store = SlowStore(seconds=5, clock=clock)
    began = clock.monotonic()
    play(cast("S3Client", store), SETTINGS)
    assert [*store.writes] == ["gamestream.txt"]
    writes = store.writes["gamestream.txt"]
    assert [written.splitlines() for _, written in writes] == [
        [event.line for event in EVENTS[: count + 1]] for count in range(len(EVENTS))
    ]
    late = [at - began - event.at for event, (at, _) in zip(EVENTS, writes, strict=True)]
    assert min(late) == 0
    assert max(late) <= store.seconds


def test_a_resumed_game_keeps_its_pace(clock: SimulatedClock) -> None:
    """The first event after the interruption has the same delay after the last one as without it."""
    store = SlowStore(clock=clock)
    half = next(number for number, event in enumerate(EVENTS) if event.at >= 30 * 60)
    began = clock.monotonic() - EVENTS[half - 1].at
    play(cast("S3Client", store), SETTINGS, "".join(f"{event.line}\n" for event in EVENTS[:half]))
    assert [*store.writes] == ["gamestream.txt"]
    assert [at - began for at, _ in store.writes["gamestream.txt"]] == [event.at for event in EVENTS[half:]]
