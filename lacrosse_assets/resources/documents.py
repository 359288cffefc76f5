"""The document store: collection `boxscores` of database `sidearm`, one document per event.

docs/contract.md, sections 3 and 6.

Three invariants hold with any number of writers, late ones included:

1. The box score with the highest `_id` is the current one.
2. A box score from a newer version of the stream is neither overwritten nor removed by a writer of an older version.
3. Below the current box score there is none of an earlier play. An event's document may be missing until it is
   backfilled; its `fingerprint` tells whether it is up to date.

The order of two versions never depends on this machine's clock: see `_is_superseded`.

A box score is a document with an integer `_id` and a `stream`, or with a `home` and an `away` team, as another program
that implements the original exercise writes it. All other documents in the collection are left alone.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from lacrosse_assets import addresses
from lacrosse_assets.game.document import Document
from lacrosse_assets.resources.errors import StoreError, translate_errors, unreachable_hint
from lacrosse_assets.resources.object_store import StreamVersion

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection

STORE = "document store"
DATABASE = "sidearm"
COLLECTION = "boxscores"

READ_TIMEOUT_SECONDS = 8  # of the current box score, so that a sensor tick ends in time (sensors.py)
MAX_WRITE_ATTEMPTS = 5  # if another writer keeps changing the same documents

USER_HINT = f'MONGODB_URI user needs read/write access to database "{DATABASE}"'
OTHER_HOST_HINT = "the server's certificate is for another host name: use that name in MONGODB_URI"
HINTS = {
    **dict.fromkeys(("Hostname mismatch", "IP address mismatch"), OTHER_HOST_HINT),
    "CERTIFICATE_VERIFY_FAILED": "tlsCAFile= in MONGODB_URI must name the CA certificate that signed the server's "
    "certificate",
    **dict.fromkeys(("uthentication failed", "requires authentication", "not authorized"), USER_HINT),
}

# A filter for the box scores that this platform writes, among the other documents of the collection.
BOX_SCORES = {"_id": {"$gte": 0}, "stream.etag": {"$exists": True}}

DUPLICATE_KEY = 11000  # MongoDB's code


class WriteResult(NamedTuple):
    """The result of a write."""

    current: bool  # whether the current document was written; False: it was stored already
    backfilled: int  # number of documents of earlier events that were written
    removed: int  # number of documents removed because their events are not in the stream
    blocked: tuple[int, ...] = ()  # events whose `_id` belongs to a document that is not a box score


class _Stored(NamedTuple):
    """The fields that identify a stored document's content."""

    fingerprint: Any
    stream: Any

    @property
    def version(self) -> StreamVersion | None:
        return StreamVersion.from_document({"stream": self.stream})

    def unchanged(self, event_id: int) -> dict[str, Any]:
        """A filter that matches the document until it is replaced. (A null also matches a missing field.)"""
        return {"_id": event_id, "fingerprint": self.fingerprint, "stream": self.stream}


MISSING = _Stored(None, None)


class DocumentStore(ConfigurableResource[Any], ABC):
    """The collection of box scores, on any server with MongoDB's protocol."""

    database: str = Field(default=DATABASE, description="Database of the collection `boxscores`.")

    @property
    @abstractmethod
    def address(self) -> str:
        """Host and port, without user and password."""

    @abstractmethod
    def connect(self) -> "MongoClient[Document]":
        """A client that returns aware datetimes."""

    @cached_property
    def _client(self) -> "MongoClient[Document]":
        return self.connect()

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    def current(self) -> Document | None:
        """The current box score: the document with the highest `_id`; None if there is none.

        Raises:
            StoreError: the store is unreachable or refuses the request.
        """
        import pymongo

        with self._errors(), pymongo.timeout(READ_TIMEOUT_SECONDS):
            found = self._boxscores.find(BOX_SCORES).sort("_id", -1)
            return next((document for document in found if isinstance(document["_id"], int)), None)

    def fingerprints(self) -> dict[int, str | None]:
        """The fingerprint of each box score, by `_id`; None for a box score without one."""
        with self._errors():
            return {event_id: stored.fingerprint for event_id, stored in self._stored()[0].items()}

    def write(
        self,
        documents: Sequence[Document],
        timeline: Mapping[int, str],
        latest: Callable[[], StreamVersion | None],
    ) -> WriteResult | None:
        """Write `documents`: the last becomes the current box score, the others are backfilled.

        All are of one version of the stream and have a `fingerprint`; the last is of the stream's latest event.
        `timeline` maps every event of the stream to its document's fingerprint. `latest` reads the stream's present
        version from the object store. Returns None if a box score of a newer version is stored: this write then leaves
        nothing behind.

        1. Remove the documents that differ from `timeline`, except the one that is current so far.
        2. Write the new current document.
        3. Remove the document spared in step 1 if it differs from `timeline`.
        4. Write the other documents.

        Before step 1 and after each write, all stored versions are compared. If a newer one has arrived, this writer
        removes its own documents again. A document is replaced or removed only if it is unchanged since it was read;
        otherwise the step is repeated. A crash leaves events without a document, and at most one outdated document
        below the current one; the next run repairs both.

        Raises:
            StoreError: the store is unreachable or refuses the request, or another writer keeps changing a document.
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
            is_stored = event_id in stored and _same(self._boxscores.find_one({"_id": event_id}), current)
            written: list[Document] = []
            for batch in ([] if is_stored else [current], earlier):
                missing = [each for each in batch if each["_id"] not in foreign]
                for _ in range(MAX_WRITE_ATTEMPTS):
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
            current=not is_stored and event_id not in foreign,
            backfilled=sum(each["_id"] not in foreign for each in earlier),
            removed=removed,
            blocked=tuple(each["_id"] for each in documents if each["_id"] in foreign),
        )

    def _stored(self) -> tuple[dict[int, _Stored], set[float]]:
        """The box scores by event, and the `_id`s of other documents among the numbers."""
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
        """Upsert each document by its filter: it replaces the document that the filter matches, or a missing one."""
        from pymongo import ReplaceOne
        from pymongo.errors import BulkWriteError

        if writes := [ReplaceOne(unchanged, document, upsert=True) for unchanged, document in replacements]:
            try:
                self._boxscores.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                # Duplicate key: the filter no longer matches the document of this `_id`. The caller retries.
                if any(each["code"] != DUPLICATE_KEY for each in error.details["writeErrors"]):
                    raise

    def _delete(self, filters: Iterable[Mapping[str, Any]]) -> None:
        """Remove the document that each filter matches.

        In one command, with one filter per document: each uses the index of `_id`, where some servers scan the
        collection for a list of thousands.
        """
        from pymongo import DeleteOne

        if deletes := [DeleteOne(each) for each in filters]:
            self._boxscores.bulk_write(deletes, ordered=False)

    @property
    def _boxscores(self) -> "Collection[Document]":
        """The collection, read from the primary, with acknowledged writes, whatever the URI's options are.

        What is read here decides what is written and removed, so it must not be stale (docs/contract.md, section 6).
        """
        from pymongo import ReadPreference, WriteConcern
        from pymongo.read_concern import ReadConcern

        collection = self._client[self.database][COLLECTION]
        acknowledged = collection.write_concern if collection.write_concern.acknowledged else WriteConcern("majority")
        return collection.with_options(
            read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("local"), write_concern=acknowledged
        )

    def _errors(self) -> AbstractContextManager[None]:
        from pymongo.errors import PyMongoError

        # An `OSError`: a file that the address names, such as a certificate, was removed.
        return translate_errors(STORE, self.address, PyMongoError, OSError, hints=HINTS, hint=_hint, message=_message)


def _hint(error: Exception) -> str | None:
    """The hint if the store is unreachable. The error of a store that responds names the problem itself."""
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

    The object store dates its versions, so an earlier date is an older version. A stored version that is not dated
    earlier than `mine` is compared with the stream's present version, which is the newest of all:

    - If `mine` is the present version, none is newer. The store's clock may have been set back.
    - A date later than that of the present version is from before the clock was set back, so it is not newer.
    - A date in between, or in the same second as `mine`, counts as newer. If it was not, the run of the present version
      corrects that.
    """
    not_older = {each for each in stored if each and each != mine and each.last_modified >= mine.last_modified}
    if not not_older:
        return False
    now = latest()
    return now != mine and any(now is None or each.last_modified <= now.last_modified for each in not_older)


def _identity(document: Mapping[str, Any]) -> _Stored:
    return _Stored(document["fingerprint"], document["stream"])


def _message(error: Exception) -> str:
    """The driver's message without the state of all servers and the full response, which only repeat the problem."""
    return re.split(", (?:Topology Description|full error): ", str(error), maxsplit=1)[0]


def _same(stored: Mapping[str, Any] | None, document: Mapping[str, Any]) -> bool:
    """Whether the stored document equals `document` but for `fetched_at`: a repeated run changes nothing."""
    if stored is None or not isinstance(stored.get("stream"), Mapping):
        return False
    fetched_at = {"fetched_at": document["stream"]["fetched_at"]}
    return {**stored, "stream": {**stored["stream"], **fetched_at}} == document


class MongoDocumentStore(DocumentStore):
    """MongoDB, or another server with its protocol."""

    uri: str = Field(description="Connection string, given by the name of its variable, as it may hold a password.")

    @cached_property
    def address(self) -> str:
        return addresses.document_store(self.uri)

    def connect(self) -> "MongoClient[Document]":
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
