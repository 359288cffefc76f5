"""Retention of Dagster's runs: a season has thousands of them, each with events and logs.

A daily schedule deletes old runs. The instance itself deletes old ticks (`retention` in dagster.yaml).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from dagster import (
    Config,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    OpExecutionContext,
    RunsFilter,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)
from pydantic import Field

from lacrosse_assets.jobs import finish_game, live_boxscore

RETENTION_DAYS = 30
FINISHED_STATUSES = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


class Retention(Config):
    """The configuration of the job `retention`."""

    days: int = Field(RETENTION_DAYS, ge=0, description="Finished runs older than this many days are deleted.")


@op
def delete_old_runs(context: OpExecutionContext, config: Retention) -> None:
    """Delete old runs, with their events and logs, but not those that made the current data."""
    before = datetime.now(UTC) - timedelta(days=config.days)
    current = set(_current_runs(context.instance))
    old = [
        run.run_id
        for run in context.instance.get_runs(RunsFilter(statuses=FINISHED_STATUSES, created_before=before))
        if run.run_id not in current
    ]
    for run_id in old:
        context.instance.compute_log_manager.delete_logs(prefix=[run_id])
        context.instance.delete_run(run_id)
    context.log.info(f"deleted {len(old)} runs from before {before:%Y-%m-%d %H:%M} UTC")


def _current_runs(instance: DagsterInstance) -> Iterator[str]:
    """The ids of the runs that made the current assets: the sensor reads their records."""
    for key in instance.all_asset_keys():
        if made := instance.get_latest_materialization_event(key):
            yield made.run_id
    for name in (live_boxscore.name, finish_game.name):
        succeeded = instance.get_runs(RunsFilter(job_name=name, statuses=[DagsterRunStatus.SUCCESS]), limit=1)
        yield from (run.run_id for run in succeeded)


@job(
    executor_def=in_process_executor,
    description=f"Deletes runs older than {RETENTION_DAYS} days, but not those that made the current data.",
)
def retention() -> None:
    delete_old_runs()


daily_retention = ScheduleDefinition(
    name="daily_retention",
    job=retention,
    cron_schedule="0 9 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description="At 9:00 UTC, when no game is played in America.",
)
