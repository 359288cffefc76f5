"""What to run next: a pure decision from the state of the streams, the stores and Dagster's runs.

    state + now  ->  LaunchRun, or the reason why nothing is launched

`state_reader.py` reads the state. The first line that applies decides (docs/contract.md, sections 5 and 10):

| state | decision |
|---|---|
| no game has a stream object, or they are all empty | wait for a game |
| a run of either job is active | wait for its end, then process the newest streams |
| the document store is unreachable | wait for it |
| the stored box score of a game is not of its current stream, or its roster has changed | launch `live_boxscore` |
| no stream has an event | wait for the first one |
| no game is over | wait for the next event |
| the final tables are not of the final box scores | launch `finish_game` |
| rows of the final tables were left out as invalid | launch `finish_game` every five minutes |
| otherwise | wait for the next event, or for a new game |

One run takes all games that have changed, up to `MAX_GAMES_PER_RUN` of them, those that wait longest first. On a game
day there may always be one that has changed, and the producer of one game may write the same content again all the
time; so the two jobs alternate while both have something to do.

If a run does not bring the expected state, it is retried with backoff, whether it failed or succeeded. Each game has
its own attempts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from dagster import DagsterRunStatus

from lacrosse_assets.game.timeline import made_with
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

# A run that takes more games would keep the first of them waiting for the last one.
MAX_GAMES_PER_RUN = 250

# Problems that the reason of a tick shows.
MAX_PROBLEMS = 3

# A stream may change several times within a second. This many successful runs for versions of one second are free: they
# do not increase the backoff.
FREE_REPEATS = 2


class Run(NamedTuple):
    """A run of one of the two jobs: the part that the decision needs."""

    run_id: str
    job: str
    status: DagsterRunStatus
    # The key of the version of each game's stream that it fetched; if that is unknown, of those that it was launched
    # for. Of `finish_game`, under `ALL_GAMES`, the version of the final tables.
    versions: Mapping[int, str]
    # When it recorded its end, or its last event.
    last_heartbeat: datetime

    def is_active(self, now: datetime) -> bool:
        if self.status == DagsterRunStatus.QUEUED:
            return True
        return self.status in ACTIVE_STATUSES and now - self.last_heartbeat < HEARTBEAT_TIMEOUT

    @property
    def name(self) -> str:
        return f"{self.job} {self.run_id.split('-')[0]}"


# In the place of a game's id, which is never negative: all games together, or none.
ALL_GAMES = -1


class BoxScore(NamedTuple):
    """The current box score of a game in the document store."""

    version: StreamVersion | None
    fingerprint: str
    final: bool
    key: str  # identifies it: see `box_score_key`


class Unprocessable(NamedTuple):
    """A version of a stream from which no box score can be made: it has no event, no readable body, or no roster."""

    version: str
    lacks_roster: bool


class GameState(NamedTuple):
    """A game that has a stream object."""

    version: StreamVersion  # of the stream as it is now
    box: BoxScore | None = None
    # The key of the box score that the latest run of this game reports.
    reported: str | None = None
    unprocessable: Unprocessable | None = None  # the latest such version that a run has fetched
    # The fingerprint of the game's roster as it is now. None: unknown, or there is none.
    roster: str | None = None

    @property
    def roster_changed(self) -> bool:
        """Whether `teams` and `players` have another roster than the one that the box score was made with."""
        return bool(self.roster and self.box and self.box.version and made_with(self.box.fingerprint) != self.roster)

    @property
    def has_same_content(self) -> bool:
        """Whether the box score is of the content that the stream has now: the producer may have written it again."""
        of_box = self.box.version if self.box else None
        return not self.roster_changed and of_box is not None and of_box.etag == self.version.etag

    @property
    def has_no_box_score(self) -> bool:
        """Whether a run found that no box score can be made of the stream as it is now."""
        if self.unprocessable is None or self.unprocessable.version != self.version.key:
            return False
        return not (self.unprocessable.lacks_roster and self.roster)

    @property
    def is_up_to_date(self) -> bool:
        """Whether the stored documents are of the stream as it is now."""
        if self.has_no_box_score:
            return True
        if self.roster_changed or self.box is None or self.box.version != self.version:
            return False
        # A run that reports another box score of this version wrote a later document, which has been lost since.
        return self.reported is None or self.reported == self.box.key or not self.reported.startswith(self.version.key)


class AutomationState(NamedTuple):
    """The state that the sensor reads."""

    uri: str
    games: Mapping[int, GameState]
    # Newest first.
    live_runs: Sequence[Run]
    final_runs: Sequence[Run]
    # The key of all final box scores; None if there is none.
    results: str | None
    # The keys of the final box scores that each final table was made from.
    tables: frozenset[str | None]
    # How many rows of the final tables no game could be added to, because they are invalid.
    rows_left_out: int = 0
    # Why the box scores could not be read.
    outage: str | None = None
    # Whether there may be several games, each processed independently.
    is_game_day: bool = False
    # The rows of the schedule that are no game, and the objects that belong to none.
    problems: Sequence[str] = ()

    @property
    def changed(self) -> dict[int, GameState]:
        """The games whose stored documents are not of the stream as it is now, those that wait longest first."""
        if self.outage:
            return dict(self.games)
        changed = [(game, state) for game, state in self.games.items() if not state.is_up_to_date]
        return dict(sorted(changed, key=lambda each: each[1].version.last_modified))

    @property
    def is_up_to_date(self) -> bool:
        """Whether the stored documents of all games are of their streams as they are now."""
        return not self.changed

    def lag(self, now: datetime) -> tuple[int, timedelta]:
        """The game that is furthest behind its stream, and how long its box score has been stale, at least.

        The time is the larger of two measurements: the age of the stream by the object store's clock, and the time
        since the first attempt by our own. So a wrong clock on one of the machines cannot hide the lag. It is zero if
        all games are up to date.
        """
        behind = [
            (max([state.version.age(now), *(now - run.last_heartbeat for run in self.attempts(game))]), game)
            for game, state in self.changed.items()
            if state.version.size != 0
        ]
        lag, game = max(behind, default=(timedelta(0), ALL_GAMES))
        return game, lag

    def attempts(self, game: int) -> "list[Run]":
        """The latest consecutive live runs for the present version of a game, newest first."""
        return _attempts(game, self.games[game].version.key, self.live_runs)

    def active_run(self, now: datetime) -> Run | None:
        return next((run for run in (*self.live_runs, *self.final_runs) if run.is_active(now)), None)


class LaunchRun(NamedTuple):
    """A run to launch: for versions of the streams of games, by game id."""

    job: str
    versions: Mapping[int, str]
    attempt: int


def decide(state: AutomationState, now: datetime) -> LaunchRun | str:
    """The run to launch, or the reason why none is launched."""
    started = {game: each for game, each in state.games.items() if each.version.size != 0}
    if not state.games:
        what = f"stream of a scheduled game in {state.uri}" if state.is_game_day else state.uri
        return f"there is no {what} yet: waiting for a game to start{_problems(state)}"
    if not started:
        return f"{state.uri} is empty: waiting for the first event"
    if run := state.active_run(now):
        return f"run {run.name} is active: waiting for it to end, then the newest stream is processed"
    if state.outage:
        return state.outage
    changed = {game: each.version.key for game, each in state.changed.items() if game in started}
    live = _next_attempt(live_boxscore.name, changed, state.live_runs, now) if changed else None
    # The one game's tables may only be written from the box score of what its stream has now.
    may_finish = state.is_game_day or all(
        each.has_same_content and not each.has_no_box_score for each in started.values()
    )
    is_made = state.tables == {state.results}
    if may_finish and state.results and (not is_made or state.rows_left_out):
        version = state.results if state.is_game_day else _version_of_box(next(iter(started.values())))
        final = (
            _next_completion(state, version, now)
            if is_made
            else _next_attempt(finish_game.name, {ALL_GAMES: version}, state.final_runs, now)
        )
        if not isinstance(live, LaunchRun) or (isinstance(final, LaunchRun) and _is_its_turn(state)):
            return final if isinstance(final, LaunchRun) or live is None else live
    return live or _waiting(state, started)


def _problems(state: AutomationState) -> str:
    """What is wrong with the schedule: runs report it as well, but while nothing changes there is none."""
    shown, left_out = state.problems[:MAX_PROBLEMS], len(state.problems[MAX_PROBLEMS:])
    return "".join(f"; {each}" for each in [*shown, *([f"and {left_out} more"] if left_out else [])])


def _version_of_box(game: GameState) -> str:
    return (game.box.version if game.box and game.box.version else game.version).key


def _is_its_turn(state: AutomationState) -> bool:
    """Whether the newest run is a live one, so that it is the turn of the final tables."""
    newest = [runs[0].last_heartbeat for runs in (state.live_runs, state.final_runs) if runs]
    return not state.final_runs or state.final_runs[0].last_heartbeat < max(newest)


def _waiting(state: AutomationState, started: Mapping[int, GameState]) -> str:
    """What is waited for, if everything is up to date."""
    with_event = [each for each in started.values() if not each.has_no_box_score]
    if not with_event:
        return f"{state.uri} has no event yet: waiting for the first one"
    live = [each for each in with_event if not (each.box and each.box.final)]
    if state.is_game_day:
        final = len(with_event) - len(live)
        return f"{len(live)} live and {final} final games are up to date: waiting for the next event{_problems(state)}"
    etag = with_event[0].version.etag
    if live:
        return f"the box score is that of ETag {etag}: waiting for the next event"
    return f"teams2 and players2 are those of ETag {etag}: waiting for a new game"


def _next_attempt(job: str, versions: Mapping[int, str], runs: Sequence[Run], now: datetime) -> LaunchRun | str:
    """Launch the job for the games whose backoff is over, or wait for that of the first one."""
    attempts = {game: _attempts(game, version, runs) for game, version in versions.items()}
    due = {game: made[0].last_heartbeat + _backoff_after(made) for game, made in attempts.items() if made}
    ready = [game for game in versions if game not in due or now >= due[game]][:MAX_GAMES_PER_RUN]
    if ready:
        attempt = max(len(attempts[game]) for game in ready) + 1
        return LaunchRun(job, {game: versions[game] for game in ready}, attempt)
    game = min(due, key=due.__getitem__)
    made, seconds = attempts[game], (due[game] - now).total_seconds()
    last = made[0]
    outcome = "succeeded, but its result is not what is stored" if last.status == DagsterRunStatus.SUCCESS else "failed"
    etag = versions[game].rpartition(" ")[0]
    what = f"ETag {etag}" if etag else "the final games"  # a set of games has a version without an ETag
    reason = f"run {last.name} {outcome}: attempt {len(made) + 1} for {what} in {seconds:.0f} s"
    if _backoff_after(made) == COOLDOWN:
        reason += f"; {len(made)} attempts in a row without success: see the run's log"
    return reason


def _next_completion(state: AutomationState, version: str, now: datetime) -> LaunchRun | str:
    """Launch finish_game for tables that lack rows, or wait: only a person can correct those rows."""
    left = state.final_runs[0].last_heartbeat + COOLDOWN - now if state.final_runs else timedelta(0)
    if left <= timedelta(0):
        return LaunchRun(
            finish_game.name, {ALL_GAMES: version}, len(_attempts(ALL_GAMES, version, state.final_runs)) + 1
        )
    return (
        f"the final tables lack the games of {state.rows_left_out} invalid rows: see the checks adds_the_game; "
        f"they are made again in {left.total_seconds():.0f} s"
    )


def _attempts(game: int, version: str, runs: Sequence[Run]) -> list[Run]:
    """The latest consecutive runs of a job for this version of a game, newest first.

    A successful run counts if it was for any version of the same second, because some stores return another ETag at
    each request. Any other successful run of the game ends the sequence.
    """
    found = []
    for run in runs:
        of_run = run.versions.get(game)
        if run.status == DagsterRunStatus.SUCCESS:
            if of_run is None and run.versions:
                continue  # a run of other games
            if of_run is None or _last_modified(of_run) != _last_modified(version):
                break
            found.append(run)
        elif of_run == version:
            found.append(run)
    return found


def _last_modified(version: str) -> str:
    return version.rpartition(" ")[2]


def _backoff_after(attempts: Sequence[Run]) -> timedelta:
    succeeded = sum(run.status == DagsterRunStatus.SUCCESS for run in attempts)
    return _backoff(len(attempts) - min(succeeded, FREE_REPEATS))


def _backoff(attempts: int) -> timedelta:
    if attempts >= MAX_ATTEMPTS:
        return COOLDOWN
    return FIRST_BACKOFF * 2 ** (attempts - 2) if attempts >= 2 else timedelta(0)
