"""The rounds of Dagster's sensor daemon (lacrosse_assets/dagster_patches/sensor_daemon.py)."""

import importlib
import logging
import sys
import time
from itertools import cycle
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lacrosse_assets.dagster_patches import guard
from lacrosse_assets.dagster_patches.sensor_daemon import DAEMON, apply


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Dagster's module, imported again for this test."""
    monkeypatch.delitem(sys.modules, DAEMON, raising=False)
    return importlib.import_module(DAEMON)


def pauses_between_rounds(daemon: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the loop, in seconds, after five rounds without a sensor. They are not waited for."""
    monkeypatch.setattr(daemon, "execute_sensor_iteration", lambda *_, **__: iter(()))
    pauses: list[float] = []
    stop = SimpleNamespace(wait=pauses.append)
    loop = daemon.execute_sensor_iteration_loop(SimpleNamespace(), logging.getLogger(), stop)
    for _ in range(3 * 5):  # each round yields its start, its end, and once more after the pause
        next(loop)
    assert len(pauses) == 5
    return pauses


def test_a_round_follows_the_other_at_once(daemon: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(pauses_between_rounds(daemon, monkeypatch)) > 1, "Dagster itself makes rounds of five seconds"

    apply(0.01)

    assert max(pauses_between_rounds(daemon, monkeypatch)) <= 0.01


def test_a_clock_that_is_set_back_makes_no_round_longer(daemon: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(0.01)
    start, hours_back = time.time(), cycle((0, 1))
    monkeypatch.setattr(time, "time", lambda: start - 3600 * next(hours_back))

    assert max(pauses_between_rounds(daemon, monkeypatch)) <= 0.01


def state(last_tick: float) -> Any:
    from dagster._core.scheduler.instigation import InstigatorState, SensorInstigatorData

    data = SensorInstigatorData(min_interval=1, last_tick_start_timestamp=last_tick, last_tick_timestamp=last_tick)
    return SimpleNamespace(instigator_data=data, spec=InstigatorState)


def test_a_sensor_whose_last_tick_is_in_the_future_is_evaluated(daemon: ModuleType) -> None:
    sensor = SimpleNamespace(min_interval_seconds=60)
    now = time.time()
    assert daemon.is_under_min_interval(state(now + 3600), sensor), "Dagster itself waits an hour"

    apply(0.01)

    assert not daemon.is_under_min_interval(state(now + 3600), sensor)
    assert daemon.is_under_min_interval(state(now - 10), sensor)
    assert not daemon.is_under_min_interval(state(now - 61), sensor)


@pytest.mark.parametrize(
    "name",
    [
        "MIN_INTERVAL_LOOP_TIME",
        "get_current_timestamp",
        "get_elapsed",
        "is_under_min_interval",
        "execute_sensor_iteration_loop",
    ],
)
def test_without_an_attribute_dagster_is_left_as_it_is(
    daemon: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.delattr(daemon, name)
    before = dict(vars(daemon))

    apply(0.01)

    assert vars(daemon) == before
    (record,) = caplog.records
    assert record.getMessage().endswith(f" has no dagster._daemon.sensor.{name}")


def test_another_version_is_left_as_it_is(daemon: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "version", lambda _: "1.14.0")

    apply(0.01)
    assert daemon.MIN_INTERVAL_LOOP_TIME == 5


def test_a_process_without_the_daemon_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, DAEMON, raising=False)

    apply(0.01)

    assert DAEMON not in sys.modules
