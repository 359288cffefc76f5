"""Prepare the stores, and play the game."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from click import ClickException

from lacrosse_assets import addresses, s3
from lacrosse_assets.gamestream.reference_data import METADATA, create_database, reset_tables_at
from lacrosse_assets.resources import sql
from lacrosse_assets.settings import Settings

if TYPE_CHECKING:
    from botocore.client import BaseClient

GAME_SECONDS = 60 * 60
BOXSCORES_BUCKET = "boxscores"  # nothing here uses it; the original exercise has it
PATIENCE = 180  # seconds for a service to come up: SQL Server's first start takes a minute or two
LONGEST_PAUSE = 5.0  # seconds between two tries


@dataclass(frozen=True)
class Event:
    """One line of the game, and when it happens: seconds of game time since its start."""

    line: str
    clock: str
    at: int


class NotUpYet(Exception):  # noqa: N818 (waiting is no error)
    """A service that may still be starting. The message says why it is thought so."""


def read_game() -> list[Event]:
    """The game that is played, in its order."""
    events = []
    for line in (files(__package__) / "game.txt").read_text("utf-8").splitlines():
        clock = line.split()[1]
        minutes, seconds = clock.split(":")
        events.append(Event(line, clock, GAME_SECONDS - 60 * int(minutes) - int(seconds)))
    return events


def prepare(settings: Settings) -> "BaseClient":
    """Create what is missing and reset the reference tables; the object store's client, for `play`."""
    store = connect(settings)
    reset(store, settings)
    return store


def connect(settings: Settings) -> "BaseClient":
    """The object store's client, for `play`; creates the buckets that are missing.

    Waits for services that are not up yet, and prints what the original exercise prints.
    """
    store = _object_store(settings)
    buckets = (settings.gamestream_bucket, BOXSCORES_BUCKET)
    for number, bucket in enumerate(buckets):
        try:
            call_store(store, partial(_create_bucket, store, bucket))
        except ClickException as error:
            if bucket == settings.gamestream_bucket:
                raise
            # At AWS a bucket's name is everybody's, and this one is taken.
            logging.warning("There is no bucket %s, which nothing here uses: %s", bucket, error.message)
            continue
        if number == 0:
            print("Added `s3` successfully.", flush=True)
        print(f"Bucket created successfully `s3/{bucket}`.", flush=True)
    return store


def reset(store: "BaseClient", settings: Settings) -> None:
    """Reset the reference tables, and print what the original exercise prints."""
    _reset_reference_data(settings)
    for _ in METADATA.sorted_tables:
        print("Commands completed successfully.", flush=True)
    logging.info("Waiting for services...")
    call_store(store, lambda: store.head_bucket(Bucket=settings.gamestream_bucket))
    logging.info("Bucket exists...ok")


def play(store: "BaseClient", settings: Settings, stream: str = "") -> None:
    """Write the stream as it is after each event, when the event happens; `stream` is what has been written before."""
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
        # Against the start, not the event before: what a write takes must not add up.
        time.sleep(max(0.0, start + event.at * settings.delay - time.monotonic()))
        stream += f"{event.line}\n"
        body = stream.encode()
        call_store(store, partial(store.put_object, Bucket=bucket, Key=key, Body=body))
        logging.info("Wrote %s to bucket %s at %s", key, bucket, event.clock)


def _object_store(settings: Settings) -> "BaseClient":
    config = Config(
        connect_timeout=5,
        read_timeout=20,
        retries={"total_max_attempts": 1},  # `_patiently` tries again, and says so
    )
    try:
        client: BaseClient = s3.s3_client(
            config, endpoint_url=settings.s3_endpoint_url, region_name=settings.aws_region
        )
    except (BotoCoreError, ValueError) as error:
        raise ClickException(_refused("the object store", error)) from None
    return client


def _refused(what: str, error: Exception) -> str:
    hint = s3.hint(error)
    return f"{what} cannot be used: {_first_line(error)}" + (f" ({hint})" if hint else "")


def _create_bucket(store: "BaseClient", bucket: str) -> None:
    try:
        store.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        # AWS wants the region for all regions but this one.
        region = store.meta.region_name
        elsewhere = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        store.create_bucket(Bucket=bucket, **elsewhere)


def call_store(store: "BaseClient", call: Callable[[], object]) -> None:
    """Make the call until the store answers. A refusal is a `ClickException`."""
    what = f"the object store at {s3.address(store)}"

    def attempt() -> None:
        try:
            with s3.stop_redirect_loops():
                call()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise NotUpYet(str(error)) from None
            raise ClickException(_refused(what, error)) from None
        except (NoCredentialsError, ValueError) as error:
            raise ClickException(_refused(what, error)) from None
        except BotoCoreError as error:
            raise NotUpYet(str(error)) from None

    _patiently(what, attempt)


def _reset_reference_data(settings: Settings) -> None:
    url = settings.sidearmdb_url.get_secret_value()
    what = f"the reference database at {addresses.reference_database(url)}"
    reasons: set[sql.Fault | None] = set()

    def attempt() -> None:
        try:
            errors = sql.errors_of(url)
            try:
                create_database(url)
                reset_tables_at(url)
            except errors as error:
                # Whatever it is: a server that is still starting refuses in many ways, wrong passwords among them.
                fault = sql.classify(error)
                reason = sql.message(error) + (f": {fault.hint}" if fault else "")
                # `_patiently` logs the first reason alone; a lock may come after a start.
                if reasons and fault not in reasons:
                    logging.info("Waiting for %s (%s)", what, reason)
                reasons.add(fault)
                raise NotUpYet(reason) from None
        except ImportError as error:
            raise ClickException(f"{what} cannot be used from here: {_first_line(error)}") from None

    _patiently(what, attempt)


def _patiently(what: str, attempt: Callable[[], None]) -> None:
    """Make the attempt until it succeeds, a little less often each time; one line when waiting begins."""
    give_up = time.monotonic() + PATIENCE
    pause = 0.25
    said = False
    while True:
        try:
            return attempt()
        except NotUpYet as problem:
            if time.monotonic() + pause > give_up:
                raise ClickException(f"{what} did not come up within {PATIENCE} s: {problem}") from None
            if not said:
                logging.info("Waiting for %s (%s)", what, problem)
                said = True
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _first_line(error: BaseException | None) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
