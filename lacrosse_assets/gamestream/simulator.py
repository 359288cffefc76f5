"""Prepares the stores and plays the game."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from click import ClickException

from lacrosse_assets import addresses, s3
from lacrosse_assets.gamestream.reference_data import METADATA, Tables, create_database, reset_tables_at
from lacrosse_assets.resources import sql
from lacrosse_assets.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.literals import BucketLocationConstraintType

GAME_SECONDS = 60 * 60
BOXSCORES_BUCKET = "boxscores"  # unused by this project; the original exercise creates it
STARTUP_TIMEOUT_SECONDS = 180  # of a service: the first start of SQL Server takes a minute or two
INITIAL_BACKOFF_SECONDS = 0.25
MAX_BACKOFF_SECONDS = 5.0


@dataclass(frozen=True)
class Event:
    """One line of the game."""

    line: str
    clock: str
    at: int  # seconds of game time since the start of the game


class NotReadyError(Exception):
    """A service may still be starting. The message is the problem."""


def read_game() -> list[Event]:
    """The events of the game, in order."""
    events = []
    for line in (files(__package__) / "game.txt").read_text("utf-8").splitlines():
        clock = line.split()[1]
        minutes, seconds = clock.split(":")
        events.append(Event(line, clock, GAME_SECONDS - 60 * int(minutes) - int(seconds)))
    return events


def prepare(settings: Settings) -> "S3Client":
    """Create the buckets and the database where missing, and reset the reference tables. Returns the S3 client."""
    store = connect(settings)
    reset(store, settings)
    return store


def connect(settings: Settings) -> "S3Client":
    """Create the buckets where missing, and print what the original exercise prints. Returns the S3 client.

    Waits for the object store.

    Raises:
        ClickException: the object store refuses a request, or is not ready after `STARTUP_TIMEOUT_SECONDS`.
    """
    store = _object_store(settings)
    buckets = (settings.gamestream_bucket, BOXSCORES_BUCKET)
    for number, bucket in enumerate(buckets):
        try:
            call_store(store, partial(_create_bucket, store, bucket))
        except ClickException as error:
            if bucket == settings.gamestream_bucket:
                raise
            # Bucket names at AWS are global, and this one has an owner.
            logging.warning("Skipping bucket %s, which this project does not use: %s", bucket, error.message)
            continue
        if number == 0:
            print("Added `s3` successfully.", flush=True)
        print(f"Bucket created successfully `s3/{bucket}`.", flush=True)
    return store


def reset(store: "S3Client", settings: Settings, tables: Tables | None = None) -> None:
    """Create the database where missing, reset the reference tables, and print what the original exercise prints.

    `tables` are those of another game than the original exercise's. Waits for the database.

    Raises:
        ClickException: a store refuses a request, or is not ready after `STARTUP_TIMEOUT_SECONDS`.
    """
    _reset_reference_data(settings, tables)
    for _ in tables or METADATA.sorted_tables:
        print("Commands completed successfully.", flush=True)
    logging.info("Waiting for services...")
    call_store(store, lambda: store.head_bucket(Bucket=settings.gamestream_bucket))
    logging.info("Bucket exists...ok")


def play(store: "S3Client", settings: Settings, stream: str = "") -> None:
    """Write the whole stream so far at each event, at the pace of `settings.delay`.

    `stream` is the part that an interrupted simulator has written; the game continues after it.
    """
    bucket, key = settings.gamestream_bucket, settings.gamestream_key
    events = read_game()
    written = len(stream.splitlines())
    if written == len(events):
        return
    start = time.monotonic()
    if written:
        start -= events[written - 1].at * settings.delay
        logging.info("Resuming Game Data Stream after %s.", events[written - 1].clock)
    logging.info("Starting Game Data Stream. Delay: 1 second == %g seconds.", settings.delay)
    for event in events[written:]:
        # Relative to the start of the game, so that the durations of the writes do not add up.
        time.sleep(max(0.0, start + event.at * settings.delay - time.monotonic()))
        stream += f"{event.line}\n"
        body = stream.encode()
        call_store(store, partial(store.put_object, Bucket=bucket, Key=key, Body=body))
        logging.info("Wrote %s to bucket %s at %s", key, bucket, event.clock)


def _object_store(settings: Settings) -> "S3Client":
    config = Config(
        connect_timeout=5,
        read_timeout=20,
        retries={"total_max_attempts": 1},  # `_retry` retries and logs it
    )
    try:
        client: S3Client = s3.s3_client(config, endpoint_url=settings.s3_endpoint_url, region_name=settings.aws_region)
    except (BotoCoreError, ValueError) as error:
        raise ClickException(_describe("the object store", error)) from None
    return client


def _describe(service: str, error: Exception) -> str:
    hint = s3.hint(error)
    return f"{service} cannot be used: {_first_line(error)}" + (f" ({hint})" if hint else "")


def _create_bucket(store: "S3Client", bucket: str) -> None:
    try:
        store.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        # AWS requires the region for every region but this one, and rejects this one.
        region = store.meta.region_name
        if region == "us-east-1":
            store.create_bucket(Bucket=bucket)
        else:
            location = cast("BucketLocationConstraintType", region)
            store.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": location})


def call_store(store: "S3Client", call: Callable[[], object]) -> None:
    """Retry the call until the object store responds.

    Raises:
        ClickException: it refuses the call, or is not ready after `STARTUP_TIMEOUT_SECONDS`.
    """
    service = f"the object store at {s3.address(store)}"

    def attempt() -> None:
        try:
            with s3.stop_redirect_loops():
                call()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise NotReadyError(str(error)) from None
            raise ClickException(_describe(service, error)) from None
        except (NoCredentialsError, ValueError) as error:
            raise ClickException(_describe(service, error)) from None
        except BotoCoreError as error:
            raise NotReadyError(str(error)) from None

    _retry(service, attempt)


def _reset_reference_data(settings: Settings, tables: Tables | None = None) -> None:
    url = settings.sidearmdb_url.get_secret_value()
    service = f"the reference database at {addresses.reference_database(url)}"
    reported: set[sql.Fault | None] = set()

    def attempt() -> None:
        try:
            errors = sql.errors_of(url)
            try:
                create_database(url)
                reset_tables_at(url, tables)
            except errors as error:
                # Every error is retried: a server that is starting may even report a wrong password.
                fault = sql.classify(error)
                reason = sql.message(error) + (f": {fault.hint}" if fault else "")
                # `_retry` logs the first reason only; a second one, such as a lock, may follow.
                if reported and fault not in reported:
                    logging.info("Waiting for %s (%s)", service, reason)
                reported.add(fault)
                raise NotReadyError(reason) from None
        except ImportError as error:
            raise ClickException(f"{service} cannot be used: {_first_line(error)}") from None

    _retry(service, attempt)


def _retry(service: str, attempt: Callable[[], None]) -> None:
    """Retry with exponential backoff while the service is not ready. Logs one line when the wait begins."""
    deadline = time.monotonic() + STARTUP_TIMEOUT_SECONDS
    backoff = INITIAL_BACKOFF_SECONDS
    is_logged = False
    while True:
        try:
            return attempt()
        except NotReadyError as problem:
            if time.monotonic() + backoff > deadline:
                raise ClickException(f"{service} is not ready after {STARTUP_TIMEOUT_SECONDS} s: {problem}") from None
            if not is_logged:
                logging.info("Waiting for %s (%s)", service, problem)
                is_logged = True
        time.sleep(backoff)
        backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)


def _first_line(error: BaseException | None) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
