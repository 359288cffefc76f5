"""The watcher, one per process: it reads the documents when they change, and passes each reading to all visitors."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from .game import SIDES, is_box_score
from .scoreboard import is_line

POLL_SECONDS = 0.25  # a change stream triggers an earlier poll
MIN_POLL_SECONDS = 0.05  # a burst of writes is one change
IDLE_FACTOR = 3  # after a reading, the watcher leaves MongoDB alone for this many times its duration
# All lines of a scoreboard are read this often although a change stream reports the changes, or after so many times the
# duration of that reading.
READ_ALL_SECONDS, READ_ALL_FACTOR = 5.0, 20.0
CHANGE_STREAM_RETRY_SECONDS = 5  # after a change stream broke, or the server had none

# Box scores, among the other documents of the collection.
BOX_SCORES = {"_id": {"$gte": 0}, "home.players": {"$exists": True}, "away.players": {"$exists": True}}
# The same for the games of a game day, and what their scoreboard shows.
GAMES = {**BOX_SCORES, "event": {"$exists": True}}
SCOREBOARD_FIELDS = {
    **dict.fromkeys(("day", "event", "timestamp", "final", "stream", "fingerprint"), 1),
    **{f"{side}.{field}": 1 for side in SIDES for field in ("teamid", "name", "score", "status")},
}

Document = dict[str, Any]
Documents = AsyncCollection[Document]
T = TypeVar("T")

log = logging.getLogger("uvicorn.error")  # uvicorn's logger, which is configured already


@dataclass(frozen=True)
class Reading:
    """A snapshot of the documents that are shown."""

    documents: tuple[Mapping[str, Any], ...] = ()
    at: datetime | None = None  # when the snapshot was last confirmed; None: not connected yet
    is_stale: bool = False  # MongoDB is unreachable: this is the last snapshot


class Latest(Generic[T]):
    """A changing value for any number of readers. A slow reader skips values, and does not delay the others."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._ended = False
        self._changed = asyncio.Event()

    def set(self, value: T) -> None:
        self.value = value
        self._wake()

    def end(self) -> None:
        """End the iteration of all readers."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def values(self) -> AsyncIterator[T]:
        """The current value, then the newest one after each change."""
        while not self._ended:
            changed = self._changed  # before the yield, so that a change during it is not missed
            yield self.value
            await changed.wait()


class Changes:
    """What the change stream has reported since the last reading."""

    def __init__(self) -> None:
        self.happened = asyncio.Event()
        self.are_all_known = False  # whether `ids` has every change since the last reading
        self.ids: set[int] = set()  # of the documents that were written

    def take(self) -> set[int]:
        """The ids of the changed documents; the next change is a new one."""
        ids, self.ids = self.ids, set()
        self.happened.clear()
        return ids


class BoxScores:
    """The box scores of a single game: a document per event."""

    def __init__(self, boxscores: Documents) -> None:
        self._boxscores = boxscores
        self._version: list[Document] | None = None
        self._documents: tuple[Document, ...] = ()

    async def read(self, changes: Changes) -> tuple[Document, ...]:
        """All box scores, highest `_id` first. They are read again if there are changes, or another version."""
        woken = changes.happened.is_set()
        changes.take()
        # The version is read first: a write in between gives another version at the next poll.
        before, self._version = self._version, None
        version = await self._read_version()
        if woken or version != before:
            found = await self._boxscores.find(BOX_SCORES, sort=[("_id", -1)]).to_list()
            self._documents = tuple(document for document in found if is_box_score(document))
        self._version = version
        return self._documents

    async def _read_version(self) -> list[Document]:
        """A summary that changes when documents are added, rewritten, or removed at a replay."""
        fetched_at = {"$convert": {"input": "$stream.fetched_at", "to": "long", "onError": 0, "onNull": 0}}
        summary = {"latest": {"$max": "$_id"}, "documents": {"$sum": 1}, "fetched_at": {"$sum": fetched_at}}
        pipeline = [{"$match": BOX_SCORES}, {"$group": {"_id": None, **summary}}]
        return await (await self._boxscores.aggregate(pipeline)).to_list()


class Scoreboard:
    """The lines of a game day's scoreboard. With a change stream, only those that have changed are read again."""

    def __init__(self, games: Documents) -> None:
        self._games = games
        self._lines: dict[int, Document] = {}
        self._read_all_at = 0.0  # when all lines have to be read again; 0 after an error
        self._all_were_known = False

    async def read(self, changes: Changes) -> tuple[Document, ...]:
        """A line of each game, by `_id`: its document without players and plays."""
        all_are_known = changes.are_all_known and self._all_were_known
        self._all_were_known = changes.are_all_known
        changed, began = changes.take(), time.monotonic()
        if not all_are_known or began >= self._read_all_at:
            self._read_all_at = 0.0
            self._lines = await self._find(GAMES)
            took = time.monotonic() - began
            self._read_all_at = began + max(READ_ALL_SECONDS, READ_ALL_FACTOR * took)
        elif changed:
            read_all_at, self._read_all_at = self._read_all_at, 0.0
            found = await self._find({"$and": [{"_id": {"$in": [*changed]}}, GAMES]})
            self._lines = {**{key: line for key, line in self._lines.items() if key not in changed}, **found}
            self._read_all_at = read_all_at
        else:
            await self._games.database.client.admin.command("ping")
        return tuple(self._lines[key] for key in sorted(self._lines))

    async def _find(self, filter_: Document) -> dict[int, Document]:
        found = await self._games.find(filter_, SCOREBOARD_FIELDS).to_list()
        return {line["_id"]: line for line in found if is_line(line)}


async def watch(source: BoxScores | Scoreboard, changes: Changes, show: Callable[[Reading], None]) -> None:
    """Call `show` with every new reading, forever. No error of MongoDB and no malformed document ends it.

    Polls every `POLL_SECONDS`, and immediately at a change; less often if a reading takes long.
    """
    reading = Reading()
    while True:
        began = time.monotonic()
        try:
            documents = await source.read(changes)
            fresh = Reading(documents, datetime.now(UTC))
            if reading.at is None or reading.is_stale or documents != reading.documents:
                show(fresh)
            reading = fresh
        except Exception as error:
            if not reading.is_stale:
                message = str(error).partition(", Timeout:")[0]  # the rest is pymongo's view of all servers
                log.warning("Cannot read the box scores; retrying: %s: %s", type(error).__name__, message)
                reading = replace(reading, is_stale=True)
                show(reading)
        await asyncio.sleep(max(MIN_POLL_SECONDS, IDLE_FACTOR * (time.monotonic() - began)))
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await changes.happened.wait()


async def listen(collection: Documents, changes: Changes) -> None:
    """Report every write, if the server has change streams: a replica set has them, a standalone does not."""
    while True:
        with suppress(PyMongoError):
            async with await collection.watch([{"$project": {"documentKey": 1}}]) as stream:
                changes.are_all_known = True
                changes.happened.set()
                async for change in stream:
                    key = change.get("documentKey", {}).get("_id")
                    if isinstance(key, int):
                        changes.ids.add(key)
                    changes.happened.set()
        changes.are_all_known = False
        await asyncio.sleep(CHANGE_STREAM_RETRY_SECONDS)
