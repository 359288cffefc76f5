"""Reads the state for the decision (`automation.py`) from Dagster's records and the stores.

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
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    Failure,
    MetadataValue,
    RunRecord,
    RunsFilter,
)

from lacrosse_assets.assets.boxscore_doc import BOX_SCORES, WITHOUT_ROSTER
from lacrosse_assets.assets.final import FINAL_ASSETS, MADE_FROM, ROWS_LEFT_OUT
from lacrosse_assets.assets.games import schedule_problems
from lacrosse_assets.assets.raw_gamestream import FETCHED
from lacrosse_assets.automation import (
    ACTIVE_STATUSES,
    ALL_GAMES,
    MAX_ATTEMPTS,
    AutomationState,
    BoxScore,
    GameState,
    Run,
    Unprocessable,
)
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
# How often what rarely changes by itself is read: the rosters, and on a game day the documents of all games. A
# correction of a roster is counted that much later, at most.
RECORDS_INTERVAL_SECONDS = 15.0
# The timeout of a read of the schedule or the rosters: a little longer than that of a lock in the database.
REFERENCE_TIMEOUT_SECONDS = 16.0
CHECK_PAGE_SIZE = 20  # records of a check that are read at a time


class RunClock:
    """When each run sent its last heartbeat, measured by this process's monotonic clock.

    The timestamps of events come from the clocks of other machines, and any clock may be set during a game. So a
    timestamp is only compared with earlier ones of the same run, to see that it has changed; the time since then is
    measured here. One exception: for runs that exist when this process starts, the timestamp itself is used.
    """

    def __init__(self) -> None:
        self._heartbeats: dict[str, tuple[datetime, float]] = {}  # timestamp, and the monotonic time of the heartbeat
        self._started = False

    def last_heartbeats(self, dates: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
        """The time of each run's last heartbeat, on the clock of `now`. `dates` has the recorded timestamps, by run."""
        read_at = time.monotonic()
        heartbeats = {}
        for run_id, date in dates.items():
            known = self._heartbeats.get(run_id)
            age = 0.0 if self._started else max(0.0, (now - date).total_seconds())
            heartbeats[run_id] = known if known and known[0] == date else (date, read_at - age)
        self._heartbeats = heartbeats
        self._started = True
        return {run_id: now - timedelta(seconds=read_at - at) for run_id, (_, at) in heartbeats.items()}


class Cache:
    """What one process keeps between its evaluations, since reading it each time is expensive.

    All of it can be read again, so nothing is lost with the process.
    """

    def __init__(self) -> None:
        self.clock = RunClock()
        # Dagster's records have those of the latest run only, so after a restart there is one more run for the others.
        self.unprocessable: dict[int, Unprocessable] = {}
        # The current box score of each game, and when all of them were read.
        self.boxes: dict[int, BoxScore] = {}
        self.boxes_read_at = -math.inf
        # The fingerprint of each game's roster, and when they were read last. Those of an earlier evaluation are not
        # used: a box score may have been made with a newer roster since.
        self.rosters: dict[int, str] = {}
        self.rosters_read_at = -math.inf


class StateReader(NamedTuple):
    """Reads the state of the automation from Dagster's instance and the stores."""

    instance: DagsterInstance
    object_store: ObjectStore
    documents: DocumentStore
    reference_db: ReferenceDatabase
    schedule: GameSchedule
    cache: Cache

    def read_schedule(self) -> Schedule:
        return self._from_reference_db(lambda: self.schedule.read(self.reference_db))

    def _from_reference_db(self, read: Callable[[], T]) -> T:
        return within(REFERENCE_TIMEOUT_SECONDS, REFERENCE_DATABASE, lambda: self.reference_db.address, read)

    def read_rosters(self, games: Schedule) -> bool:
        """Read the fingerprint of each game's roster as it is now, at most every `RECORDS_INTERVAL_SECONDS`.

        A roster that cannot be read is left out: a live run reports the reason. Returns whether they were read.
        """
        if time.monotonic() - self.cache.rosters_read_at < RECORDS_INTERVAL_SECONDS:
            return False
        self.cache.rosters_read_at = time.monotonic()
        try:
            rosters = Rosters(*self._from_reference_db(self.reference_db.read))
        except Failure:
            return False
        for game in games.games.values():
            with suppress(RosterError):
                self.cache.rosters[game.game_id] = roster_fingerprint(rosters.rows(game), game.day)
        return True

    def read(self, games: Schedule, versions: Mapping[str, StreamVersion], now: datetime) -> AutomationState:
        """The state for a schedule and versions that were read just before. What is read here can only be newer."""
        raw, live = self._materialization("raw_gamestream"), self._materialization("boxscore_doc")
        live_records, final_records = self._records(live_boxscore.name), self._records(finish_game.name)
        heartbeats = self.cache.clock.last_heartbeats(
            {record.dagster_run.run_id: self._date(record) for record in (*live_records, *final_records)}, now
        )
        fetched = {raw.run_id: raw.keys(FETCHED)} if raw else {}
        reported = live.keys(BOX_SCORES) if live else {}
        if raw and live and raw.run_id == live.run_id:
            self._keep_unprocessable(raw, live)
        with_stream = {game.game_id: versions[game.stream] for game in games.games.values() if game.stream in versions}
        outage = self._read_boxes(with_stream, reported.keys())
        final = {game: box.key for game, box in self.cache.boxes.items() if box.final}
        finals = [self._materialization(key.to_user_string()) for key in FINAL_ASSETS]
        return AutomationState(
            uri=self.object_store.uri,
            games={
                game: GameState(
                    version,
                    self.cache.boxes.get(game),
                    reported.get(game),
                    self.cache.unprocessable.get(game),
                    self.cache.rosters.get(game),
                )
                for game, version in with_stream.items()
            },
            live_runs=[_run(record, heartbeats, fetched) for record in live_records],
            final_runs=[_run(record, heartbeats, {}) for record in final_records],
            results=results_key_of(final) if final else None,
            tables=frozenset(made.text(MADE_FROM) if made else None for made in finals),
            rows_left_out=sum(made.number(ROWS_LEFT_OUT) for made in finals if made),
            outage=outage,
            is_game_day=self.schedule.isolates_games,
            problems=[*schedule_problems(games, versions, self.object_store)],
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

    def _keep_unprocessable(self, raw: "_Materialization", live: "_Materialization") -> None:
        """Keep the versions that the latest run has fetched and made no box score of."""
        made, lack_roster = live.keys(BOX_SCORES), live.ids(WITHOUT_ROSTER)
        for game, version in raw.keys(FETCHED).items():
            if game not in made:
                self.cache.unprocessable[game] = Unprocessable(version, game in lack_roster)

    def _read_boxes(self, versions: Mapping[int, StreamVersion], of_latest_run: Collection[int]) -> str | None:
        """Read the current box score of each game; return why they could not be read.

        On a game day these are a thousand documents. So all of them are read every `RECORDS_INTERVAL_SECONDS`, and in
        between those of the latest run, and those whose stream has changed.
        """
        cache, now = self.cache, time.monotonic()
        games = None
        if self.schedule.isolates_games and now - cache.boxes_read_at < RECORDS_INTERVAL_SECONDS:
            games = {*of_latest_run, *(game for game, version in versions.items() if self._may_differ(game, version))}
        try:
            found = self.documents.summaries(games)
        except StoreError as error:
            cache.boxes, cache.boxes_read_at = {}, -math.inf
            return error.description
        if games is None:
            cache.boxes, cache.boxes_read_at = {}, now
        for game in games or ():
            cache.boxes.pop(game, None)
        cache.boxes.update({box["game_id"]: _box_score(box) for box in found})
        return None

    def _may_differ(self, game: int, version: StreamVersion) -> bool:
        """Whether the stored box score of a game may be another one than the cached one."""
        box, unprocessable = self.cache.boxes.get(game), self.cache.unprocessable.get(game)
        return box.version != version if box else not (unprocessable and unprocessable.version == version.key)

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

    def number(self, name: str) -> int:
        return int(self._value(name) or 0)

    def text(self, name: str) -> str | None:
        value = self._value(name)
        return None if value is None else str(value)

    def _value(self, name: str) -> Any:
        found = self.metadata.get(name)
        return found.value if found else None


def _box_score(box: Document) -> BoxScore:
    version, final = StreamVersion.from_document(box), bool(box.get("final"))
    return BoxScore(version, str(box.get("fingerprint", "")), final, box_score_key(box))


def _run(record: RunRecord, heartbeats: Mapping[str, datetime], fetched: Mapping[str, Mapping[int, str]]) -> Run:
    run = record.dagster_run
    # A game whose stream could not be fetched has had its attempt all the same.
    versions = {**_launched_for(run), **fetched.get(run.run_id, {})}
    return Run(run.run_id, run.job_name, run.status, versions, heartbeats[run.run_id])


def _launched_for(run: DagsterRun) -> dict[int, str]:
    """The versions that a run was launched for; none if a person launched it."""
    if VERSION_TAG in run.tags:
        return {ALL_GAMES if run.job_name == finish_game.name else SINGLE_GAME_ID: run.tags[VERSION_TAG]}
    return {int(game): version for game, version in json.loads(run.tags.get(VERSIONS_TAG, "{}")).items()}
