"""The sensor on a Dagster instance (docs/contract.md, section 5). Its decision alone: unit/test_automation.py."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from dagster import DagsterInstance, DagsterRunStatus, DefaultSensorStatus, Failure, RunRequest
from dagster._grpc.client import DEFAULT_SENSOR_GRPC_TIMEOUT

from lacrosse_assets import sensors, state_reader
from lacrosse_assets.automation import AutomationState
from lacrosse_assets.checks import IS_FRESH
from lacrosse_assets.resources.documents import READ_TIMEOUT_SECONDS
from lacrosse_assets.resources.event_documents import MongoEventDocuments
from lacrosse_assets.resources.object_store import (
    VERSIONS_TIMEOUT_SECONDS,
    S3ObjectStore,
    StreamObject,
    StreamVersion,
)
from lacrosse_assets.resources.sql import LOCK_TIMEOUT_SECONDS
from lacrosse_assets.state_reader import VERSION_TAG
from lacrosse_assets_tests.support.proxy import proxy_to
from lacrosse_assets_tests.support.world import ENDED, FINAL, MIDDLE, OPENING, World, closed_port, recording_s3

LIVE, FINISH = "live_boxscore", "finish_game"


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

    world.sql("DELETE FROM players")  # the sensor does not read it here
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


def test_it_polls_by_a_head_and_never_downloads(world: World) -> None:
    asked: list[str] = []
    world.put(*OPENING)

    assert isinstance(world.tick(object_store=world.object_store(s3=recording_s3(asked))), RunRequest)
    assert asked == ["HeadObject"]


def test_a_change_is_seen_while_it_polls(world: World) -> None:
    world.put(*OPENING)
    world.tick_and_run()
    producer = threading.Timer(1.5, world.put, MIDDLE)
    producer.start()
    assert isinstance(world.tick(poll_seconds=60), RunRequest)
    producer.join()


def test_a_run_is_launched_as_soon_as_the_active_one_ends(world: World) -> None:
    world.put(*OPENING)
    run_id = world.tick_and_run().run_id
    job = world.definitions().resolve_job_def("live_boxscore")
    under_way = world.instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    assert under_way.run_id != run_id
    world.put(*MIDDLE)
    end = threading.Timer(1.5, world.instance.report_run_failed, (under_way,))
    end.start()
    assert isinstance(world.tick(poll_seconds=60), RunRequest)
    end.join()


def test_while_nothing_changes_it_polls_the_stream_and_seldom_reads_the_records(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(*OPENING)
    world.tick_and_run()
    heads: list[str] = []
    reads: list[object] = []
    read = state_reader.StateReader.read

    def counted(*seen: Any) -> AutomationState:
        reads.append(seen)
        return read(*seen)

    monkeypatch.setattr(state_reader.StateReader, "read", counted)
    store = world.object_store(s3=recording_s3(heads))
    assert "waiting for the next event" in str(world.tick(poll_seconds=4, object_store=store))
    assert set(heads) == {"HeadObject"}
    assert 2 <= len(reads) <= 6
    assert len(heads) > 2 * len(reads)


def test_a_missing_box_score_is_reported_as_stale_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(*OPENING)
    world.tick_and_run()
    assert [result.passed for result in world.evaluations(IS_FRESH)] == [True]

    world.put(*MIDDLE)
    request = requested(world.tick())
    assert len(world.evaluations(IS_FRESH)) == 1, "it is not stale yet"
    monkeypatch.setattr(sensors, "STALE_AFTER", timedelta(0))
    for _ in range(2):
        assert not world.launch(request, object_store=world.object_store(BrokenStore)).success
        world.tick()
    stale, _ = world.evaluations(IS_FRESH)
    assert not stale.passed
    assert str(stale.description).startswith("the stream has been newer than the box score for")
    assert str(stale.description).endswith("attempt 2 of live_boxscore is launched")

    assert world.launch(request).success
    assert [result.passed for result in world.evaluations(IS_FRESH)] == [True, False, True]


def test_a_hundred_failures_are_one_line_per_tick_and_no_storm_of_runs(world: World) -> None:
    world.put(*OPENING)
    request = requested(world.tick())
    job = world.definitions().resolve_job_def(LIVE)
    for _ in range(100):
        run = world.instance.create_run_for_job(job, tags=request.tags, status=DagsterRunStatus.STARTED)
        world.instance.report_run_failed(run)
    reasons = {str(world.tick()) for _ in range(5)}
    assert all("20 attempts in a row without success: see the run's log" in line for line in reasons)
    assert all("\n" not in line and len(line) < 250 for line in reasons)


def test_an_etag_is_done_when_its_run_succeeded_and_not_when_it_was_launched(world: World) -> None:
    etag = world.put(*OPENING)
    broken = world.object_store(BrokenStore)

    first = requested(world.tick())
    assert first.job_name == LIVE
    assert first.tags[VERSION_TAG].startswith(etag)
    assert requested(world.tick()).tags == first.tags, "a request that was lost is made again"

    assert not world.launch(first, object_store=broken).success
    second = requested(world.tick())
    assert (second.job_name, second.tags["lacrosse/attempt"]) == (LIVE, "2")

    assert not world.launch(second, object_store=broken).success
    assert "failed: attempt 3" in str(world.tick())

    # A run that a person launched counts as well. The attempts for the next event start at 1.
    assert world.launch(second).success
    assert world.tick() == f"the box score is that of ETag {etag}: waiting for the next event"
    assert requested(next_event(world)).tags["lacrosse/attempt"] == "1"


def next_event(world: World) -> RunRequest | str:
    world.put(*MIDDLE)
    return world.tick()


def test_a_run_that_was_killed_is_retried(world: World) -> None:
    world.put(*OPENING)
    request = requested(world.tick())
    job = world.definitions().resolve_job_def(LIVE)
    run = world.instance.create_run_for_job(job, tags=request.tags, status=DagsterRunStatus.STARTED)

    assert f"{run.run_id.split('-')[0]} is active" in str(world.tick())
    world.put(*MIDDLE)
    assert "is active" in str(world.tick()), "also for a newer stream"
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

    # In another second: within one, the documents of `MIDDLE` might as well be the newer ones.
    world.replay(*OPENING, "1 50:00 101 6 0")
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


def test_a_version_that_returns_after_a_run_fetched_another_is_processed(world: World) -> None:
    """Within a second, so that its version is the same: two producers by turns."""
    world.put(*OPENING)
    asked_for = world.object_store().head()
    request = requested(world.tick())
    world.put(*MIDDLE)
    assert world.launch(request).success

    class Back(S3ObjectStore):
        def head(self) -> StreamVersion | None:
            return asked_for

    again = requested(world.tick(object_store=world.object_store(Back)))
    assert again.tags[VERSION_TAG] == request.tags[VERSION_TAG]


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


def test_a_stream_that_is_written_again_before_each_tick_does_not_hold_up_the_tables(world: World) -> None:
    jobs = []
    for _ in range(3):
        world.replay(*ENDED)
        request = requested(world.tick())
        jobs.append(request.job_name)
        assert world.launch(request).success

    assert jobs == [LIVE, FINISH, LIVE]
    assert all(world.table(name) for name in FINAL)


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


# Stores that hang.


def test_a_tick_ends_before_dagster_gives_up_on_it() -> None:
    """Dagster's own error then is `Unable to reach the user code server`, which names the wrong thing."""
    first = state_reader.REFERENCE_TIMEOUT_SECONDS + VERSIONS_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS
    # A poll, or reading the rosters, may begin at the very end. Either reads the box scores again.
    last = max(VERSIONS_TIMEOUT_SECONDS, state_reader.REFERENCE_TIMEOUT_SECONDS) + READ_TIMEOUT_SECONDS

    assert max(first, sensors.POLL_SECONDS + last) < DEFAULT_SENSOR_GRPC_TIMEOUT - 10
    assert state_reader.REFERENCE_TIMEOUT_SECONDS > LOCK_TIMEOUT_SECONDS, "a lock is named as such"


def test_a_slow_store_makes_no_tick_longer(world: World) -> None:
    """The pause after a slow poll is a long one. At the end of a tick, it may not be followed by another poll."""

    polls: list[None] = []

    class SlowStore(S3ObjectStore):
        def head(self) -> StreamVersion | None:
            polls.append(None)
            time.sleep(1.5)
            return super().head()

    assert "waiting for a game to start" in str(world.tick(2, object_store=world.object_store(SlowStore)))
    assert len(polls) == 1


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "MONGODB_URI"])
def test_a_store_that_hangs_is_a_skip_that_names_it(
    world: World, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    world.put(*OPENING)
    server = urlsplit(world.environ[variable])
    with proxy_to(str(server.hostname), int(server.port or 0)) as proxy:
        monkeypatch.setenv(variable, server._replace(netloc=f"127.0.0.1:{proxy.port}").geturl())
        proxy.hang()

        decision = str(world.tick())

        store = "object store" if variable == "AWS_ENDPOINT_URL_S3" else "document store"
        assert decision.startswith(f"{store} at ")
        assert f"127.0.0.1:{proxy.port}" in decision


# Decisions depend on what is stored.


class AheadStore(MongoEventDocuments):
    """Reports that a newer box score is stored already, as with a wrong clock, and writes nothing."""

    def write(self, *_: Any, **__: Any) -> None:
        return None


def test_a_successful_run_that_wrote_nothing_is_retried(world: World) -> None:
    world.put(*MIDDLE)
    assert world.tick_and_run().success
    world.put(*ENDED)
    request = requested(world.tick())
    assert world.launch(request, documents=world.document_store(AheadStore)).success

    again = requested(world.tick())
    assert (again.job_name, again.tags["lacrosse/attempt"]) == (LIVE, "2")
    assert world.launch(again).success
    assert requested(world.tick()).job_name == FINISH


def test_documents_of_a_wrong_clock_delay_nothing(world: World) -> None:
    """Those of the game so far were fetched, and the stream was dated, by clocks that were ahead."""
    world.put(*MIDDLE)
    assert world.tick_and_run().success
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with world.boxscores() as boxscores:
        boxscores.update_many({}, {"$set": {"stream.fetched_at": ahead, "stream.last_modified": ahead}})

    world.put(*ENDED)
    assert [world.tick_and_run().success for _ in range(2)] == [True, True]
    assert "waiting for a new game" in str(world.tick())
    assert world.document()["final"]
    assert all(world.table(name) for name in FINAL)


def test_lost_documents_are_computed_again(world: World) -> None:
    """The document store was restored from a backup, for example."""
    world.put(*ENDED)
    assert [world.tick_and_run().success for _ in range(2)] == [True, True]
    before = world.documents()
    with world.boxscores() as boxscores:
        boxscores.delete_many({"_id": {"$gte": 2}})

    assert world.tick_and_run().success

    assert [document["_id"] for document in world.documents()] == [document["_id"] for document in before]
    assert "waiting for a new game" in str(world.tick())


def test_a_stream_without_an_event_is_processed_once(world: World) -> None:
    for lines in (["hello"], ["  "]):
        world.put(*lines)
        run = world.tick_and_run()
        assert run.success
        assert run.metadata["boxscore_doc"]["document"] == "none: the stream has no event yet"
        assert "has no event yet: waiting for the first one" in str(world.tick())


def test_an_unreachable_document_store_is_a_skip_that_names_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(*OPENING)
    monkeypatch.setenv("MONGODB_URI", f"mongodb://user:s3cr3t@127.0.0.1:{closed_port()}")
    monkeypatch.setattr(sensors, "STALE_AFTER", timedelta(0))

    decision = str(world.tick())

    assert decision.startswith("document store at 127.0.0.1:")
    assert "s3cr3t" not in decision
    (stale,) = world.evaluations(IS_FRESH)
    assert not stale.passed
    assert "document store at 127.0.0.1:" in str(stale.description), "also where no run gets that far"


# A roster that is corrected.


def test_a_box_score_is_not_compared_with_a_roster_that_was_read_before_it_was_made(world: World) -> None:
    """In the same process, the roster of the earlier game made every box score of the next game look outdated."""
    same_process = world.definitions()
    world.put(*OPENING)
    assert world.launch(requested(world.tick(definitions=same_process))).success
    assert "waiting for the next event" in str(world.tick(definitions=same_process)), "the roster is read"

    correct(world)
    world.put(*MIDDLE)
    assert world.launch(requested(world.tick(definitions=same_process))).success

    assert "waiting for the next event" in str(world.tick(definitions=same_process))


def correct(world: World) -> None:
    """Jersey 77, which shot, was that of player 12."""
    world.sql("UPDATE players SET number = '77' WHERE id = 12")


@pytest.mark.parametrize("over", [False, True], ids=["in mid-game", "after the end"])
def test_a_corrected_roster_is_counted_without_a_new_event(world: World, over: bool) -> None:
    unknown = [line.replace("205 8 1", "205 77 1") for line in (ENDED if over else MIDDLE)]
    world.put(*unknown)
    assert world.tick_and_run().success
    if over:
        assert world.tick_and_run().success
    assert goals_of_player_12(world) == 0
    waits = "waiting for a new game" if over else "waiting for the next event"
    assert waits in str(world.tick())

    correct(world)

    assert requested(world.tick()).job_name == LIVE
    assert world.tick_and_run().success
    assert goals_of_player_12(world) == 1
    if over:
        assert requested(world.tick()).job_name == FINISH
        assert world.tick_and_run().success
        (row,) = [row for row in world.table("players2") or [] if row["id"] == 12]
        assert (row["shots"], row["goals"]) == (41, 21)
    assert waits in str(world.tick())


def test_tables_follow_a_box_score_that_was_made_by_hand(world: World) -> None:
    world.put(*[line.replace("205 8 1", "205 77 1") for line in ENDED])
    assert [world.tick_and_run().success for _ in range(2)] == [True, True]
    correct(world)
    assert world.materialize("roster", "player_game_stats", "boxscore_doc").success

    assert requested(world.tick()).job_name == FINISH


def test_tables_that_are_dropped_or_unreadable_are_no_correction(world: World) -> None:
    """The simulator drops and recreates them, and a live run reports what is wrong with them."""
    world.put(*MIDDLE)
    assert world.tick_and_run().success

    for statement in ("DELETE FROM players", "DELETE FROM teams", "DROP TABLE players"):
        world.sql(statement)
        if statement != "DELETE FROM players":  # an empty roster is another one
            assert "waiting for the next event" in str(world.tick())


def goals_of_player_12(world: World) -> int:
    goals: int = next(player["goals"] for player in world.document()["away"]["players"] if player["id"] == 12)
    return goals
