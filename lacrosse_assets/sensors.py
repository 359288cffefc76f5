"""The sensor on the stream objects: polls them, calls `automation.decide`, launches at most one run.

`state_reader.py` reads the state that the decision needs (docs/contract.md, sections 5 and 10).
"""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetKey,
    DefaultSensorStatus,
    Failure,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from lacrosse_assets.automation import ALL_GAMES, AutomationState, LaunchRun, decide
from lacrosse_assets.checks import IS_FRESH, STALE_AFTER
from lacrosse_assets.game.schedule import Schedule
from lacrosse_assets.jobs import finish_game, live_boxscore
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion
from lacrosse_assets.resources.reference_db import ReferenceDatabase
from lacrosse_assets.resources.schedule import GameSchedule
from lacrosse_assets.state_reader import VERSION_TAG, VERSIONS_TAG, Cache, StateReader

MAX_GAMES_SHOWN = 5  # in the tag that the Dagster UI shows
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
# The pause between two polls, as a multiple of a poll's duration, if that is longer: a listing of a thousand objects
# takes too long to be followed by the next one at once.
IDLE_FACTOR = 3


def gamestream_sensor(poll_seconds: float = POLL_SECONDS) -> SensorDefinition:
    """The sensor. One evaluation polls for `poll_seconds`, or until there is a run to launch."""
    cache = Cache()

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
        reader = StateReader(context.instance, object_store, documents, reference_db, schedule, cache)
        try:
            latest = _Evaluation(reader, poll_seconds).poll()
        except Failure as error:  # a store is down, or table games lacks a column
            return SensorResult(skip_reason=error.description)
        stale = _staleness(reader, latest)
        if isinstance(latest.decision, LaunchRun):
            return SensorResult(run_requests=[_request(latest.decision, latest.state)], asset_events=stale)
        return SensorResult(skip_reason=latest.decision, asset_events=stale)

    return evaluate


class _Reading(NamedTuple):
    """The state as it was read, and the decision from it."""

    state: AutomationState
    decision: LaunchRun | str
    # The wall clock is read together with the state, and only then: it may be set at any time.
    now: datetime
    read_at: float  # by the monotonic clock


class _Evaluation:
    """One evaluation of the sensor: polls until there is a run to launch, or `seconds` have passed.

    While nothing changes, a poll is a single HEAD or listing; while a run is active, one read of that run. The state is
    read when a stream has changed, when the run has ended, and at an interval for other changes (a person's action, an
    orphaned run, a lost document). The schedule is read once, and the rosters only if no run is active.
    """

    def __init__(self, reader: StateReader, seconds: float) -> None:
        self._reader = reader
        self._started_at = time.monotonic()
        self._deadline = self._started_at + seconds
        self._schedule = Schedule({})
        self._versions: Mapping[str, StreamVersion] = {}
        self._poll_duration_seconds = 0.0

    def poll(self) -> _Reading:
        """The last reading.

        Raises:
            Failure: a store is unreachable or refuses a request, or table `games` lacks a column.
        """
        self._reader.cache.rosters = {}
        self._schedule = self._reader.read_schedule()
        self._poll_streams()
        latest = self._read()
        if self._may_read_rosters(latest.state, latest.now) and self._reader.read_rosters(self._schedule):
            latest = self._read()
        while not isinstance(latest.decision, LaunchRun) and self._pause():
            if self._has_changed(latest):
                latest = self._read()
        return latest

    def _poll_streams(self) -> None:
        started_at = time.monotonic()
        self._versions = self._reader.object_store.versions()
        self._poll_duration_seconds = time.monotonic() - started_at

    def _read(self) -> _Reading:
        now = datetime.now(UTC)
        state = self._reader.read(self._schedule, self._versions, now)
        return _Reading(state, decide(state, now), now, time.monotonic())

    def _may_read_rosters(self, state: AutomationState, now: datetime) -> bool:
        is_time_left = time.monotonic() - self._started_at < POLL_SECONDS  # or the tick would exceed Dagster's timeout
        return is_time_left and not state.active_run(now) and (state.is_up_to_date or state.is_game_day)

    def _pause(self) -> bool:
        """Wait until the next poll is due. False if the evaluation ends before that."""
        left = self._deadline - time.monotonic()
        pause = max(POLL_INTERVAL_SECONDS, IDLE_FACTOR * self._poll_duration_seconds)
        time.sleep(max(0.0, min(pause, left)))
        return pause <= left

    def _has_changed(self, latest: _Reading) -> bool:
        """Poll once. Whether the state has to be read again."""
        active = latest.state.active_run(latest.now)
        is_idle = not active and latest.state.is_up_to_date
        interval = IDLE_STATE_INTERVAL_SECONDS if is_idle else STATE_INTERVAL_SECONDS
        is_due = time.monotonic() - latest.read_at >= interval
        if active and not is_due and self._reader.is_still_active(active):
            return False
        before = self._versions
        self._poll_streams()
        return active is not None or is_due or self._versions != before


def _staleness(reader: StateReader, latest: _Reading) -> list[AssetCheckEvaluation]:
    """A failed result of the check `is_fresh`, once per version, if a box score is stale and no run evaluates it."""
    state, decision = latest.state, latest.decision
    game, lag = state.lag(latest.now)
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
