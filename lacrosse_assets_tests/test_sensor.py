"""The sensor (CONTRACT.md, section 5): first the decision, which is pure; then its thin shell on a Dagster instance."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus, DefaultSensorStatus, Failure, RunRequest

from lacrosse_assets import sensors
from lacrosse_assets.checks import IS_FRESH
from lacrosse_assets.resources.object_store import S3ObjectStore, StreamObject, StreamVersion
from lacrosse_assets.sensors import PAUSE, TRIES, VERSION_TAG, Ask, Run, decide
from lacrosse_assets_tests.world import ENDED, FINAL, MIDDLE, OPENING, World, closed_port, recording_s3

# The decision.

NOW = datetime(2026, 3, 7, 20, 0, tzinfo=UTC)
OLD = StreamVersion("aaa", NOW - timedelta(minutes=1), 20)
NEW = StreamVersion("bbb", NOW, 40)
LIVE, FINISH = "live_boxscore", "finish_game"
SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED
QUEUED, STARTED, NOT_STARTED = DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED, DagsterRunStatus.NOT_STARTED
# With a process that can get lost.
RUNNING = [DagsterRunStatus.STARTING, STARTED, DagsterRunStatus.CANCELING]


def ran(status: DagsterRunStatus, version: StreamVersion = NEW, *, job: str = LIVE, ago: float = 0) -> Run:
    """A run that was last heard of `ago` seconds before `NOW`."""
    return Run("12345678-rest", job, status, version.key, NOW - timedelta(seconds=ago))


def seen(
    *live_runs: Run,
    version: StreamVersion | None = NEW,
    final_runs: tuple[Run, ...] = (),
    over: StreamVersion | None = None,
    tables: tuple[StreamVersion | None, ...] = (None, None),
) -> sensors.World:
    return sensors.World(
        uri="s3://gamestreams/gamestream.txt",
        version=version,
        live_runs=live_runs,
        final_runs=final_runs,
        over=over and over.key,
        tables=frozenset(table and table.key for table in tables),
    )


def reason(world: sensors.World) -> str:
    verdict = decide(world, NOW)
    assert isinstance(verdict, str), verdict
    return verdict


def test_no_object_is_a_reason_to_wait() -> None:
    assert reason(seen(version=None)) == "there is no s3://gamestreams/gamestream.txt yet: waiting for a game to start"


def test_an_empty_object_is_a_reason_to_wait() -> None:
    assert reason(seen(version=NEW._replace(size=0))).endswith("is empty: waiting for the first event")


@pytest.mark.parametrize(
    "before",
    [(), (ran(SUCCESS, OLD),), (ran(FAILURE, OLD), ran(SUCCESS, OLD))],
    ids=["first", "next", "after a failure"],
)
def test_a_new_version_asks_for_a_live_run(before: tuple[Run, ...]) -> None:
    assert decide(seen(*before), NOW) == Ask(LIVE, NEW.key, 1)


@pytest.mark.parametrize("status", [QUEUED, *RUNNING])
def test_while_a_run_is_under_way_no_second_one_is_asked_for(status: DagsterRunStatus) -> None:
    for world in (
        seen(ran(status, OLD)),
        seen(ran(SUCCESS), over=NEW, final_runs=(ran(status, job=FINISH),)),
        seen(version=NEW, final_runs=(ran(status, OLD, job=FINISH),)),
    ):
        assert "12345678 is under way" in reason(world)


@pytest.mark.parametrize("status", RUNNING)
def test_a_run_that_is_silent_for_long_has_lost_its_process(status: DagsterRunStatus) -> None:
    silence = sensors.SILENCE.total_seconds()

    assert "is under way" in reason(seen(ran(status, ago=silence - 1)))
    assert decide(seen(ran(status, ago=silence)), NOW) == Ask(LIVE, NEW.key, 2)


def test_a_queued_run_is_waited_for_however_long_and_one_that_nobody_launched_is_not() -> None:
    assert "is under way" in reason(seen(ran(QUEUED, ago=86_400)))
    assert decide(seen(ran(NOT_STARTED)), NOW) == Ask(LIVE, NEW.key, 2)


def test_every_status_of_dagster_has_been_thought_of() -> None:
    of_other_kinds_of_runs = {DagsterRunStatus.MANAGED, DagsterRunStatus.SUSPENDED}

    assert {*sensors.UNDER_WAY, SUCCESS, FAILURE, CANCELED, NOT_STARTED, *of_other_kinds_of_runs} == set(
        DagsterRunStatus
    )


def test_a_version_is_done_when_its_run_succeeded() -> None:
    assert reason(seen(ran(SUCCESS))) == "the box score is that of ETag bbb: waiting for the next event"


def test_a_replay_with_the_same_etag_is_another_version() -> None:
    again = NEW._replace(last_modified=NOW + timedelta(minutes=2))

    assert decide(seen(ran(SUCCESS), over=NEW, tables=(NEW, NEW), version=again), NOW) == Ask(LIVE, again.key, 1)


@pytest.mark.parametrize("tables", [(None, None), (OLD, OLD), (NEW, OLD), (NEW, None)])
def test_when_it_is_over_the_tables_are_asked_for(tables: tuple[StreamVersion | None, ...]) -> None:
    assert decide(seen(ran(SUCCESS), over=NEW, tables=tables), NOW) == Ask(FINISH, NEW.key, 1)


def test_tables_of_this_version_are_asked_for_no_more() -> None:
    assert reason(seen(ran(SUCCESS), over=NEW, tables=(NEW, NEW))) == (
        "teams2 and players2 are those of ETag bbb: waiting for a new game"
    )


def test_a_check_that_passed_for_another_version_opens_nothing() -> None:
    assert "waiting for the next event" in reason(seen(ran(SUCCESS), over=OLD, tables=(OLD, OLD)))


@pytest.mark.parametrize("status", [FAILURE, CANCELED])
@pytest.mark.parametrize(("failures", "wait"), [(1, 0), (2, 5), (3, 10), (4, 20), (TRIES, 300), (TRIES + 3, 300)])
def test_a_failed_version_is_tried_again_ever_later(status: DagsterRunStatus, failures: int, wait: int) -> None:
    def after(seconds: float) -> Ask | str:
        return decide(seen(*[ran(status, ago=seconds)] * failures, ran(SUCCESS, OLD)), NOW)

    assert after(wait) == Ask(LIVE, NEW.key, failures + 1)
    if wait:
        early = after(wait - 1)
        assert isinstance(early, str)
        assert early.startswith(f"run {LIVE} 12345678 failed: try {failures + 1} for ETag bbb in 1 s")
        assert ("takes a person" in early) == (failures >= TRIES)


def test_the_final_tables_are_tried_again_like_the_box_score() -> None:
    def after(seconds: float) -> Ask | str:
        failed = (ran(FAILURE, job=FINISH, ago=seconds),) * 2
        return decide(seen(ran(SUCCESS), over=NEW, final_runs=failed), NOW)

    assert after(5) == Ask(FINISH, NEW.key, 3)
    assert "failed: try 3" in str(after(4))


def test_where_they_have_failed_twice_the_box_score_is_made_again_first() -> None:
    def after(*live_runs: Run, failures: int = 2) -> Ask | str:
        failed = (ran(FAILURE, job=FINISH, ago=10),) * failures
        return decide(seen(*live_runs, ran(SUCCESS, ago=30), over=NEW, final_runs=failed), NOW)

    assert after(failures=1) == Ask(FINISH, NEW.key, 2), "a run that was killed, most likely"
    assert after() == Ask(LIVE, NEW.key, 1)
    assert after(ran(SUCCESS, ago=2)) == Ask(FINISH, NEW.key, 3)
    down = [ran(FAILURE, ago=2)] * TRIES
    assert "try 6" in str(after(*down)), "no storm of runs where that fails as well"


def test_only_failures_in_a_row_and_of_this_version_count() -> None:
    of_another = seen(*[ran(FAILURE, OLD)] * TRIES)
    before_a_success = seen(ran(SUCCESS, OLD), *[ran(FAILURE)] * TRIES)

    assert decide(of_another, NOW) == decide(before_a_success, NOW) == Ask(LIVE, NEW.key, 1)


def test_the_pause_is_longer_than_any_wait_before_it() -> None:
    assert max(sensors.FIRST_WAIT * 2 ** (failures - 2) for failures in range(2, TRIES)) < PAUSE


# The shell.


class BrokenStore(S3ObjectStore):
    """Answers a HEAD and fails at a GET, so that a run fails at once."""

    def get(self) -> StreamObject | None:
        raise Failure("broken", allow_retries=False)


class BrokenHead(S3ObjectStore):
    """Fails at a HEAD, so that a run writes its document and then fails in the checks."""

    def head(self) -> StreamVersion | None:
        raise Failure("broken", allow_retries=False)


def requested(verdict: RunRequest | str) -> RunRequest:
    assert isinstance(verdict, RunRequest), verdict
    return verdict


def test_it_runs_by_default(world: World) -> None:
    sensor = world.definitions().resolve_sensor_def("gamestream_sensor")

    assert sensor.default_status == DefaultSensorStatus.RUNNING
    assert {job.name for job in sensor.jobs} == {LIVE, FINISH}


def test_no_object_yet_is_a_skip_with_a_reason(world: World) -> None:
    assert "waiting for a game to start" in str(world.tick())

    world.sql("DELETE FROM players")  # of no interest to it
    assert "waiting for a game to start" in str(world.tick())


def test_a_bucket_that_is_not_there_yet_is_no_object(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMESTREAM_BUCKET", "test-nobody-created-this")

    assert "there is no s3://test-nobody-created-this/gamestream.txt yet" in str(world.tick())


def test_a_store_that_is_down_is_a_skip_that_names_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-of-the-store")

    verdict = world.tick()

    assert isinstance(verdict, str)
    assert verdict.startswith(f"object store at {address}")
    assert "s3cr3t" not in verdict


def test_it_looks_by_a_head_and_never_downloads(world: World) -> None:
    asked: list[str] = []
    world.put(*OPENING)

    assert isinstance(world.tick(object_store=world.object_store(s3=recording_s3(asked))), RunRequest)
    assert asked == ["HeadObject"]


def test_a_change_is_seen_while_it_looks(world: World) -> None:
    world.put(*OPENING)
    world.tick_and_run()
    producer = threading.Timer(1.5, world.put, MIDDLE)
    producer.start()
    assert isinstance(world.tick(looking_seconds=60), RunRequest)
    producer.join()


def test_a_run_is_asked_for_as_soon_as_the_one_under_way_ends(world: World) -> None:
    world.put(*OPENING)
    run_id = world.tick_and_run().run_id
    job = world.definitions().resolve_job_def("live_boxscore")
    under_way = world.instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    assert under_way.run_id != run_id
    world.put(*MIDDLE)
    end = threading.Timer(1.5, world.instance.report_run_failed, (under_way,))
    end.start()
    assert isinstance(world.tick(looking_seconds=60), RunRequest)
    end.join()


def test_while_nothing_changes_it_looks_at_the_stream_and_seldom_at_the_records(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(*OPENING)
    world.tick_and_run()
    heads: list[str] = []
    reads: list[object] = []
    read = sensors._world

    def counted(*seen: Any) -> sensors.World:
        reads.append(seen)
        return read(*seen)

    monkeypatch.setattr(sensors, "_world", counted)
    store = world.object_store(s3=recording_s3(heads))
    assert "waiting for the next event" in str(world.tick(looking_seconds=4, object_store=store))
    assert set(heads) == {"HeadObject"}
    assert 2 <= len(reads) <= 6
    assert len(heads) > 2 * len(reads)


def test_a_box_score_that_does_not_come_is_told_stale_once_until_it_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(*OPENING)
    world.tick_and_run()
    assert [told.passed for told in world.evaluations(IS_FRESH)] == [True]

    world.put(*MIDDLE)
    request = requested(world.tick())
    assert len(world.evaluations(IS_FRESH)) == 1, "half a minute is given to it"
    monkeypatch.setattr(sensors, "STALE", timedelta(0))
    for _ in range(2):
        assert not world.launch(request, object_store=world.object_store(BrokenStore)).success
        world.tick()
    stale, _ = world.evaluations(IS_FRESH)
    assert not stale.passed
    assert str(stale.description).startswith("the stream has been newer than the box score for")
    assert str(stale.description).endswith("try 2 of live_boxscore is asked for")

    assert world.launch(request).success
    assert [told.passed for told in world.evaluations(IS_FRESH)] == [True, False, True]


def test_a_hundred_failures_are_a_line_each_and_no_storm_of_runs(world: World) -> None:
    world.put(*OPENING)
    request = requested(world.tick())
    job = world.definitions().resolve_job_def(LIVE)
    for _ in range(100):
        run = world.instance.create_run_for_job(job, tags=request.tags, status=DagsterRunStatus.STARTED)
        world.instance.report_run_failed(run)
    told = {str(world.tick()) for _ in range(5)}
    assert all(f"{TRIES} in a row have failed, so this takes a person" in line for line in told)
    assert all("\n" not in line and len(line) < 250 for line in told)


def test_an_etag_is_done_when_its_run_succeeded_and_not_when_it_was_launched(world: World) -> None:
    etag = world.put(*OPENING)
    broken = world.object_store(BrokenStore)

    first = requested(world.tick())
    assert first.job_name == LIVE
    assert first.tags[VERSION_TAG].startswith(etag)
    assert requested(world.tick()).tags == first.tags, "a request that was lost is made again"

    assert not world.launch(first, object_store=broken).success
    second = requested(world.tick())
    assert (second.job_name, second.tags["lacrosse/try"]) == (LIVE, "2")

    assert not world.launch(second, object_store=broken).success
    assert "failed: try 3" in str(world.tick())

    # A person's own run mends it, whoever asked for it. What follows is the next event.
    assert world.launch(second).success
    assert world.tick() == f"the box score is that of ETag {etag}: waiting for the next event"
    assert requested(next_event(world)).tags["lacrosse/try"] == "1"


def next_event(world: World) -> RunRequest | str:
    world.put(*MIDDLE)
    return world.tick()


def test_a_run_that_was_killed_is_tried_again(world: World) -> None:
    world.put(*OPENING)
    request = requested(world.tick())
    job = world.definitions().resolve_job_def(LIVE)
    run = world.instance.create_run_for_job(job, tags=request.tags, status=DagsterRunStatus.STARTED)

    assert f"{run.run_id.split('-')[0]} is under way" in str(world.tick())
    world.put(*MIDDLE)
    assert "is under way" in str(world.tick()), "also for a newer stream"
    world.put(*OPENING)

    world.instance.report_run_failed(run)  # as Dagster's run monitoring does
    again = requested(world.tick())
    assert again.job_name == LIVE


def test_a_slow_run_skips_states_between_and_never_the_last_one(world: World) -> None:
    world.put(*OPENING)
    slow = requested(world.tick())
    world.put(*MIDDLE)
    assert world.launch(slow).success  # asked for the opening, it met the middle

    assert "waiting for the next event" in str(world.tick()), "what the run fetched needs no second one"

    world.put(*OPENING, "1 50:00 101 6 0")
    ended = ""

    class SlowStore(S3ObjectStore):
        """The game goes on, to its end, as soon as the GET is answered."""

        def get(self) -> StreamObject | None:
            nonlocal ended
            stream = super().get()
            ended = world.put(*ENDED)
            return stream

    assert world.launch(requested(world.tick()), object_store=world.object_store(SlowStore)).success
    assert world.document()["_id"] == 1

    last = requested(world.tick())
    assert (last.job_name, last.tags[VERSION_TAG].split()[0]) == (LIVE, ended)


def test_a_stream_that_is_back_at_what_a_run_was_asked_for_and_did_not_meet_is_not_done(world: World) -> None:
    """Within a second, so that its version is the same: two producers by turns."""
    world.put(*OPENING)
    asked_for = world.object_store().head()
    request = requested(world.tick())
    world.put(*MIDDLE)
    assert world.launch(request).success

    class Back(S3ObjectStore):
        def head(self) -> StreamVersion | None:
            return asked_for

    assert requested(world.tick(object_store=world.object_store(Back))).tags == request.tags


def test_the_same_etags_run_again_when_the_game_is_replayed(world: World) -> None:
    """And the final tables are asked for once for each final stream."""
    world.put(*ENDED)
    asked = []
    for _ in range(2):
        for _ in range(2):
            request = requested(world.tick())
            asked.append((request.job_name, request.tags[VERSION_TAG]))
            assert request.run_key is None, "a run key is taken once for ever"
            assert world.launch(request).success
        assert "waiting for a new game" in str(world.tick())
        assert "waiting for a new game" in str(world.tick())
        world.sql("DELETE FROM teams2")
        world.replay(*ENDED)

    assert [job for job, _ in asked] == [LIVE, FINISH, LIVE, FINISH]
    etags = {version.split()[0] for _, version in asked}
    assert len(etags) == 1, "the replay had other ETags than the game"
    assert len(world.table("teams2") or []) == 0


def test_tables_built_by_hand_are_not_built_again(world: World) -> None:
    world.put(*ENDED)
    assert world.tick_and_run().success
    assert world.materialize("teams2").success

    assert requested(world.tick()).job_name == FINISH, "one of the two is not both"
    assert world.materialize(*FINAL).success

    assert "waiting for a new game" in str(world.tick())


def test_a_run_that_fails_before_the_check_does_not_take_its_last_result_away(world: World) -> None:
    world.put(*ENDED)
    live = requested(world.tick())
    assert world.launch(live).success
    assert not world.materialize("boxscore_doc", object_store=world.object_store(BrokenHead)).success
    assert requested(world.tick()).job_name == FINISH


def test_nothing_is_lost_over_a_restart(world: World, tmp_path: Path) -> None:
    """Each daemon has an instance of its own; what they share is what the first one left on the disk."""
    world.put(*ENDED)
    home = tmp_path / "dagster_home"
    home.mkdir()

    with DagsterInstance.local_temp(str(home)) as world.instance:
        assert world.tick_and_run().success
    with DagsterInstance.local_temp(str(home)) as world.instance:
        assert requested(world.tick()).job_name == FINISH
