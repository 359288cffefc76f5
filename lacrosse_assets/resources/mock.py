"""In-memory stores for the `mock` deployment: no port, no process, and the simulator's game, finished.

Their content lives as long as the process, so a run sees what earlier steps and runs wrote.
"""

import hashlib
from abc import ABC
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from dagster import InitResourceContext

from lacrosse_assets.game.document import Document
from lacrosse_assets.game.schedule import SINGLE_GAME_ID, STREAM_SUFFIX
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.event_documents import EventDocuments
from lacrosse_assets.resources.game_documents import GameDocuments
from lacrosse_assets.resources.object_store import (
    Fetched,
    ObjectStore,
    SingleObjectStore,
    StreamObject,
    StreamVersion,
    now_in_milliseconds,
)
from lacrosse_assets.resources.reference_db import ReferenceDatabase

if TYPE_CHECKING:
    from pymongo import MongoClient
    from sqlalchemy import Engine

_CANNED = files("lacrosse_assets.gamestream")
_ADDRESS = "memory"


class CannedObjectStore(SingleObjectStore):
    """The stream of a finished game, for any bucket and key."""

    def head(self) -> StreamVersion:
        return self.get().version

    def get(self) -> StreamObject:
        return _canned_stream()


class CannedPrefixStore(ObjectStore):
    """The stream of a finished game, below any prefix."""

    def versions(self) -> dict[str, StreamVersion]:
        return {f"{self.key}{SINGLE_GAME_ID}{STREAM_SUFFIX}": _canned_stream().version}

    def fetch(self, keys: Collection[str]) -> Fetched:
        versions = self.versions()
        return Fetched({key: _canned_stream() for key in versions.keys() & set(keys)}, versions)


class InMemoryServer(DocumentStore, ABC):
    """mongomock. The layout of the documents is another class's."""

    @property
    def address(self) -> str:
        return _ADDRESS

    def connect(self) -> "MongoClient[Document]":
        return _mongomock()

    def _replace(self, replacements: Iterable[tuple[Mapping[str, Any], Document]]) -> None:
        # One by one: mongomock's bulk_write rejects the replacements of pymongo 4.11 and newer.
        for unchanged, document in replacements:
            self._collection.replace_one(unchanged, document, upsert=True)

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Keep the documents for the process's next run."""


class InMemoryEventDocuments(InMemoryServer, EventDocuments):
    """One document per event, in memory."""


class InMemoryGameDocuments(InMemoryServer, GameDocuments):
    """One document per game, in memory."""


class InMemoryReferenceDatabase(ReferenceDatabase):
    """An in-memory SQLite database with the simulator's teams and players."""

    url: str = "sqlite://"

    def create_engine(self) -> "Engine":
        return _sqlite()

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Keep the tables for the process's next run."""


def _canned_stream() -> StreamObject:
    body = (_CANNED / "game.txt").read_bytes()
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    version = StreamVersion(etag, datetime(2026, 3, 7, 20, tzinfo=UTC), len(body))
    return StreamObject(body, version, now_in_milliseconds())


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
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE games (id int primary key, day date, home int, away int)")
        connection.exec_driver_sql("INSERT INTO games VALUES (?, ?, ?, ?)", (SINGLE_GAME_ID, "2026-03-07", 101, 205))
    return engine
