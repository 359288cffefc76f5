"""The rounds of Dagster's sensor daemon: no pause between two of them, and no wall clock.

**The pause.** The daemon evaluates its sensors in rounds, at most one every five seconds: a constant without a setting.
If a tick launches a run early in its round, the next tick follows when the round is five seconds old. A stream that
changes all the time then gets one box score per five seconds. With this patch the next round starts after
`round_seconds`. A tick of `gamestream_sensor` polls for fifteen seconds while there is nothing to launch, so an idle
daemon has no more rounds than before.

**The clock.** The daemon measures its rounds, and the interval of each sensor, by the wall clock. If that is set back
by an hour, no sensor is evaluated for an hour. With this patch it uses a steady clock. A sensor whose last tick has a
timestamp in the future is evaluated.

It changes only a process that runs the daemon. `sensor_round_seconds: 5` in dagster.yaml restores Dagster's pause.
docs/adr/0006-sensor-rounds.md has the alternatives.
"""

import sys
import time
from typing import Any

from lacrosse_assets.dagster_patches.guard import is_supported

DAEMON = "dagster._daemon.sensor"
RELIES_ON = (
    f"{DAEMON}:MIN_INTERVAL_LOOP_TIME",
    f"{DAEMON}:execute_sensor_iteration_loop",
    f"{DAEMON}:get_current_timestamp",
    f"{DAEMON}:get_elapsed",
    f"{DAEMON}:is_under_min_interval",
)
ROUND_SECONDS = 0.1


class SteadyClock:
    """Seconds since the epoch, by the wall clock at construction. Setting the wall clock does not move it."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self._offset + time.monotonic()


def apply(round_seconds: float) -> None:
    """Patch the daemon if this process runs it, that is, has imported its module."""
    daemon: Any = sys.modules.get(DAEMON)
    if daemon is None or isinstance(getattr(daemon, "get_current_timestamp", None), SteadyClock):
        return
    if not is_supported("sensor rounds without a pause", "dagster", *RELIES_ON):
        return
    daemon.MIN_INTERVAL_LOOP_TIME = round_seconds
    daemon.get_current_timestamp = SteadyClock()
    is_under_min_interval, get_elapsed = daemon.is_under_min_interval, daemon.get_elapsed

    def is_under_min_interval_unless_in_the_future(state: Any, *sensor: Any, **options: Any) -> bool:
        elapsed = get_elapsed(state)
        return (elapsed is None or elapsed >= 0) and bool(is_under_min_interval(state, *sensor, **options))

    daemon.is_under_min_interval = is_under_min_interval_unless_in_the_future
