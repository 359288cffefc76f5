"""The sensor's decision: what it launches, and what it waits for (docs/contract.md, section 5)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterRunStatus

from lacrosse_assets import automation
from lacrosse_assets.automation import (
    ALL_GAMES,
    COOLDOWN,
    MAX_ATTEMPTS,
    AutomationState,
    BoxScore,
    GameState,
    LaunchRun,
    Run,
    Unprocessable,
    decide,
)
from lacrosse_assets.resources.object_store import StreamVersion
from lacrosse_assets.state_reader import RunClock

NOW = datetime(2026, 3, 7, 20, 0, tzinfo=UTC)
OLD = StreamVersion("aaa", NOW - timedelta(minutes=1), 20)
NEW = StreamVersion("bbb", NOW, 40)
LIVE, FINISH = "live_boxscore", "finish_game"
SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED
QUEUED, STARTED, NOT_STARTED = DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED, DagsterRunStatus.NOT_STARTED
# Statuses whose process may be orphaned.
RUNNING = [DagsterRunStatus.STARTING, STARTED, DagsterRunStatus.CANCELING]


def ran(status: DagsterRunStatus, version: StreamVersion = NEW, *, job: str = LIVE, ago: float = 0) -> Run:
    """A run that was last heard of `ago` seconds before `NOW`."""
    game = ALL_GAMES if job == FINISH else 1
    return Run("12345678-rest", job, status, {game: version.key}, NOW - timedelta(seconds=ago))


def box_of(version: StreamVersion, *, final: bool = False, fingerprint: str = "f1") -> BoxScore:
    return BoxScore(version, fingerprint, final, f"{version.key} {fingerprint}")


def seen(
    *live_runs: Run,
    version: StreamVersion | None = NEW,
    final_runs: tuple[Run, ...] = (),
    box: BoxScore | None = None,
    tables: tuple[BoxScore | None, ...] = (None, None),
    eventless: str | None = None,
    outage: str | None = None,
    **more: Any,
) -> AutomationState:
    """The state of the one game."""
    unprocessable = Unprocessable(eventless, lacks_roster=False) if eventless else None
    return AutomationState(
        uri="s3://gamestreams/gamestream.txt",
        games={1: GameState(version, box, unprocessable=unprocessable, **more)} if version else {},
        live_runs=live_runs,
        final_runs=final_runs,
        results=box.key if box and box.final else None,
        tables=frozenset(table and table.key for table in tables),
        outage=outage,
    )


def reason(state: AutomationState) -> str:
    decision = decide(state, NOW)
    assert isinstance(decision, str), decision
    return decision


def test_no_object_is_a_reason_to_wait() -> None:
    assert reason(seen(version=None)) == "there is no s3://gamestreams/gamestream.txt yet: waiting for a game to start"


def test_an_empty_object_is_a_reason_to_wait() -> None:
    assert reason(seen(version=replace(NEW, size=0))).endswith("is empty: waiting for the first event")


def test_an_object_of_unknown_size_is_not_an_empty_one() -> None:
    assert decide(seen(version=replace(NEW, size=None)), NOW) == LaunchRun(LIVE, {1: NEW.key}, 1)


@pytest.mark.parametrize(
    "before",
    [(), (ran(SUCCESS, OLD),), (ran(FAILURE, OLD), ran(SUCCESS, OLD))],
    ids=["first", "next", "after a failure"],
)
def test_a_new_version_launches_a_live_run(before: tuple[Run, ...]) -> None:
    assert decide(seen(*before, box=box_of(OLD)), NOW) == LaunchRun(LIVE, {1: NEW.key}, 1)


@pytest.mark.parametrize("status", [QUEUED, *RUNNING])
def test_while_a_run_is_active_no_second_one_is_launched(status: DagsterRunStatus) -> None:
    for state in (
        seen(ran(status, OLD)),
        seen(ran(SUCCESS), box=box_of(NEW, final=True), final_runs=(ran(status, job=FINISH),)),
        seen(version=NEW, final_runs=(ran(status, OLD, job=FINISH),)),
    ):
        assert "12345678 is active" in reason(state)


@pytest.mark.parametrize("status", RUNNING)
def test_a_run_without_a_heartbeat_is_orphaned(status: DagsterRunStatus) -> None:
    timeout = automation.HEARTBEAT_TIMEOUT.total_seconds()

    assert "is active" in reason(seen(ran(status, ago=timeout - 1)))
    assert decide(seen(ran(status, ago=timeout)), NOW) == LaunchRun(LIVE, {1: NEW.key}, 2)


def test_a_queued_run_is_active_without_a_timeout_and_one_that_was_never_launched_is_not() -> None:
    assert "is active" in reason(seen(ran(QUEUED, ago=86_400)))
    assert decide(seen(ran(NOT_STARTED)), NOW) == LaunchRun(LIVE, {1: NEW.key}, 2)


def test_every_status_of_dagster_is_handled() -> None:
    of_other_kinds_of_runs = {DagsterRunStatus.MANAGED, DagsterRunStatus.SUSPENDED}

    assert {*automation.ACTIVE_STATUSES, SUCCESS, FAILURE, CANCELED, NOT_STARTED, *of_other_kinds_of_runs} == set(
        DagsterRunStatus
    )


def test_a_version_is_done_when_the_stored_box_score_is_of_it() -> None:
    for runs in ((ran(SUCCESS),), (ran(FAILURE),), ()):
        assert reason(seen(*runs, box=box_of(NEW))) == "the box score is that of ETag bbb: waiting for the next event"


@pytest.mark.parametrize(
    "box", [None, box_of(OLD), BoxScore(None, "", True, "None ")], ids=["none", "an older one", "unknown"]
)
def test_a_version_is_not_done_because_a_run_succeeded(box: BoxScore | None) -> None:
    assert decide(seen(ran(SUCCESS), box=box), NOW) == LaunchRun(LIVE, {1: NEW.key}, 2)


def test_a_version_is_not_done_where_its_run_reports_another_box_score_of_it() -> None:
    box = box_of(NEW, fingerprint="that of event 1")
    lost = seen(ran(SUCCESS), box=box, reported=box_of(NEW, fingerprint="that of event 4").key)
    of_another_version = seen(ran(SUCCESS), box=box, reported=box_of(OLD, fingerprint="that of event 4").key)

    assert decide(lost, NOW) == LaunchRun(LIVE, {1: NEW.key}, 2)
    assert "waiting for the next event" in reason(of_another_version)


def test_a_version_without_an_event_is_done_when_its_run_reported_it() -> None:
    for box in (None, box_of(OLD, final=True)):
        assert reason(seen(ran(SUCCESS), box=box, eventless=NEW.key)).endswith(
            "no event yet: waiting for the first one"
        )
        assert decide(seen(ran(SUCCESS, OLD), box=box, eventless=OLD.key), NOW) == LaunchRun(LIVE, {1: NEW.key}, 1)


def test_a_roster_that_has_changed_launches_a_live_run() -> None:
    changed = seen(ran(SUCCESS), box=box_of(NEW, final=True), roster="another one")

    assert decide(changed, NOW) == LaunchRun(LIVE, {1: NEW.key}, 2)


def test_an_unreachable_document_store_is_waited_for() -> None:
    assert reason(seen(outage="document store at host:27017: refused")) == "document store at host:27017: refused"
    assert "is active" in reason(seen(ran(STARTED), outage="document store at host:27017: refused"))


def test_a_replay_with_the_same_etag_is_another_version() -> None:
    again = replace(NEW, last_modified=NOW + timedelta(minutes=2))
    final = box_of(NEW, final=True)

    assert decide(seen(ran(SUCCESS), box=final, tables=(final, final), version=again), NOW) == LaunchRun(
        LIVE, {1: again.key}, 1
    )


FINAL_BOX = box_of(NEW, final=True)
OF_AN_OLDER_STREAM, OF_AN_OLDER_ROSTER = box_of(OLD, final=True), box_of(NEW, final=True, fingerprint="f0")


@pytest.mark.parametrize(
    "tables",
    [
        (None, None),
        (OF_AN_OLDER_STREAM, OF_AN_OLDER_STREAM),
        (OF_AN_OLDER_ROSTER, OF_AN_OLDER_ROSTER),
        (FINAL_BOX, OF_AN_OLDER_ROSTER),
        (FINAL_BOX, None),
    ],
)
def test_when_it_is_over_the_tables_are_launched(tables: tuple[BoxScore | None, ...]) -> None:
    assert decide(seen(ran(SUCCESS), box=FINAL_BOX, tables=tables), NOW) == LaunchRun(FINISH, {ALL_GAMES: NEW.key}, 1)


def test_content_that_is_written_again_and_again_does_not_hold_up_the_tables() -> None:
    """A producer that writes its file once a second had changed the stream again whenever a run ended."""
    again = replace(NEW, last_modified=NOW + timedelta(seconds=1))
    after_a_live_run = seen(ran(SUCCESS), version=again, box=FINAL_BOX)
    assert decide(after_a_live_run, NOW) == LaunchRun(FINISH, {ALL_GAMES: NEW.key}, 1)

    finished = ran(SUCCESS, job=FINISH)
    in_turn = seen(ran(SUCCESS, ago=2), version=again, box=FINAL_BOX, final_runs=(finished,), tables=(FINAL_BOX,) * 2)
    assert decide(in_turn, NOW) == LaunchRun(LIVE, {1: again.key}, 1)

    other_content = replace(again, etag="ccc")
    assert decide(seen(ran(SUCCESS), version=other_content, box=FINAL_BOX), NOW) == LaunchRun(
        LIVE, {1: other_content.key}, 1
    )


def test_tables_of_this_box_score_are_launched_no_more() -> None:
    assert reason(seen(ran(SUCCESS), box=FINAL_BOX, tables=(FINAL_BOX, FINAL_BOX))) == (
        "teams2 and players2 are those of ETag bbb: waiting for a new game"
    )


def test_a_game_that_is_not_over_opens_nothing() -> None:
    final = box_of(OLD, final=True)

    assert "waiting for the next event" in reason(seen(ran(SUCCESS), box=box_of(NEW), tables=(final, final)))


BACKOFF = [(1, 0), (2, 5), (3, 10), (4, 20), (MAX_ATTEMPTS, 300), (MAX_ATTEMPTS + 3, 300)]


@pytest.mark.parametrize("status", [FAILURE, CANCELED])
@pytest.mark.parametrize(("failures", "wait"), BACKOFF)
def test_a_failed_version_is_retried_with_backoff(status: DagsterRunStatus, failures: int, wait: int) -> None:
    def after(seconds: float) -> LaunchRun | str:
        return decide(seen(*[ran(status, ago=seconds)] * failures, ran(SUCCESS, OLD)), NOW)

    assert after(wait) == LaunchRun(LIVE, {1: NEW.key}, failures + 1)
    if wait:
        early = after(wait - 1)
        assert isinstance(early, str)
        assert early.startswith(f"run {LIVE} 12345678 failed: attempt {failures + 1} for ETag bbb in 1 s")
        assert ("in a row without success" in early) == (failures >= MAX_ATTEMPTS)


@pytest.mark.parametrize("etags", [("bbb", "bbb"), ("bbb", "ccc")], ids=["the same", "another at each request"])
@pytest.mark.parametrize(("attempts", "wait"), BACKOFF)
def test_runs_that_succeed_without_effect_are_retried_with_backoff(
    etags: tuple[str, str], attempts: int, wait: int
) -> None:
    def after(seconds: float) -> LaunchRun | str:
        runs = [ran(SUCCESS, replace(NEW, etag=etags[number % 2]), ago=seconds) for number in range(attempts + 2)]
        return decide(seen(*runs, ran(SUCCESS, OLD), box=box_of(OLD)), NOW)

    assert after(wait) == LaunchRun(LIVE, {1: NEW.key}, attempts + 3)
    if wait:
        early = after(wait - 1)
        assert isinstance(early, str)
        assert early.startswith(
            f"run {LIVE} 12345678 succeeded, but its result is not what is stored: "
            f"attempt {attempts + 3} for ETag bbb in 1 s"
        )


def test_final_tables_of_several_games_are_not_those_of_an_etag() -> None:
    runs = tuple(ran(FAILURE, job=FINISH, ago=1)._replace(versions={ALL_GAMES: "a-hash"}) for _ in range(2))
    state = seen(box=box_of(NEW, final=True), final_runs=runs)

    why = reason(state._replace(is_game_day=True, results="a-hash"))

    assert why == f"run {FINISH} 12345678 failed: attempt 3 for the final games in 4 s"


def test_final_tables_that_lack_rows_are_made_again_after_a_while() -> None:
    box = box_of(NEW, final=True)

    def after(seconds: float) -> LaunchRun | str:
        state = seen(box=box, tables=(box, box), final_runs=(ran(SUCCESS, job=FINISH, ago=seconds),))
        return decide(state._replace(rows_left_out=2), NOW)

    assert after(COOLDOWN.total_seconds()) == LaunchRun(FINISH, {ALL_GAMES: NEW.key}, 2)
    assert after(COOLDOWN.total_seconds() - 1) == (
        "the final tables lack the games of 2 invalid rows: see the checks adds_the_game; they are made again in 1 s"
    )


def test_a_stream_that_changes_three_times_in_a_second_is_not_held_up() -> None:
    first, second = replace(NEW, etag="x"), replace(NEW, etag="y")

    assert decide(seen(ran(SUCCESS, second), ran(SUCCESS, first), box=box_of(second)), NOW) == LaunchRun(
        LIVE, {1: NEW.key}, 3
    )


def test_the_final_tables_are_retried_like_the_box_score() -> None:
    def after(seconds: float) -> LaunchRun | str:
        failed = (ran(FAILURE, job=FINISH, ago=seconds),) * 2
        return decide(seen(ran(SUCCESS), box=FINAL_BOX, final_runs=failed), NOW)

    assert after(5) == LaunchRun(FINISH, {ALL_GAMES: NEW.key}, 3)
    assert "failed: attempt 3" in str(after(4))


def test_only_failures_in_a_row_and_of_this_version_count() -> None:
    of_another = seen(*[ran(FAILURE, OLD)] * MAX_ATTEMPTS)
    before_a_success = seen(ran(SUCCESS, OLD), *[ran(FAILURE)] * MAX_ATTEMPTS)

    assert decide(of_another, NOW) == decide(before_a_success, NOW) == LaunchRun(LIVE, {1: NEW.key}, 1)


def test_the_cooldown_is_longer_than_any_backoff_before_it() -> None:
    assert max(automation._backoff(attempts) for attempts in range(MAX_ATTEMPTS)) < COOLDOWN


def test_the_lag_is_measured_by_the_clock_of_the_object_store() -> None:
    version = replace(NEW, response_date=NOW + timedelta(seconds=40))

    assert seen(version=version).lag(NOW + timedelta(hours=5)) == (1, timedelta(seconds=40))
    assert seen(version=version, box=box_of(NEW)).lag(NOW) == (ALL_GAMES, timedelta(0))


def test_a_lag_that_the_clock_of_the_object_store_hides_is_measured_by_the_attempts() -> None:
    ahead = replace(NEW, last_modified=NOW + timedelta(hours=1), response_date=NOW)

    assert seen(ran(FAILURE, ahead, ago=3), ran(FAILURE, ahead, ago=50), version=ahead).lag(NOW) == (
        1,
        timedelta(seconds=50),
    )


# Heartbeats of runs.


def heard(clock: RunClock, dates: Mapping[str, datetime], now: datetime) -> dict[str, float]:
    """Seconds since the last heartbeat, by run."""
    last_heartbeat = clock.last_heartbeats(dates, now)
    return {run_id: (now - last_heartbeat[run_id]).total_seconds() for run_id in dates}


@pytest.mark.parametrize("error", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
def test_no_wrong_clock_changes_the_age_of_a_heartbeat(error: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: seconds)
    clock = RunClock()
    heard(clock, {}, NOW)

    # The run is on another machine, whose clock is wrong.
    assert heard(clock, {"a": NOW + error}, NOW) == {"a": 0}
    seconds += 30
    assert heard(clock, {"a": NOW + error}, NOW) == {"a": 30}, "whatever our own wall clock does meanwhile"
    assert heard(clock, {"a": NOW + error}, NOW + error) == {"a": 30}
    seconds += 30
    assert heard(clock, {"a": NOW + error + timedelta(seconds=1)}, NOW) == {"a": 0}, "it has reported something"


def test_at_its_start_a_process_uses_the_timestamps_on_record() -> None:
    dates = {"silent": NOW - timedelta(seconds=50), "ahead": NOW + timedelta(hours=1)}

    found = heard(RunClock(), dates, NOW)

    assert found["silent"] == pytest.approx(50, abs=1)
    assert found["ahead"] == pytest.approx(0, abs=1)


# Many games.


def day_of(
    games: Mapping[int, GameState], live_runs: Sequence[Run] = (), final_runs: Sequence[Run] = (), **more: Any
) -> AutomationState:
    """The state of a game day, whose final tables are of no game."""
    values: dict[str, Any] = {"results": None, "tables": frozenset({None}), **more}
    return AutomationState("s3://gamestreams/games/", games, live_runs, final_runs, is_game_day=True, **values)


def live_run(*games: int, status: DagsterRunStatus = SUCCESS, version: StreamVersion = NEW, ago: float = 0) -> Run:
    versions = dict.fromkeys(games, version.key)
    return Run("12345678-rest", LIVE, status, versions, NOW - timedelta(seconds=ago))


def test_one_run_takes_all_games_that_have_changed_and_only_those() -> None:
    games = {17: GameState(NEW, box_of(OLD)), 18: GameState(NEW, box_of(NEW)), 19: GameState(NEW)}

    assert decide(day_of(games), NOW) == LaunchRun(LIVE, {17: NEW.key, 19: NEW.key}, 1)


def test_the_games_that_wait_longest_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automation, "MAX_GAMES_PER_RUN", 2)
    versions = {17: NEW, 18: OLD, 19: replace(NEW, last_modified=NOW - timedelta(seconds=5))}
    games = {game: GameState(version) for game, version in versions.items()}

    launch = decide(day_of(games), NOW)

    assert isinstance(launch, LaunchRun)
    assert list(launch.versions) == [18, 19]


def test_each_game_has_its_own_attempts() -> None:
    """A game of which no run makes a box score is retried with backoff, and holds up no other."""
    games = {17: GameState(NEW, box_of(OLD)), 18: GameState(NEW, box_of(OLD))}
    runs = [live_run(18, ago=1), *(live_run(17, 19, ago=10 + number) for number in range(MAX_ATTEMPTS + 2))]

    launch = decide(day_of(games, runs), NOW)

    assert launch == LaunchRun(LIVE, {18: NEW.key}, 2)
    assert "succeeded, but its result is not what is stored" in reason(day_of({17: games[17]}, runs))


def test_a_version_of_which_no_box_score_can_be_made_is_not_tried_again() -> None:
    game = GameState(NEW, unprocessable=Unprocessable(NEW.key, lacks_roster=True))

    assert reason(day_of({17: game})).endswith("has no event yet: waiting for the first one")
    assert decide(day_of({17: game._replace(roster="f")}), NOW) == LaunchRun(LIVE, {17: NEW.key}, 1)
    assert decide(day_of({17: game._replace(unprocessable=Unprocessable(OLD.key, False))}), NOW) == LaunchRun(
        LIVE, {17: NEW.key}, 1
    )


def test_the_final_tables_are_launched_while_other_games_go_on() -> None:
    """Under continuous change there is always a game that has changed: the two jobs take turns."""
    games = {17: GameState(NEW, box_of(NEW, final=True)), 18: GameState(NEW, box_of(OLD))}
    finished = Run("12345678-rest", FINISH, SUCCESS, {ALL_GAMES: "r0"}, NOW - timedelta(seconds=3))

    after_a_live_run = day_of(games, [live_run(17, ago=1)], [finished], results="r1")
    after_the_tables = day_of(games, [live_run(17, ago=5)], [finished], results="r1")
    assert decide(after_a_live_run, NOW) == LaunchRun(FINISH, {ALL_GAMES: "r1"}, 1)
    assert decide(after_the_tables, NOW) == LaunchRun(LIVE, {18: NEW.key}, 1)


def test_tables_of_all_final_games_are_launched_no_more() -> None:
    games = {17: GameState(NEW, box_of(NEW, final=True)), 18: GameState(NEW, box_of(NEW))}
    state = day_of(games, [live_run(17, 18)], results="r1", tables=frozenset({"r1"}))

    assert reason(state) == "1 live and 1 final games are up to date: waiting for the next event"


def test_the_game_that_is_furthest_behind_is_named() -> None:
    games = {17: GameState(NEW, box_of(OLD)), 18: GameState(OLD), 19: GameState(OLD, box_of(OLD))}

    assert day_of(games).lag(NOW) == (18, timedelta(minutes=1))
    assert day_of({0: games[18]}).lag(NOW) == (0, timedelta(minutes=1)), "0 is an id as any other"
    assert day_of({}).lag(NOW)[0] == ALL_GAMES != 0


def test_without_a_stream_of_a_scheduled_game_it_waits() -> None:
    assert reason(day_of({})).startswith("there is no stream of a scheduled game in s3://gamestreams/games/ yet")
    assert reason(day_of({17: GameState(replace(NEW, size=0))})).endswith("is empty: waiting for the first event")
