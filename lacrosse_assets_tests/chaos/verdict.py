"""What the contract demands of a game, looked at with clients of this file's own while it is played and afterwards.

Everything is held against the reference model (`game/reference_model.py`), which shares no code with the product.
"""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from lacrosse_assets_tests.game import reference_model
from lacrosse_assets_tests.world import SCHEMA

Row = dict[str, Any]
Tables = tuple[list[Row], list[Row]]  # teams2, players2

HOME, AWAY = 101, 205
BUCKET, KEY = "gamestreams", "gamestream.txt"
LOOK_EVERY = 0.1  # seconds between two looks of the watcher
# What Dagster says of every run that others mark as failed; why they do is told beside it.
SAYS_NOTHING = "This run has been marked as failed from outside the execution context."
OUR_OWN = {"stream", "fingerprint"}  # fields of a document that the stream does not tell


class Truth:
    """What one state of the stream means, with the reference tables that the game is played with."""

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


class Stores:
    """The stores as a consumer and a producer see them: not through the proxies, nor with the product's code."""

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
        """Write the stream, as often as it takes: a producer does not give up."""
        while True:
            with suppress(BotoCoreError, ClientError):
                self._s3.put_object(Bucket=BUCKET, Key=KEY, Body=body)
                return
            with suppress(BotoCoreError, ClientError):
                self._s3.create_bucket(Bucket=BUCKET)
            time.sleep(0.2)

    def remove_stream(self) -> None:
        """Delete the object."""
        self._s3.delete_object(Bucket=BUCKET, Key=KEY)

    def etag(self) -> str | None:
        """The stream's; None where there is none, or nobody to ask."""
        with suppress(BotoCoreError, ClientError):
            return str(self._s3.head_object(Bucket=BUCKET, Key=KEY)["ETag"]).strip('"')
        return None

    def documents(self) -> list[Row] | None:
        """All box scores by `_id`; None if there is nobody to ask."""
        with suppress(PyMongoError):
            return list(self._mongo["sidearm"]["boxscores"].find({"_id": {"$gte": 0}}, sort=[("_id", 1)]))
        return None

    def tables(self) -> Tables | None:
        """Both final tables in one transaction, without rows where they are missing; None if they cannot be read."""
        try:
            with closing(self._connect()) as connection:
                connection.execute("BEGIN")
                teams2, players2 = (
                    [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY id")]
                    for name in ("teams2", "players2")
                )
                return teams2, players2
        except sqlite3.Error as error:
            return ([], []) if "no such table" in str(error) else None

    def create(self) -> None:
        """The bucket and the database, as the simulator makes them."""
        self._s3.create_bucket(Bucket=BUCKET)
        sqlite3.connect(self.database).close()

    def reset_reference(self, teams: list[Row], players: list[Row]) -> None:
        """The reference tables dropped and made anew."""
        with closing(self._connect(timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in ("DROP TABLE IF EXISTS players", "DROP TABLE IF EXISTS teams", *SCHEMA):
                connection.execute(statement)
            for table, rows in (("teams", teams), ("players", players)):
                places = ", ".join(f":{column}" for column in rows[0])
                connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
            connection.execute("COMMIT")

    def sql(self, *statements: str, timeout: float = 30) -> None:
        with closing(self._connect(timeout)) as connection:
            for statement in statements:
                connection.execute(statement)

    def is_being_written(self) -> bool:
        """Whether somebody is in a transaction that writes to the database."""
        try:
            self.sql("BEGIN IMMEDIATE", "ROLLBACK", timeout=0)
        except sqlite3.OperationalError:
            return True
        return False

    def _connect(self, timeout: float = 0.5) -> sqlite3.Connection:
        # Not made by looking at it: the file may be away on purpose.
        connection = sqlite3.connect(f"file:{self.database}?mode=rw", timeout=timeout, isolation_level=None, uri=True)
        connection.row_factory = sqlite3.Row
        return connection


class Watcher(threading.Thread):
    """Looks at box scores and tables all the time, as a web page does, and notes what no reader may ever see."""

    def __init__(self, stores: Stores, truths: Mapping[str, Truth], before: Tables | None):
        super().__init__(daemon=True)
        self._stores, self._truths, self._before = stores, truths, before
        self._ended = threading.Event()
        self._newest: Any = None
        self.sees_tables = True  # False: the database is away on purpose
        self.faults: dict[str, None] = {}  # in their order, each once
        self.looks = 0

    def end(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            self.looks += 1
            if documents := self._stores.documents():
                self._look_at(documents[-1])
            if self.sees_tables and (tables := self._stores.tables()):
                finals = [truth.tables for truth in list(self._truths.values()) if truth.is_final]
                if tables != self._before and tables not in finals:
                    self._found(f"final tables of no game were seen: {_counts(tables)}")

    def _look_at(self, current: Row) -> None:
        truth = self._truths.get(current.get("stream", {}).get("etag", ""))
        if truth is None:
            return self._found(f"a current box score of a stream that nobody wrote was seen: event {current['_id']}")
        if difference := differs(current, truth.document):
            self._found(f"a current box score was seen that is not true: event {current['_id']}, {difference}")
        fetched_at = current["stream"]["fetched_at"]
        if self._newest and fetched_at < self._newest:
            self._found(f"the current box score went back: event {current['_id']} is of an older fetch")
        self._newest = max(self._newest or fetched_at, fetched_at)
        return None

    def _found(self, what: str) -> None:
        self.faults[what] = None


def differs(document: Row, expected: Row | None) -> str | None:
    """How the document differs from what it ought to be; None if it does not, beyond the fields of our own."""
    if expected is None:
        return "and the stream has no event"
    names = [
        name
        for name in sorted((document.keys() | expected.keys()) - OUR_OWN)
        if document.get(name) != expected.get(name)
    ]
    return None if not names else f"{', '.join(names)} ought to be {[expected.get(name) for name in names]}"


def why_not_done(stores: Stores, truth: Truth) -> str | None:
    """Why the stores do not hold what they ought to at the end of this stream; None if they do."""
    documents, tables = stores.documents(), stores.tables()
    if not documents:
        return "there is no box score"
    if documents[-1]["stream"]["etag"] != truth.etag:
        return f"the current box score (event {documents[-1]['_id']}) is not of the stream as it is"
    expected = truth.timeline
    if [each["_id"] for each in documents] != [each["_id"] for each in expected]:
        return f"box scores of events {[each['_id'] for each in documents]}, of {[each['_id'] for each in expected]}"
    for document, of_the_event in zip(documents, expected, strict=True):
        if difference := differs(document, of_the_event):
            return f"the box score of event {document['_id']} is not true: {difference}"
    if tables != truth.tables:
        return "teams2 and players2 are not those of the final box score"
    return None


def under_way(instance: DagsterInstance) -> bool:
    """Whether a run is."""
    return bool(instance.get_runs(RunsFilter(statuses=NOT_FINISHED_STATUSES), limit=1))


def failed_runs(instance: DagsterInstance, known: Iterable[str]) -> dict[str, str | None]:
    """The failed runs beyond those that are known: by id, what each says; None if it explains nothing."""
    known = set(known)
    found = {}
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE])):
        if run.run_id not in known:
            found[run.run_id] = _explanation(instance, run.run_id)
    return found


def _explanation(instance: DagsterInstance, run_id: str) -> str | None:
    """The words of the step that failed, where it was left with words meant for a person, or of the run that was ended
    from outside."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE):
        failure = entry.get_dagster_event().step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            return str(failure.user_failure_data.description)
        error = failure.error
        if error and error.cls_name == DagsterAssetCheckFailedError.__name__:
            return _word_of_the_gate(instance, run_id)
        while error and error.cause:
            error = error.cause
        return f"UNEXPLAINED {error.message.strip()[:300]}" if error else None
    told = [
        entry.get_dagster_event().message
        for entry in instance.all_logs(
            run_id, of_type={DagsterEventType.ENGINE_EVENT, DagsterEventType.PIPELINE_FAILURE}
        )
    ]
    words = (str(message).strip() for message in reversed(told) if message)
    return next((message for message in words if not message.startswith(SAYS_NOTHING)), None)


def _word_of_the_gate(instance: DagsterInstance, run_id: str) -> str | None:
    """What the check says that stopped a run: it is what Dagit shows beside the failure."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION):
        check = entry.get_dagster_event().asset_check_evaluation_data
        if check.blocking and not check.passed:
            return check.description
    return None


def _counts(tables: Tables) -> str:
    return f"{len(tables[0])} teams, {len(tables[1])} players"
