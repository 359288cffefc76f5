"""The document store: collection `boxscores` of database `sidearm`, one document per event.

docs/contract.md, sections 3 and 6.

Three invariants hold, whoever writes and however late:

1. The box score with the highest `_id` is the current one.
2. What was made from a newer version of the stream is neither overwritten nor removed by an older one.
3. Below the current box score there is none of another play. An event's document is there or still to come, and
   `fingerprint` says whether it is the right one.

Which of two versions is newer is never decided by a clock of ours: see `_is_superseded`.

A box score is a document with an integer `_id` and the `stream` that it was made from, or the two teams of one that
another program made from the same exercise. Whatever else is in the collection belongs to others and is left alone.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from lacrosse_assets import addresses
from lacrosse_assets.game.document import Document
from lacrosse_assets.resources.errors import StoreError, translate_errors, unreachable_hint
from lacrosse_assets.resources.object_store import StreamVersion

STORE = "document store"
DATABASE = "sidearm"
COLLECTION = "boxscores"

# A read of the current box score ends after this many seconds, so that a sensor's tick ends in time (sensors.py).
READ_TIMEOUT_SECONDS = 8
# How often a write starts over when another writer keeps changing the same documents.
WRITE_ATTEMPTS = 5

USER_HINT = f"the user and the password in MONGODB_URI have to be those of one who may read and write {DATABASE}"
OTHER_HOST = "the server's certificate is for another host name: use that name in MONGODB_URI"
HINTS = {
    **dict.fromkeys(("Hostname mismatch", "IP address mismatch"), OTHER_HOST),
    "CERTIFICATE_VERIFY_FAILED": "tlsCAFile= in MONGODB_URI names the file of whoever vouches for the "
    "server's certificate",
    **dict.fromkeys(("uthentication failed", "requires authentication", "not authorized"), USER_HINT),
}

# The box scores that this platform writes, among whatever else is in the collection.
BOX_SCORES = {"_id": {"$gte": 0}, "stream.etag": {"$exists": True}}

DUPLICATE_KEY = 11000  # MongoDB's code


class WriteResult(NamedTuple):
    """What a write did."""

    current: bool  # False: it was there already
    backfilled: int  # documents of earlier events
    removed: int  # documents of events that are not in the stream
    blocked: tuple[int, ...] = ()  # events whose `_id` is taken by a document that is no box score


class _Stored(NamedTuple):
    """As much of a stored document as identifies it."""

    fingerprint: Any
    stream: Any

    @property
    def version(self) -> StreamVersion | None:
        return StreamVersion.from_document({"stream": self.stream})

    def unchanged(self, event_id: int) -> dict[str, Any]:
        """A filter that finds it as long as nobody has replaced it. (A null finds a field that is missing as well.)"""
        return {"_id": event_id, "fingerprint": self.fingerprint, "stream": self.stream}


MISSING = _Stored(None, None)


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
        """The current box score: the document with the highest `_id`; None if there is no box score."""
        import pymongo

        with self._errors(), pymongo.timeout(READ_TIMEOUT_SECONDS):
            found = self._boxscores.find(BOX_SCORES).sort("_id", -1)
            return next((document for document in found if isinstance(document["_id"], int)), None)

    def fingerprints(self) -> dict[int, str | None]:
        """The fingerprint of each box score, by `_id`; None for one that has none."""
        with self._errors():
            return {event_id: stored.fingerprint for event_id, stored in self._stored()[0].items()}

    def write(
        self,
        documents: Sequence[Document],
        timeline: Mapping[int, str],
        latest: Callable[[], StreamVersion | None],
    ) -> WriteResult | None:
        """Make the last of `documents` the current box score, and the others those of their events.

        All of them are of one version of the stream and have their `fingerprint`; the last is that of its latest event.
        `timeline` has the fingerprint of every event of the stream. `latest` asks the object store for the version that
        the stream has now. Returns None, with nothing changed, if a newer box score is there already.

        1. Remove what is not of this timeline, except for the current document so far.
        2. Write the new current document.
        3. Remove what is left of step 1.
        4. Write the documents of the other events.

        Before step 1 and after each write all stored versions are compared. If a newer one has come, this writer
        removes its own documents again. A document is replaced or removed only if it still is what was read; if it is
        not, the step is repeated. A crash in between leaves events without a document, and at most one wrong document,
        below the new current one; the next run repairs both.
        """
        *earlier, current = documents
        event_id, mine = current["_id"], StreamVersion.from_document(current)

        def is_superseded(stored: Mapping[int, _Stored]) -> bool:
            return mine is None or _is_superseded(mine, (each.version for each in stored.values()), latest)

        def remove(event_ids: Iterable[int], stored: Mapping[int, _Stored]) -> int:
            others = {each for each in event_ids if timeline.get(each) != stored[each].fingerprint}
            self._delete(stored[each].unchanged(each) for each in others)
            return len(others - timeline.keys())

        with self._errors():
            stored, foreign = self._stored()
            if is_superseded(stored):
                return None
            removed = remove(stored.keys() - {max(stored, default=event_id)}, stored)
            is_there = event_id in stored and _same(self._boxscores.find_one({"_id": event_id}), current)
            written: list[Document] = []
            for batch in ([] if is_there else [current], earlier):
                missing = [each for each in batch if each["_id"] not in foreign]
                for _ in range(WRITE_ATTEMPTS):
                    self._replace((stored.get(each["_id"], MISSING).unchanged(each["_id"]), each) for each in missing)
                    written += missing
                    stored, foreign = self._stored()
                    if is_superseded(stored):
                        self._delete(_identity(each).unchanged(each["_id"]) for each in written)
                        return None
                    missing = [each for each in missing if stored.get(each["_id"]) != _identity(each)]
                    if not missing:
                        break
                else:
                    raise StoreError(
                        STORE,
                        self.address,
                        f"another writer keeps changing document {missing[0]['_id']} of {self.database}.{COLLECTION}: "
                        "check that only one deployment writes to this database",
                    )
                removed += remove(stored, stored)
                if not earlier:
                    break
        return WriteResult(
            current=not is_there and event_id not in foreign,
            backfilled=sum(each["_id"] not in foreign for each in earlier),
            removed=removed,
            blocked=tuple(each["_id"] for each in documents if each["_id"] in foreign),
        )

    def _stored(self) -> tuple[dict[int, _Stored], set[float]]:
        """The box scores by event, and the numbers that are the `_id` of something else."""
        fields = dict.fromkeys(("fingerprint", "stream", "home.teamid", "away.teamid"), 1)
        stored: dict[int, _Stored] = {}
        foreign: set[float] = set()
        for each in self._boxscores.find({"_id": {"$gte": 0}}, fields):
            if isinstance(each["_id"], int) and (
                isinstance(each.get("stream"), dict) or {"home", "away"} <= each.keys()
            ):
                stored[each["_id"]] = _Stored(each.get("fingerprint"), each.get("stream"))
            else:
                foreign.add(each["_id"])
        return stored, foreign

    def _replace(self, replacements: Iterable[tuple[Mapping[str, Any], Document]]) -> None:
        """Write each document whose filter still finds the one to be replaced, or where there is none of its `_id`."""
        from pymongo import ReplaceOne
        from pymongo.errors import BulkWriteError

        if writes := [ReplaceOne(unchanged, document, upsert=True) for unchanged, document in replacements]:
            try:
                self._boxscores.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                # Somebody else's document is not found by the filter, and a second one of its `_id` is refused.
                if any(each["code"] != DUPLICATE_KEY for each in error.details["writeErrors"]):
                    raise

    def _delete(self, filters: Iterable[Mapping[str, Any]]) -> None:
        """Remove the document that each filter finds. One by one, in one command: each is found by its `_id`, where a
        server might look for a list of thousands in every document."""
        from pymongo import DeleteOne

        if deletes := [DeleteOne(each) for each in filters]:
            self._boxscores.bulk_write(deletes, ordered=False)

    @property
    def _boxscores(self) -> Any:
        """The collection, read where it is written to.

        Whatever `readPreference`, `readConcernLevel` and `w` the URI has: what is read here decides what is written and
        removed, and a write that nobody acknowledges cannot be relied on.
        """
        from pymongo import ReadPreference, WriteConcern
        from pymongo.read_concern import ReadConcern

        collection = self._client[self.database][COLLECTION]
        acknowledged = collection.write_concern if collection.write_concern.acknowledged else WriteConcern("majority")
        return collection.with_options(
            read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("local"), write_concern=acknowledged
        )

    def _errors(self) -> Any:
        from pymongo.errors import PyMongoError

        # An `OSError`: a file of the address that is not there any more, such as a certificate.
        return translate_errors(STORE, self.address, PyMongoError, OSError, hints=HINTS, hint=_hint, message=_message)


def _hint(error: Exception) -> str | None:
    """What to do where no server answers. One that answers with an error is up, and says itself what is wrong."""
    from pymongo.errors import ConnectionFailure, NotPrimaryError, WaitQueueTimeoutError

    if isinstance(error, NotPrimaryError | WaitQueueTimeoutError) or "SSL handshake failed" in str(error):
        return None
    return unreachable_hint("MONGODB_URI") if isinstance(error, ConnectionFailure) else None


def _is_superseded(
    mine: StreamVersion,
    stored: Iterable[StreamVersion | None],
    latest: Callable[[], StreamVersion | None],
) -> bool:
    """Whether a stored box score is of a newer version of the stream than `mine`.

    The object store dates its versions, so an older date is an older version. What is not dated earlier than `mine` is
    held against the version that the stream has now, which no stored one can be newer than:

    - if that is `mine`, nothing is newer, whatever the dates say: the store's clock may have been set back;
    - a date after that of the stream now is from before the clock was set back, and so is not newer;
    - what is dated between the two, or in the same second as `mine`, counts as newer. If it was not, the run that the
      stream's newest version brings puts it right.
    """
    not_older = {each for each in stored if each and each != mine and each.last_modified >= mine.last_modified}
    if not not_older:
        return False
    now = latest()
    return now != mine and any(now is None or each.last_modified <= now.last_modified for each in not_older)


def _identity(document: Mapping[str, Any]) -> _Stored:
    return _Stored(document["fingerprint"], document["stream"])


def _message(error: Exception) -> str:
    """What went wrong, without the driver's view of all servers, or the whole answer, which say it again at length."""
    return re.split(", (?:Topology Description|full error): ", str(error), maxsplit=1)[0]


def _same(stored: Mapping[str, Any] | None, document: Mapping[str, Any]) -> bool:
    """Whether the stored document is that of the same version of the stream: a run repeated changes nothing."""
    if stored is None or not isinstance(stored.get("stream"), Mapping):
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
