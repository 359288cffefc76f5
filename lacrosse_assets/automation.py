"""What to run next: a pure decision from the state of the stream, the stores and Dagster's runs.

    state + now  ->  LaunchRun, or the reason why nothing is launched

`sensors.py` reads the state. The first line that applies decides (docs/contract.md, section 5):

| state | decision |
|---|---|
| no stream object, or an empty one | wait for a game |
| a run of either job is active | wait for its end, then process the newest stream |
| the document store is unreachable | wait for it |
| the stored box score is not of the current stream, or the roster has changed | launch `live_boxscore` |
| the stream has no event | wait for the first one |
| the game is not over | wait for the next event |
| the final tables are not of this box score | launch `finish_game` |
| otherwise | wait for a new game |

If a run does not bring the expected state, it is retried with backoff, whether it failed or succeeded.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from dagster import DagsterRunStatus

from lacrosse_assets.jobs import finish_game, live_boxscore
from lacrosse_assets.resources.object_store import StreamVersion

# NOT_STARTED is excluded: a run that the daemon created and did not launch before it was stopped never starts.
ACTIVE_STATUSES = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)

# A run without an event for this long is orphaned: its process was killed together with its code server or its machine,
# so no failure was recorded. Steps take seconds, and each records its start and end.
HEARTBEAT_TIMEOUT = timedelta(seconds=60)

# A failed version is retried at once, then after 5, 10 and 20 seconds. After `MAX_ATTEMPTS` in a row there is one
# attempt per `COOLDOWN`, so that the platform recovers from an outage of any length without an operator.
MAX_ATTEMPTS = 5
FIRST_BACKOFF = timedelta(seconds=5)
COOLDOWN = timedelta(minutes=5)

# A stream may change several times within a second. This many successful runs for versions of one second are free: they
# do not increase the backoff.
FREE_REPEATS = 2


class Run(NamedTuple):
    """A run of one of the two jobs: the part that the decision needs."""

    run_id: str
    job: str
    status: DagsterRunStatus
    # The key of the version that it fetched; if that is unknown, of the version that it was launched for.
    version: str | None
    # When it ended, or recorded its last event.
    last_heard: datetime

    def is_active(self, now: datetime) -> bool:
        if self.status == DagsterRunStatus.QUEUED:
            return True
        return self.status in ACTIVE_STATUSES and now - self.last_heard < HEARTBEAT_TIMEOUT

    @property
    def name(self) -> str:
        return f"{self.job} {self.run_id.split('-')[0]}"


class BoxScore(NamedTuple):
    """The current box score in the document store."""

    version: StreamVersion | None
    fingerprint: str
    final: bool

    @property
    def key(self) -> str:
        """Identifies the box score. The final tables report the same key: see `box_metadata`."""
        return f"{self.version and self.version.key} {self.fingerprint}"


class AutomationState(NamedTuple):
    """The state that the sensor reads."""

    uri: str
    version: StreamVersion | None  # the stream as it is now
    # Newest first.
    live_runs: Sequence[Run]
    final_runs: Sequence[Run]
    box: BoxScore | None
    # The key of the box score that the latest materialization of `boxscore_doc` reports.
    reported: str | None
    # The key of the latest version without an event, which has no box score.
    eventless: str | None
    # The keys of the box scores that the final tables were made from.
    tables: frozenset[str | None]
    # Whether `teams` and `players` have another roster than the one that the box score was made with.
    roster_changed: bool = False
    # Why the box score could not be read.
    outage: str | None = None

    @property
    def is_up_to_date(self) -> bool:
        """Whether the stored documents are of the stream as it is now."""
        if self.version is None or self.outage or self.roster_changed:
            return False
        if self.eventless == self.version.key:
            return True
        if self.box is None or self.box.version != self.version:
            return False
        # A run that reports another box score of this version wrote a later document, which has been lost since.
        return self.reported is None or self.reported == self.box.key or not self.reported.startswith(self.version.key)

    def lag(self, now: datetime) -> timedelta:
        """How long the box score has been stale, at least; zero if it is up to date.

        The larger of two measurements: the age of the stream by the object store's clock, and the time since the first
        attempt by our own. So a wrong clock on one of the machines cannot hide the lag.
        """
        if self.version is None or self.version.size == 0 or self.is_up_to_date:
            return timedelta(0)
        attempts = [now - run.last_heard for run in _attempts(self.version.key, self.live_runs)]
        return max([self.version.age(now), *attempts])

    def active_run(self, now: datetime) -> Run | None:
        return next((run for run in (*self.live_runs, *self.final_runs) if run.is_active(now)), None)


class LaunchRun(NamedTuple):
    """A run to launch, for a version of the stream."""

    job: str
    version: str
    attempt: int


def decide(state: AutomationState, now: datetime) -> LaunchRun | str:
    """The run to launch, or the reason why none is launched."""
    if state.version is None:
        return f"there is no {state.uri} yet: waiting for a game to start"
    if state.version.size == 0:
        return f"{state.uri} is empty: waiting for the first event"
    if run := state.active_run(now):
        return f"run {run.name} is active: waiting for it to end, then the newest stream is processed"
    if state.outage:
        return state.outage
    version = state.version.key
    if not state.is_up_to_date:
        return _next_attempt(live_boxscore.name, version, state.live_runs, now)
    if state.box is None or state.box.version != state.version:
        return f"{state.uri} has no event yet: waiting for the first one"
    if not state.box.final:
        return f"the box score is that of ETag {state.version.etag}: waiting for the next event"
    if state.tables != {state.box.key}:
        return _next_attempt(finish_game.name, version, state.final_runs, now)
    return f"teams2 and players2 are those of ETag {state.version.etag}: waiting for a new game"


def _next_attempt(job: str, version: str, runs: Sequence[Run], now: datetime) -> LaunchRun | str:
    """Launch the job, or wait for the backoff after earlier attempts for this version."""
    attempts = _attempts(version, runs)
    succeeded = sum(run.status == DagsterRunStatus.SUCCESS for run in attempts)
    backoff = _backoff(len(attempts) - min(succeeded, FREE_REPEATS))
    attempt = len(attempts) + 1
    if not attempts or now >= attempts[0].last_heard + backoff:
        return LaunchRun(job, version, attempt)
    last = attempts[0]
    seconds = (last.last_heard + backoff - now).total_seconds()
    outcome = "succeeded, but its result is not what is stored" if last.status == DagsterRunStatus.SUCCESS else "failed"
    etag = version.rpartition(" ")[0]
    reason = f"run {last.name} {outcome}: attempt {attempt} for ETag {etag} in {seconds:.0f} s"
    if backoff == COOLDOWN:
        reason += f"; {len(attempts)} attempts in a row without success: see the run's log"
    return reason


def _attempts(version: str, runs: Sequence[Run]) -> list[Run]:
    """The latest consecutive runs for this version, newest first.

    A successful run counts if it was for any version of the same second, because some stores return another ETag at
    each request. Any other successful run ends the sequence.
    """
    found = []
    for run in runs:
        if run.status == DagsterRunStatus.SUCCESS:
            if run.version is None or _last_modified(run.version) != _last_modified(version):
                break
            found.append(run)
        elif run.version == version:
            found.append(run)
    return found


def _last_modified(version: str) -> str:
    return version.rpartition(" ")[2]


def _backoff(attempts: int) -> timedelta:
    if attempts >= MAX_ATTEMPTS:
        return COOLDOWN
    return FIRST_BACKOFF * 2 ** (attempts - 2) if attempts >= 2 else timedelta(0)
