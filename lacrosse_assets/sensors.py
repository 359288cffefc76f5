"""The sensor on the stream object: what to do next, from state alone.

There is no cursor. What is done and what failed is read from Dagster's own records at each look: the runs of the two
jobs, the last materializations, the last result of the check. So nothing is lost over a restart of the daemon or a run
that was killed, and what a person did by hand counts as well.

    look at the world (`_world`)  ->  decide, purely (`decide`)  ->  skip with a reason, or ask for one run
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckSeverity,
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    MetadataValue,
    RunRecord,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES

from lacrosse_assets.assets.final import FINAL_TABLES
from lacrosse_assets.assets.live import version_metadata
from lacrosse_assets.checks import GAME_OVER, IS_FRESH, STALE
from lacrosse_assets.jobs import finish_game, live_boxscore
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion

# Not NOT_STARTED: a run that the daemon did not get to launch before it went down would be waited for for ever.
UNDER_WAY = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)

# On each run: the version of the stream that it was asked for.
VERSION_TAG = "lacrosse/stream_version"
# A run that takes longer than this many seconds is stopped by Dagster's run monitoring, and so tried again.
MAX_RUNTIME = 300

# A run that has said nothing for this long has lost its process, in a way that left nobody to notice: its code server
# was killed with it, or the machine. Steps take seconds, and each says that it starts and ends.
SILENCE = timedelta(seconds=60)

# After a failed run the same version is tried again, at once, then after 5, 10, 20 seconds. After `TRIES` of them in a
# row something is amiss that trying does not mend: from then on one try each `PAUSE`, so that an outage of any
# length ends without anybody's hand.
TRIES = 5
FIRST_WAIT = timedelta(seconds=5)
PAUSE = timedelta(minutes=5)

# How long one evaluation goes on looking. The daemon itself comes round every five seconds only, counted from the start
# of the tick before: one that has lasted longer is followed by the next at once.
LOOKING_SECONDS = 15.0
# How often it looks at the stream (a HEAD), and at least at Dagster's records.
LOOK_EVERY_SECONDS = 0.1
RECORDS_EVERY_SECONDS = 1.0


class Run(NamedTuple):
    """A run of one of the two jobs, as far as the decision needs it."""

    run_id: str
    job: str
    status: DagsterRunStatus
    # The version that it stands for: the one that it fetched; where that is not known, the one that it was asked for.
    version: str | None
    # When it ended, or was last heard of.
    last_heard: datetime

    def under_way(self, now: datetime) -> bool:
        if self.status == DagsterRunStatus.QUEUED:
            return True
        return self.status in UNDER_WAY and now - self.last_heard < SILENCE

    @property
    def name(self) -> str:
        return f"{self.job} {self.run_id.split('-')[0]}"


class World(NamedTuple):
    """What the sensor sees: the stream as it is, and what Dagster has on record."""

    uri: str
    version: StreamVersion | None
    # Newest first.
    live_runs: Sequence[Run]
    final_runs: Sequence[Run]
    # The version that the check was last seen to pass for, and those that the final tables were made from.
    over: str | None
    tables: frozenset[str | None]

    def done(self) -> bool:
        """Whether the box score is that of the stream as it is."""
        last_success = next((run for run in self.live_runs if run.status == DagsterRunStatus.SUCCESS), None)
        return bool(self.version and last_success and self.version.key == last_success.version)

    def behind(self, now: datetime) -> timedelta:
        """How long the stream has been newer than the box score."""
        waiting = self.version and self.version.size and not self.done()
        return now - self.version.last_modified if self.version and waiting else timedelta(0)

    def busy(self, now: datetime) -> Run | None:
        """The run that is under way, if one is."""
        return next((run for run in (*self.live_runs, *self.final_runs) if run.under_way(now)), None)


class Ask(NamedTuple):
    """A run to ask for."""

    job: str
    version: str
    nth_try: int


def decide(world: World, now: datetime) -> Ask | str:
    """The run to ask for, or the reason why there is none: what it is that is waited for."""
    if world.version is None:
        return f"there is no {world.uri} yet: waiting for a game to start"
    if not world.version.size:
        return f"{world.uri} is empty: waiting for the first event"
    if run := world.busy(now):
        return f"run {run.name} is under way: waiting for its end, then the newest stream is taken"

    version = world.version.key
    if not world.done():
        return _next_try(live_boxscore.name, version, world.live_runs, now)
    if world.over != version:
        return f"the box score is that of ETag {world.version.etag}: waiting for the next event"
    if world.tables != {version}:
        return _next_finish(world, version, now)
    return f"teams2 and players2 are those of ETag {world.version.etag}: waiting for a new game"


def _next_finish(world: World, version: str, now: datetime) -> Ask | str:
    """Ask for the final tables; where they have failed twice, for the box score first.

    Dagster's records say that it was written. A document store that was killed or put back may have lost it since, and
    then no try of the tables alone comes to an end.
    """
    ask = _next_try(finish_game.name, version, world.final_runs, now)
    if isinstance(ask, str) or ask.nth_try <= 2:
        return ask
    made = next(run for run in world.live_runs if run.status == DagsterRunStatus.SUCCESS)
    if made.last_heard > world.final_runs[0].last_heard:
        return ask
    return _next_try(live_boxscore.name, version, world.live_runs, now)


def _next_try(job: str, version: str, runs: Sequence[Run], now: datetime) -> Ask | str:
    """Ask for a run, unless so many have failed for this version that there is a time to be waited."""
    failed = []
    for run in runs:
        if run.status == DagsterRunStatus.SUCCESS:
            break
        if run.version == version:
            failed.append(run)
    nth_try = len(failed) + 1
    due = failed[0].last_heard + _wait(len(failed)) if failed else now
    if now >= due:
        return Ask(job, version, nth_try)
    seconds = (due - now).total_seconds()
    kept_failing = f"; {TRIES} in a row have failed, so this takes a person" if nth_try > TRIES else ""
    return f"run {failed[0].name} failed: try {nth_try} for ETag {version.split()[0]} in {seconds:.0f} s{kept_failing}"


def _wait(failures: int) -> timedelta:
    if failures >= TRIES:
        return PAUSE
    return timedelta(0) if failures == 1 else FIRST_WAIT * 2 ** (failures - 2)


def _world(instance: DagsterInstance, uri: str, version: StreamVersion | None) -> World:
    """The world, for a version of the stream that was seen before: what is on record later can only make it look more
    done than it is now."""
    raw = _made_from(instance, AssetKey("raw_gamestream"))
    return World(
        uri=uri,
        version=version,
        live_runs=_runs(instance, live_boxscore.name, raw),
        final_runs=_runs(instance, finish_game.name, None),
        over=_over(instance),
        tables=frozenset(made.version if (made := _made_from(instance, key)) else None for key in FINAL_TABLES),
    )


def _over(instance: DagsterInstance) -> str | None:
    last = _last_evaluation(instance, GAME_OVER)
    return _version_key(last.metadata) if last and last.passed else None


def _last_evaluation(instance: DagsterInstance, check: str) -> AssetCheckEvaluation | None:
    # Not the latest record, which may be of a run that was to evaluate it and did not come to that.
    history = instance.event_log_storage.get_asset_check_execution_history(
        AssetCheckKey(AssetKey("boxscore_doc"), check),
        limit=1,
        status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    )
    event = history[0].event.dagster_event if history and history[0].event else None
    return event.asset_check_evaluation_data if event else None


class _Made(NamedTuple):
    run_id: str
    version: str | None


def _made_from(instance: DagsterInstance, key: AssetKey) -> _Made | None:
    event = instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None:
        return None
    return _Made(event.run_id, _version_key(event.asset_materialization.metadata))


def _version_key(metadata: Mapping[str, MetadataValue[Any]]) -> str | None:
    """The version of the stream that metadata tells of (`version_metadata` wrote it), as `StreamVersion.key`."""
    etag, last_modified = metadata.get("etag"), metadata.get("last_modified")
    if etag is None or last_modified is None:
        return None
    return StreamVersion(str(etag.value), datetime.fromtimestamp(float(last_modified.value), UTC), 0).key


def _runs(instance: DagsterInstance, job: str, raw: _Made | None) -> list[Run]:
    records = instance.get_run_records(RunsFilter(job_name=job), limit=4 * TRIES)
    runs = []
    for record in records:
        run = record.dagster_run
        version = raw.version if raw and raw.run_id == run.run_id else run.tags.get(VERSION_TAG)
        runs.append(Run(run.run_id, job, run.status, version, _last_heard(instance, record)))
    return runs


def _last_heard(instance: DagsterInstance, record: RunRecord) -> datetime:
    if record.end_time:
        return datetime.fromtimestamp(record.end_time, UTC)
    events = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    return datetime.fromtimestamp(events[0].timestamp, UTC) if events else record.create_timestamp


def gamestream_sensor(looking_seconds: float = LOOKING_SECONDS) -> SensorDefinition:
    """The sensor. One evaluation goes on looking for `looking_seconds`, or until there is something to do."""

    @sensor(
        name="gamestream_sensor",
        jobs=[live_boxscore, finish_game],
        minimum_interval_seconds=1,
        default_status=DefaultSensorStatus.RUNNING,
        description="Watches the stream's ETag: a new box score at each change, final tables when the game is over.",
    )
    def evaluate(context: SensorEvaluationContext, object_store: ObjectStore) -> SensorResult:
        try:
            world, verdict = _watch(context.instance, object_store, looking_seconds)
        except StoreError as error:
            return SensorResult(skip_reason=error.description)
        stale = _staleness(context.instance, world, verdict)
        if isinstance(verdict, Ask):
            return SensorResult(run_requests=[_request(verdict)], asset_events=stale)
        return SensorResult(skip_reason=verdict, asset_events=stale)

    return evaluate


def _watch(instance: DagsterInstance, object_store: ObjectStore, seconds: float) -> tuple[World, Ask | str]:
    """Look until there is something to ask for, or the time is over; the last world and verdict.

    While nothing changes, a look is a HEAD and no more; the records are read when the stream has changed, while a run
    is under way, and once a second for what else there may be (a person's doing, a run that has lost its process).
    """
    until = time.monotonic() + seconds

    def look(version: StreamVersion | None) -> tuple[World, Ask | str, Run | None, float]:
        world, now = _world(instance, object_store.uri, version), datetime.now(UTC)
        return world, decide(world, now), world.busy(now), time.monotonic()

    world, verdict, busy, read_at = look(object_store.head())
    while not isinstance(verdict, Ask) and time.monotonic() < until:
        time.sleep(LOOK_EVERY_SECONDS)
        version = object_store.head()
        if busy or version != world.version or time.monotonic() - read_at >= RECORDS_EVERY_SECONDS:
            world, verdict, busy, read_at = look(version)
    return world, verdict


def _staleness(instance: DagsterInstance, world: World, verdict: Ask | str) -> list[AssetCheckEvaluation]:
    """The check `is_fresh`, failed, where no run has come to evaluate it for too long; once for each stream."""
    behind = world.behind(datetime.now(UTC))
    if world.version is None or behind < STALE:
        return []
    last = _last_evaluation(instance, IS_FRESH)
    if last and not last.passed and _version_key(last.metadata) == world.version.key:
        return []
    why = verdict if isinstance(verdict, str) else f"try {verdict.nth_try} of {verdict.job} is asked for"
    return [
        AssetCheckEvaluation(
            asset_key=AssetKey("boxscore_doc"),
            check_name=IS_FRESH,
            passed=False,
            severity=AssetCheckSeverity.WARN,
            description=f"the stream has been newer than the box score for {behind.total_seconds():.0f} s: {why}",
            metadata={
                "seconds_behind": behind.total_seconds(),
                **version_metadata(world.version.etag, world.version.last_modified),
            },
        )
    ]


def _request(ask: Ask) -> RunRequest:
    return RunRequest(
        job_name=ask.job,
        tags={VERSION_TAG: ask.version, "lacrosse/try": str(ask.nth_try), "dagster/max_runtime": str(MAX_RUNTIME)},
    )
