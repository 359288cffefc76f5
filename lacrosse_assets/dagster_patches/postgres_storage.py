"""Dagster's Postgres storage with a bounded connection pool.

dagster-postgres opens a connection for each query: a live run makes hundreds of them, and the idle sensor dozens a
second. Here all storages of a process share one pool. Tables and queries are dagster-postgres's own, so an instance can
switch between the two at any time.

The pool is configured with the storage (docker/postgres.yaml). `pool_size: 0` turns it off.
"""

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from dagster import Field, IntSource
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
    utils,
)
from sqlalchemy import Engine, event

from lacrosse_assets.dagster_patches.guard import is_supported

if TYPE_CHECKING:
    from dagster._config import UserConfigSchema

STORAGES = ("PostgresRunStorage", "PostgresEventLogStorage", "PostgresScheduleStorage")
RELIES_ON = (
    "dagster_postgres.utils:create_pg_engine",
    "dagster_postgres.utils:get_token_provider_from_config",
    "dagster_postgres.utils:pg_url_from_config",
    "dagster_postgres.utils:set_pg_statement_timeout",
    *(f"dagster_postgres:{storage}()._engine" for storage in STORAGES),
    *(f"dagster_postgres:{storage}.optimize_for_webserver" for storage in STORAGES),
)
POOL_SIZE = 2  # connections that a process keeps open, as many as one run uses at a time
MAX_OVERFLOW = 18  # further connections under load, closed after use
RECYCLE_SECONDS = 1800  # maximum age of a connection
CONNECT_TIMEOUT_SECONDS = 10  # for a host that drops packets; dagster-postgres retries


class _Pool(NamedTuple):
    """Storages with the same values share an engine."""

    url: str
    size: int
    max_overflow: int
    recycle_seconds: int
    statement_timeout_ms: int | None


_lock = threading.Lock()
_engines: dict[_Pool, Engine] = {}


def _engine(pool: _Pool, token_provider: Any) -> Engine:
    """This process's engine for the pool. Dagster creates an instance per sensor evaluation; all of them share it."""
    with _lock:
        if pool not in _engines:
            engine = utils.create_pg_engine(
                pool.url,
                token_provider,
                isolation_level="AUTOCOMMIT",
                pool_size=pool.size,
                max_overflow=pool.max_overflow,
                pool_pre_ping=True,  # a connection that a restart of Postgres has closed is replaced before use
                pool_recycle=pool.recycle_seconds,
                pool_use_lifo=True,  # the most recently used connection is the least likely to be stale
                connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
            )
            if pool.statement_timeout_ms is not None:
                timeout = pool.statement_timeout_ms
                event.listen(engine, "connect", lambda new, _: utils.set_pg_statement_timeout(new, timeout))
            _engines[pool] = engine
        return _engines[pool]


def _forget_engines() -> None:
    """After a fork: the child neither uses nor closes its parent's connections. It opens its own."""
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    for engine in _engines.values():
        engine.dispose(close=False)
    _engines.clear()


os.register_at_fork(after_in_child=_forget_engines)


class _Pooled:
    """A storage of dagster-postgres that takes its engine from the process's pool."""

    postgres_url: str
    _token_provider: Any

    def __init__(self, url: str, create_tables: bool, token_provider: Any, size: int, max_overflow: int) -> None:
        self._size, self._max_overflow = size, max_overflow
        self._recycle_seconds, self._statement_timeout_ms = RECYCLE_SECONDS, cast(int | None, None)
        super().__init__(url, create_tables, token_provider=token_provider)  # type: ignore[call-arg]

    @property
    def _engine(self) -> Engine:
        pool = _Pool(
            self.postgres_url, self._size, self._max_overflow, self._recycle_seconds, self._statement_timeout_ms
        )
        return _engine(pool, self._token_provider)

    @_engine.setter
    def _engine(self, unpooled: Engine) -> None:
        """The constructor of dagster-postgres assigns its own engine, which has no connection yet. It is not used."""

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Set the timeout of the webserver's queries. Dagster's own version creates a pool for each storage."""
        self._statement_timeout_ms, self._recycle_seconds = statement_timeout, pool_recycle
        self._max_overflow = max_overflow


class _Runs(_Pooled, PostgresRunStorage):
    pass


class _Events(_Pooled, PostgresEventLogStorage):
    pass


class _Schedules(_Pooled, PostgresScheduleStorage):
    pass


class PooledPostgresStorage(DagsterPostgresStorage):
    """Dagster's Postgres storage of runs, events and ticks, over pooled connections."""

    def __init__(self, inst_data: Any, config: Mapping[str, Any], pool_size: int, max_overflow: int) -> None:
        # Not the constructor of DagsterPostgresStorage, which creates the three unpooled storages.
        self.postgres_url = utils.pg_url_from_config(config)
        self.should_autocreate_tables = config.get("should_autocreate_tables", True)
        self._inst_data = inst_data
        provider = utils.get_token_provider_from_config(config)
        options = self.postgres_url, self.should_autocreate_tables, provider, pool_size, max_overflow
        self._run_storage = _Runs(*options)
        self._event_log_storage = _Events(*options)
        self._schedule_storage = _Schedules(*options)
        super(DagsterPostgresStorage, self).__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def config_type(cls) -> "UserConfigSchema":
        return {
            **cast(dict[str, Any], super().config_type()),
            "pool_size": Field(IntSource, is_required=False, default_value=POOL_SIZE),
            "max_overflow": Field(IntSource, is_required=False, default_value=MAX_OVERFLOW),
        }

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> DagsterPostgresStorage:  # type: ignore[override]
        config = dict(config_value)
        pool_size, max_overflow = config.pop("pool_size"), config.pop("max_overflow")
        if pool_size > 0 and is_supported("the Postgres connection pool", "dagster-postgres", *RELIES_ON):
            return cls(inst_data, config, pool_size, max_overflow)
        return DagsterPostgresStorage.from_config_value(inst_data, cast(Any, config))
