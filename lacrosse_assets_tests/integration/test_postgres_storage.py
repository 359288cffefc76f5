"""Dagster's Postgres storage with a connection pool, compared with dagster-postgres's own on a real server."""

import importlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster_postgres import DagsterPostgresStorage, PostgresRunStorage

from bench.postgres import Postgres, postgres, storage_yaml
from lacrosse_assets.dagster_patches import guard, postgres_storage
from lacrosse_assets.dagster_patches.postgres_storage import PooledPostgresStorage
from lacrosse_assets_tests.support.stored_runs import materialized, seen

Instance = Callable[..., DagsterInstance]
UNPOOLED = 0


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as up:
        yield up


@pytest.fixture
def instance(server: Postgres, tmp_path: Path) -> Iterator[Instance]:
    """An instance on the server, as docker/postgres.yaml configures it or with another pool size."""

    def make(pool_size: int | None = None) -> DagsterInstance:
        (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + storage_yaml(server, pool_size))
        return DagsterInstance.from_config(str(tmp_path))

    yield make
    for engine in postgres_storage._engines.values():
        engine.dispose()


@pytest.mark.parametrize("first", [None, UNPOOLED])
def test_pooled_and_unpooled_storage_read_each_others_records(instance: Instance, first: int | None) -> None:
    second = UNPOOLED if first is None else None
    with instance(first) as before:
        run_id = materialized(before)
        known = seen(before, run_id)
    with instance(second) as after:
        assert type(before.run_storage) is not type(after.run_storage)
        assert seen(after, run_id) == known
        again = materialized(after)
        assert seen(after, again)[2] == again
    assert known[0] == "SUCCESS"
    assert "ASSET_MATERIALIZATION" in known[1]


def test_runs_and_instances_of_a_process_share_a_few_connections(instance: Instance, server: Postgres) -> None:
    counts = {}
    for pool_size in (UNPOOLED, None):
        with instance(pool_size) as warm:
            materialized(warm)
        before = server.connections()
        for _ in range(3):  # as the code server does at each evaluation of a sensor
            with instance(pool_size) as again:
                materialized(again)
        counts[pool_size] = server.connections() - before
    assert counts[UNPOOLED] > 50, "or there would be nothing to pool"
    assert counts[None] <= postgres_storage.POOL_SIZE


def test_the_number_of_connections_is_bounded(instance: Instance, server: Postgres) -> None:
    with instance() as pooled:
        run_id = materialized(pooled)
        errors: list[Exception] = []

        def read() -> None:
            try:
                for _ in range(10):
                    seen(pooled, run_id)
            except Exception as error:
                errors.append(error)

        readers = [threading.Thread(target=read) for _ in range(40)]
        for reader in readers:
            reader.start()
        most = 0
        while any(reader.is_alive() for reader in readers):
            most = max(most, len(server.open_connections()))
        assert errors == []
        assert most <= postgres_storage.POOL_SIZE + postgres_storage.MAX_OVERFLOW
        assert len(server.open_connections()) <= postgres_storage.POOL_SIZE


def test_a_restart_of_postgres_is_survived(instance: Instance, server: Postgres) -> None:
    with instance() as pooled:
        run_id = materialized(pooled)
        for _ in range(2):
            server.restart()
            assert seen(pooled, run_id)[0] == "SUCCESS"
            materialized(pooled)


def test_a_forked_process_opens_connections_of_its_own_and_closes_none_of_its_parents(
    instance: Instance, server: Postgres
) -> None:
    with instance() as pooled:
        run_id = materialized(pooled)
        parents = set(server.open_connections())
        assert parents
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                seen(pooled, run_id)
                os.write(writing, " ".join(map(str, server.open_connections())).encode())
                os._exit(0)
            except BaseException:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert parents < set(map(int, os.read(reading, 10_000).split()))
        os.close(reading)
        os.close(writing)
        seen(pooled, run_id)
        assert parents <= set(server.open_connections())


def test_the_webserver_s_queries_have_a_timeout_and_one_pool(instance: Instance, server: Postgres) -> None:
    with instance() as pooled:
        pooled.optimize_for_webserver(statement_timeout=1234, pool_recycle=60, max_overflow=5)
        storages: list[Any] = [pooled.run_storage, pooled.event_log_storage, pooled.schedule_storage]
        assert len({id(storage._engine) for storage in storages}) == 1
        with pooled.run_storage.connect() as connection:  # type: ignore[attr-defined]
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "1234ms"


def test_a_connection_comes_back_from_a_transaction_in_autocommit_mode(instance: Instance) -> None:
    with instance() as pooled:
        log = pooled.event_log_storage
        with log.index_transaction() as connection:  # type: ignore[attr-defined]
            assert not connection.connection.dbapi_connection.autocommit
        with log.index_connection() as connection:  # type: ignore[attr-defined]
            assert connection.connection.dbapi_connection.autocommit


def test_another_dagster_postgres_is_left_as_it_is_with_one_line(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "version", lambda _: "0.30.0")
    with caplog.at_level(logging.WARNING, guard.log.name), instance() as unpooled:
        assert type(unpooled.run_storage) is PostgresRunStorage
        materialized(unpooled)
    lines = [record.getMessage() for record in caplog.records if record.name == guard.log.name]
    assert lines == [
        "the Postgres connection pool is off, Dagster is left as it is: dagster-postgres 0.30.0 is not tested (0.29 is)"
    ]


def test_a_pool_size_of_zero_turns_it_off(instance: Instance) -> None:
    with instance(UNPOOLED) as unpooled:
        assert type(unpooled.run_storage) is PostgresRunStorage


def test_it_can_be_imported_by_the_name_in_the_configuration() -> None:
    module = importlib.import_module(PooledPostgresStorage.__module__)
    assert issubclass(module.PooledPostgresStorage, DagsterPostgresStorage)
