"""Robustness: replays, late runs, crashes, concurrent readers (docs/contract.md, section 6)."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import product, repeat
from typing import Any, NamedTuple

import pytest
from bson import Decimal128
from dagster import Failure
from pymongo import MongoClient, ReadPreference
from pymongo.errors import BulkWriteError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from pymongo.read_concern import ReadConcern
from sqlalchemy import create_engine, event, text

from lacrosse_assets.game.document import Document
from lacrosse_assets.resources.documents import WriteResult
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.event_documents import EventDocuments, MongoEventDocuments
from lacrosse_assets.resources.game_documents import MongoGameDocuments
from lacrosse_assets.resources.object_store import S3ObjectStore, StreamObject, StreamVersion
from lacrosse_assets_tests.support.world import (
    ENDED,
    FINAL,
    LIVE,
    MIDDLE,
    OPENING,
    PLAYERS,
    SCHEMA,
    TEAMS,
    Stores,
    World,
)

START = datetime(2026, 3, 7, 20, tzinfo=UTC)


# The document store.


def box(event_id: int, fetched: int, *, etag: str | None = None, play: int = 1) -> Document:
    """A box score of a stream that was written `fetched` seconds after the start, and fetched at once."""
    at = START + timedelta(seconds=fetched)
    version = {"etag": etag or f"etag {fetched}", "last_modified": at, "fetched_at": at}
    team = {"teamid": 101, "name": "syracuse", "score": 0, "players": list[Document]()}
    return {
        "_id": event_id,
        "timestamp": "10:00",
        "home": team,
        "away": team,
        "final": False,
        "stream": version,
        "fingerprint": f"event {event_id} of play {play}",
    }


def events(*event_ids: int, play: int = 1) -> dict[int, str]:
    """The fingerprints of a play of these events."""
    return {event_id: f"event {event_id} of play {play}" for event_id in event_ids}


class Write(NamedTuple):
    """Some documents of a play, and all events of it."""

    documents: list[Document]
    timeline: dict[int, str]


def current(document: Document) -> Write:
    """A write of the only document of a play."""
    return Write([document], {document["_id"]: document["fingerprint"]})


def put(store: EventDocuments, write: Write, stream: Document | None = None) -> WriteResult | None:
    """Write, while the stream is of the version of the document `stream`: of this write, if none is given."""
    version = StreamVersion.from_document(stream or write.documents[-1])
    return store.write(*write, latest=lambda: version)


class Killed(BaseException):
    """The process was killed."""


class Watched:
    """The real store; `before` is called ahead of each command of a write, with the command's number from 0."""

    def __init__(self, world: World):
        self._number = 0
        self._before: Callable[[int], None] = lambda _: None
        client: MongoClient[Document] = MongoClient(
            world.environ["MONGODB_URI"], tz_aware=True, event_listeners=[_Commands(self._command)]
        )

        class WatchedStore(MongoEventDocuments):
            def connect(self) -> Any:
                return client

        self._store = world.document_store(WatchedStore)
        self.close = client.close

    def write(self, write: Write, before: Callable[[int], None], stream: Document | None = None) -> WriteResult | None:
        self._number, self._before = 0, before
        return put(self._store, write, stream)

    def commands_of(self, write: Write) -> int:
        """How many commands a write takes when no other writer interferes."""
        numbers: list[int] = []
        self.write(write, numbers.append)
        assert len(numbers) >= 3, "the steps are not seen"
        return len(numbers)

    def _command(self) -> None:
        self._number += 1
        self._before(self._number - 1)


class _Commands(CommandListener):
    def __init__(self, before: Callable[[], None]):
        self._before = before

    def started(self, command: CommandStartedEvent) -> None:
        if command.command_name in ("find", "update", "delete"):
            self._before()

    def succeeded(self, command: CommandSucceededEvent) -> None: ...

    def failed(self, command: CommandFailedEvent) -> None: ...


@pytest.fixture
def watched(world: World) -> Iterator[tuple[Watched, Watched]]:
    """Two of them, for two writers."""
    pair = Watched(world), Watched(world)
    yield pair
    for each in pair:
        each.close()


def store_only(world: World, *documents: Document) -> None:
    """Make these the only documents of the collection."""
    with world.boxscores() as boxscores:
        boxscores.delete_many({})
        if documents:
            boxscores.insert_many([{**document} for document in documents])


def test_a_replay_removes_what_the_earlier_play_left_above_it(world: World) -> None:
    store_only(world, box(0, 1), box(30, 2), box(70, 3))

    assert put(world.document_store(), current(box(0, 4))) == WriteResult(True, 0, 2)

    assert world.documents() == [box(0, 4)]


def test_no_document_of_an_earlier_play_remains_below_the_current_one(world: World) -> None:
    store_only(world, *(box(event_id, 1) for event_id in (0, 1, 2, 3, 70)))
    second = events(0, 2, 3, play=2) | events(0)

    # Event 0 is the same in both, the second has no event 1, 2 is not backfilled yet, 3 is the latest.
    assert put(world.document_store(), Write([box(3, 4, play=2)], second)) == WriteResult(True, 0, 2)

    assert world.documents() == [box(0, 1), box(3, 4, play=2)]


def test_events_without_a_document_are_backfilled(world: World) -> None:
    store_only(world, box(0, 1))
    documents = [box(event_id, 2) for event_id in (1, 2, 3)]

    assert put(world.document_store(), Write(documents, events(0, 1, 2, 3))) == WriteResult(True, 2, 0)

    assert world.documents() == [box(0, 1), *documents]


def test_a_document_without_an_event_is_left_alone(world: World) -> None:
    store_only(world, {"_id": "somebody's note"}, box(70, 1))

    assert put(world.document_store(), current(box(0, 2)))

    assert world.documents() == [box(0, 2), {"_id": "somebody's note"}]


OTHERS = [
    {"_id": "45", "timestamp": "25:17"},
    {"_id": 45.5, "timestamp": "25:17"},
    {"_id": 99, "note": "an integer, and no box score"},
    {"_id": -1, "note": "no event"},
    {"_id": datetime(2030, 1, 1, tzinfo=UTC)},
    {"_id": {"game": 1}},
    {"_id": True},
    {"_id": 98, "stream": {"etag": "x", "last_modified": START}, "note": "of a stream, and no box score"},
    {"_id": 97, "home": "syracuse", "away": "johns hopkins"},
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: str(other["_id"]))
def test_documents_of_others_are_neither_read_nor_changed(world: World, other: Document) -> None:
    store = world.document_store()
    store_only(world, other)
    assert store.current() is None
    assert store.fingerprints() == {}

    assert put(store, current(box(1, 1))) == WriteResult(True, 0, 0)
    assert store.current() == box(1, 1)
    assert store.fingerprints() == events(1)
    assert put(store, current(box(0, 2, play=2))) == WriteResult(True, 0, 1)

    left = world.documents()
    assert len(left) == 2
    assert box(0, 2, play=2) in left
    assert other in left


@pytest.mark.parametrize("event_id", [1, 1.0, Decimal128("1")], ids=["an integer", "a double", "a decimal"])
def test_an_event_whose_id_is_taken_by_another_document_is_reported(world: World, event_id: Any) -> None:
    other = {"_id": event_id, "note": "somebody's"}
    store_only(world, other, box(0, 1))
    later = Write([box(1, 2), box(2, 2)], events(0, 1, 2))

    assert put(world.document_store(), later) == WriteResult(True, 0, 0, blocked=(1,))

    assert world.documents() == [box(0, 1), other, box(2, 2)]


def test_box_scores_of_another_program_give_way(world: World) -> None:
    """Those of other solutions of the exercise, and of earlier releases of this one: their events are the same."""
    store_only(
        world, {"_id": 0, "home": {}, "away": {}}, {"_id": 1, "home": {"score": 1}, "away": {"score": 2}}, box(7, 0)
    )

    assert put(world.document_store(), Write([box(1, 1)], events(0, 1))) == WriteResult(True, 0, 1)

    assert world.documents() == [box(1, 1)]


# Which of two versions is newer. The stream's own dates say it, and where they cannot, what the stream is now.


def test_dates_from_a_clock_that_was_ahead_delay_nothing(world: World) -> None:
    """The object store's clock was an hour ahead for some events, and is set right in mid-game."""
    store, ahead = world.document_store(), 3600
    store_only(world, box(30, ahead), box(70, ahead))

    assert put(store, current(box(30, 4, play=2)), stream=box(31, 5)), "the stream has gone on meanwhile"
    assert world.documents() == [box(30, 4, play=2)]

    store_only(world, box(30, ahead), box(70, ahead))
    assert put(store, current(box(30, 4, play=2))), "the stream is still the same"
    assert world.documents() == [box(30, 4, play=2)]


def test_when_a_run_fetched_by_its_own_clock_decides_nothing(world: World) -> None:
    ahead = box(3, 1)
    ahead["stream"]["fetched_at"] = datetime(2099, 1, 1, tzinfo=UTC)
    store_only(world, ahead)

    assert put(world.document_store(), current(box(2, 2, play=2)), stream=box(9, 9))

    assert world.documents() == [box(2, 2, play=2)]


def test_of_two_versions_of_one_second_the_one_that_the_stream_has_now_is_newer(world: World) -> None:
    store = world.document_store()
    first, second = box(1, 5, etag="first"), box(2, 5, etag="second", play=2)

    for newer, older in ((first, second), (second, first)):
        store_only(world)
        assert put(store, current(older))
        assert put(store, current(newer), stream=newer)
        assert world.documents() == [newer]
        assert put(store, current(older), stream=newer) is None
        assert world.documents() == [newer]


def test_of_two_versions_of_one_second_that_are_both_gone_the_stored_one_stays(world: World) -> None:
    stored, late = box(1, 5, etag="first"), box(2, 5, etag="second", play=2)
    store_only(world, stored)

    assert put(world.document_store(), current(late), stream=box(3, 6)) is None
    assert world.document_store().write(*current(late), latest=lambda: None) is None

    assert world.documents() == [stored]


def test_what_is_clearly_newer_asks_the_object_store_nothing(world: World) -> None:
    store_only(world, box(1, 4))

    def not_asked() -> StreamVersion:
        raise AssertionError

    assert world.document_store().write(*current(box(2, 5)), latest=not_asked)


# Reads are from the primary and writes are acknowledged, whatever options the URI has.


@pytest.mark.parametrize("kind", [MongoEventDocuments, MongoGameDocuments])
@pytest.mark.parametrize(
    "options", ["readPreference=secondary", "readPreference=secondaryPreferred", "w=0", "readConcernLevel=majority"]
)
def test_options_of_the_address_change_neither_what_is_read_nor_that_a_write_is_acknowledged(
    world: World, options: str, kind: type[MongoEventDocuments | MongoGameDocuments]
) -> None:
    uri = world.environ["MONGODB_URI"]
    options = f"{uri}{'&' if '?' in uri else '/?'}{options}"
    store = world.closed_at_the_end(kind(uri=options, database=world.mongo_database))

    collection = store._collection

    assert collection.read_preference == ReadPreference.PRIMARY
    assert collection.read_concern == ReadConcern("local")
    assert collection.write_concern.acknowledged
    if isinstance(store, MongoEventDocuments):
        assert put(store, Write([box(0, 1), box(1, 1)], events(0, 1))) == WriteResult(True, 1, 0)
        assert world.documents() == [box(0, 1), box(1, 1)]


def replicas_do_not_respond(_: str) -> dict[str, Any]:
    return {"writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}], "writeErrors": []}


def a_validator_refuses(document_id: str) -> dict[str, Any]:
    error = {"index": 0, "code": 121, "errmsg": f"Document {document_id} failed validation"}
    return {"writeErrors": [error], "writeConcernErrors": []}


@pytest.mark.parametrize("problem", [replicas_do_not_respond, a_validator_refuses])
def test_a_write_that_is_not_as_safe_as_the_address_demands_is_an_error(
    world: World, problem: Callable[[str], dict[str, Any]]
) -> None:
    """With the server's reason: pymongo's own message is "batch op errors occurred"."""
    details = problem("1")

    class Refusing:
        def __init__(self, collection: Any):
            self._wrapped = collection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._wrapped, name)

        def bulk_write(self, *_: Any, **__: Any) -> None:
            raise BulkWriteError(details)

    class RefusingStore(MongoEventDocuments):
        @property
        def _collection(self) -> Any:
            return Refusing(super()._collection)

    (expected,) = [each["errmsg"] for errors in details.values() for each in errors]
    with pytest.raises(StoreError) as raised:
        put(world.document_store(RefusingStore), current(box(1, 1)))
    assert str(raised.value.description).endswith(f": {expected}")


def test_a_write_that_is_removed_at_once_is_made_again(world: World, watched: tuple[Watched, Watched]) -> None:
    """Nobody has written anything newer, so it is not taken back for a writer that is not there."""
    store_only(world, box(0, 1))

    def remove(number: int) -> None:
        if number == 2:
            with world.boxscores() as boxscores:
                boxscores.delete_one({"_id": 1})

    assert watched[0].write(current(box(1, 2, play=2)), remove)

    assert world.document() == box(1, 2, play=2)


def test_a_writer_that_is_always_superseded_reports_it(world: World, watched: tuple[Watched, Watched]) -> None:
    def write(number: int) -> None:
        with world.boxscores() as boxscores:
            boxscores.replace_one({"_id": 1}, {**box(1, 1), "fingerprint": f"another {number}"}, upsert=True)

    with pytest.raises(StoreError, match=r"another writer keeps changing document 1 of test-.*\.boxscores: check that"):
        watched[0].write(current(box(1, 2)), write)


def test_a_box_score_of_the_same_play_removes_nothing(world: World) -> None:
    store = world.document_store()
    for event_id, fetched in ((0, 1), (5, 2), (9, 3)):
        assert put(store, Write([box(event_id, fetched)], events(0, 5, 9)))

    assert [document["_id"] for document in world.documents()] == [0, 5, 9]
    assert store.current() == box(9, 3)


# Ids of an older and a newer box score: the same event, a game that went on, a game that restarted.
IDS = [(5, 5), (3, 5), (5, 3)]


@pytest.mark.parametrize(("older_id", "newer_id"), IDS)
def test_whichever_is_written_last_the_newer_box_score_is_the_current_one(
    world: World, older_id: int, newer_id: int
) -> None:
    older, newer = box(older_id, 1), box(newer_id, 2, play=2)
    store = world.document_store()

    store_only(world)
    assert put(store, current(older))
    assert put(store, current(newer))
    assert world.documents() == [newer]

    store_only(world)
    assert put(store, current(newer))
    assert put(store, current(older), stream=newer) is None
    assert world.documents() == [newer]


class Writer(threading.Thread):
    """A write that stops ahead of its command number `stop`, until `to_the_end` is called."""

    def __init__(self, store: Watched, write: Write, stop: int, stream: Document):
        super().__init__()
        self._store, self._write, self._stop_ahead_of, self._stream = store, write, stop, stream
        self._stopped_or_done, self._go_on = threading.Event(), threading.Event()

    def run(self) -> None:
        try:
            self._store.write(self._write, self._before, self._stream)
        finally:
            self._stopped_or_done.set()

    def _before(self, number: int) -> None:
        if number == self._stop_ahead_of:
            self._stopped_or_done.set()
            self._go_on.wait()

    def up_to_the_stop(self) -> None:
        self.start()
        self._stopped_or_done.wait()

    def to_the_end(self) -> None:
        self._go_on.set()
        self.join()


@pytest.mark.parametrize("older_first", [True, False], ids=["older first", "newer first"])
@pytest.mark.parametrize("second", [3, 2], ids=["a second apart", "in one second"])
@pytest.mark.parametrize(("older_id", "newer_id"), IDS)
def test_two_writers_interleaved_at_every_step_leave_the_newer_box_score(
    world: World, watched: tuple[Watched, Watched], older_id: int, newer_id: int, second: int, older_first: bool
) -> None:
    older, newer = current(box(older_id, 2)), current(box(newer_id, second, etag="newer", play=2))
    stale = box(9, 1, play=0)
    interleave(world, watched, [stale], (older, newer) if older_first else (newer, older), newer)


@pytest.mark.parametrize("older_first", [True, False], ids=["older first", "newer first"])
@pytest.mark.parametrize("newer_play", [1, 2], ids=["the same play", "another play"])
def test_two_writers_that_backfill_leave_no_document_of_another_play(
    world: World, watched: tuple[Watched, Watched], newer_play: int, older_first: bool
) -> None:
    stale = [box(0, 1), box(9, 1, play=0)]
    # Event 0 is the same in both plays. The older one was fetched before event 3.
    older = Write([box(event_id, 2) for event_id in (1, 2)], events(0, 1, 2))
    newer = Write([box(event_id, 3, play=newer_play) for event_id in (1, 3)], events(0) | events(1, 3, play=newer_play))
    interleave(world, watched, stale, (older, newer) if older_first else (newer, older), newer)


def interleave(
    world: World, watched: tuple[Watched, Watched], before: list[Document], writes: tuple[Write, Write], newer: Write
) -> None:
    """Two writes, each stopped ahead of each of its commands, leave the newer one's box score as the current one, and
    no other that is not of its timeline."""
    stops = []
    for each, write in zip(watched, writes, strict=True):
        store_only(world, *before)
        stops.append(range(each.commands_of(write) + 1))

    for pair in product(*stops):
        store_only(world, *before)
        first, second = map(Writer, watched, writes, pair, repeat(newer.documents[-1]))
        first.up_to_the_stop()
        second.up_to_the_stop()
        first.to_the_end()
        second.to_the_end()

        *earlier, last = world.documents()
        assert last == newer.documents[-1], f"stops {pair}"
        there = {document["_id"]: document["fingerprint"] for document in earlier}
        assert there.items() <= newer.timeline.items(), f"stops {pair}"


def test_a_write_killed_at_any_step_is_true_before_and_repaired_after(
    world: World, watched: tuple[Watched, Watched]
) -> None:
    # The first play was at event 46 when the second was seen at event 2, with event 0 as before and another event 1.
    before = [box(0, 1), box(1, 1), box(46, 2)]
    second = events(0) | events(1, 2, play=2)
    write = Write([box(1, 3, play=2), box(2, 3, play=2)], second)
    store_only(world, *before)
    store = watched[0]

    for killed_at in range(store.commands_of(write)):
        store_only(world, *before)

        def kill(number: int, at: int = killed_at) -> None:
            if number == at:
                raise Killed

        with pytest.raises(Killed):
            store.write(write, kill)
        left = world.documents()
        assert left[-1] in (before[-1], write.documents[-1]), f"killed ahead of command {killed_at}"

        # The next run fetches the same stream again.
        there = world.document_store().fingerprints()
        missing = [event_id for event_id in (1, 2) if there.get(event_id) != second[event_id]]
        again = [box(event_id, 3, play=2) for event_id in sorted({*missing, 2})]
        assert put(world.document_store(), Write(again, second))
        assert world.document_store().fingerprints() == second
        assert world.document()["stream"]["etag"] == "etag 3"


# Whole runs.


def without_times(document: Document) -> Document:
    """What a replay has in common with the game."""
    return {**document, "stream": document["stream"]["etag"]}


def test_a_run_repeated_writes_the_same_document(world: World) -> None:
    world.put(*MIDDLE)
    assert world.materialize(*LIVE).success
    first = world.documents()

    assert world.materialize(*LIVE).success

    assert world.documents() == first


def test_a_replay_from_the_first_box_score_to_the_final_tables(world: World) -> None:
    world.put(*ENDED)
    assert world.materialize().success
    finals, document = [world.table(name) for name in FINAL], world.document()

    world.reset_tables()
    world.put(*OPENING)
    assert world.tick_and_run().success
    assert [each["_id"] for each in world.documents()] == [0]
    assert [world.table(name) for name in FINAL] == finals, "the last result stays until the new game is over"

    world.put(*MIDDLE)
    assert world.tick_and_run().success
    assert [each["_id"] for each in world.documents()] == [0, 1, 2]
    assert [world.table(name) for name in FINAL] == finals

    world.put(*ENDED)
    assert world.tick_and_run().success
    assert world.tick_and_run().success
    assert without_times(world.document()) == without_times(document)
    assert [world.table(name) for name in FINAL] == finals, "a game counts once, however often it is played"


@pytest.mark.parametrize(
    ("late", "now"), [(OPENING, MIDDLE), (ENDED, OPENING)], ids=["a state between", "of the game before"]
)
def test_a_run_that_ends_late_changes_nothing(world: World, late: tuple[str, ...], now: tuple[str, ...]) -> None:
    world.put(*late)
    fetched = world.object_store().get()

    class SlowStore(S3ObjectStore):
        """Its GET was answered before the stream went on."""

        def get(self) -> StreamObject | None:
            return fetched

    world.put(*now)
    assert world.materialize(*LIVE).success
    documents = world.documents()

    run = world.materialize(*LIVE, object_store=world.object_store(SlowStore))

    assert run.success
    assert world.documents() == documents
    assert run.metadata["boxscore_doc"]["document"] == "not written: a newer one is stored already"
    assert [line for line in run.log if line.startswith("a newer box score is stored already")]
    assert not run.checks["boxscore_doc.game_over"].passed, "the check is about the current box score"


# The final tables.


def generation(number: int) -> dict[str, list[dict[str, Any]]]:
    """Rows of both tables, each different from that of any other generation."""
    return {
        "teams2": [{**row, "wins": number} for row in TEAMS],
        "players2": [{**row, "shots": number} for row in PLAYERS],
    }


def no_precondition() -> None: ...


READERS = {
    "both tables in one transaction": ("SERIALIZABLE", "SELECT wins FROM teams2 UNION ALL SELECT shots FROM players2"),
    "one table, as anybody would": (None, "SELECT shots FROM players2"),
}


@pytest.mark.parametrize(("isolation", "query"), READERS.values(), ids=READERS)
def test_a_reader_at_any_moment_sees_the_old_rows_or_the_new(world: World, isolation: str | None, query: str) -> None:
    database = world.reference_db()
    database.replace(generation(0), no_precondition)
    # Another shape than the original's, so that the first replacement has to drop and create it.
    world.sql("ALTER TABLE players2 ADD nickname VARCHAR(5)")
    seen: list[tuple[int, frozenset[int]]] = []
    enough = threading.Event()

    def read_on() -> None:
        engine = create_engine(world.environ["SIDEARMDB_URL"], connect_args={"timeout": 60})
        if engine.dialect.name == "sqlite":
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        elif isolation:
            engine = engine.execution_options(isolation_level=isolation)
        try:
            while len({generations for _, generations in seen}) < 15:
                with engine.begin() as connection:
                    numbers = list(connection.execute(text(query)).scalars())
                seen.append((len(numbers), frozenset(numbers)))
        finally:
            enough.set()
            engine.dispose()

    reader = threading.Thread(target=read_on)
    reader.start()
    number = 0
    while not enough.is_set():
        number += 1
        database.replace(generation(number), no_precondition)
    reader.join()

    whole = len(PLAYERS) + (len(TEAMS) if isolation else 0)
    assert {count for count, _ in seen} == {whole}
    assert {len(generations) for _, generations in seen} == {1}, "rows of two generations at once"
    assert len(set(seen)) == 15


@pytest.fixture(params=["no table yet", "tables of the last game", "tables of another shape"])
def tables_before(request: pytest.FixtureRequest, world: World) -> list[Any]:
    if request.param != "no table yet":
        world.reference_db().replace(generation(1), no_precondition)
    if request.param == "tables of another shape":
        world.sql("ALTER TABLE teams2 ADD motto VARCHAR(5)")
    return [world.table(name) for name in FINAL]


def test_a_failed_precondition_leaves_all_as_it_was(world: World, tables_before: list[Any]) -> None:
    def failed_precondition() -> None:
        raise Failure("a newer box score came")

    with pytest.raises(Failure, match="a newer box score came"):
        world.reference_db().replace(generation(2), failed_precondition)

    assert [world.table(name) for name in FINAL] == tables_before


def test_a_kill_before_the_commit_leaves_all_as_it_was(world: World, tables_before: list[Any]) -> None:
    def kill() -> None:
        raise Killed

    with suppress(Killed):
        world.reference_db().replace(generation(2), kill)
    assert [world.table(name) for name in FINAL] == tables_before

    world.reference_db().replace(generation(3), no_precondition)
    assert [world.table(name) for name in FINAL] == list(generation(3).values()), "the next one repairs it"


def test_an_invalid_row_leaves_both_tables_as_they_were(world: World, tables_before: list[Any]) -> None:
    rows = generation(2)
    rows["players2"][-1]["name"] = None

    with pytest.raises(StoreError, match="reference database"):
        world.reference_db().replace(rows, no_precondition)

    assert [world.table(name) for name in FINAL] == tables_before


def test_the_final_tables_have_the_columns_of_their_originals_and_no_foreign_key(world: World) -> None:
    for _ in range(2):
        world.reference_db().replace(generation(1), no_precondition)

        for name, original in (("teams2", "teams"), ("players2", "players")):
            assert world.schema(name) == world.schema(original)
            assert world.foreign_keys(name) == []
        world.reset_tables()  # the simulator drops and recreates the originals meanwhile

    assert world.foreign_keys("players") == ["teams"]
    name, type_, nullable, is_key = world.schema("players2")[2]
    assert (name, type_.partition(" COLLATE ")[0].lower(), nullable, is_key) == ("number", "varchar(3)", False, False)


def test_a_final_table_with_a_foreign_key_on_its_original_is_recreated(world: World) -> None:
    """It was created by hand, and the simulator could not reset the tables any more."""
    world.sql(SCHEMA[1].replace("players", "players2"))
    assert world.foreign_keys("players2") == ["teams"]

    world.reference_db().replace(generation(1), no_precondition)

    assert world.foreign_keys("players2") == []
    assert world.table("players2") == generation(1)["players2"]


@pytest.fixture
def guarded_tables(world: World, stores: Stores) -> None:
    """The reference tables refuse every write."""
    for table, act in product(("teams", "players"), ("INSERT", "UPDATE", "DELETE")):
        message = f"somebody writes to {table}"
        world.sql(
            f"CREATE TRIGGER no_{act}_{table} ON {table} AFTER {act} AS THROW 50000, '{message}', 1"
            if stores.sql_is_a_server
            else f"CREATE TRIGGER no_{act}_{table} BEFORE {act} ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )


@pytest.mark.usefixtures("guarded_tables")
def test_the_reference_tables_are_never_written(world: World) -> None:
    """Nor recreated: the triggers would be gone."""
    world.put(*ENDED)

    assert world.materialize().success
    assert world.materialize().success

    assert (world.table("teams"), world.table("players")) == (TEAMS, PLAYERS)
    with pytest.raises(Exception, match="somebody writes to teams"):
        world.sql("UPDATE teams SET wins = 0")
