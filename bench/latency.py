"""What a stream's producer and a reader of its documents see: latencies. For `make dev` and in a container of Compose.

This module imports only what the image of the platform has.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, cast

from dagster import DagsterInstance, RunsFilter

from bench.stores import GAME, Stores
from lacrosse_assets.gamestream.simulator import play
from lacrosse_assets.settings import load_settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

POLL_SECONDS = 0.01
SETTLE_SECONDS = 10  # before a measurement begins
BURST_EVENTS, BURST_INTERVAL_SECONDS = 46, 1.3  # a minute
# The phases of one event's latency, in order. A phase ends with the run's first event of this type and step.
PHASES = (
    ("change detected, run created", "", ""),
    ("launched", "PIPELINE_STARTING", ""),
    ("run started (process, definitions)", "PIPELINE_START", ""),
    ("stream and roster fetched", "STEP_SUCCESS", "roster"),
    ("statistics computed", "STEP_SUCCESS", "player_game_stats"),
    ("document readable", "", ""),
)


class WholeGame(NamedTuple):
    """The latencies of a game of the simulator, in seconds."""

    readable: list[float]  # of each PUT
    final: float  # from the final PUT to both final tables


def each_event(
    stores: Stores, instance: DagsterInstance, events: int, interval: float
) -> tuple[list[float], list[list[float]]]:
    """The latency of each event, and the seconds of its `PHASES`. An event is put each `interval` seconds."""
    seconds, phases = [], []
    for count in range(1, events + 1):
        put_at = time.time()
        readable_at = stores.wait_for(stores.put(GAME[:count]))
        seconds.append(readable_at - put_at)
        phases.append(_phases(instance, put_at, readable_at))
        time.sleep(max(0.0, put_at + interval - time.time()))
    return seconds, phases


def _phases(instance: DagsterInstance, put_at: float, readable_at: float) -> list[float]:
    """The seconds of each of `PHASES`, from the run's event log."""
    (record,) = instance.get_run_records(RunsFilter(job_name="live_boxscore"), limit=1)
    ends = [record.create_timestamp.timestamp()]
    events = instance.all_logs(record.dagster_run.run_id)
    for _, kind, step in PHASES[1:-1]:
        ends.append(
            next(
                event.timestamp
                for event in events
                if event.dagster_event
                and event.dagster_event.event_type_value == kind
                and (event.step_key or "") == step
            )
        )
    ends.append(readable_at)
    return [end - start for start, end in zip([put_at, *ends], ends, strict=False)]


def burst(stores: Stores, events: int = BURST_EVENTS, interval: float = BURST_INTERVAL_SECONDS) -> list[float]:
    """The latency of each event of a new game, in seconds. Its first event is not measured."""
    stores.clear()
    stores.wait_for(stores.put(GAME[:1]))
    time.sleep(SETTLE_SECONDS)
    puts: list[tuple[str, float]] = []

    def produce() -> None:
        start = time.time()
        for number in range(events):
            time.sleep(max(0.0, start + number * interval - time.time()))
            put_at = time.time()
            puts.append((stores.put(GAME[: number + 2]), put_at))

    return _follow(stores, puts, produce)


def whole_game(stores: Stores, delay: float) -> WholeGame:
    """Play the simulator's game, `delay` real seconds for each second of the game."""
    puts: list[tuple[str, float]] = []

    class Recorded:
        """An S3 client for the simulator; it records the time of each PUT."""

        meta = stores.s3.meta

        def put_object(self, **request: object) -> object:
            put_at = time.time()
            response = stores.s3.put_object(**request)
            puts.append((response["ETag"].strip('"'), put_at))
            return response

    settings = load_settings().model_copy(update={"delay": delay})
    readable = _follow(stores, puts, lambda: play(cast("S3Client", Recorded()), settings))
    return WholeGame(readable, stores.wait_for_final_tables() - puts[-1][1])


def _follow(stores: Stores, puts: Sequence[tuple[str, float]], produce: Callable[[], None]) -> list[float]:
    """The seconds from each PUT until a box score can be read that has it, of this version or of a later one."""
    seconds: list[float] = []
    with ThreadPoolExecutor(1) as threads:
        producer = threads.submit(produce)
        while not producer.done() or len(seconds) < len(puts):
            current, now = stores.current_etag(), time.time()
            etags = [etag for etag, _ in puts]
            if current in etags:
                seconds += [now - put_at for _, put_at in puts[len(seconds) : etags.index(current) + 1]]
            time.sleep(POLL_SECONDS)
        producer.result()
    return seconds
