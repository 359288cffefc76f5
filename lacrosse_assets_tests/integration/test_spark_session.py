"""The session of a Spark Connect server: created while a run starts, or at first use."""

import socket
import threading
from typing import Any

import pytest
from dagster import build_init_resource_context

from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.spark import SMALL_DATA_CONFIG, ConnectSparkResource
from lacrosse_assets_tests.support.world import Stores


@pytest.fixture
def resource(stores: Stores) -> ConnectSparkResource:
    return ConnectSparkResource(spark_config=SMALL_DATA_CONFIG, remote=stores.addresses["SPARK_REMOTE"])


class Recorded(ConnectSparkResource):
    """It records the threads that connect, and fails as often as it is asked to."""

    def record(self, failures: int = 0) -> list[str]:
        self._threads: list[str] = []
        self._failures = failures
        return self._threads

    def _connect(self) -> Any:
        self._threads.append(threading.current_thread().name)
        if len(self._threads) <= self._failures:
            raise OSError("the server is being restarted")
        return super()._connect()


@pytest.mark.parametrize(("failures", "attempts"), [(0, ["spark-connect_0"]), (1, ["spark-connect_0", "MainThread"])])
def test_a_run_finds_its_session_ready(stores: Stores, failures: int, attempts: list[str]) -> None:
    resource = Recorded(spark_config=SMALL_DATA_CONFIG, remote=stores.addresses["SPARK_REMOTE"])
    threads, context = resource.record(failures), build_init_resource_context()
    resource.setup_for_execution(context)
    with resource.session() as session:
        assert session.range(3).count() == 3
        assert session.conf.get("spark.sql.shuffle.partitions") == "1"
    resource.teardown_after_execution(context)
    assert threads == attempts


def test_a_session_that_was_not_used_is_closed(resource: ConnectSparkResource, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.sql.connect.session import SparkSession

    stopped: list[object] = []
    stop = SparkSession.stop

    def recorded(session: SparkSession) -> None:
        stopped.append(session)
        stop(session)

    monkeypatch.setattr(SparkSession, "stop", recorded)
    context = build_init_resource_context()
    resource.setup_for_execution(context)
    resource.teardown_after_execution(context)
    assert len(stopped) == 1


def test_a_run_that_needs_no_spark_does_not_fail_without_it() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        resource = ConnectSparkResource(spark_config={}, remote=f"sc://127.0.0.1:{free.getsockname()[1]}")
    context = build_init_resource_context()
    resource.setup_for_execution(context)
    with pytest.raises(StoreError, match="Spark Connect server at sc://127"), resource.session():
        pass
    resource.teardown_after_execution(context)
