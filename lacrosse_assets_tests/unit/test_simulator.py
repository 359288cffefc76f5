"""The pace at which the simulator plays a game (docs/contract.md, section 1), on a simulated clock."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from lacrosse_assets.gamestream import simulator
from lacrosse_assets.gamestream.simulator import play, read_game
from lacrosse_assets.settings import load_settings
from lacrosse_assets_tests.support.clock import SimulatedClock

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

EVENTS = read_game()
SETTINGS = load_settings({"LACROSSE_DEPLOYMENT": "mock", "DELAY": "1"})


class SlowStore:
    """A store with slow writes, which records their content and time."""

    meta = SimpleNamespace(endpoint_url="http://127.0.0.1:1")

    def __init__(self, clock: SimulatedClock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.writes: list[tuple[float, str]] = []

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803 (boto3's names)
        assert (Bucket, Key) == ("gamestreams", "gamestream.txt")
        self.writes.append((self.clock.monotonic(), Body.decode()))
        self.clock.sleep(self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    clock = SimulatedClock()
    monkeypatch.setattr(simulator, "time", clock)
    return clock


def test_the_stream_grows_line_by_line_at_the_pace_of_the_game(clock: SimulatedClock) -> None:
    """The durations of the writes do not add up."""
    store = SlowStore(clock, seconds=5)
    began = clock.monotonic()
    play(cast("S3Client", store), SETTINGS)
    assert [written.splitlines() for _, written in store.writes] == [
        [event.line for event in EVENTS[: count + 1]] for count in range(len(EVENTS))
    ]
    late = [at - began - event.at for event, (at, _) in zip(EVENTS, store.writes, strict=True)]
    assert min(late) == 0
    assert max(late) <= store.seconds


def test_a_resumed_game_keeps_its_pace(clock: SimulatedClock) -> None:
    """The first event after the interruption has the same delay after the last one as without it."""
    store = SlowStore(clock, seconds=0)
    half = next(number for number, event in enumerate(EVENTS) if event.at >= 30 * 60)
    began = clock.monotonic() - EVENTS[half - 1].at
    play(cast("S3Client", store), SETTINGS, "".join(f"{event.line}\n" for event in EVENTS[:half]))
    assert [at - began for at, _ in store.writes] == [event.at for event in EVENTS[half:]]
