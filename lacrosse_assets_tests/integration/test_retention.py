"""What the retention deletes, and what it must not."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    DagsterInstance,
    DagsterRunStatus,
    Definitions,
    Failure,
    MaterializeResult,
    RunConfig,
    RunRequest,
    RunsFilter,
    SkipReason,
    asset,
    build_schedule_context,
    define_asset_job,
)

from lacrosse_assets.embedded.dagster_dev import dagster_yaml
from lacrosse_assets.retention import KEEP_RETENTION_RUNS, RETENTION_DAYS, Retention, retention, retention_schedule
from lacrosse_assets_tests.support.world import ENDED, LIVE, MIDDLE, World

ONE_DAY, MANY = 24.0, 1000


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """The instance of `make dev`."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(dagster_yaml(home))
    with DagsterInstance.from_config(str(home)) as instance:
        yield instance


@asset(check_specs=[AssetCheckSpec("is_fresh", asset="boxscore_doc")])
def boxscore_doc() -> MaterializeResult:  # type: ignore[type-arg]
    return MaterializeResult(check_results=[AssetCheckResult(check_name="is_fresh", passed=True)])


@asset(name="boxscore_doc")
def unreachable_store() -> None:
    raise Failure("the document store is unreachable")


def live_run(instance: DagsterInstance, made_by: object = boxscore_doc) -> str:
    """A small run with the name of a live one."""
    job = define_asset_job("live_boxscore", selection=["boxscore_doc"])
    live = Definitions(assets=[made_by], jobs=[job]).resolve_job_def("live_boxscore")  # type: ignore[list-item]
    return live.execute_in_process(instance=instance, raise_on_error=False, tags={"lacrosse/attempt": "1"}).run_id


def run_retention(
    instance: DagsterInstance, days: float = RETENTION_DAYS, live_hours: float = ONE_DAY, live_runs: int = MANY
) -> None:
    config = Retention(days=days, live_hours=live_hours, live_runs=live_runs)
    result = retention.execute_in_process(instance=instance, run_config=RunConfig({"delete_old_runs": config}))
    assert result.success


def kept(instance: DagsterInstance) -> list[str]:
    """The runs on record, without the retention's own."""
    return sorted(run.run_id for run in instance.get_runs() if run.job_name != retention.name)


def records_of(run_id: str, home: Path) -> list[tuple[str, str]]:
    """The files and tables that have a record of a run."""
    found = [(str(path), "") for path in home.rglob(f"*{run_id}*")]
    for file in home.rglob("*.db"):
        with closing(sqlite3.connect(file)) as connection:
            tables = connection.execute(
                "SELECT t.name FROM sqlite_master t, pragma_table_info(t.name) c "
                "WHERE t.type = 'table' AND c.name = 'run_id'"
            )
            for (table,) in tables.fetchall():
                if connection.execute(f"SELECT 1 FROM {table} WHERE run_id = ?", (run_id,)).fetchone():
                    found.append((str(file), table))
    return found


def test_old_runs_are_deleted_with_all_records_except_those_of_current_assets(
    world: World, instance: DagsterInstance, tmp_path: Path
) -> None:
    world.instance = instance
    world.put(*MIDDLE)
    world.materialize(*LIVE)
    world.put(*ENDED)
    live = world.tick_and_run().run_id
    finals = world.tick_and_run().run_id
    gone = [run_id for run_id in kept(instance) if run_id not in (live, finals)]
    assert gone
    assert all(records_of(run_id, tmp_path) for run_id in gone)

    run_retention(instance)
    assert kept(instance) == sorted([*gone, live, finals])
    run_retention(instance, days=0)
    assert kept(instance) == sorted([live, finals])

    assert not [records for run_id in gone for records in records_of(run_id, tmp_path)]
    assert all(instance.get_latest_materialization_event(key) for key in instance.all_asset_keys())
    assert world.tick().startswith("teams2 and players2 are those of")  # type: ignore[union-attr]


def test_the_newest_live_runs_are_kept_by_count(instance: DagsterInstance) -> None:
    runs = [live_run(instance) for _ in range(5)]
    run_retention(instance, live_runs=5)
    assert kept(instance) == sorted(runs)
    run_retention(instance, live_runs=2)
    assert kept(instance) == sorted(runs[-2:])


def test_live_runs_are_deleted_by_age_except_the_current_one(instance: DagsterInstance, tmp_path: Path) -> None:
    runs = [live_run(instance) for _ in range(3)]
    run_retention(instance, live_hours=0)
    assert kept(instance) == runs[-1:]
    assert not [records for run_id in runs[:-1] for records in records_of(run_id, tmp_path)]


def test_failed_live_runs_are_kept_as_long_as_other_runs(instance: DagsterInstance) -> None:
    failed = live_run(instance, unreachable_store)
    succeeded = [live_run(instance) for _ in range(2)]
    run_retention(instance, live_hours=0, live_runs=1)
    assert kept(instance) == sorted([failed, succeeded[-1]])
    run_retention(instance, days=0)
    assert kept(instance) == [succeeded[-1]]


def test_active_runs_are_not_deleted(world: World) -> None:
    world.put(*MIDDLE)
    job = world.definitions().resolve_job_def("live_boxscore")
    run = world.instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    run_retention(world.instance, days=0, live_hours=0, live_runs=0)
    assert world.instance.get_runs_count(RunsFilter(run_ids=[run.run_id])) == 1


def test_the_schedule_launches_a_run_only_if_there_is_something_to_delete(instance: DagsterInstance) -> None:
    evaluate = retention_schedule(ONE_DAY, 2)

    def tick() -> object:
        return evaluate(build_schedule_context(instance))

    assert isinstance(tick(), SkipReason)
    runs = [live_run(instance) for _ in range(3)]
    request = tick()
    assert isinstance(request, RunRequest)
    assert retention.execute_in_process(instance=instance, run_config=request.run_config).success
    assert kept(instance) == sorted(runs[-2:])
    assert isinstance(tick(), SkipReason)


def test_the_retention_keeps_few_of_its_own_runs(instance: DagsterInstance) -> None:
    for _ in range(KEEP_RETENTION_RUNS + 2):
        run_retention(instance)
    assert instance.get_runs_count(RunsFilter(job_name=retention.name)) == KEEP_RETENTION_RUNS + 1  # the last one's own
