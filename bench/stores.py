"""The stores as the benchmark sees them from outside: what is put, and when what was made of it can be read."""

import time
from collections.abc import Sequence
from typing import Any

import boto3
from pymongo import MongoClient
from sqlalchemy import create_engine, inspect, text

from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets.gamestream.simulator import prepare, read_game
from lacrosse_assets.settings import Settings

LOOK_EVERY = 0.005  # seconds
PATIENCE = 300  # seconds; what is not readable by then never is

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
        """As before the first game: the reference tables, and nothing else."""
        prepare(self._settings)
        self.s3.delete_object(Bucket=self.bucket, Key=self.key)
        self._boxscores.delete_many({})
        with self._engine.begin() as connection:
            for table in FINAL_TABLES:
                connection.execute(text(f"DROP TABLE IF EXISTS {table}"))

    def put(self, lines: Sequence[str]) -> str:
        """Write the stream; its ETag."""
        body = "".join(f"{line}\n" for line in lines).encode()
        return str(self.s3.put_object(Bucket=self.bucket, Key=self.key, Body=body)["ETag"]).strip('"')

    def current_etag(self) -> str | None:
        """The version of the stream that the current box score was made from."""
        box = self._boxscores.find_one(sort=[("_id", -1)], projection={"stream.etag": 1})
        return box["stream"]["etag"] if box else None

    def wait_for(self, etag: str) -> float:
        """Wait until the current box score is that of `etag`; the time at which it was."""
        return _wait(lambda: self.current_etag() == etag, f"the box score of ETag {etag}")

    def wait_for_final_tables(self) -> float:
        """Wait until both are there; the time at which they were."""
        return _wait(lambda: set(FINAL_TABLES) <= set(inspect(self._engine).get_table_names()), "the final tables")


def _wait(there: Any, what: str) -> float:
    give_up = time.time() + PATIENCE
    while not there():
        if time.time() > give_up:
            raise TimeoutError(f"{what} did not come within {PATIENCE} s")
        time.sleep(LOOK_EVERY)
    return time.time()
