"""One watcher a process: it reads the box scores when they change, and hands the newest reading to all visitors."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from .game import is_box_score

LOOK_EVERY = 0.25  # seconds between two looks whether there is something new; a change stream wakes us earlier
LOOK_AT_MOST_EVERY = 0.05  # seconds; a burst of writes is one change
LISTEN_AGAIN_AFTER = 5  # seconds after a change stream has broken, or the server had none

# The documents of events. Whatever else somebody keeps in the collection is not read.
BOX_SCORES = {"_id": {"$gte": 0}, "home.players": {"$exists": True}, "away.players": {"$exists": True}}

Document = dict[str, Any]
Boxscores = AsyncCollection[Document]
T = TypeVar("T")

log = logging.getLogger("uvicorn.error")  # uvicorn's own, so that these lines stand among its others


@dataclass(frozen=True)
class Reading:
    """All box scores as they were at one moment."""

    documents: tuple[Document, ...] = ()  # the newest first: highest `_id`
    at: datetime | None = None  # when they were last known to be so; None: MongoDB has not answered yet
    lost: bool = False  # MongoDB does not answer now: this is what it said last


class Latest(Generic[T]):
    """A value that changes, for any number of readers. A slow one misses what was in between and holds up nobody."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._ended = False
        self._changed = asyncio.Event()

    def set(self, value: T) -> None:
        self.value = value
        self._wake()

    def end(self) -> None:
        """There are no more values: whoever waits for one goes home."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def values(self) -> AsyncIterator[T]:
        """The value now, and then the newest one whenever it has changed."""
        while not self._ended:
            changed = self._changed  # before the value is handed out: what changes meanwhile is not missed
            yield self.value
            await changed.wait()


async def watch(boxscores: Boxscores, changed: asyncio.Event, show: Callable[[Reading], None]) -> None:
    """Call `show` with every new reading, for ever: neither MongoDB nor a document that is no box score ends it.

    It looks from time to time, and at once when `changed` is set.
    """
    reading, version = Reading(), None
    while True:
        woken = changed.is_set()
        changed.clear()
        try:
            # Before the documents: what is written in between is a new version at the next look.
            before, version = version, await _version(boxscores)
            documents = reading.documents
            if woken or version != before:
                found = await boxscores.find(BOX_SCORES, sort=[("_id", -1)]).to_list()
                documents = tuple(document for document in found if is_box_score(document))
            fresh = Reading(documents, datetime.now(UTC))
            if reading.at is None or reading.lost or documents != reading.documents:
                show(fresh)
            reading = fresh
        except Exception as error:
            version = None
            if not reading.lost:
                words = str(error).partition(", Timeout:")[0]  # the rest of pymongo's is for its developers
                log.warning("The box scores cannot be read; trying again: %s: %s", type(error).__name__, words)
                reading = replace(reading, lost=True)
                show(reading)
        await asyncio.sleep(LOOK_AT_MOST_EVERY)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await changed.wait()


async def listen(boxscores: Boxscores, changed: asyncio.Event) -> None:
    """Set `changed` at every write, where the server has change streams: a replica set has, a standalone has not."""
    while True:
        with suppress(PyMongoError):
            async with await boxscores.watch([{"$project": {"_id": 1}}]) as changes:
                async for _ in changes:
                    changed.set()
        await asyncio.sleep(LISTEN_AGAIN_AFTER)


async def _version(boxscores: Boxscores) -> list[Document]:
    """What differs between two states of the collection: documents that are new, rewritten, or gone at a replay."""
    fetched_at = {"$convert": {"input": "$stream.fetched_at", "to": "long", "onError": 0, "onNull": 0}}
    summary = {"latest": {"$max": "$_id"}, "documents": {"$sum": 1}, "fetched_at": {"$sum": fetched_at}}
    return await (await boxscores.aggregate([{"$match": BOX_SCORES}, {"$group": {"_id": None, **summary}}])).to_list()
