"""What Dagster's storage keeps, and how long: a season has thousands of runs, each with its events and logs.

Ticks are forgotten by the instance itself (`retention` in dagster.yaml), runs by this schedule, once a day.
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

RETENTION_DAYS = 30
FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


class Retention(Config):
    """How long runs are kept."""

    days: int = Field(RETENTION_DAYS, ge=0, description="Finished runs that are older than this many days are deleted.")


@op
def delete_old_runs(context: OpExecutionContext, config: Retention) -> None:
    """Delete old runs, with their events and their logs; not those that made what is there now."""
    before = datetime.now(UTC) - timedelta(days=config.days)
    current = set(_current(context.instance))
    old = [
        run.run_id
        for run in context.instance.get_runs(RunsFilter(statuses=FINISHED, created_before=before))
        if run.run_id not in current
    ]
    for run_id in old:
        context.instance.compute_log_manager.delete_logs(prefix=[run_id])
        context.instance.delete_run(run_id)
    context.log.info(f"{len(old)} runs from before {before:%Y-%m-%d %H:%M} UTC deleted")


def _current(instance: DagsterInstance) -> Iterator[str]:
    """The runs that the assets as they are come from: the sensor reads from these what is done."""
    for key in instance.all_asset_keys():
        if made := instance.get_latest_materialization_event(key):
            yield made.run_id
    for name in ("live_boxscore", "finish_game"):
        done = instance.get_runs(RunsFilter(job_name=name, statuses=[DagsterRunStatus.SUCCESS]), limit=1)
        yield from (run.run_id for run in done)


@job(
    executor_def=in_process_executor,
    description=f"Deletes runs older than {RETENTION_DAYS} days, but not those that made the current data.",
)
def forget_old_runs() -> None:
    delete_old_runs()


daily_retention = ScheduleDefinition(
    name="daily_retention",
    job=forget_old_runs,
    cron_schedule="0 9 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description="At 9 in the morning, UTC: nobody plays anywhere in America.",
)
