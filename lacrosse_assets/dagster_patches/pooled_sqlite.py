"""The storage that `sqlite_storage.py` configures. Import it only where Dagster is supported."""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, AssetKeyTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._core.storage.sqlite_storage import (
    DagsterSqliteStorage,
    _event_logs_directory,
    _runs_directory,
    _schedule_directory,
)
from dagster._utils import mkdir_p
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text

from lacrosse_assets.dagster_patches import compact_events

BUSY_TIMEOUT_SECONDS = 30  # for another process's write; the same as Dagster's
POOLED_RUNS = 4  # runs whose event files stay open; each run has a file of its own
# The write-ahead log is copied into the database when it has this many pages. SQLite's own limit is 1000, four
# megabytes for each file.
CHECKPOINT_PAGES = 250
# The events that Dagster's own storage writes to the index as well.
_INDEXED_EVENTS = {*ASSET_EVENTS, *ASSET_CHECK_EVENTS, *EVENT_TYPE_TO_PIPELINE_RUN_STATUS}
_INSERT_EVENT = SqlEventLogStorageTable.insert()


def _engine(url: str, *, compact: bool = False) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def write_ahead(connection: Any, _record: object) -> None:
        if compact:
            compact_events.register(connection)
        # Dagster sets the same journal mode, after it has created the tables. With it SQLite recommends this
        # synchronous mode: a crashed process loses nothing, a power failure at most the last transactions.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")

    return engine


def _is_complete(engine: Engine) -> bool:
    """Whether Dagster has created its tables. It writes their revision last.

    Dagster itself checks that by reading all of its migrations, in each process and for each run.
    """
    with engine.connect() as connection:
        return inspect(connection).has_table("alembic_version") and bool(
            connection.execute(text("SELECT 1 FROM alembic_version")).first()
        )


class _EventLog(SqliteEventLogStorage):
    def __init__(self, base_dir: str) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables: set[str] = set()
        self._secondary_indexes: set[str] = set()
        super().__init__(base_dir)

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        if not _is_complete(engine):
            super()._initdb(engine, for_index_shard)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if shard not in self._engines:
                self._engines[shard] = _engine(self.conn_string_for_shard(shard), compact=shard != INDEX_SHARD_NAME)
            self._engines.move_to_end(shard)
            if len(self._engines) > POOLED_RUNS:
                self._engines.popitem(last=False)[1].dispose()
            if shard not in self._initialized_dbs:
                self._create_tables(shard)
                self._initialized_dbs.add(shard)
            with self._engines[shard].begin() as connection:
                yield connection

    def store_event(self, event: EventLogEntry) -> None:
        """As Dagster does it, with one transaction in the index and a statement that is compiled once."""
        row, kind = self._event_to_row(event), event.dagster_event_type if event.is_dagster_event else None
        with self.run_connection(event.run_id) as connection:
            connection.execute(_INSERT_EVENT, row)
        if kind not in _INDEXED_EVENTS:
            return
        with self.index_connection() as connection:
            event_id = connection.execute(_INSERT_EVENT, row).lastrowid
            if kind in ASSET_EVENTS:
                self._store_asset_event_tags(connection, [event], [event_id])
                self._store_asset_event(connection, event, event_id)
        if kind in ASSET_CHECK_EVENTS:
            self.store_asset_check_event(event, event_id)

    def has_table(self, table_name: str) -> bool:
        if not self._tables:
            with self.index_connection():  # the first one reads their names
                pass
        return table_name in self._tables

    # Dagster's own storage reads the schema for each query and event, in case the tables are of an old version.

    def has_asset_key_col(self, column_name: str) -> bool:
        return column_name in AssetKeyTable.c

    def _has_asset_key_col_on_connection(self, _conn: Connection, column_name: str) -> bool:
        return self.has_asset_key_col(column_name)

    def has_secondary_index(self, name: str) -> bool:
        if name not in self._secondary_indexes and super().has_secondary_index(name):
            self._secondary_indexes.add(name)
        return name in self._secondary_indexes

    def _create_tables(self, shard: str) -> None:
        engine = self._engines[shard]
        if shard == INDEX_SHARD_NAME:
            self._initdb(engine)
            self._tables.update(inspect(engine).get_table_names())
        else:
            with engine.connect() as connection:
                compact_events.create(cast(sqlite3.Connection, connection.connection.driver_connection))

    def delete_events(self, run_id: str) -> None:
        # Dagster deletes the rows in the run's file instead of the file, and leaves the results of checks.
        with self.index_connection() as connection:
            self.delete_events_for_run(connection, run_id)
            connection.execute(AssetCheckExecutionsTable.delete().where(AssetCheckExecutionsTable.c.run_id == run_id))
        if self.supports_global_concurrency_limits:
            self.free_concurrency_slots_for_run(run_id)
        with self._db_lock:
            if engine := self._engines.pop(run_id, None):
                engine.dispose()
            self._initialized_dbs.discard(run_id)
            file = Path(self.path_for_shard(run_id))
            for each in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
                each.unlink(missing_ok=True)

    def dispose(self) -> None:
        super().dispose()
        while self._engines:
            self._engines.popitem()[1].dispose()


class _OneFile:
    """A storage of one SQLite file, with one engine for all of its connections."""

    _conn_string: str

    @cached_property
    def _engine(self) -> Engine:
        return _engine(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection


class _Runs(_OneFile, SqliteRunStorage):
    @classmethod
    def from_local(cls, base_dir: str, inst_data: Any = None) -> "_Runs":
        mkdir_p(base_dir)
        storage = cls(create_db_conn_string(base_dir, "runs"), inst_data)
        return storage if _is_complete(storage._engine) else super().from_local(base_dir, inst_data)

    def delete_run(self, run_id: str) -> None:
        with self.connect() as connection:  # SQLite does not cascade by default
            connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == run_id))
        super().delete_run(run_id)


class _Schedules(_OneFile, SqliteScheduleStorage):
    @classmethod
    def from_local(cls, base_dir: str, inst_data: Any = None) -> "_Schedules":
        mkdir_p(base_dir)
        storage = cls(create_db_conn_string(base_dir, "schedules"), inst_data)
        return storage if _is_complete(storage._engine) else cast(_Schedules, super().from_local(base_dir, inst_data))


class PooledSqliteStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage of runs, events and ticks in the folder `base_dir`, over pooled connections."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        # Not the constructor of DagsterSqliteStorage, which creates the three unpooled storages.
        self.base_dir, self._inst_data = base_dir, inst_data
        self._run_storage = _Runs.from_local(_runs_directory(base_dir))
        self._event_log_storage = _EventLog(_event_logs_directory(base_dir))
        self._schedule_storage = _Schedules.from_local(_schedule_directory(base_dir))
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PooledSqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)
