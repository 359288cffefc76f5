"""The environment of one test: a bucket, databases and a Dagster instance of its own, on the stores under test.

`Stores` has their addresses: the embedded ones, or those of the environment with `LACROSSE_DEPLOYMENT=services`.

    def test_a_goal_counts(world: World) -> None:
        world.put("0 59:30 101 6 1")
        world.materialize("raw_gamestream", "roster", "player_game_stats", "boxscore_doc")
        assert world.document()["home"]["score"] == 1

Everything uses the real protocols and real Dagster runs. Results are read with clients of this file's own, not with the
code under test.
"""

import logging
import socket
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.exceptions import ClientError
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    Definitions,
    EnvVar,
    ExecuteInProcessResult,
    RunRequest,
    TableMetadataValue,
    build_init_resource_context,
    build_sensor_context,
)
from pymongo import MongoClient
from sqlalchemy import MetaData, NullPool, Table, create_engine, inspect, make_url, text
from sqlalchemy.event import listen

from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.resources.documents import MongoServer
from lacrosse_assets.resources.event_documents import MongoEventDocuments
from lacrosse_assets.resources.game_documents import MongoGameDocuments
from lacrosse_assets.resources.object_store import LiveS3, S3ObjectStore
from lacrosse_assets.resources.reference_db import SqlReferenceDatabase

Store = TypeVar("Store", bound=MongoServer)

LIVE = ("raw_gamestream", "roster", "player_game_stats", "boxscore_doc")
FINAL = ("teams2", "players2")

# The original exercise's tables, with unusual names, jerseys `0` and `00`, equal names, and a team that does not play.
SCHEMA = (
    """
    CREATE TABLE teams (
        id int primary key NOT NULL, name VARCHAR(50) NOT NULL, conference VARCHAR(50) NOT NULL, wins INT NOT NULL,
        losses INT NOT NULL)
    """,
    """
    CREATE TABLE players (
        id int primary key NOT NULL, name VARCHAR(50) NOT NULL, number varchar(3) NOT NULL, shots INT NOT NULL,
        goals INT NOT NULL, teamid INT NOT NULL, foreign key (teamid) references teams(id))
    """,
)
Rows = Sequence[Mapping[str, Any]]
TEAMS = [
    {"id": 101, "name": "syracuse", "conference": "acc", "wins": 11, "losses": 2},
    {"id": 205, "name": "johns hopkins", "conference": "big ten", "wins": 9, "losses": 4},
    {"id": 300, "name": "saint étienne; <b>", "conference": "none", "wins": 1, "losses": 1},
]
PLAYERS = [
    {"id": 1, "name": "sam", "number": "6", "shots": 56, "goals": 23, "teamid": 101},
    {"id": 2, "name": "o'neil; DROP TABLE teams", "number": "0", "shots": 10, "goals": 3, "teamid": 101},
    {"id": 3, "name": 'renée <b>|"x"', "number": "00", "shots": 1, "goals": 1, "teamid": 101},
    {"id": 11, "name": "sam", "number": "6", "shots": 5, "goals": 5, "teamid": 205},
    {"id": 12, "name": "kim", "number": "8", "shots": 40, "goals": 20, "teamid": 205},
    {"id": 99, "name": "lee", "number": "6", "shots": 7, "goals": 7, "teamid": 300},
]

# A game at three events: one goal; one more for the away team; over, 2 : 1.
OPENING = ("0 59:30 101 6 1",)
MIDDLE = (*OPENING, "1 40:00 205 8 1", "2 31:10 205 6 0")
ENDED = (*MIDDLE, "3 02:15 101 0 1", "4 00:00 0 0 0", "-1 00:00 0 0 0")


@dataclass(frozen=True)
class Stores:
    """The addresses of the stores under test, by variable. The reference database belongs to the tests."""

    addresses: Mapping[str, str]

    @property
    def sql_is_a_server(self) -> bool:
        return make_url(self.addresses["SIDEARMDB_URL"]).get_backend_name() != "sqlite"

    def database_url(self, folder: Path) -> str:
        """The reference database for one test; for SQLite a new file in `folder`."""
        return self.addresses["SIDEARMDB_URL"] if self.sql_is_a_server else f"sqlite:///{folder / 'sidearmdb.db'}"


@dataclass(frozen=True)
class Run:
    """What the Dagster UI shows of a run."""

    run_id: str
    success: bool
    # By asset: the metadata of the materialization, and its data version.
    metadata: Mapping[str, Mapping[str, Any]]
    data_versions: Mapping[str, str]
    # By `asset.check`.
    checks: Mapping[str, AssetCheckEvaluation]
    # By step: its error message, and the number of retries.
    failures: Mapping[str, str]
    retries: Mapping[str, int]
    # The log messages from INFO upwards, without Dagster's events.
    log: Sequence[str]

    @property
    def failure(self) -> str:
        """The error message of the one failed step."""
        assert len(self.failures) == 1, self.failures
        return next(iter(self.failures.values()))


class World:
    """The stores and the Dagster instance of one test, with the actions of other programs and of a user."""

    def __init__(self, environ: Mapping[str, str], mongo_database: str, instance: DagsterInstance):
        self.environ = dict(environ)
        self.instance = instance
        self.mongo_database = mongo_database
        self._document_stores: list[MongoServer] = []
        self._is_processed = False  # whether there was a run since the stream was written
        self._engine = create_engine(environ["SIDEARMDB_URL"], poolclass=NullPool)
        if self._engine.dialect.name == "sqlite":
            # As on every server, so that a test that violates a foreign key fails on SQLite as well.
            listen(self._engine, "connect", lambda each, _: each.execute("PRAGMA foreign_keys = ON").close())

    # The actions of other programs.

    def clear(self) -> None:
        """Create the bucket and the reference tables; remove box scores and final tables."""
        self._s3.create_bucket(Bucket=self.environ["GAMESTREAM_BUCKET"])
        self._drop_boxscores()
        for table in FINAL:
            self.sql(f"DROP TABLE IF EXISTS {table}")
        self.reset_tables()

    def remove(self) -> None:
        """Remove the bucket and the box scores."""
        for entry in self._s3.list_objects_v2(Bucket=self.environ["GAMESTREAM_BUCKET"]).get("Contents", []):
            self._s3.delete_object(Bucket=self.environ["GAMESTREAM_BUCKET"], Key=entry["Key"])
        self._s3.delete_bucket(Bucket=self.environ["GAMESTREAM_BUCKET"])
        self._drop_boxscores()

    def put(self, *lines: str, body: bytes | None = None, **headers: str) -> str:
        """Write the whole stream, as the simulator does at each event. Returns its ETag.

        After a run it is written in another second, so that the order of the two versions does not depend on chance:
        of versions of one second, nobody can tell which is the newer one.
        """
        content = "".join(f"{line}\n" for line in lines).encode() if body is None else body

        def write() -> str:
            return str(self._s3.put_object(**self._object, Body=content, **headers)["ETag"]).strip('"')

        if not self._is_processed:
            return write()
        self._is_processed = False
        return self._in_another_second(write)

    def replay(self, *lines: str) -> str:
        """Write the stream with another `LastModified`, as a replayed game does. Returns its ETag."""
        return self._in_another_second(lambda: self.put(*lines))

    def _in_another_second(self, write: Callable[[], str]) -> str:
        before = self._last_modified()
        while True:
            etag = write()
            if before is None or self._last_modified() > before:
                return etag

    def _last_modified(self) -> Any:
        try:
            return self._s3.head_object(**self._object)["LastModified"]
        except ClientError:
            return None

    def remove_stream(self) -> None:
        self._s3.delete_object(**self._object)

    def reset_tables(self, teams: Rows = TEAMS, players: Rows = PLAYERS) -> None:
        """Drop and recreate the reference tables, and nothing else, as the simulator does at its start."""
        with self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            for statement in ("DROP TABLE IF EXISTS players", "DROP TABLE IF EXISTS teams", *SCHEMA):
                connection.exec_driver_sql(statement)
            for table, rows in (("teams", teams), ("players", players)):
                if not rows:
                    continue
                places = ", ".join(f":{column}" for column in rows[0])
                connection.execute(text(f"INSERT INTO {table} VALUES ({places})"), [dict(row) for row in rows])

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on the reference database. Returns its rows."""
        with self._engine.begin() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    # The content of the stores.

    def documents(self) -> list[dict[str, Any]]:
        """All box scores, by `_id`."""
        with self.boxscores() as boxscores:
            return list(boxscores.find(sort=[("_id", 1)]))

    def document(self) -> dict[str, Any]:
        """The current box score: the one with the highest `_id`."""
        return self.documents()[-1]

    def table(self, name: str) -> list[dict[str, Any]] | None:
        """The rows of a table, ordered by id; None if it does not exist."""
        with self._engine.connect() as connection:
            if not inspect(connection).has_table(name):
                return None
            return [dict(row) for row in connection.execute(text(f"SELECT * FROM {name} ORDER BY id")).mappings()]

    def schema(self, table: str) -> list[tuple[Any, ...]]:
        """Its columns in their order: name, declared type, whether it may be NULL, whether it is the primary key."""
        if self._engine.dialect.name == "sqlite":  # as declared, which SQLAlchemy does not report
            return self.sql(f"SELECT name, type, NOT \"notnull\", pk FROM pragma_table_info('{table}')")
        return [
            (column.name, str(column.type), bool(column.nullable), column.primary_key)
            for column in Table(table, MetaData(), autoload_with=self._engine, resolve_fks=False).columns
        ]

    def foreign_keys(self, table: str) -> list[str]:
        """The tables that it references."""
        return [key["referred_table"] for key in inspect(self._engine).get_foreign_keys(table)]

    @contextmanager
    def boxscores(self) -> Iterator[Any]:
        """The collection, for a test that writes to it."""
        with MongoClient[dict[str, Any]](self.environ["MONGODB_URI"], tz_aware=True) as client:
            yield client[self.mongo_database]["boxscores"]

    # The real resources, for tests of a single store and for stubs derived from them.

    @property
    def s3(self) -> dict[str, Any]:
        """The configuration of a `LiveS3`; None where boto3 finds the setting itself."""
        return {
            "endpoint_url": self.environ.get("AWS_ENDPOINT_URL_S3"),
            "region_name": self.environ.get("AWS_REGION"),
            "aws_access_key_id": self.environ.get("AWS_ACCESS_KEY_ID"),
            "aws_secret_access_key": self.environ.get("AWS_SECRET_ACCESS_KEY"),
        }

    def object_store(self, kind: type[S3ObjectStore] = S3ObjectStore, s3: type[LiveS3] = LiveS3) -> S3ObjectStore:
        return kind(s3=s3(**self.s3), bucket=self.environ["GAMESTREAM_BUCKET"], key=self.environ["GAMESTREAM_KEY"])

    def document_store(self, kind: type[MongoEventDocuments] = MongoEventDocuments) -> MongoEventDocuments:
        return self.closed_at_the_end(kind(uri=self.environ["MONGODB_URI"], database=self.mongo_database))

    def closed_at_the_end(self, store: Store) -> Store:
        self._document_stores.append(store)
        return store

    def close(self) -> None:
        """Close the connections of the document stores that the test has used."""
        with build_init_resource_context() as context:
            for store in self._document_stores:
                store.teardown_after_execution(context)

    def reference_db(self) -> SqlReferenceDatabase:
        return SqlReferenceDatabase(url=self.environ["SIDEARMDB_URL"])

    # The actions of a user and of the daemon.

    def definitions(self, poll_seconds: float = 0, **overrides: Any) -> Definitions:
        """The definitions for these stores, with resources of the test's own in the place of some.

        `poll_seconds`: how long an evaluation of the sensor polls; by default it polls once.
        """
        from lacrosse_assets.definitions import build_definitions
        from lacrosse_assets.settings import load_settings

        settings = load_settings()
        kind = MongoGameDocuments if settings.is_game_day else MongoEventDocuments
        documents = kind(uri=EnvVar("MONGODB_URI"), database=self.mongo_database)
        return build_definitions(settings, poll_seconds=poll_seconds, **{"documents": documents, **overrides})

    def materialize(self, *assets: str, checks: bool = True, **overrides: Any) -> Run:
        """'Materialize selected' in the Dagster UI; 'materialize all' without a name.

        `checks=False` leaves out all checks but those that are computed in the same step as their asset.
        """
        definitions = self.definitions(**overrides)
        everything = definitions.resolve_implicit_global_asset_job_def()
        keys = [AssetKey(name) for name in assets or (*LIVE, *FINAL)]
        if not checks:
            made_by = [definitions.resolve_assets_def(key) for key in keys]
            inseparable = {check for made in made_by if not made.can_subset for check in made.check_keys}
            unchecked = everything.get_subset(asset_selection=set(keys), asset_check_selection=inseparable)
            return self._run(unchecked.execute_in_process(instance=self.instance, raise_on_error=False))
        return self._run(
            everything.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False)
        )

    def launch(self, request: RunRequest, **overrides: Any) -> Run:
        """Run what the sensor requested, as the daemon does."""
        assert request.job_name
        job = self.definitions(**overrides).resolve_job_def(request.job_name)
        return self._run(
            job.execute_in_process(request.run_config, instance=self.instance, tags=request.tags, raise_on_error=False)
        )

    def tick(
        self, poll_seconds: float = 0, *, definitions: Definitions | None = None, **overrides: Any
    ) -> RunRequest | str:
        """One evaluation of a new sensor, or of that in `definitions`: the run that it requests, or the skip reason."""
        definitions = definitions or self.definitions(poll_seconds, **overrides)
        sensor = definitions.resolve_sensor_def("gamestream_sensor")
        with build_sensor_context(self.instance, definitions=definitions, resources=definitions.resources) as context:
            result = sensor.evaluate_tick(context)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        if not result.run_requests:
            assert result.skip_message, "a skipped tick must have a reason"
            return result.skip_message
        (request,) = result.run_requests
        return request

    def evaluations(self, check: str) -> list[AssetCheckEvaluation]:
        """All stored results of a check of `boxscore_doc`, newest first."""
        key = AssetCheckKey(AssetKey("boxscore_doc"), check)
        records = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
        events = [record.event.get_dagster_event() for record in records if record.event]
        return [
            event.asset_check_evaluation_data
            for event in events
            if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION
        ]

    def tick_and_run(self, **overrides: Any) -> Run:
        """A tick that must request a run, and that run."""
        request = self.tick(**overrides)
        assert isinstance(request, RunRequest), request
        return self.launch(request, **overrides)

    def _run(self, result: ExecuteInProcessResult) -> Run:
        self._is_processed = True
        failures, retries = {}, Counter[str]()
        for event in result.all_events:
            if event.is_step_failure:
                failure, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
                failures[str(event.step_key)] = (failure and failure.description) or (
                    error.to_string() if error else ""
                )
            elif event.is_step_up_for_retry:
                retries[str(event.step_key)] += 1
        events = {
            event.materialization.asset_key.to_user_string(): event.materialization
            for event in result.all_events
            if event.is_step_materialization
        }
        return Run(
            run_id=result.run_id,
            success=result.success,
            metadata={
                key: {name: value.value for name, value in each.metadata.items()} for key, each in events.items()
            },
            data_versions={key: (each.tags or {})["dagster/data_version"] for key, each in events.items()},
            checks={
                f"{check.asset_key.to_user_string()}.{check.check_name}": check
                for check in result.get_asset_check_evaluations()
            },
            failures=failures,
            retries=retries,
            log=[
                entry.user_message
                for entry in self.instance.all_logs(result.run_id)
                if not entry.is_dagster_event and int(entry.level) >= logging.INFO
            ],
        )

    def _drop_boxscores(self) -> None:
        with MongoClient[dict[str, Any]](self.environ["MONGODB_URI"]) as client:
            client.drop_database(self.mongo_database)

    @property
    def _object(self) -> dict[str, str]:
        return {"Bucket": self.environ["GAMESTREAM_BUCKET"], "Key": self.environ["GAMESTREAM_KEY"]}

    @property
    def _s3(self) -> Any:
        return boto3.client("s3", **self.s3)


def table_rows(metadata: Any) -> list[tuple[Any, ...]]:
    """The rows of a table in metadata, as the Dagster UI shows them: by the schema, without what it does not name."""
    assert isinstance(metadata, TableMetadataValue)
    columns = [column.name for column in metadata.schema.columns]
    return [tuple(record.data[column] for column in columns) for record in metadata.records]


def recording_s3(calls: list[str]) -> type[LiveS3]:
    """A real S3 resource; it appends the name of each call to `calls`."""

    class RecordingS3(LiveS3):
        def get_client(self) -> Any:
            client = super().get_client()
            client.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
            return client

    return RecordingS3


@contextmanager
def new_world(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mongo_database: str | None = None
) -> Iterator[World]:
    """A `World`, with its variables set in the environment. By default it has a MongoDB database of its own."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    environ = {
        **stores.addresses,
        "LACROSSE_DEPLOYMENT": "services",
        "GAMESTREAM_BUCKET": name,
        "GAMESTREAM_KEY": "gamestream.txt",
        "SIDEARMDB_URL": stores.database_url(tmp_path),
    }
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    # In memory, because Dagster's storage would take most of a run's time.
    with DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        world = World(environ, mongo_database or name, instance)
        try:
            world.clear()
            yield world
        finally:
            world.close()
            world.remove()


def new_embedded_world(embedded: EmbeddedServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The fixture `world` of tests that start other processes, which write to `sidearm` in the embedded stores."""
    with new_world(Stores(embedded.addresses), tmp_path, monkeypatch, mongo_database="sidearm") as world:
        yield world


def closed_port() -> int:
    """A loopback port without a listener."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
