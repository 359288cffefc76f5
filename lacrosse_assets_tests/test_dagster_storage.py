"""Dagster's SQLite storage with its connections kept, held against the stock one on the same files."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance, asset, materialize

from lacrosse_assets.embedded.dagster_dev import dagster_yaml
from lacrosse_assets.embedded.dagster_storage import KEPT_RUNS, KeptSqliteStorage

Instance = Callable[[], DagsterInstance]


@asset
def goal() -> int:
    return 1


@pytest.fixture
def kept(tmp_path: Path) -> Instance:
    """An instance as `make dev` has it."""

    def instance() -> DagsterInstance:
        (tmp_path / "dagster.yaml").write_text(dagster_yaml(tmp_path))
        return DagsterInstance.from_config(str(tmp_path))

    return instance


@pytest.fixture
def stock(tmp_path: Path) -> Instance:
    """The same home with Dagster's own storage."""

    def instance() -> DagsterInstance:
        (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        return DagsterInstance.from_config(str(tmp_path))

    return instance


def materialized(instance: DagsterInstance) -> str:
    result = materialize([goal], instance=instance)
    assert result.success
    return result.run_id


def seen(instance: DagsterInstance, run_id: str) -> tuple[str, set[str], str]:
    """What an instance knows of a run: its status, its events, and which run made the asset last."""
    run = instance.get_run_by_id(run_id)
    made = instance.get_latest_materialization_event(AssetKey("goal"))
    assert run
    assert made
    events = {e.get_dagster_event().event_type_value for e in instance.all_logs(run_id) if e.is_dagster_event}
    return run.status.value, events, made.run_id


def test_make_dev_has_it(kept: Instance) -> None:
    with kept() as instance:
        assert type(instance.event_log_storage).__module__ == KeptSqliteStorage.__module__


@pytest.mark.parametrize("first", ["stock", "kept"])
def test_either_goes_on_with_what_the_other_left(first: str, stock: Instance, kept: Instance) -> None:
    before, after = (stock, kept) if first == "stock" else (kept, stock)
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


def test_more_runs_than_connections_are_kept(kept: Instance) -> None:
    with kept() as instance:
        runs = [materialized(instance) for _ in range(KEPT_RUNS + 3)]
        assert all("ASSET_MATERIALIZATION" in seen(instance, run_id)[1] for run_id in runs)
        instance.delete_run(runs[0])
        assert instance.get_run_by_id(runs[0]) is None
        assert list(instance.all_logs(runs[0])) == []


def _materialize(home: str, times: int) -> None:
    with DagsterInstance.from_config(home) as instance:
        for _ in range(times):
            materialized(instance)


def test_processes_write_at_once(kept: Instance) -> None:
    with kept() as instance:
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
