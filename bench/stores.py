"""The benchmark's own clients of the stores: they write the stream, and poll for the result."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import boto3
from pymongo import MongoClient
from sqlalchemy import create_engine, inspect, text

from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets.gamestream.simulator import prepare, read_game
from lacrosse_assets.settings import Settings

POLL_SECONDS = 0.005
TIMEOUT_SECONDS = 300
GAME = [event.line for event in read_game()]


class Stores:
    """The stream, the box scores and the final tables."""

    def __init__(self, settings: Settings) -> None:
        self.bucket, self.key = settings.gamestream_bucket, settings.gamestream_key
        self.s3 = boto3.client("s3", endpoint_url=settings.s3_endpoint_url, region_name=settings.aws_region)
        self._boxscores = MongoClient[dict[str, Any]](settings.mongodb_uri.get_secret_value())["sidearm"]["boxscores"]
        self._engine = create_engine(settings.sidearmdb_url.get_secret_value())
        self._settings = settings

    def clear(self) -> None:
        """Restore the state before the first game: the original reference tables and nothing else."""
        prepare(self._settings)
        self.s3.delete_object(Bucket=self.bucket, Key=self.key)
        self._boxscores.delete_many({})
        with self._engine.begin() as connection:
            for table in FINAL_TABLES:
                connection.execute(text(f"DROP TABLE IF EXISTS {table}"))

    def put(self, lines: Sequence[str]) -> str:
        """Write the stream. Returns its ETag."""
        body = "".join(f"{line}\n" for line in lines).encode()
        return str(self.s3.put_object(Bucket=self.bucket, Key=self.key, Body=body)["ETag"]).strip('"')

    def current_etag(self) -> str | None:
        """The ETag of the stream that the current box score was made from; None without a box score."""
        box = self._boxscores.find_one(sort=[("_id", -1)], projection={"stream.etag": 1})
        return box["stream"]["etag"] if box else None

    def wait_for(self, etag: str) -> float:
        """Wait until the current box score is that of `etag`. Returns the time, in seconds since the epoch."""
        return _wait(lambda: self.current_etag() == etag, f"box score of ETag {etag}")

    def wait_for_final_tables(self) -> float:
        """Wait until both final tables exist. Returns the time, in seconds since the epoch."""
        return _wait(lambda: set(FINAL_TABLES) <= set(inspect(self._engine).get_table_names()), "final tables")


def _wait(condition: Callable[[], bool], what: str) -> float:
    deadline = time.time() + TIMEOUT_SECONDS
    while not condition():
        if time.time() > deadline:
            raise TimeoutError(f"no {what} within {TIMEOUT_SECONDS} s")
        time.sleep(POLL_SECONDS)
    return time.time()
