"""Connections that break during a call: a clear error, no partial write, and the next run repairs it."""

import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from pymongo.uri_parser import parse_uri
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from sqlalchemy import make_url

from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.resources.errors import StoreError, unreachable_hint
from lacrosse_assets.resources.event_documents import MongoEventDocuments
from lacrosse_assets.resources.object_store import LiveS3, S3ObjectStore
from lacrosse_assets.resources.reference_db import SqlReferenceDatabase
from lacrosse_assets.resources.spark import ConnectSparkResource
from lacrosse_assets_tests.support.proxy import Proxy, proxy_to, uri_through
from lacrosse_assets_tests.support.world import ENDED, FINAL, LIVE, MIDDLE, PLAYERS, TEAMS, World

# The object store.


@pytest.fixture
def s3_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    endpoint = urlsplit(world.environ["AWS_ENDPOINT_URL_S3"])
    if endpoint.scheme == "https":
        pytest.fail("the proxy has no certificate: the object store must have an http:// address")
    with proxy_to(str(endpoint.hostname), endpoint.port or 80) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.port}")
        yield proxy


def test_the_connection_breaks_during_the_download(world: World, s3_connection: Proxy) -> None:
    body = "".join(f"{number} 59:30 101 6 1\n" for number in range(200_000)).encode()
    world.put(body=body)
    store = S3ObjectStore(
        s3=LiveS3(**{**world.s3, "endpoint_url": os.environ["AWS_ENDPOINT_URL_S3"]}),
        bucket=world.environ["GAMESTREAM_BUCKET"],
        key=world.environ["GAMESTREAM_KEY"],
    )
    s3_connection.cut_after(len(body) // 2)

    with pytest.raises(StoreError, match=rf"object store at http://127.0.0.1:{s3_connection.port} \(s3://"):
        store.get()

    s3_connection.restore()
    found = store.get()
    assert found is not None
    assert found.body == body


def test_the_store_is_unreachable_for_one_run(world: World, s3_connection: Proxy) -> None:
    world.put(*MIDDLE)
    s3_connection.cut()

    assert "object store at" in world.materialize("raw_gamestream").failure

    s3_connection.restore()
    assert world.materialize(*LIVE).success
    assert world.document()["_id"] == 2


# The document store.


class CutAt(CommandListener):
    """Calls `cut` just before the client sends the command of this name."""

    def __init__(self, name: str, cut: Callable[[], None]):
        self._name, self._cut = name, cut

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == self._name:
            self._cut()

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@pytest.mark.parametrize("command", ["find", "update", "delete"])
def test_the_connection_to_mongodb_breaks_at_any_command_of_a_write(world: World, command: str) -> None:
    world.put(*ENDED)
    assert world.materialize(*LIVE).success
    before = world.documents()
    world.replay(*MIDDLE)
    assert world.materialize("raw_gamestream", "roster", "player_game_stats").success
    (host, port), *_ = parse_uri(world.environ["MONGODB_URI"])["nodelist"]

    with proxy_to(host, port or 27017) as proxy:

        class Store(MongoEventDocuments):
            def connect(self) -> Any:
                return MongoClient(
                    self.uri,
                    tz_aware=True,
                    serverSelectionTimeoutMS=500,
                    event_listeners=[CutAt(command, proxy.cut)],
                )

        store = Store(uri=uri_through(world.environ["MONGODB_URI"], proxy.port), database=world.mongo_database)
        run = world.materialize("boxscore_doc", documents=store, checks=False)

    assert run.failure.startswith(f"document store at 127.0.0.1:{proxy.port}: ")
    assert world.document() == before[-1], "the old box score is current until the new one is written"
    assert all(document in before for document in world.documents())
    assert world.tick_and_run().success
    assert [document["_id"] for document in world.documents()] == [0, 1, 2]


# Spark.


@pytest.mark.filterwarnings("ignore:.RETRIES_EXCEEDED")
def test_the_connection_to_spark_breaks_during_a_computation(embedded: EmbeddedServices) -> None:
    server = urlsplit(embedded.addresses["SPARK_REMOTE"])
    with proxy_to(str(server.hostname), server.port or 0) as line:
        spark = ConnectSparkResource(spark_config={}, remote=f"sc://127.0.0.1:{line.port}")

        def three(meanwhile: Callable[[], None] = lambda: None) -> SparkSession:
            """Run two jobs, with `meanwhile` between them. Returns their session."""
            with spark.session() as session:
                assert session.range(3).count() == 3
                meanwhile()
                assert session.range(3).count() == 3
                return session

        before = three()
        assert three() is before
        with pytest.raises(StoreError, match=rf"^Spark Connect server at sc://127.0.0.1:{line.port}: ") as lost:
            three(meanwhile=line.cut)
        assert str(lost.value.description).endswith(f"({unreachable_hint('SPARK_REMOTE')})")
        assert "\n" not in str(lost.value.description)

        line.restore()
        assert three() is not before, "the retry has a new session"
        with pytest.raises(AnalysisException), spark.session() as session:
            session.sql("SELECT * FROM nowhere").collect()  # not a failure of the server


# The reference database, if it is a server. Otherwise `test_sql_server.py` uses a stand-in.


@pytest.fixture
def database_and_proxy(world: World) -> Iterator[tuple[SqlReferenceDatabase, Proxy]]:
    url = make_url(world.environ["SIDEARMDB_URL"])
    with proxy_to(str(url.host), url.port or 1433) as proxy:
        proxied = url.set(host="127.0.0.1", port=proxy.port)
        yield SqlReferenceDatabase(url=proxied.render_as_string(hide_password=False)), proxy


@pytest.mark.sql_server
def test_the_connection_to_the_database_breaks_during_a_transaction(
    world: World, database_and_proxy: tuple[SqlReferenceDatabase, Proxy]
) -> None:
    database, proxy = database_and_proxy
    world.reference_db().replace({"teams2": TEAMS, "players2": PLAYERS}, lambda: None)
    new = {"teams2": [{**row, "wins": 99} for row in TEAMS], "players2": [{**row, "shots": 99} for row in PLAYERS]}

    with pytest.raises(StoreError, match=rf"reference database at mssql://127.0.0.1:{proxy.port}/"):
        database.replace(new, proxy.cut)

    assert [world.table(name) for name in FINAL] == [TEAMS, PLAYERS]
    proxy.restore()
    database.replace(new, lambda: None)
    assert [world.table(name) for name in FINAL] == list(new.values())


@pytest.mark.sql_server
def test_the_database_refuses_the_password(world: World) -> None:
    url = make_url(world.environ["SIDEARMDB_URL"]).set(password="pa55;w}0rd-0f-no-one")

    with pytest.raises(StoreError, match="reference database at mssql://") as refused:
        SqlReferenceDatabase(url=url.render_as_string(hide_password=False)).read()

    assert "Login failed" in str(refused.value)
    assert "0f-no-one" not in str(refused.value)
