"""Retention of Dagster's runs: a game day has thousands of them, each with events and logs.

A schedule deletes old runs, every ten minutes if there are any. The instance itself deletes old ticks (`retention` in
dagster.yaml).

| run | is deleted |
|---|---|
| active; made a current materialization; the latest successful one of its job | never |
| a successful live run | after `LACROSSE_KEEP_LIVE_RUNS_HOURS`, or with `LACROSSE_KEEP_LIVE_RUNS` later ones |
| a successful run of the retention | with `KEEP_RETENTION_RUNS` later ones |
| any other | after `RETENTION_DAYS` |
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from dagster import (
    Config,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    OpExecutionContext,
    RunConfig,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    in_process_executor,
    job,
    op,
    schedule,
)
from pydantic import Field

from lacrosse_assets.jobs import finish_game, live_boxscore
from lacrosse_assets.settings import KEEP_LIVE_RUNS, KEEP_LIVE_RUNS_HOURS

RETENTION = "retention"
RETENTION_DAYS = 30
KEEP_RETENTION_RUNS = 10
FINISHED_STATUSES = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
# A live run may write its events at any time: it gets the storage and a processor core after each deleted run.
PAUSE_SECONDS = 0.02
# The next run deletes the rest. Run monitoring stops a run after five minutes.
MAX_SECONDS = 120


class Retention(Config):
    """The configuration of the job `retention`."""

    days: float = Field(RETENTION_DAYS, ge=0, description="Finished runs older than this many days are deleted.")
    live_hours: float = Field(
        KEEP_LIVE_RUNS_HOURS, ge=0, description="Successful live runs older than this many hours are deleted."
    )
    live_runs: int = Field(
        KEEP_LIVE_RUNS, ge=0, description="This many successful live runs are kept; older ones are deleted."
    )


@op
def delete_old_runs(context: OpExecutionContext, config: Retention) -> None:
    """Delete old runs, with their events and logs, but not those that made the current data."""
    old, deleted, until = old_runs(context.instance, config), 0, time.monotonic() + MAX_SECONDS
    for run_id in old:
        context.instance.compute_log_manager.delete_logs(prefix=[run_id])
        context.instance.delete_run(run_id)
        deleted += 1
        if time.monotonic() > until:
            break
        time.sleep(PAUSE_SECONDS)
    context.log.info(f"deleted {deleted} of {len(old)} old runs")


def old_runs(instance: DagsterInstance, config: Retention) -> list[str]:
    """The ids of the runs to delete, the oldest first."""
    now = datetime.now(UTC)

    def ids(before: datetime | None = None, succeeded: str | None = None) -> list[str]:
        """The finished runs, or the successful ones of a job; the newest first."""
        statuses = [DagsterRunStatus.SUCCESS] if succeeded else FINISHED_STATUSES
        return list(instance.get_run_ids(RunsFilter(job_name=succeeded, statuses=statuses, created_before=before)))

    old = {
        *ids(now - timedelta(days=config.days)),
        *ids(now - timedelta(hours=config.live_hours), live_boxscore.name),
        *ids(succeeded=live_boxscore.name)[config.live_runs :],
        *ids(succeeded=RETENTION)[KEEP_RETENTION_RUNS:],
    }
    if not old:
        return []
    old -= set(_current_runs(instance))
    return [run_id for run_id in reversed(ids()) if run_id in old]


def _current_runs(instance: DagsterInstance) -> Iterator[str]:
    """The ids of the runs that made the current assets: the sensor reads their records."""
    for key in instance.all_asset_keys():
        if made := instance.get_latest_materialization_event(key):
            yield made.run_id
    for name in (live_boxscore.name, finish_game.name):
        yield from instance.get_run_ids(RunsFilter(job_name=name, statuses=[DagsterRunStatus.SUCCESS]), limit=1)


@job(
    name=RETENTION,
    executor_def=in_process_executor,
    description="Deletes old runs, but neither failed ones of the last days nor those that made the current data.",
)
def retention() -> None:
    delete_old_runs()


def retention_schedule(live_hours: float, live_runs: int) -> ScheduleDefinition:
    """The schedule of the job `retention`. It launches no run while there is nothing to delete."""
    config = Retention(days=RETENTION_DAYS, live_hours=live_hours, live_runs=live_runs)

    @schedule(
        name="retention_schedule",
        job=retention,
        cron_schedule="*/10 * * * *",
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"Every ten minutes. Keeps {live_runs} successful live runs, for {live_hours:g} hours.",
    )
    def evaluate(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        if not old_runs(context.instance, config):
            return SkipReason("no run is older than its retention")
        return RunRequest(run_config=RunConfig({delete_old_runs.name: config}))

    return evaluate
