"""Dagster's SQLite storage with pooled connections, compared with Dagster's own on the same files."""

import logging
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance
from dagster._core.storage import sqlite_storage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from lacrosse_assets.dagster_patches import guard
from lacrosse_assets.dagster_patches.pooled_sqlite import POOLED_RUNS, PooledSqliteStorage
from lacrosse_assets.embedded.dagster_dev import dagster_yaml
from lacrosse_assets_tests.support.stored_runs import materialized, seen

Instance = Callable[[], DagsterInstance]


@pytest.fixture
def pooled(tmp_path: Path) -> Instance:
    """An instance of `make dev`."""

    def instance() -> DagsterInstance:
        (tmp_path / "dagster.yaml").write_text(dagster_yaml(tmp_path))
        return DagsterInstance.from_config(str(tmp_path))

    return instance


@pytest.fixture
def stock(tmp_path: Path) -> Instance:
    """The same home with Dagster's own storage."""

    def instance() -> DagsterInstance:
        (tmp_path / "dagster.yaml").write_text(dagster_yaml(tmp_path, pooled_sqlite=False))
        return DagsterInstance.from_config(str(tmp_path))

    return instance


def test_make_dev_uses_it(pooled: Instance) -> None:
    with pooled() as instance:
        assert type(instance.event_log_storage).__module__ == PooledSqliteStorage.__module__


@pytest.mark.parametrize("first", ["stock", "pooled"])
def test_an_instance_can_switch_between_the_two(first: str, stock: Instance, pooled: Instance) -> None:
    before, after = (stock, pooled) if first == "stock" else (pooled, stock)
    with before() as instance:
        run_id = materialized(instance)
        known = seen(instance, run_id)
    with after() as instance:
        assert seen(instance, run_id) == known
        again = materialized(instance)
        assert seen(instance, again)[2] == again
        assert seen(instance, run_id)[:2] == known[:2]
    assert known[0] == "SUCCESS"
    assert {"RUN_START", "ASSET_MATERIALIZATION", "RUN_SUCCESS"} & known[1] >= {"ASSET_MATERIALIZATION"}


def test_more_runs_than_pooled_connections(pooled: Instance) -> None:
    with pooled() as instance:
        runs = [materialized(instance) for _ in range(POOLED_RUNS + 3)]
        assert all("ASSET_MATERIALIZATION" in seen(instance, run_id)[1] for run_id in runs)
        instance.delete_run(runs[0])
        assert instance.get_run_by_id(runs[0]) is None
        assert list(instance.all_logs(runs[0])) == []


def _materialize(home: str, times: int) -> None:
    with DagsterInstance.from_config(home) as instance:
        for _ in range(times):
            materialized(instance)


def test_processes_write_at_once(pooled: Instance) -> None:
    with pooled() as instance:
        home = instance.root_directory
        context = multiprocessing.get_context("spawn")
        writers = [context.Process(target=_materialize, args=(home, 5)) for _ in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        runs = instance.get_runs()
        assert [run.status.value for run in runs] == ["SUCCESS"] * 15
        assert len(instance.fetch_materializations(AssetKey("goal"), limit=100).records) == 15


def without_a_folder_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sqlite_storage, "_runs_directory")


def without_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SqliteEventLogStorage, "_connect")


def without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqliteEventLogStorage, "__init__", lambda _: None)


def another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "version", lambda _: "1.14.0")


@pytest.mark.parametrize("change", [without_a_folder_function, without_connect, without_a_lock, another_version])
def test_another_dagster_keeps_its_own_storage_with_one_line(
    change: Callable[[pytest.MonkeyPatch], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.MonkeyPatch.context() as changed, caplog.at_level(logging.WARNING, guard.log.name):
        change(changed)
        configured = dagster_yaml(tmp_path)
    (line,) = [record.getMessage() for record in caplog.records if record.name == guard.log.name]
    assert line.startswith("the SQLite connection pool is off, Dagster is left as it is: dagster 1.1")
    (tmp_path / "dagster.yaml").write_text(configured)
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.event_log_storage).__module__.startswith("dagster.")
        assert seen(instance, materialized(instance))[0] == "SUCCESS"


def test_a_setting_turns_the_pool_off(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(dagster_yaml(tmp_path, pooled_sqlite=False))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.event_log_storage) is SqliteEventLogStorage
