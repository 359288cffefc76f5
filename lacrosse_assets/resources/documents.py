"""The document store: what all its kinds share (docs/contract.md, sections 3, 6 and 10).

There are two layouts of box scores, `event_documents.py` and `game_documents.py`, and two kinds of servers, MongoDB and
one in memory (`mock.py`). Assets, checks and the sensor do not depend on which it is.

The order of two versions never depends on this machine's clock: see `is_superseded`.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from lacrosse_assets import addresses
from lacrosse_assets.game.document import SUMMARY_FIELDS, Document
from lacrosse_assets.resources.errors import StoreError, translate_errors, unreachable_hint
from lacrosse_assets.resources.object_store import StreamVersion

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection as MongoCollection
    from pymongo.errors import BulkWriteError

STORE = "document store"
DATABASE = "sidearm"

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

DUPLICATE_KEY = 11000  # MongoDB's code

# A projection without the lists of a box score. By what is included: some servers take three times as long otherwise.
SUMMARY = dict.fromkeys(SUMMARY_FIELDS, 1)

# A filter for box scores, among the other documents of the collection. (With more conditions, a game day's documents
# are read noticeably slower.)
BOX_SCORES: Mapping[str, Any] = {
    "_id": {"$gte": 0},
    **{field: {"$exists": True} for field in ("stream.etag", "home.players", "away.players")},
}

# Reads the version of each game's stream as it is now, by the game's id.
Latest = Callable[[], Mapping[int, StreamVersion]]


class WriteResult(NamedTuple):
    """The result of a write."""

    current: bool  # whether the current document was written; False: it was stored already
    backfilled: int  # number of documents of earlier events that were written
    removed: int  # number of documents removed because their events are not in the stream
    blocked: tuple[int, ...] = ()  # values of `_id` that belong to a document that is not a box score


class Stored(NamedTuple):
    """The fields that identify a stored document's content."""

    fingerprint: Any
    stream: Any

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Stored":
        return cls(document.get("fingerprint"), document.get("stream"))

    @property
    def version(self) -> StreamVersion | None:
        return StreamVersion.from_document({"stream": self.stream})

    def unchanged(self, document_id: int) -> dict[str, Any]:
        """A filter that matches the document until it is replaced. (A null also matches a missing field.)"""
        return {"_id": document_id, "fingerprint": self.fingerprint, "stream": self.stream}


MISSING = Stored(None, None)


class DocumentStore(ConfigurableResource[Any], ABC):
    """A collection of box scores, on any server with MongoDB's protocol."""

    collection: ClassVar[str]
    entities: ClassVar[str]  # what has a document, for messages
    database: str = Field(default=DATABASE, description="Database of the collection.")

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

    @abstractmethod
    def summaries(self, games: Collection[int] | None = None) -> list[Document]:
        """The current box score of each game, or of these games, without players and plays, ordered by `game_id`.

        Raises:
            StoreError: the store is unreachable or refuses the request.
        """

    @abstractmethod
    def final_box_scores(self) -> list[Document]:
        """The current box score of each game that is over, ordered by `game_id`."""

    @abstractmethod
    def missing(self, timelines: Mapping[int, Mapping[int, str]]) -> dict[int, set[int]]:
        """The earlier events of each game whose documents are missing or not up to date, by `game_id`.

        `timelines` maps every event of each game to its box score's fingerprint, in ascending order.
        """

    @abstractmethod
    def save(
        self, boxes: Sequence[Document], timelines: Mapping[int, Mapping[int, str]], latest: Latest
    ) -> dict[int, WriteResult | None]:
        """Store box scores of any games: of each game the current one, and those of the events that are `missing`.

        Returns the result for each game, by `game_id`; None if a box score of a newer version of its stream is stored.

        Raises:
            StoreError: the store is unreachable or refuses the request, or another writer keeps changing a document.
        """

    def _replace(self, replacements: Iterable[tuple[Mapping[str, Any], Document]]) -> None:
        """Upsert each document by its filter: it replaces the document that the filter matches, or a missing one."""
        from pymongo import ReplaceOne
        from pymongo.errors import BulkWriteError

        if writes := [ReplaceOne(unchanged, document, upsert=True) for unchanged, document in replacements]:
            try:
                self._collection.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                # Duplicate key: the filter no longer matches the document of this `_id`. The caller retries.
                if any(each["code"] != DUPLICATE_KEY for each in _problems(error)):
                    raise

    def _delete(self, filters: Iterable[Mapping[str, Any]]) -> None:
        """Remove the document that each filter matches.

        In one command, with one filter per document: each uses the index of `_id`, where some servers scan the
        collection for a list of thousands.
        """
        from pymongo import DeleteOne

        if deletes := [DeleteOne(each) for each in filters]:
            self._collection.bulk_write(deletes, ordered=False)

    @property
    def _collection(self) -> "MongoCollection[Document]":
        """The collection, read from the primary, with acknowledged writes, whatever the URI's options are.

        What is read here decides what is written and removed, so it must not be stale (docs/contract.md, section 6).
        """
        from pymongo import ReadPreference, WriteConcern
        from pymongo.read_concern import ReadConcern

        collection = self._client[self.database][self.collection]
        acknowledged = collection.write_concern if collection.write_concern.acknowledged else WriteConcern("majority")
        return collection.with_options(
            read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("local"), write_concern=acknowledged
        )

    def _conflict(self, document_id: int) -> StoreError:
        return StoreError(
            STORE,
            self.address,
            f"another writer keeps changing document {document_id} of {self.database}.{self.collection}: "
            "check that only one deployment writes to this database",
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


def is_superseded(
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


def box_score_key(box: Mapping[str, Any]) -> str:
    """Identifies a box score: by the version of the stream, and the fingerprint."""
    version = StreamVersion.from_document(box)
    return f"{version and version.key} {box.get('fingerprint', '')}"


def results_key(boxes: Iterable[Mapping[str, Any]]) -> str:
    """Identifies a set of box scores, of which the final tables are a function; of a single one, as `box_score_key`."""
    return results_key_of({box["game_id"]: box_score_key(box) for box in boxes})


def results_key_of(keys: Mapping[int, str]) -> str:
    """The same as `results_key`, from the key of each box score by `game_id`."""
    if len(keys) == 1:
        return next(iter(keys.values()))
    return hashlib.blake2b("\n".join(keys[game] for game in sorted(keys)).encode(), digest_size=16).hexdigest()


def is_box_score(document: Mapping[str, Any]) -> bool:
    """Whether a stored document is a box score: one of this platform's, or one that another program wrote.

    It has an integer `_id`, and a `home` and an `away` team, as a program that implements the original exercise writes
    it. All other documents in the collection are left alone.
    """
    return isinstance(document["_id"], int) and all(
        isinstance(document.get(side), Mapping) for side in ("home", "away")
    )


def number_of(document_id: Any) -> Any:
    """An `_id` as a number that equals an integer if the server considers both equal.

    Python compares a double so by itself, but not a `Decimal128`.
    """
    from bson import Decimal128

    return document_id.to_decimal() if isinstance(document_id, Decimal128) else document_id


def _problems(error: "BulkWriteError") -> list[Mapping[str, Any]]:
    """What went wrong with a bulk write: documents, and the write concern, such as replicas that do not respond."""
    return [*(error.details.get("writeErrors") or ()), *(error.details.get("writeConcernErrors") or ())]


def _message(error: Exception) -> str:
    """The driver's message without the state of all servers and the full response, which only repeat the problem."""
    from pymongo.errors import BulkWriteError

    if isinstance(error, BulkWriteError) and (problems := _problems(error)):
        return str(problems[0].get("errmsg") or error)  # the error itself says "batch op errors occurred"
    return re.split(", (?:Topology Description|full error): ", str(error), maxsplit=1)[0]


def is_same(stored: Mapping[str, Any] | None, document: Mapping[str, Any]) -> bool:
    """Whether the stored document equals `document` but for `fetched_at`: a repeated run changes nothing."""
    if stored is None or not isinstance(stored.get("stream"), Mapping):
        return False
    fetched_at = {"fetched_at": document["stream"]["fetched_at"]}
    return {**stored, "stream": {**stored["stream"], **fetched_at}} == document


class MongoServer(DocumentStore, ABC):
    """MongoDB, or another server with its protocol. The layout of the documents is another class's."""

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
