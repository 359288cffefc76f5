"""The document store: collection `boxscores` of database `sidearm`, one document an event (CONTRACT.md, 3 and 6).

Three invariants are kept here, whoever writes and however late. The document with the highest `_id` is the current one.
What was made from a newer fetch of the stream is neither overwritten nor removed by an older one; `stream.fetched_at`
of each document tells which is newer. Below the current document there is none of another play: an event's document is
there or still to come, and `fingerprint` tells whether it is the one.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from lacrosse_assets import addresses
from lacrosse_assets.resources.errors import ANYTHING, is_it_up, told_as_store_error
from lacrosse_assets.resources.object_store import moment

STORE = "document store"
DATABASE = "sidearm"
COLLECTION = "boxscores"

# Which of two fetches is the newer one is told by the clocks of those who fetched. They may differ by this much; a
# document from further ahead was written by a clock that is wrong, and must not stop the score until then.
CLOCK_TOLERANCE = timedelta(seconds=5)

USER = f"the user and the password in MONGODB_URI have to be those of one who may read and write {DATABASE}"
WAYS_OUT = {
    "CERTIFICATE_VERIFY_FAILED": "tlsCAFile= in MONGODB_URI names the file of whoever vouches for the "
    "server's certificate",
    **dict.fromkeys(("uthentication failed", "requires authentication", "not authorized"), USER),
    ANYTHING: is_it_up("MONGODB_URI"),
}

DUPLICATE_KEY = 11000  # MongoDB's code

Document = dict[str, Any]


class Written(NamedTuple):
    """What a write did."""

    current: bool  # False: it was there already
    filled_in: int  # documents of earlier events
    removed: int  # documents of events that are not in the stream


class _Kept(NamedTuple):
    """As much of a document that is there as tells which it is."""

    fingerprint: str | None
    fetched_at: datetime | None


class DocumentStore(ConfigurableResource[Any], ABC):
    """The box scores, in any server of MongoDB's protocol."""

    database: str = Field(default=DATABASE, description="Database of the collection `boxscores`.")

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it is, without user and password."""

    @abstractmethod
    def connect(self) -> Any:
        """A `pymongo.MongoClient`, or what behaves like one, that yields aware datetimes."""

    @cached_property
    def _client(self) -> Any:
        return self.connect()

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    def current(self) -> Document | None:
        """The current box score: the document with the highest `_id`; None in an empty collection."""
        with self._errors():
            document: Document | None = self._boxscores.find_one(sort=[("_id", -1)])
            return document

    def fingerprints(self) -> dict[int, str | None]:
        """The fingerprint of each document that is there, by `_id`; None for one that has none."""
        with self._errors():
            return {event_id: kept.fingerprint for event_id, kept in self._kept().items()}

    def write(self, documents: Sequence[Document], timeline: Mapping[int, str]) -> Written | None:
        """Make the last of `documents` the current box score, and the others those of their events.

        All of them are of one fetch of the stream and have their `fingerprint`; the last is that of its latest event.
        `timeline` has the fingerprint of every event of the stream. None, and nothing changed, if a newer box score is
        there already.

        The current document comes first, then the others at once. What is not of this timeline goes before, but for the
        one that is the current one until then, which goes after. So a crash in between leaves events without a document
        and at most that one below the new one; the next run puts both right. Two writers at once meet at the last look,
        where the older one takes its own documents back.
        """
        *earlier, current = documents
        event_id, fetched_at = current["_id"], current["stream"]["fetched_at"]
        latest_true_clock = moment() + CLOCK_TOLERANCE
        not_newer = {"stream.fetched_at": {"$not": {"$gt": fetched_at, "$lte": latest_true_clock}}}

        def is_superseded(kept: Mapping[int, _Kept]) -> bool:
            return any(each.fetched_at and fetched_at < each.fetched_at <= latest_true_clock for each in kept.values())

        def remove(event_ids: Iterable[int]) -> int:
            others = [each for each in event_ids if each not in timeline or timeline[each] != kept[each].fingerprint]
            self._delete(others, not_newer)
            return len(set(others) - timeline.keys())

        with self._errors():
            kept = self._kept()
            if is_superseded(kept):
                return None
            removed = remove(kept.keys() - {max(kept, default=event_id)})
            is_there = event_id in kept and _same(self._boxscores.find_one({"_id": event_id}), current)
            written: list[int] = []
            for batch in ([] if is_there else [current], earlier):
                written += self._replace(batch, not_newer)
                kept = self._kept()
                if is_superseded(kept) or event_id not in kept:
                    self._delete(written, {"stream.fetched_at": fetched_at})
                    return None
                removed += remove(kept)
                if not earlier:
                    break
        return Written(not is_there, len(earlier), removed)

    def _kept(self) -> dict[int, _Kept]:
        """The documents of events; whatever else somebody keeps there (an id of another type) is not looked at."""
        kept = {}
        for each in self._boxscores.find({"_id": {"$gte": 0}}, {"fingerprint": 1, "stream.fetched_at": 1}):
            fetched_at = (each.get("stream") or {}).get("fetched_at")
            kept[each["_id"]] = _Kept(each.get("fingerprint"), fetched_at if isinstance(fetched_at, datetime) else None)
        return kept

    def _replace(self, documents: Sequence[Document], unless_newer: Mapping[str, Any]) -> list[int]:
        """Write each document, where there is none of its `_id` or none that is newer; their ids."""
        from pymongo import ReplaceOne
        from pymongo.errors import BulkWriteError

        if documents:
            writes = [ReplaceOne({"_id": each["_id"], **unless_newer}, each, upsert=True) for each in documents]
            try:
                self._boxscores.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                # A newer one, just written, is not found by what it is not, and cannot be written beside.
                if any(each["code"] != DUPLICATE_KEY for each in error.details["writeErrors"]):
                    raise
        return [each["_id"] for each in documents]

    def _delete(self, event_ids: Iterable[int], where: Mapping[str, Any]) -> None:
        """Remove each document of these ids that meets the condition. One by one, in one command: each is found by its
        `_id`, where a server might look for a list of thousands in every document."""
        from pymongo import DeleteOne

        if deletes := [DeleteOne({"_id": event_id, **where}) for event_id in event_ids]:
            self._boxscores.bulk_write(deletes, ordered=False)

    @property
    def _boxscores(self) -> Any:
        return self._client[self.database][COLLECTION]

    def _errors(self) -> Any:
        from pymongo.errors import PyMongoError

        # An `OSError`: a file of the address that is not there any more, such as a certificate.
        return told_as_store_error(STORE, self.address, PyMongoError, OSError, words=_words, ways_out=WAYS_OUT)


def _words(error: Exception) -> str:
    """What went wrong, without the driver's view of all servers, or the whole answer, which say it again at length."""
    return re.split(", (?:Topology Description|full error): ", str(error), maxsplit=1)[0]


def _same(stored: Mapping[str, Any] | None, document: Mapping[str, Any]) -> bool:
    """Whether the stored document says the same of the same version of the stream: a run repeated changes nothing."""
    if stored is None or "stream" not in stored:
        return False
    fetched_at = {"fetched_at": document["stream"]["fetched_at"]}
    return {**stored, "stream": {**stored["stream"], **fetched_at}} == document


class MongoDocumentStore(DocumentStore):
    """MongoDB, or another server of its protocol."""

    uri: str = Field(
        description="Connection string; it may hold a password, so it is given by the name of its variable."
    )

    @cached_property
    def address(self) -> str:
        return addresses.document_store(self.uri)

    def connect(self) -> Any:
        from pymongo import MongoClient

        with self._errors():
            return MongoClient(
                self.uri,
                tz_aware=True,
                appname="lacrosse_assets",
                serverSelectionTimeoutMS=5_000,
                connectTimeoutMS=5_000,
                socketTimeoutMS=20_000,
            )
