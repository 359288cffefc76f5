"""Fixtures that several test files share, and which stores they are about.

Tests that use `world` or `stores` can be pointed anywhere: `make test-services` runs them against whichever stores
`LACROSSE_DEPLOYMENT=services` and the addresses name. Everything that they need, they create under names of their own.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import hypothesis
import pytest
from botocore.exceptions import ClientError
from pyspark.sql import SparkSession
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from lacrosse_assets.embedded.services import EmbeddedServices, embedded_services
from lacrosse_assets.gamestream.reference_data import create_database
from lacrosse_assets.gamestream.simulator import BOXSCORES_BUCKET
from lacrosse_assets.resources.event_documents import MongoEventDocuments
from lacrosse_assets.resources.reference_db import SqlReferenceDatabase
from lacrosse_assets.s3 import forget_credentials
from lacrosse_assets.settings import VARIABLES, SettingsError, embedded_settings, load_settings
from lacrosse_assets_tests.support.day import PREFIX, Day
from lacrosse_assets_tests.support.spark import local_spark
from lacrosse_assets_tests.support.world import Stores, World, new_world

ELSEWHERE = os.environ.get("LACROSSE_DEPLOYMENT") == "services"
# What the tests set themselves.
OF_A_TEST = ("LACROSSE_DEPLOYMENT", "LACROSSE_STATE_DIR", "GAMESTREAM_BUCKET", "GAMESTREAM_KEY", "DELAY")


# On a CI server each run has the same examples, so that a failure there is always one of the change at hand. `make
# test-unit` has fewer: --hypothesis-profile.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=25)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--megabytes", type=int, default=4, help="The size of the streams in test_hostile.py.")


def pytest_configure() -> None:
    if ELSEWHERE:
        try:
            load_settings()
        except SettingsError as error:
            raise pytest.UsageError(error.message) from None


def pytest_report_header() -> list[str]:
    if not ELSEWHERE:
        return ["stores: the embedded ones"]
    return [
        f"object store: {os.environ.get('AWS_ENDPOINT_URL_S3', 'AWS')}",
        f"document store: {MongoEventDocuments(uri=os.environ['MONGODB_URI']).address}",
        f"reference database: {SqlReferenceDatabase(url=os.environ['SIDEARMDB_URL']).address}",
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and "stores" in item.fixturenames and "embedded" not in item.fixturenames:
            item.add_marker("services")
    there_is_none = set()
    if not (ELSEWHERE and make_url(os.environ["SIDEARMDB_URL"]).get_backend_name() == "mssql"):
        there_is_none.add("sql_server")
    if not shutil.which("mvn"):
        there_is_none.add("drill")
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in there_is_none)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def _credentials_of_this_test() -> None:
    """boto3 keeps the credentials of a process; the tests' are different ones."""
    forget_credentials()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServices]:
    """The embedded services, up for the whole session, in a state folder of their own."""
    settings = embedded_settings({"LACROSSE_STATE_DIR": str(tmp_path_factory.mktemp("lacrosse"))})
    with embedded_services(settings) as services:
        yield services


@pytest.fixture(scope="session")
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """The stores that are tested."""
    if not ELSEWHERE:
        yield Stores(request.getfixturevalue("embedded").addresses)
        return
    addresses = {name: os.environ[name] for name in VARIABLES if name not in OF_A_TEST and os.environ.get(name)}
    given = make_url(addresses["SIDEARMDB_URL"])
    if given.get_backend_name() == "sqlite":
        yield Stores(addresses)
        return
    # Through `master` and by host and database: a URL with `odbc_connect` names neither.
    own = given.set(database=f"sidearmdb_test_{uuid.uuid4().hex[:12]}")
    create_database(own.render_as_string(hide_password=False))
    try:
        yield Stores({**addresses, "SIDEARMDB_URL": own.render_as_string(hide_password=False)})
    finally:
        server = create_engine(given.set(database="master"), isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            with suppress(DBAPIError):  # a server, or a user, that cannot do it
                # Whatever a failed test has left open.
                connection.execute(text(f"ALTER DATABASE {own.database} SET SINGLE_USER WITH ROLLBACK IMMEDIATE"))
            connection.execute(text(f"DROP DATABASE {own.database}"))
        server.dispose()


@pytest.fixture
def world(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A game of the test's own."""
    with new_world(stores, tmp_path, monkeypatch) as world:
        yield world


@pytest.fixture
def simulated(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """For the simulator at full speed. The simulator's second bucket is removed again, unless it was there before."""
    monkeypatch.setenv("DELAY", "0")
    store = boto3.client("s3", **world.s3)
    try:
        store.head_bucket(Bucket=BOXSCORES_BUCKET)
        yield world
    except ClientError:
        yield world
        store.delete_bucket(Bucket=BOXSCORES_BUCKET)


@pytest.fixture
def day(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Day]:
    """A game day of the test's own: three scheduled games, none of which has a stream yet."""
    monkeypatch.setenv("GAMESTREAM_KEY", PREFIX)
    day = Day(world)
    day.schedule()
    yield day
    with day.games() as games:
        games.drop()
    for table in ("games", "games2"):
        world.sql(f"DROP TABLE IF EXISTS {table}")


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """A Spark session of this process, ended with the file's tests: the ones after may want one on a server."""
    with local_spark() as session:
        yield session
