"""The sensor on the stream object: reads the state, calls `automation.decide`, launches at most one run.

There is no cursor. Which version is processed is read from the document store; attempts, and what the final tables were
made from, are read from Dagster's own records. So nothing is lost when the daemon restarts or a run is killed, and runs
that a person launched count as well (docs/contract.md, section 5).
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckSeverity,
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DefaultSensorStatus,
    Failure,
    MetadataValue,
    RunRecord,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from lacrosse_assets.assets.final import FINAL_ASSETS
from lacrosse_assets.assets.live import ROSTER_FINGERPRINT
from lacrosse_assets.automation import MAX_ATTEMPTS, AutomationState, BoxScore, LaunchRun, Run, decide
from lacrosse_assets.checks import IS_FRESH, STALE_AFTER
from lacrosse_assets.game.roster import RosterError, roster_rows
from lacrosse_assets.game.timeline import roster_fingerprint
from lacrosse_assets.jobs import finish_game, live_boxscore
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion
from lacrosse_assets.resources.reference_db import ReferenceDatabase

# The tag of each run that has the version of the stream that it was launched for.
VERSION_TAG = "lacrosse/stream_version"
# Dagster's run monitoring stops a run after this time; the sensor then retries it.
MAX_RUNTIME_SECONDS = 300

# How long one evaluation polls. The daemon starts an evaluation every five seconds, counted from the previous start, so
# an evaluation that takes longer is followed by the next one without a pause.
POLL_SECONDS = 15.0
# The intervals at which an evaluation polls the stream (a HEAD), and reads Dagster's records and the box score.
POLL_INTERVAL_SECONDS = 0.1
STATE_INTERVAL_SECONDS = 1.0
# Records of a check that are read at a time.
CHECK_PAGE_SIZE = 20


class RunClock:
    """When each run sent its last heartbeat, measured by this process's monotonic clock.

    The timestamps of events come from the clocks of other machines, and any clock may be set during a game. So a
    timestamp is only compared with earlier ones of the same run, to see that it has changed; the time since then is
    measured here. One exception: for runs that exist when this process starts, the timestamp itself is used.
    """

    def __init__(self) -> None:
        self._heard: dict[str, tuple[datetime, float]] = {}
        self._started = False

    def last_heard(self, dates: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
        """The time of each run's last heartbeat, on the clock of `now`. `dates` has the recorded timestamps, by run."""
        at = time.monotonic()
        heard = {}
        for run_id, date in dates.items():
            known = self._heard.get(run_id)
            before = 0.0 if self._started else max(0.0, (now - date).total_seconds())
            heard[run_id] = known if known and known[0] == date else (date, at - before)
        self._heard = heard
        self._started = True
        return {run_id: now - timedelta(seconds=at - since) for run_id, (_, since) in heard.items()}


class StateReader(NamedTuple):
    """Reads the state of the automation from Dagster's instance and the stores."""

    instance: DagsterInstance
    object_store: ObjectStore
    documents: DocumentStore
    reference_db: ReferenceDatabase
    teams: tuple[int, int]  # home and away
    clock: RunClock

    def roster(self) -> str | None:
        """The fingerprint of the roster as it is now; None if it cannot be read. A live run reports the reason."""
        try:
            return roster_fingerprint(roster_rows(*self.reference_db.read(), *self.teams))
        except (Failure, RosterError):
            return None

    def read(self, version: StreamVersion | None, roster: str | None, now: datetime) -> AutomationState:
        """The state for a version and a roster that were read just before. What is read here can only be newer."""
        raw, live = self._materialization("raw_gamestream"), self._materialization("boxscore_doc")
        live_records, final_records = self._records(live_boxscore.name), self._records(finish_game.name)
        heard = self.clock.last_heard(
            {record.dagster_run.run_id: self._date(record) for record in (*live_records, *final_records)}, now
        )
        fetched = {raw.run_id: raw.version.key} if raw and raw.version else {}
        made_with = live and live.metadata.get(ROSTER_FINGERPRINT)
        is_eventless = raw and live and live.run_id == raw.run_id and live.version is None
        box, outage = self._box()
        return AutomationState(
            uri=self.object_store.uri,
            version=version,
            live_runs=[_run(record, heard, fetched) for record in live_records],
            final_runs=[_run(record, heard, {}) for record in final_records],
            box=box,
            reported=live.key if live and live.version else None,
            eventless=fetched.get(raw.run_id) if raw and is_eventless else None,
            tables=frozenset(
                made.key if (made := self._materialization(key.to_user_string())) else None for key in FINAL_ASSETS
            ),
            roster_changed=bool(roster and made_with and made_with.value != roster),
            outage=outage,
        )

    def last_evaluation(self, check: str) -> AssetCheckEvaluation | None:
        """The latest result of a check of `boxscore_doc`. Runs that planned it and did not reach it are skipped."""
        key, cursor = AssetCheckKey(AssetKey("boxscore_doc"), check), None
        history = self.instance.event_log_storage.get_asset_check_execution_history
        while records := history(key, limit=CHECK_PAGE_SIZE, cursor=cursor):
            for record in records:
                event = record.event.dagster_event if record.event else None
                if event and event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
                    return event.asset_check_evaluation_data
            cursor = records[-1].id
        return None

    def _box(self) -> tuple[BoxScore | None, str | None]:
        """The current box score, or why it could not be read."""
        try:
            document = self.documents.current()
        except StoreError as error:
            return None, error.description
        if document is None:
            return None, None
        version, final = StreamVersion.from_document(document), bool(document.get("final"))
        return BoxScore(version, str(document.get("fingerprint", "")), final), None

    def _materialization(self, asset: str) -> "_Materialization | None":
        event = self.instance.get_latest_materialization_event(AssetKey(asset))
        if event is None or event.asset_materialization is None:
            return None
        return _Materialization(event.run_id, event.asset_materialization.metadata)

    def _records(self, job: str) -> list[RunRecord]:
        return list(self.instance.get_run_records(RunsFilter(job_name=job), limit=4 * MAX_ATTEMPTS))

    def _date(self, record: RunRecord) -> datetime:
        """The timestamp of a run's end, or of its last event."""
        if record.end_time:
            return datetime.fromtimestamp(record.end_time, UTC)
        events = self.instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
        return datetime.fromtimestamp(events[0].timestamp, UTC) if events else record.create_timestamp


class _Materialization(NamedTuple):
    run_id: str
    metadata: Mapping[str, MetadataValue[Any]]

    @property
    def version(self) -> StreamVersion | None:
        return StreamVersion.from_metadata(self.metadata)

    @property
    def key(self) -> str:
        """The key of the box score that it was made from."""
        fingerprint = self.metadata.get("fingerprint")
        return BoxScore(self.version, str(fingerprint.value) if fingerprint else "", True).key


def _run(record: RunRecord, heard: Mapping[str, datetime], fetched: Mapping[str, str]) -> Run:
    run = record.dagster_run
    version = fetched.get(run.run_id) or run.tags.get(VERSION_TAG)
    return Run(run.run_id, run.job_name, run.status, version, heard[run.run_id])


def gamestream_sensor(home: int, away: int, poll_seconds: float = POLL_SECONDS) -> SensorDefinition:
    """The sensor for a game of the teams with these ids.

    One evaluation polls for `poll_seconds`, or until there is a run to launch.
    """
    clock = RunClock()

    @sensor(
        name="gamestream_sensor",
        jobs=[live_boxscore, finish_game],
        minimum_interval_seconds=1,
        default_status=DefaultSensorStatus.RUNNING,
        description="Polls the stream's ETag. Launches live_boxscore at each change, and finish_game after the game.",
    )
    def evaluate(
        context: SensorEvaluationContext,
        object_store: ObjectStore,
        documents: DocumentStore,
        reference_db: ReferenceDatabase,
    ) -> SensorResult:
        reader = StateReader(context.instance, object_store, documents, reference_db, (home, away), clock)
        try:
            state, decision = _poll(reader, poll_seconds)
        except StoreError as error:
            return SensorResult(skip_reason=error.description)
        stale = _staleness(reader, state, decision)
        if isinstance(decision, LaunchRun):
            return SensorResult(run_requests=[_request(decision)], asset_events=stale)
        return SensorResult(skip_reason=decision, asset_events=stale)

    return evaluate


def _poll(reader: StateReader, seconds: float) -> tuple[AutomationState, LaunchRun | str]:
    """Poll until there is a run to launch, or `seconds` have passed; returns the last state and decision.

    While nothing changes, a poll is a single HEAD. The state is read when the stream has changed, while a run is
    active, and every `STATE_INTERVAL_SECONDS` for other changes (a person's action, an orphaned run). The roster is
    read once, and only if the box score is up to date.
    """
    until = time.monotonic() + seconds
    roster: str | None = None

    def read(version: StreamVersion | None) -> tuple[AutomationState, LaunchRun | str, Run | None, float]:
        now = datetime.now(UTC)
        state = reader.read(version, roster, now)
        return state, decide(state, now), state.active_run(now), time.monotonic()

    state, decision, active, read_at = read(reader.object_store.head())
    if state.is_up_to_date and not active:
        roster = reader.roster()
        state, decision, active, read_at = read(state.version)
    while not isinstance(decision, LaunchRun) and time.monotonic() < until:
        time.sleep(POLL_INTERVAL_SECONDS)
        version = reader.object_store.head()
        if active or version != state.version or time.monotonic() - read_at >= STATE_INTERVAL_SECONDS:
            state, decision, active, read_at = read(version)
    return state, decision


def _staleness(reader: StateReader, state: AutomationState, decision: LaunchRun | str) -> list[AssetCheckEvaluation]:
    """A failed result of the check `is_fresh`, once per version, if the box score is stale and no run evaluates it."""
    lag = state.lag(datetime.now(UTC))
    if state.version is None or lag < STALE_AFTER:
        return []
    last = reader.last_evaluation(IS_FRESH)
    if last and not last.passed and StreamVersion.from_metadata(last.metadata) == state.version:
        return []
    why = decision if isinstance(decision, str) else f"attempt {decision.attempt} of {decision.job} is launched"
    return [
        AssetCheckEvaluation(
            asset_key=AssetKey("boxscore_doc"),
            check_name=IS_FRESH,
            passed=False,
            severity=AssetCheckSeverity.WARN,
            description=f"the stream has been newer than the box score for {lag.total_seconds():.0f} s: {why}",
            metadata={"seconds_behind": lag.total_seconds(), **state.version.to_metadata()},
        )
    ]


def _request(launch: LaunchRun) -> RunRequest:
    return RunRequest(
        job_name=launch.job,
        tags={
            VERSION_TAG: launch.version,
            "lacrosse/attempt": str(launch.attempt),
            "dagster/max_runtime": str(MAX_RUNTIME_SECONDS),
        },
    )
