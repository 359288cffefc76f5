"""The document store: collection `boxscores` of database `sidearm`, one document an event (CONTRACT.md, 3 and 6).

Two invariants are kept here, whoever writes and however late: the document with the highest `_id` is the current one,
and what was made from a newer fetch of the stream is neither overwritten nor removed by an older one.
`stream.fetched_at` of each document tells which is newer.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from lacrosse_assets.resources.errors import told_as_store_error
from lacrosse_assets.resources.object_store import moment

STORE = "document store"
DATABASE = "sidearm"
COLLECTION = "boxscores"

# Which of two fetches is the newer one is told by the clocks of those who fetched. They may differ by this much; a
# document from further ahead was written by a clock that is wrong, and must not stop the score until then.
CLOCK_TOLERANCE = timedelta(seconds=5)

Document = dict[str, Any]


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

    def write(self, document: Document) -> bool:
        """Make `document` the current box score; False, and nothing changed, if a newer one is there already.

        First the document, then the removal of what an earlier play of the game left above it: a crash in between
        leaves the state as it was before, and the next run completes it. Two writers at once meet at the last step,
        where the older one takes its own document back.
        """
        from pymongo.errors import DuplicateKeyError

        event_id, fetched_at = document["_id"], document["stream"]["fetched_at"]
        is_newer = {"$gt": fetched_at, "$lte": moment() + CLOCK_TOLERANCE}
        newer = {"stream.fetched_at": is_newer}
        not_newer = {"stream.fetched_at": {"$not": is_newer}}
        with self._errors():
            if self._boxscores.find_one(newer):
                return False
            if not _same(self._boxscores.find_one({"_id": event_id}), document):
                try:
                    self._boxscores.replace_one({"_id": event_id, **not_newer}, document, upsert=True)
                except DuplicateKeyError:  # a newer one with this `_id`, just written
                    return False
            self._boxscores.delete_many({"_id": {"$gt": event_id}, **not_newer})
            if self._boxscores.find_one(newer):
                self._boxscores.delete_one({"_id": event_id, "stream.fetched_at": fetched_at})
                return False
        return True

    @property
    def _boxscores(self) -> Any:
        return self._client[self.database][COLLECTION]

    def _errors(self) -> Any:
        from pymongo.errors import PyMongoError

        return told_as_store_error(STORE, self.address, PyMongoError)


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
        from pymongo.errors import PyMongoError
        from pymongo.uri_parser import parse_uri

        try:
            nodes = parse_uri(self.uri, validate=False)["nodelist"]
        except PyMongoError:
            return self.uri.split("://")[0] + "://" + self.uri.rsplit("@")[-1].split("://")[-1].split("/")[0]
        return ",".join(f"{host}:{port}" for host, port in nodes)

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
