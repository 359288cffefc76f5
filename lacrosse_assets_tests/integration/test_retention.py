"""What the daily retention deletes, and what it must not."""

from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus, RunConfig, RunsFilter

from lacrosse_assets.embedded.dagster_dev import dagster_yaml
from lacrosse_assets.retention import RETENTION_DAYS, Retention, retention
from lacrosse_assets_tests.support.world import ENDED, LIVE, MIDDLE, World


def forget(instance: DagsterInstance, days: int) -> None:
    result = retention.execute_in_process(
        instance=instance, run_config=RunConfig({"delete_old_runs": Retention(days=days)})
    )
    assert result.success


def kept(instance: DagsterInstance) -> list[str]:
    """The runs on record, without the retention's own."""
    return sorted(run.run_id for run in instance.get_runs() if run.job_name != retention.name)


def test_old_runs_go_with_all_they_left_and_what_made_the_present_stays(world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(dagster_yaml(home))
    with DagsterInstance.from_config(str(home)) as instance:
        world.instance = instance
        world.put(*MIDDLE)
        world.materialize(*LIVE)
        world.put(*ENDED)
        live = world.tick_and_run().run_id
        finals = world.tick_and_run().run_id
        gone = [run_id for run_id in kept(instance) if run_id not in (live, finals)]
        assert gone

        forget(instance, RETENTION_DAYS)
        assert kept(instance) == sorted([*gone, live, finals])
        forget(instance, 0)
        assert kept(instance) == sorted([live, finals])

        assert not [path for run_id in gone for path in home.rglob(f"*{run_id}*")]
        assert all(instance.get_latest_materialization_event(key) for key in instance.all_asset_keys())
        assert world.tick().startswith("teams2 and players2 are those of")  # type: ignore[union-attr]


def test_runs_under_way_stay(world: World) -> None:
    world.put(*MIDDLE)
    job = world.definitions().resolve_job_def("live_boxscore")
    run = world.instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    forget(world.instance, 0)
    assert world.instance.get_runs_count(RunsFilter(run_ids=[run.run_id])) == 1
