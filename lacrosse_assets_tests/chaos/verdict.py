"""What the contract requires of a game, checked with separate clients while it is played and afterwards.

Everything is compared with the reference model (`support/reference_model.py`), which shares no code with the product.
"""

import hashlib
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.world import SCHEMA

FINISHED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED
UNFINISHED = [status for status in DagsterRunStatus if status not in FINISHED]

Row = dict[str, Any]
Tables = tuple[list[Row], list[Row]]  # teams2, players2

HOME, AWAY = 101, 205
BUCKET, KEY = "gamestreams", "gamestream.txt"
POLL_INTERVAL_SECONDS = 0.1  # of the watcher
# Dagster's message for every run that is marked as failed from outside. Another message has the reason.
CHECK_FAILED = "DagsterAssetCheckFailedError"
GENERIC_MESSAGE = "This run has been marked as failed from outside the execution context."
METADATA_FIELDS = {"stream", "fingerprint"}  # fields of a document that do not follow from the stream


class Truth:
    """The expected documents and tables of one state of the stream, with the reference tables of this game."""

    def __init__(self, body: bytes, teams: list[Row], players: list[Row]):
        self.body = body
        self.etag = hashlib.md5(body).hexdigest()
        self._reference = teams, players

    @cached_property
    def _game(self) -> reference_model.Game:
        return reference_model.game(self.body, HOME, AWAY, *self._reference)

    @property
    def document(self) -> Row | None:
        return self._game.document

    @property
    def is_final(self) -> bool:
        return bool(self.document and self.document["final"])

    @property
    def tables(self) -> Tables:
        return self._game.teams2, self._game.players2

    @property
    def timeline(self) -> list[Row]:
        return reference_model.timeline(self.body, HOME, AWAY, *self._reference)


class Readable(Protocol):
    """Stores whose box scores and final tables can be read. None: a store is unreachable."""

    def documents(self) -> list[Row] | None:
        """All box scores by `_id`."""

    def tables(self) -> Tables | None:
        """Both final tables; empty if they are missing."""


class Stores:
    """The stores as consumers and producers use them: without the proxies and without the product's code."""

    def __init__(self, addresses: Mapping[str, str], database: Path):
        self._s3 = boto3.client(
            "s3",
            endpoint_url=addresses["AWS_ENDPOINT_URL_S3"],
            region_name=addresses["AWS_REGION"],
            aws_access_key_id=addresses["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=addresses["AWS_SECRET_ACCESS_KEY"],
            config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}),
        )
        self._mongo = MongoClient[Row](addresses["MONGODB_URI"], tz_aware=True, serverSelectionTimeoutMS=2000)
        self.database = database

    def close(self) -> None:
        self._mongo.close()

    def put(self, body: bytes) -> None:
        """Write the stream. Retry forever, as a producer does."""
        self.put_object(KEY, body)

    def put_object(self, key: str, body: bytes) -> None:
        """Write the object of this key. Retry forever."""
        while True:
            with suppress(BotoCoreError, ClientError):
                self._s3.put_object(Bucket=BUCKET, Key=key, Body=body)
                return
            with suppress(BotoCoreError, ClientError):
                self._s3.create_bucket(Bucket=BUCKET)
            time.sleep(0.2)

    def remove_stream(self) -> None:
        """Delete the object."""
        self._s3.delete_object(Bucket=BUCKET, Key=KEY)

    def etag(self) -> str | None:
        """The ETag of the stream; None if there is none, or if the store is unreachable."""
        with suppress(BotoCoreError, ClientError):
            return str(self._s3.head_object(Bucket=BUCKET, Key=KEY)["ETag"]).strip('"')
        return None

    def documents(self) -> list[Row] | None:
        """All box scores by `_id`; None if the store is unreachable."""
        with suppress(PyMongoError):
            return list(self._mongo["sidearm"]["boxscores"].find({"_id": {"$gte": 0}}, sort=[("_id", 1)]))
        return None

    def tables(self) -> Tables | None:
        """Both final tables, read in one transaction: empty if they are missing, None if they cannot be read."""
        rows = self.rows("teams2", "players2")
        return (rows[0], rows[1]) if rows else None

    def rows(self, *tables: str) -> list[list[Row]] | None:
        """The rows of these tables, read in one transaction: empty if one is missing, None if they cannot be read."""
        try:
            with closing(self._connect()) as connection:
                connection.execute("BEGIN")
                return [
                    [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY id")] for name in tables
                ]
        except sqlite3.Error as error:
            return [[] for _ in tables] if "no such table" in str(error) else None

    def create(self) -> None:
        """Create the bucket and the database where they are missing, as the simulator does."""
        with suppress(self._s3.exceptions.BucketAlreadyOwnedByYou):
            self._s3.create_bucket(Bucket=BUCKET)
        sqlite3.connect(self.database).close()

    def reset_reference(self, teams: list[Row], players: list[Row]) -> None:
        """Drop the reference tables and create them again."""
        self.reset(SCHEMA, {"teams": teams, "players": players})

    def reset(self, schema: Sequence[str], tables: Mapping[str, Sequence[Row]]) -> None:
        """Drop these tables, create them with these statements, and insert their rows, in one transaction."""
        with closing(self._connect(timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in (*(f"DROP TABLE IF EXISTS {table}" for table in reversed(list(tables))), *schema):
                connection.execute(statement)
            for table, rows in tables.items():
                _insert(connection, table, rows)
            connection.execute("COMMIT")

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows into a table, in one transaction."""
        with closing(self._connect(timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            _insert(connection, table, rows)
            connection.execute("COMMIT")

    def sql(self, *statements: str, timeout: float = 30) -> None:
        with closing(self._connect(timeout)) as connection:
            for statement in statements:
                connection.execute(statement)

    def is_being_written(self) -> bool:
        """Whether a write transaction is open in the database."""
        try:
            self.sql("BEGIN IMMEDIATE", "ROLLBACK", timeout=0)
        except sqlite3.OperationalError:
            return True
        return False

    def _connect(self, timeout: float = 0.5) -> sqlite3.Connection:
        # `mode=rw` does not create the file, which may be missing on purpose.
        connection = sqlite3.connect(f"file:{self.database}?mode=rw", timeout=timeout, isolation_level=None, uri=True)
        connection.row_factory = sqlite3.Row
        return connection


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    places = ", ".join(f":{column}" for column in rows[0])
    connection.executemany(f"INSERT INTO {table} ({', '.join(rows[0])}) VALUES ({places})", rows)


class Watcher(threading.Thread, ABC):
    """Polls box scores and tables, as a web page does, and records what no reader may ever see."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stopped = threading.Event()
        self.sees_tables = True  # False: the database is missing on purpose
        self.faults: dict[str, None] = {}  # ordered, without duplicates
        self.polls = 0

    @abstractmethod
    def poll(self) -> None:
        """Look at box scores and tables once."""

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        while not self._stopped.wait(POLL_INTERVAL_SECONDS):
            self.polls += 1
            self.poll()

    def found(self, what: str) -> None:
        self.faults[what] = None


class GameWatcher(Watcher):
    """Polls the current box score and the final tables of the one game."""

    def __init__(self, stores: Readable, truths: Mapping[str, Truth], before: Tables | None):
        super().__init__()
        self._stores, self._truths, self._before = stores, truths, before
        self._newest: Any = None

    def poll(self) -> None:
        if documents := self._stores.documents():
            self._check(documents[-1])
        if self.sees_tables and (tables := self._stores.tables()):
            finals = [truth.tables for truth in list(self._truths.values()) if truth.is_final]
            if tables != self._before and tables not in finals:
                self.found(f"final tables of no game were seen: {_counts(tables)}")

    def _check(self, current: Row) -> None:
        truth = self._truths.get(current.get("stream", {}).get("etag", ""))
        if truth is None:
            return self.found(f"a current box score of an unknown stream was seen: event {current['_id']}")
        if difference := differs(current, truth.document):
            self.found(f"a wrong current box score was seen: event {current['_id']}, {difference}")
        fetched_at = current["stream"]["fetched_at"]
        if self._newest and fetched_at < self._newest:
            self.found(f"the current box score went back: event {current['_id']} is of an older fetch")
        self._newest = max(self._newest or fetched_at, fetched_at)
        return None


def differs(document: Row, expected: Row | None) -> str | None:
    """How the document differs from the expected one, apart from `METADATA_FIELDS`; None if it does not."""
    if expected is None:
        return "the stream has no event"
    names = [
        name
        for name in sorted((document.keys() | expected.keys()) - METADATA_FIELDS)
        if document.get(name) != expected.get(name)
    ]
    return None if not names else f"{', '.join(names)} should be {[expected.get(name) for name in names]}"


def difference_from_truth(stores: Readable, truth: Truth) -> str | None:
    """How the stores differ from the expected content at the end of this stream; None if they do not."""
    documents, tables = stores.documents(), stores.tables()
    if not documents:
        return "there is no box score"
    if documents[-1]["stream"]["etag"] != truth.etag:
        return f"the current box score (event {documents[-1]['_id']}) is not of the current stream"
    expected = truth.timeline
    if [each["_id"] for each in documents] != [each["_id"] for each in expected]:
        return f"box scores of events {[each['_id'] for each in documents]}, of {[each['_id'] for each in expected]}"
    for document, of_the_event in zip(documents, expected, strict=True):
        if difference := differs(document, of_the_event):
            return f"the box score of event {document['_id']} is wrong: {difference}"
    if tables != truth.tables:
        return "teams2 and players2 are not those of the final box score"
    return None


def has_active_run(instance: DagsterInstance) -> bool:
    """Whether there is an unfinished run."""
    return bool(instance.get_runs(RunsFilter(statuses=UNFINISHED), limit=1))


def failed_runs(instance: DagsterInstance, known: Iterable[str]) -> dict[str, str | None]:
    """The error of each failed run by its id, without the known ones; None for a run without an explanation."""
    known = set(known)
    found = {}
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE])):
        if run.run_id not in known:
            found[run.run_id] = _explanation(instance, run.run_id)
    return found


def _explanation(instance: DagsterInstance, run_id: str) -> str | None:
    """The error of the failed step if it is meant for users, or the reason why the run was ended from outside."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE):
        failure = entry.get_dagster_event().step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            return str(failure.user_failure_data.description)
        error = failure.error
        if error and error.cls_name == CHECK_FAILED:
            return _gate_description(instance, run_id)
        while error and error.cause:
            error = error.cause
        return f"UNEXPLAINED {error.message.strip()[:300]}" if error else None
    messages = [
        entry.get_dagster_event().message
        for entry in instance.all_logs(
            run_id, of_type={DagsterEventType.ENGINE_EVENT, DagsterEventType.PIPELINE_FAILURE}
        )
    ]
    texts = (str(message).strip() for message in reversed(messages) if message)
    return next((message for message in texts if not message.startswith(GENERIC_MESSAGE)), None)


def _gate_description(instance: DagsterInstance, run_id: str) -> str | None:
    """The description of the check that stopped a run. The Dagster UI shows it next to the failure."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION):
        check = entry.get_dagster_event().asset_check_evaluation_data
        if check.blocking and not check.passed:
            return check.description
    return None


def _counts(tables: Tables) -> str:
    return f"{len(tables[0])} teams, {len(tables[1])} players"
