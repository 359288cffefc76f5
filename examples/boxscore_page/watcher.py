"""The watcher, one per process: it reads the box scores when they change, and passes each reading to all visitors."""

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

POLL_SECONDS = 0.25  # a change stream triggers an earlier poll
MIN_POLL_SECONDS = 0.05  # a burst of writes is one change
CHANGE_STREAM_RETRY_SECONDS = 5  # after a change stream broke, or the server had none

# Box scores, among the other documents of the collection.
BOX_SCORES = {"_id": {"$gte": 0}, "home.players": {"$exists": True}, "away.players": {"$exists": True}}

Document = dict[str, Any]
Boxscores = AsyncCollection[Document]
T = TypeVar("T")

log = logging.getLogger("uvicorn.error")  # uvicorn's logger, which is configured already


@dataclass(frozen=True)
class Reading:
    """A snapshot of all box scores."""

    documents: tuple[Document, ...] = ()  # by `_id`, highest first
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


async def watch(boxscores: Boxscores, changed: asyncio.Event, show: Callable[[Reading], None]) -> None:
    """Call `show` with every new reading, forever. No error of MongoDB and no malformed document ends it.

    Polls every `POLL_SECONDS`, and immediately when `changed` is set.
    """
    reading, version = Reading(), None
    while True:
        woken = changed.is_set()
        changed.clear()
        try:
            # The version is read first: a write in between gives another version at the next poll.
            before, version = version, await _version(boxscores)
            documents = reading.documents
            if woken or version != before:
                found = await boxscores.find(BOX_SCORES, sort=[("_id", -1)]).to_list()
                documents = tuple(document for document in found if is_box_score(document))
            fresh = Reading(documents, datetime.now(UTC))
            if reading.at is None or reading.is_stale or documents != reading.documents:
                show(fresh)
            reading = fresh
        except Exception as error:
            version = None
            if not reading.is_stale:
                message = str(error).partition(", Timeout:")[0]  # the rest is pymongo's view of all servers
                log.warning("Cannot read the box scores; retrying: %s: %s", type(error).__name__, message)
                reading = replace(reading, is_stale=True)
                show(reading)
        await asyncio.sleep(MIN_POLL_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await changed.wait()


async def listen(boxscores: Boxscores, changed: asyncio.Event) -> None:
    """Set `changed` at every write, if the server has change streams: a replica set has them, a standalone does not."""
    while True:
        with suppress(PyMongoError):
            async with await boxscores.watch([{"$project": {"_id": 1}}]) as changes:
                async for _ in changes:
                    changed.set()
        await asyncio.sleep(CHANGE_STREAM_RETRY_SECONDS)


async def _version(boxscores: Boxscores) -> list[Document]:
    """A summary that changes when documents are added, rewritten, or removed at a replay."""
    fetched_at = {"$convert": {"input": "$stream.fetched_at", "to": "long", "onError": 0, "onNull": 0}}
    summary = {"latest": {"$max": "$_id"}, "documents": {"$sum": 1}, "fetched_at": {"$sum": fetched_at}}
    return await (await boxscores.aggregate([{"$match": BOX_SCORES}, {"$group": {"_id": None, **summary}}])).to_list()
