"""Every event has its document, after outages, removals and corrections (docs/contract.md, sections 3 and 6).

The documents in the stores are compared with those of `support/reference_model.py`.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any

import pyarrow as pa
import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from pyspark.sql import DataFrame, SparkSession

from lacrosse_assets.assets.lines import SHOT_COLUMNS
from lacrosse_assets.game.document import Document
from lacrosse_assets.resources.event_documents import MongoEventDocuments
from lacrosse_assets.resources.frames import spark_frame
from lacrosse_assets.resources.object_store import S3ObjectStore, StreamObject
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.world import ENDED, LIVE, MIDDLE, OPENING, PLAYERS, TEAMS, Rows, Run, World

# The events of an outage: shots of all jerseys in turn, an unrostered one among them, and clock rows.
JERSEYS = ("101 6", "205 8", "101 00", "205 77", "0 0", "101 0", "205 6")
OUTAGE = [
    f"{event} {59 - event // 2:02}:30 {JERSEYS[event % 7]} {int(event % 7 != 4 and event % 3 == 0)}"
    for event in range(100)
]


def timeline_of(lines: Sequence[str], players: Rows = PLAYERS) -> list[Document]:
    body = "".join(f"{line}\n" for line in lines).encode()
    return reference_model.timeline(
        body, 101, 205, [dict(team) for team in TEAMS], [dict(player) for player in players]
    )


def contents(world: World) -> list[Document]:
    """The documents, without stream and fingerprint."""
    return [without_versions(document) for document in world.documents()]


def without_versions(document: Document) -> Document:
    return {field: value for field, value in document.items() if field not in ("stream", "fingerprint")}


def live_run(world: World, *lines: str) -> Run:
    world.put(*lines)
    run = world.materialize(*LIVE)
    assert run.success
    return run


def counts(run: Run) -> tuple[Any, Any, Any]:
    box = run.metadata["boxscore_doc"]
    return box["document"], box["documents_backfilled"], box["documents_removed"]


def test_events_between_two_runs_have_their_documents(world: World) -> None:
    assert counts(live_run(world, *OPENING)) == ("written", 0, 0)
    assert counts(live_run(world, *MIDDLE)) == ("written", 1, 0)
    assert counts(live_run(world, *ENDED)) == ("written", 1, 0)

    assert contents(world) == timeline_of(ENDED)
    assert [document["final"] for document in world.documents()] == [False] * 4 + [True]


def test_after_an_outage_no_event_is_missing(world: World) -> None:
    live_run(world, *OUTAGE[:3])

    assert counts(live_run(world, *OUTAGE)) == ("written", len(OUTAGE) - 4, 0)

    assert contents(world) == timeline_of(OUTAGE)


def test_a_replay_with_fewer_events_keeps_none_of_the_others(world: World) -> None:
    live_run(world, *ENDED)
    replayed = [line for line in ENDED if not line.startswith(("1 ", "4 ", "-1 "))]

    # Event 0 is the same in both; without event 1, events 2 and 3 are others than they were.
    assert counts(live_run(world, *replayed)) == ("written", 1, 2)

    assert [document["_id"] for document in world.documents()] == [0, 2, 3]
    assert contents(world) == timeline_of(replayed)


def test_a_corrected_line_changes_its_event_and_those_after_it(world: World) -> None:
    live_run(world, *ENDED)
    first, *_ = world.documents()
    corrected = [line.replace("1 40:00 205 8 1", "1 40:00 205 6 0") for line in ENDED]

    assert counts(live_run(world, *corrected)) == ("written", 3, 0)

    assert contents(world) == timeline_of(corrected)
    assert world.documents()[0] == first, "an unchanged document is not written again"


def test_the_terminator_is_no_part_of_an_event_that_another_follows(world: World) -> None:
    live_run(world, *MIDDLE, "-1 20:00 0 0 0")
    assert world.document()["final"]

    assert counts(live_run(world, *MIDDLE, "3 02:15 101 0 1")) == ("written", 1, 0)

    assert contents(world) == timeline_of([*MIDDLE, "3 02:15 101 0 1"])


def test_events_that_come_out_of_order_are_put_in_between(world: World) -> None:
    live_run(world, "5 30:00 101 6 1", "3 40:00 205 8 1")
    shuffled = ("5 30:00 101 6 1", "3 40:00 205 8 1", "4 35:00 205 8 1", "0 59:00 0 0 0")

    # Events 0 and 4 are new, and 3 and 5 have more behind them than before.
    assert counts(live_run(world, *shuffled)) == ("written", 3, 0)

    assert contents(world) == timeline_of(shuffled)


def test_a_roster_changed_in_mid_game_is_that_of_all_documents(world: World) -> None:
    live_run(world, *MIDDLE)
    players = [{**player, "name": "kim lee"} if player["id"] == 12 else player for player in PLAYERS]
    world.reset_tables(players=players)

    assert counts(live_run(world, *MIDDLE)) == ("written", 2, 0)

    assert contents(world) == timeline_of(MIDDLE, players)


def test_a_document_that_was_removed_is_backfilled(world: World) -> None:
    live_run(world, *ENDED)
    before = contents(world)
    with world.boxscores() as boxscores:
        boxscores.delete_many({"_id": {"$in": [1, 3]}})

    assert counts(world.materialize(*LIVE)) == ("unchanged", 2, 0)

    assert contents(world) == before


class Recorder(CommandListener):
    """The names of the commands that a client sends, of those that read and write documents."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "update", "delete"):
            self.names.append(event.command_name)
            self.before(len(self.names) - 1)

    def before(self, number: int) -> None:
        """Called ahead of each command."""

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


def recording(world: World) -> tuple[MongoEventDocuments, Recorder]:
    recorder = Recorder()

    class Store(MongoEventDocuments):
        def connect(self) -> Any:
            return MongoClient(self.uri, tz_aware=True, event_listeners=[recorder])

    return world.document_store(Store), recorder


def test_a_second_run_writes_nothing(world: World) -> None:
    live_run(world, *ENDED)
    before = world.documents()
    store, recorder = recording(world)

    run = world.materialize(*LIVE, documents=store)

    assert counts(run) == ("unchanged", 0, 0)
    assert world.documents() == before
    assert set(recorder.names) == {"find"}


def test_a_hundred_events_are_one_bulk_write_after_the_current_one(world: World) -> None:
    world.put(*OUTAGE)
    store, recorder = recording(world)

    assert world.materialize(*LIVE, documents=store).success

    assert [name for name in recorder.names if name != "find"] == ["update", "update"]


def test_thousands_of_events_take_a_few_seconds(world: World) -> None:
    """Whatever grew with the square of their number would take minutes."""
    lines = [f"{event} 30:{event % 60:02} {JERSEYS[event % 7]} {int(event % 3 == 0)}" for event in range(5_000)]
    live_run(world, *lines[:10])
    assert counts(live_run(world, *lines)) == ("written", 4_989, 0)

    # All but the first one are others now.
    assert counts(live_run(world, lines[0], *lines[2:])) == ("written", 4_997, 1)

    assert len(set(world.document_store().fingerprints().values())) == 4_999


def test_where_only_the_latest_event_is_new_the_lines_are_sent_to_spark_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_run(world, *MIDDLE)
    sent: list[list[str]] = []

    def recorded(session: SparkSession, table: pa.Table) -> DataFrame:
        sent.append(table.column_names)
        return spark_frame(session, table)

    for asset in ("player_game_stats", "boxscore_doc"):
        monkeypatch.setattr(f"lacrosse_assets.assets.{asset}.spark_frame", recorded)
    live_run(world, *MIDDLE, "3 02:15 101 0 1")

    # By player_game_stats, which counts them; boxscore_doc sends nothing.
    assert sent == [SHOT_COLUMNS]
    assert contents(world) == timeline_of([*MIDDLE, "3 02:15 101 0 1"])


@pytest.mark.parametrize("stale", ["player_game_stats", "raw_gamestream"])
def test_a_frame_of_another_version_makes_no_wrong_document(world: World, stale: str) -> None:
    live_run(world, *MIDDLE)
    world.put(*ENDED)
    assert world.materialize("raw_gamestream").success
    expected: tuple[str, ...] = ENDED
    if stale == "raw_gamestream":
        assert world.materialize("player_game_stats").success
        world.put(*OPENING)
        assert world.materialize("raw_gamestream").success
        expected = OPENING

    assert world.materialize("boxscore_doc", checks=False).success

    assert contents(world) == timeline_of(expected)


def test_a_late_run_of_an_earlier_play_backfills_nothing(world: World) -> None:
    world.put(*ENDED)
    fetched = world.object_store().get()

    class SlowStore(S3ObjectStore):
        """Its GET was answered before the stream was restarted."""

        def get(self) -> StreamObject | None:
            return fetched

    corrected = [line.replace("1 40:00 205 8 1", "1 40:00 205 6 0") for line in MIDDLE]
    live_run(world, *corrected)
    before = world.documents()

    run = world.materialize(*LIVE, object_store=world.object_store(SlowStore))

    assert run.success
    assert run.metadata["boxscore_doc"]["document"] == "not written: a newer one is stored already"
    assert world.documents() == before


# A kill between any two commands of a run.


class Killed(BaseException):
    """The process was killed."""


def dying(world: World, dies_at: int) -> MongoEventDocuments:
    """The store of a run that dies ahead of its command of this number."""

    class Death(Recorder):
        def before(self, number: int) -> None:
            if number == dies_at:
                raise Killed

    class Store(MongoEventDocuments):
        def connect(self) -> Any:
            return MongoClient(self.uri, tz_aware=True, event_listeners=[Death()])

    return world.document_store(Store)


@pytest.mark.parametrize("before", [ENDED, OPENING], ids=["from a longer play", "from a shorter play"])
def test_a_run_killed_at_any_command_is_completed_by_the_next(world: World, before: tuple[str, ...]) -> None:
    live_run(world, *[line.replace(" 101 6 1", " 101 0 1") for line in before])
    there = world.documents()
    lines = [*OPENING, "2 45:00 205 6 1", "3 31:10 205 6 0"]
    expected = timeline_of(lines)
    world.put(*lines)
    assert world.materialize("raw_gamestream", "roster", "player_game_stats").success

    for dies_at in count():
        with world.boxscores() as boxscores:
            boxscores.delete_many({})
            boxscores.insert_many([{**document} for document in there])
        if world.materialize("boxscore_doc", documents=dying(world, dies_at), checks=False).success:
            break
        *earlier, last = world.documents()
        if last["_id"] != there[-1]["_id"]:
            assert without_versions(last) == expected[-1], f"killed ahead of command {dies_at}"
            assert all(without_versions(each) in expected for each in earlier if each != there[-1])
        else:
            assert last == there[-1]
        assert world.materialize("boxscore_doc", checks=False).success
        assert contents(world) == expected
    assert dies_at >= 7
    assert contents(world) == expected
