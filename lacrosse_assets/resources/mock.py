"""In-memory stores for the `mock` deployment: no port, no process, and the simulator's game, finished.

Their content lives as long as the process, so a run sees what earlier steps and runs wrote.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from dagster import InitResourceContext

from lacrosse_assets.game.document import Document
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.object_store import ObjectStore, StreamObject, StreamVersion, now_in_milliseconds
from lacrosse_assets.resources.reference_db import ReferenceDatabase

if TYPE_CHECKING:
    from pymongo import MongoClient
    from sqlalchemy import Engine

_CANNED = files("lacrosse_assets.gamestream")
_ADDRESS = "memory"


class CannedObjectStore(ObjectStore):
    """The stream of a finished game, for any bucket and key."""

    def head(self) -> StreamVersion:
        return self.get().version

    def get(self) -> StreamObject:
        body = (_CANNED / "game.txt").read_bytes()
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return StreamObject(
            body, StreamVersion(etag, datetime(2026, 3, 7, 20, tzinfo=UTC), len(body)), now_in_milliseconds()
        )


class InMemoryDocumentStore(DocumentStore):
    """A collection of mongomock's."""

    @property
    def address(self) -> str:
        return _ADDRESS

    def connect(self) -> "MongoClient[Document]":
        return _mongomock()

    def _replace(self, replacements: Iterable[tuple[Mapping[str, Any], Document]]) -> None:
        # One by one: mongomock's bulk_write rejects the replacements of pymongo 4.11 and newer.
        for unchanged, document in replacements:
            self._boxscores.replace_one(unchanged, document, upsert=True)

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Keep the documents for the process's next run."""


class InMemoryReferenceDatabase(ReferenceDatabase):
    """An in-memory SQLite database with the simulator's teams and players."""

    url: str = "sqlite://"

    def create_engine(self) -> "Engine":
        return _sqlite()

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Keep the tables for the process's next run."""


@cache
def _mongomock() -> "MongoClient[Document]":
    import mongomock

    client: MongoClient[Document] = mongomock.MongoClient(tz_aware=True)
    return client


@cache
def _sqlite() -> "Engine":
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    from lacrosse_assets.gamestream.reference_data import reset_tables

    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    reset_tables(engine)
    return engine
