"""The rounds of Dagster's sensor daemon: no pause between two of them, and no wall clock.

**The pause.** The daemon evaluates its sensors in rounds, and starts one every five seconds at most: a constant without
a setting. A tick that launches a run early in its round is followed by the next tick only when the round is five
seconds old, so a stream that changes all the time got one box score per five seconds. Here the next round starts after
`round_seconds`. A tick of `gamestream_sensor` polls for fifteen seconds by itself while there is nothing to launch, so
an idle daemon has no more rounds than before.

**The clock.** The daemon measures its rounds, and the interval of each sensor, by the wall clock. When that is set back
by an hour, no sensor is evaluated for an hour. Here it uses a clock that is only read once and then goes on by itself.
A sensor whose last tick is dated in the future is evaluated.

Changes the process that runs the daemon and no other. dagster.yaml configures it: `sensor_round_seconds: 5` leaves
Dagster's own pause. docs/adr/0006-sensor-rounds.md has the alternatives.
"""

import inspect
import logging
import sys
import time
from importlib.metadata import version
from types import ModuleType
from typing import Any

TESTED = "1.13."
DAEMON = "dagster._daemon.sensor"
ROUND_SECONDS = 0.1

log = logging.getLogger("dagster.sensor_daemon")


class SteadyClock:
    """Seconds since the epoch, by the wall clock of the time when it was made: whoever sets that moves nothing here."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self._offset + time.monotonic()


def patch(round_seconds: float) -> None:
    """Change the daemon, if this process runs it (and so has its module)."""
    daemon = sys.modules.get(DAEMON)
    if daemon is None or isinstance(getattr(daemon, "get_current_timestamp", None), SteadyClock):
        return
    if reason := untested(daemon):
        log.warning("Sensors are evaluated in Dagster's own rounds, of five seconds: %s", reason)
        return
    daemon.MIN_INTERVAL_LOOP_TIME = round_seconds  # type: ignore[attr-defined]
    daemon.get_current_timestamp = SteadyClock()  # type: ignore[attr-defined]
    is_under_min_interval, get_elapsed = daemon.is_under_min_interval, daemon.get_elapsed

    def is_due_where_the_last_tick_is_in_the_future(state: Any, *sensor: Any, **options: Any) -> bool:
        elapsed = get_elapsed(state)
        return (elapsed is None or elapsed >= 0) and bool(is_under_min_interval(state, *sensor, **options))

    daemon.is_under_min_interval = is_due_where_the_last_tick_is_in_the_future  # type: ignore[attr-defined]


def untested(daemon: ModuleType) -> str | None:
    """What this relies on and the installed Dagster does not have. None: it is as tested."""
    installed = version("dagster")
    if not installed.startswith(TESTED):
        return f"version {installed} is not tested ({TESTED}x is)"
    if not isinstance(getattr(daemon, "MIN_INTERVAL_LOOP_TIME", None), int | float):
        return f"{DAEMON} has no MIN_INTERVAL_LOOP_TIME"
    for name in ("get_current_timestamp", "get_elapsed", "is_under_min_interval", "execute_sensor_iteration_loop"):
        if not inspect.isfunction(getattr(daemon, name, None)):
            return f"{DAEMON} has no {name}"
    return None
