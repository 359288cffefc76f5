"""The in-memory kinds of the stores, for the `mock` deployment: no port, no process, and a canned finished game.

They hold what they hold for the life of the process, so a run sees what its earlier steps wrote. The game is the
simulator's own.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lacrosse_assets.game.document import Document
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.object_store import ObjectStore, StreamObject, StreamVersion, now_in_milliseconds
from lacrosse_assets.resources.reference_db import ReferenceDatabase

if TYPE_CHECKING:
    from sqlalchemy import Engine

_CANNED = files("lacrosse_assets.gamestream")
_ADDRESS = "memory"


class CannedObjectStore(ObjectStore):
    """The stream of a finished game, whatever bucket and key are asked for."""

    def head(self) -> StreamVersion:
        return self.get().version

    def get(self) -> StreamObject:
        body = (_CANNED / "game.txt").read_bytes()
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return StreamObject(
            body, StreamVersion(etag, datetime(2026, 3, 7, 20, tzinfo=UTC), len(body)), now_in_milliseconds()
        )


class InMemoryDocumentStore(DocumentStore):
    """mongomock's collection."""

    @property
    def address(self) -> str:
        return _ADDRESS

    def connect(self) -> Any:
        return _mongomock()

    def _replace(self, replacements: Iterable[tuple[Mapping[str, Any], Document]]) -> None:
        # One by one: mongomock's bulk_write takes no replacement of pymongo 4.11 or newer.
        for unchanged, document in replacements:
            self._boxscores.replace_one(unchanged, document, upsert=True)

    def teardown_after_execution(self, context: Any) -> None:
        """Nothing: the process's next run finds the documents."""


class InMemoryReferenceDatabase(ReferenceDatabase):
    """SQLite's in-memory database, with the simulator's teams and players."""

    url: str = "sqlite://"

    def create_engine(self) -> "Engine":
        return _sqlite()

    def teardown_after_execution(self, context: Any) -> None:
        """Nothing: the process's next run finds the tables."""


@cache
def _mongomock() -> Any:
    import mongomock

    return mongomock.MongoClient(tz_aware=True)


@cache
def _sqlite() -> "Engine":
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    from lacrosse_assets.gamestream.reference_data import reset_tables

    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    reset_tables(engine)
    return engine
