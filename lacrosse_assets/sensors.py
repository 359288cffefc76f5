"""The sensor on the stream objects: reads the state, calls `automation.decide`, launches at most one run.

There is no cursor. Which version is processed is read from the document store; attempts, and what the final tables were
made from, are read from Dagster's own records. So nothing is lost when the daemon restarts or a run is killed, and runs
that a person launched count as well (docs/contract.md, sections 5 and 10).
"""

import json
import math
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckSeverity,
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
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

from lacrosse_assets.assets.boxscore_doc import BOX_SCORES, WITHOUT_ROSTER
from lacrosse_assets.assets.final import FINAL_ASSETS, MADE_FROM
from lacrosse_assets.assets.raw_gamestream import FETCHED
from lacrosse_assets.automation import (
    ACTIVE_STATUSES,
    ALL_GAMES,
    MAX_ATTEMPTS,
    AutomationState,
    BoxScore,
    GameState,
    LaunchRun,
    Run,
    Tried,
    decide,
)
from lacrosse_assets.checks import IS_FRESH, STALE_AFTER
from lacrosse_assets.game.document import Document
from lacrosse_assets.game.roster import RosterError, Rosters
from lacrosse_assets.game.schedule import SINGLE_GAME_ID, Schedule
from lacrosse_assets.game.timeline import roster_fingerprint
from lacrosse_assets.jobs import finish_game, live_boxscore
from lacrosse_assets.resources.documents import DocumentStore, box_score_key, results_key_of
from lacrosse_assets.resources.errors import StoreError, within
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion
from lacrosse_assets.resources.reference_db import STORE as REFERENCE_DATABASE
from lacrosse_assets.resources.reference_db import ReferenceDatabase
from lacrosse_assets.resources.schedule import GameSchedule

T = TypeVar("T")

# The tag of each run that has the version of the stream that it was launched for; of several, those of all of them by
# game id. The latter is long, and the Dagster UI hides tags with this prefix.
VERSION_TAG = "lacrosse/stream_version"
VERSIONS_TAG = ".dagster/lacrosse_stream_versions"
MAX_GAMES_SHOWN = 5  # in the tag that the UI shows
# Dagster's run monitoring stops a run after this time; the sensor then retries it.
MAX_RUNTIME_SECONDS = 300

# How long one evaluation polls. The daemon starts an evaluation every five seconds, counted from the previous start, so
# an evaluation that takes longer is followed by the next one without a pause.
POLL_SECONDS = 15.0
# The intervals at which an evaluation polls the stream (a HEAD), and reads Dagster's records and the box score; the
# latter while something is to do, and while everything is up to date.
POLL_INTERVAL_SECONDS = 0.125
STATE_INTERVAL_SECONDS = 1.0
IDLE_STATE_INTERVAL_SECONDS = 5.0
IDLE_FACTOR = 3  # the pause between two polls is at least so many times as long as a poll
# How often what rarely changes by itself is read: the rosters, and on a game day the documents of all games. A
# correction of a roster is counted that much later, at most.
RECORDS_INTERVAL_SECONDS = 15.0
# How long the schedule or the rosters are waited for: a little longer than for a lock in the database.
REFERENCE_TIMEOUT_SECONDS = 16.0
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


class Memory:
    """What one process remembers between its evaluations, since reading it each time is expensive.

    All of it can be read again, so nothing is lost with the process.
    """

    def __init__(self) -> None:
        self.clock = RunClock()
        # The versions of which runs made no box score. Dagster's records have those of the latest run only, so after a
        # restart the other ones are tried once more.
        self.tried: dict[int, Tried] = {}
        # The current box score of each game, and when all of them were read.
        self.boxes: dict[int, BoxScore] = {}
        self.boxes_read_at = -math.inf
        # The fingerprint of each game's roster, as read in this evaluation, and when they were read last. Older ones
        # are not used: a box score may have been made with a newer roster since.
        self.rosters: dict[int, str] = {}
        self.rosters_read_at = -math.inf


class StateReader(NamedTuple):
    """Reads the state of the automation from Dagster's instance and the stores."""

    instance: DagsterInstance
    object_store: ObjectStore
    documents: DocumentStore
    reference_db: ReferenceDatabase
    schedule: GameSchedule
    memory: Memory

    def read_schedule(self) -> Schedule:
        return self._from_reference_db(lambda: self.schedule.read(self.reference_db))

    def _from_reference_db(self, read: Callable[[], T]) -> T:
        return within(REFERENCE_TIMEOUT_SECONDS, REFERENCE_DATABASE, lambda: self.reference_db.address, read)

    def read_rosters(self, games: Schedule) -> bool:
        """Read the fingerprint of each game's roster as it is now, unless that was a short time ago.

        One that cannot be read is left out. A live run reports the reason. Returns whether there is anything new.
        """
        if time.monotonic() - self.memory.rosters_read_at < RECORDS_INTERVAL_SECONDS:
            return False
        self.memory.rosters_read_at = time.monotonic()
        try:
            rosters = Rosters(*self._from_reference_db(self.reference_db.read))
        except Failure:
            return False
        for game in games.games.values():
            with suppress(RosterError):
                self.memory.rosters[game.game_id] = roster_fingerprint(rosters.rows(game), game.day)
        return True

    def read(self, games: Schedule, versions: Mapping[str, StreamVersion], now: datetime) -> AutomationState:
        """The state for a schedule and versions that were read just before. What is read here can only be newer."""
        raw, live = self._materialization("raw_gamestream"), self._materialization("boxscore_doc")
        live_records, final_records = self._records(live_boxscore.name), self._records(finish_game.name)
        heard = self.memory.clock.last_heard(
            {record.dagster_run.run_id: self._date(record) for record in (*live_records, *final_records)}, now
        )
        fetched = {raw.run_id: raw.keys(FETCHED)} if raw else {}
        reported = live.keys(BOX_SCORES) if live else {}
        if raw and live and raw.run_id == live.run_id:
            lack_roster = live.ids(WITHOUT_ROSTER)
            for game, version in raw.keys(FETCHED).items():
                if game not in reported:
                    self.memory.tried[game] = Tried(version, game in lack_roster)
        with_stream = {game.game_id: versions[game.stream] for game in games.games.values() if game.stream in versions}
        outage = self._read_boxes(with_stream, reported.keys())
        final = {game: box.key for game, box in self.memory.boxes.items() if box.final}
        return AutomationState(
            uri=self.object_store.uri,
            games={
                game: GameState(
                    version,
                    self.memory.boxes.get(game),
                    reported.get(game),
                    self.memory.tried.get(game),
                    self.memory.rosters.get(game),
                )
                for game, version in with_stream.items()
            },
            live_runs=[_run(record, heard, fetched) for record in live_records],
            final_runs=[_run(record, heard, {}) for record in final_records],
            results=results_key_of(final) if final else None,
            tables=frozenset(
                made.text(MADE_FROM) if (made := self._materialization(key.to_user_string())) else None
                for key in FINAL_ASSETS
            ),
            outage=outage,
            is_game_day=self.schedule.isolates_games,
        )

    def is_still_active(self, run: Run) -> bool:
        """Whether a run that was active still is."""
        record = self.instance.get_run_record_by_id(run.run_id)
        return record is not None and record.dagster_run.status in ACTIVE_STATUSES

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

    def _read_boxes(self, versions: Mapping[int, StreamVersion], of_latest_run: Collection[int]) -> str | None:
        """Read the current box score of each game; return why they could not be read.

        On a game day these are a thousand documents. So all of them are read every `RECORDS_INTERVAL_SECONDS`, and in
        between those of the latest run, and those whose stream has changed.
        """
        memory, now = self.memory, time.monotonic()
        games = None
        if self.schedule.isolates_games and now - memory.boxes_read_at < RECORDS_INTERVAL_SECONDS:
            games = {*of_latest_run, *(game for game, version in versions.items() if self._may_differ(game, version))}
        try:
            found = self.documents.summaries(games)
        except StoreError as error:
            memory.boxes, memory.boxes_read_at = {}, -math.inf
            return error.description
        if games is None:
            memory.boxes, memory.boxes_read_at = {}, now
        for game in games or ():
            memory.boxes.pop(game, None)
        memory.boxes.update({box["game_id"]: _box_score(box) for box in found})
        return None

    def _may_differ(self, game: int, version: StreamVersion) -> bool:
        """Whether the stored box score of a game may be another one than the one that is remembered."""
        box, tried = self.memory.boxes.get(game), self.memory.tried.get(game)
        return box.version != version if box else not (tried and tried.version == version.key)

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

    def keys(self, name: str) -> dict[int, str]:
        """The keys by game id that an asset reports under this name."""
        return {int(game): str(key) for game, key in (self._value(name) or {}).items()}

    def ids(self, name: str) -> frozenset[int]:
        return frozenset(self._value(name) or ())

    def text(self, name: str) -> str | None:
        value = self._value(name)
        return None if value is None else str(value)

    def _value(self, name: str) -> Any:
        found = self.metadata.get(name)
        return found.value if found else None


def _box_score(box: Document) -> BoxScore:
    version, final = StreamVersion.from_document(box), bool(box.get("final"))
    return BoxScore(version, str(box.get("fingerprint", "")), final, box_score_key(box))


def _run(record: RunRecord, heard: Mapping[str, datetime], fetched: Mapping[str, Mapping[int, str]]) -> Run:
    run = record.dagster_run
    # A game whose stream could not be fetched has had its attempt all the same.
    versions = {**_launched_for(run), **fetched.get(run.run_id, {})}
    return Run(run.run_id, run.job_name, run.status, versions, heard[run.run_id])


def _launched_for(run: DagsterRun) -> dict[int, str]:
    """The versions that a run was launched for; none if a person launched it."""
    if VERSION_TAG in run.tags:
        return {ALL_GAMES if run.job_name == finish_game.name else SINGLE_GAME_ID: run.tags[VERSION_TAG]}
    return {int(game): version for game, version in json.loads(run.tags.get(VERSIONS_TAG, "{}")).items()}


def gamestream_sensor(poll_seconds: float = POLL_SECONDS) -> SensorDefinition:
    """The sensor. One evaluation polls for `poll_seconds`, or until there is a run to launch."""
    memory = Memory()

    @sensor(
        name="gamestream_sensor",
        jobs=[live_boxscore, finish_game],
        minimum_interval_seconds=1,
        default_status=DefaultSensorStatus.RUNNING,
        description="Polls the streams' ETags. Launches live_boxscore at each change, and finish_game after a game.",
    )
    def evaluate(
        context: SensorEvaluationContext,
        object_store: ObjectStore,
        documents: DocumentStore,
        reference_db: ReferenceDatabase,
        schedule: GameSchedule,
    ) -> SensorResult:
        reader = StateReader(context.instance, object_store, documents, reference_db, schedule, memory)
        try:
            state, decision, now = _poll(reader, poll_seconds)
        except Failure as error:  # a store is down, or table games lacks a column
            return SensorResult(skip_reason=error.description)
        stale = _staleness(reader, state, decision, now)
        if isinstance(decision, LaunchRun):
            return SensorResult(run_requests=[_request(decision, state)], asset_events=stale)
        return SensorResult(skip_reason=decision, asset_events=stale)

    return evaluate


def _poll(reader: StateReader, seconds: float) -> tuple[AutomationState, LaunchRun | str, datetime]:
    """Poll until there is a run to launch, or `seconds` have passed; returns the last state, decision, and their time.

    While nothing changes, a poll is a single HEAD or listing; while a run is active, a look at the run. The state is
    read when a stream has changed, when the run has ended, and at an interval for other changes (a person's action, an
    orphaned run, a lost document). The schedule is read once, and the rosters only if no run is active.

    The wall clock is read together with the state, and only then: it may be set at any time.
    """
    began = time.monotonic()
    until = began + seconds
    reader.memory.rosters = {}
    games = reader.read_schedule()

    def read(versions: Mapping[str, StreamVersion]) -> tuple[AutomationState, LaunchRun | str, datetime, float]:
        now = datetime.now(UTC)
        state = reader.read(games, versions, now)
        return state, decide(state, now), now, time.monotonic()

    look_seconds = 0.0

    def look() -> Mapping[str, StreamVersion]:
        nonlocal look_seconds
        began = time.monotonic()
        versions = reader.object_store.versions()
        look_seconds = time.monotonic() - began
        return versions

    versions = look()
    state, decision, now, read_at = read(versions)
    may_read = not state.active_run(now) and (state.is_up_to_date or state.is_game_day)
    is_time_left = time.monotonic() - began < POLL_SECONDS  # or the tick would exceed Dagster's timeout
    if may_read and is_time_left and reader.read_rosters(games):
        state, decision, now, read_at = read(versions)
    while not isinstance(decision, LaunchRun) and time.monotonic() < until:
        # A listing of a thousand objects takes so long that it must not follow the last one at once.
        pause, left = max(POLL_INTERVAL_SECONDS, IDLE_FACTOR * look_seconds), until - time.monotonic()
        time.sleep(max(0.0, min(pause, left)))
        if pause > left:
            break
        active = state.active_run(now)
        is_idle = not active and state.is_up_to_date
        is_due = time.monotonic() - read_at >= (IDLE_STATE_INTERVAL_SECONDS if is_idle else STATE_INTERVAL_SECONDS)
        if active:
            if not is_due and reader.is_still_active(active):
                continue
            versions = look()
        else:
            before, versions = versions, look()
            if not is_due and versions == before:
                continue
        state, decision, now, read_at = read(versions)
    return state, decision, now


def _staleness(
    reader: StateReader, state: AutomationState, decision: LaunchRun | str, now: datetime
) -> list[AssetCheckEvaluation]:
    """A failed result of the check `is_fresh`, once per version, if a box score is stale and no run evaluates it."""
    game, lag = state.lag(now)
    if game == ALL_GAMES or lag < STALE_AFTER:
        return []
    version = state.games[game].version
    last = reader.last_evaluation(IS_FRESH)
    if last and not last.passed and StreamVersion.from_metadata(last.metadata) == version:
        return []
    why = decision if isinstance(decision, str) else f"attempt {decision.attempt} of {decision.job} is launched"
    name = f" of game {game}" if state.is_game_day else ""
    return [
        AssetCheckEvaluation(
            asset_key=AssetKey("boxscore_doc"),
            check_name=IS_FRESH,
            passed=False,
            severity=AssetCheckSeverity.WARN,
            description=f"the stream{name} has been newer than the box score for {lag.total_seconds():.0f} s: {why}",
            metadata={"seconds_behind": lag.total_seconds(), **version.to_metadata()},
        )
    ]


def _request(launch: LaunchRun, state: AutomationState) -> RunRequest:
    """The run with its tags, and, on a game day, with the games that it processes."""
    tags = {"lacrosse/attempt": str(launch.attempt), "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)}
    if launch.job == finish_game.name or not state.is_game_day:
        (version,) = launch.versions.values()
        return RunRequest(job_name=launch.job, tags={VERSION_TAG: version, **tags})
    games = sorted(launch.versions)
    config = {"config": {"games": games}}
    return RunRequest(
        job_name=launch.job,
        run_config={"ops": dict.fromkeys(("raw_gamestream", "roster"), config)},
        tags={
            VERSIONS_TAG: json.dumps({str(game): launch.versions[game] for game in games}),
            "lacrosse/games": ", ".join(map(str, games[:MAX_GAMES_SHOWN]))
            + (f" and {len(games) - MAX_GAMES_SHOWN} more" if len(games) > MAX_GAMES_SHOWN else ""),
            **tags,
        },
    )
