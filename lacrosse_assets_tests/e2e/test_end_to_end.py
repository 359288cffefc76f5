"""The whole platform, as `make dev` runs it: Dagster with its daemon, the sensor, runs as processes, and the stores.

Nobody materializes anything in here. A game is written to the object store, and what the platform made of it is held
against the reference model (`support/reference_model.py`).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunsFilter
from pymongo import MongoClient
from sqlalchemy import create_engine, text

from lacrosse_assets.embedded.dagster_dev import DagsterDev, dagster_home
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.waiting import wait_until

HOME, AWAY = 101, 205
BUCKET, KEY = "gamestreams", "gamestream.txt"
NOT_FINISHED = [
    status
    for status in DagsterRunStatus
    if status not in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
]
TIMEOUT_SECONDS = 150  # only to end a test that hangs

# Another game by another producer: names are any text, a player is unrostered, lines are invalid in several ways.
OTHER_TEAMS = [
    {"id": 101, "name": "Saint-Étienne; DROP TABLE teams", "conference": "l'été <b>", "wins": 0, "losses": 7},
    {"id": 205, "name": 'the "visitors"', "conference": "none", "wins": 3, "losses": 3},
    {"id": 999, "name": "resting", "conference": "none", "wins": 1, "losses": 1},
]
OTHER_PLAYERS = [
    {"id": 7, "name": "o'neil", "number": "0", "shots": 2, "goals": 1, "teamid": 101},
    {"id": 5, "name": "o'neil", "number": "00", "shots": 0, "goals": 0, "teamid": 101},
    {"id": 8, "name": "Zoë | 周", "number": "0", "shots": 9, "goals": 9, "teamid": 205},
    {"id": 99, "name": "nobody plays", "number": "0", "shots": 4, "goals": 4, "teamid": 999},
]
OTHER_GAME = [
    b"0 59:00 101 00 1\r\n",
    b"3 40:00 205 0 1\n",
    b"1 58:00 101 0 0\n",
    b"1 58:00 101 0 0\nnot a shot\n",
    b"2 50:00 205 44 1\n\xff\xfe\n",
    b"3 41:00 205 0 0\n",
    b"4 20:00 205 0 1\n",
    b"5 00:00 0 0 0\n",  # no terminator: the clock alone ends it
]


@dataclass
class Platform:
    """The platform from outside: the content of its stores, and Dagster's records."""

    services: EmbeddedServices
    dagster: DagsterDev
    instance: DagsterInstance

    @property
    def _s3(self) -> Any:
        keys = {name.lower(): self.services.addresses[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        return boto3.client(
            "s3", endpoint_url=self.services.addresses["AWS_ENDPOINT_URL_S3"], region_name="us-east-1", **keys
        )

    def put(self, body: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=KEY, Body=body)

    def stream(self) -> tuple[bytes, str]:
        """Body and ETag of the current stream."""
        response = self._s3.get_object(Bucket=BUCKET, Key=KEY)
        return response["Body"].read(), response["ETag"].strip('"')

    def documents(self) -> list[dict[str, Any]]:
        with MongoClient[dict[str, Any]](self.services.addresses["MONGODB_URI"], tz_aware=True) as client:
            return list(client["sidearm"]["boxscores"].find(sort=[("_id", 1)]))

    def table(self, name: str) -> list[dict[str, Any]]:
        engine = create_engine(self.services.addresses["SIDEARMDB_URL"])
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(f"SELECT * FROM {name} ORDER BY id")).mappings()]

    def reset(self, teams: list[dict[str, Any]], players: list[dict[str, Any]]) -> None:
        """Replace the rows of the reference tables, as another client than the simulator."""
        engine = create_engine(self.services.addresses["SIDEARMDB_URL"])
        with engine.begin() as connection:
            for name, rows in (("players", players), ("teams", teams)):
                connection.execute(text(f"DELETE FROM {name}"))
                places = ", ".join(f":{column}" for column in rows[0])
                connection.execute(text(f"INSERT INTO {name} VALUES ({places})"), rows)

    def final_of(self, table: str) -> tuple[str, int] | None:
        """The ETag of the latest materialization of a final table, and the id of its event."""
        event = self.instance.get_latest_materialization_event(AssetKey(table))
        record = self.instance.fetch_materializations(AssetKey(table), limit=1).records
        if event is None or event.asset_materialization is None:
            return None
        return str(event.asset_materialization.metadata["etag"].value), record[0].storage_id

    def finals(self) -> int:
        return len(self.instance.get_runs(RunsFilter(job_name="finish_game", statuses=[DagsterRunStatus.SUCCESS])))

    def failures(self) -> int:
        return len(self.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE])))

    def until_final(self, etag: str) -> None:
        """Wait until both final tables are made from this stream, and no run is active."""
        self.until(
            f"final tables of {etag}",
            lambda: (
                all((self.final_of(name) or [None])[0] == etag for name in ("teams2", "players2"))
                and not self.instance.get_runs(RunsFilter(statuses=NOT_FINISHED))
            ),
        )

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until the condition is met, while the platform is running."""
        wait_until(condition, what, timeout=TIMEOUT_SECONDS, check=self.dagster.check_alive)


@pytest.fixture(scope="module")
def platform(embedded: EmbeddedServices) -> Iterator[Platform]:
    with MongoClient[dict[str, Any]](embedded.addresses["MONGODB_URI"]) as client:
        client["sidearm"]["boxscores"].drop()  # what other tests left
    dagster = DagsterDev(embedded.state_dir, print)
    try:
        dagster.start().wait_until_up()
        with DagsterInstance.from_config(str(dagster_home(embedded.state_dir))) as instance:
            yield Platform(embedded, dagster, instance)
    finally:
        dagster.stop()


def simulator(platform: Platform, delay: str) -> subprocess.Popen[str]:
    state = {"LACROSSE_DEPLOYMENT": "embedded", "LACROSSE_STATE_DIR": str(platform.services.state_dir)}
    return subprocess.Popen(
        [sys.executable, "-m", "lacrosse_assets.gamestream"],
        env={**os.environ, **state, "DELAY": delay},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def without_version(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ("stream", "fingerprint")}


def expected(body: bytes, teams: list[dict[str, Any]], players: list[dict[str, Any]]) -> reference_model.Game:
    return reference_model.game(body, HOME, AWAY, teams, players)


def assert_true_to(platform: Platform, body: bytes, etag: str) -> None:
    """What is in the stores is what the contract makes of this stream and of the reference tables."""
    game = expected(body, platform.table("teams"), platform.table("players"))
    documents = platform.documents()
    timeline = reference_model.timeline(body, HOME, AWAY, platform.table("teams"), platform.table("players"))
    assert [without_version(document) for document in documents] == timeline, "every event has its document"
    current = documents[-1]
    assert without_version(current) == game.document
    assert current["stream"]["etag"] == etag
    assert platform.table("teams2") == game.teams2
    assert platform.table("players2") == game.players2


def test_a_game_and_its_replay_without_manual_action(platform: Platform) -> None:
    first = simulator(platform, "0.005")
    output, _ = first.communicate(timeout=TIMEOUT_SECONDS)
    assert first.returncode == 0, output
    body, etag = platform.stream()
    platform.until_final(etag)
    assert_true_to(platform, body, etag)
    assert platform.finals() == 1, "the clock row alone may have ended the game for a run, but its stream was not final"
    before = platform.final_of("teams2")

    # The same game once more: the same ETags, the reference tables reset.
    second = simulator(platform, "0.02")
    try:
        platform.until("a box score of the replay", lambda: not platform.documents()[-1]["final"])
        assert platform.final_of("teams2") == before
        assert [row["wins"] for row in platform.table("teams2")] == [12, 9], "kept until the new game is over"
    finally:
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=TIMEOUT_SECONDS)
    platform.put(body)
    platform.until("the replay's final tables", lambda: platform.final_of("teams2") != before)
    platform.until_final(etag)
    assert platform.finals() == 2
    assert_true_to(platform, body, etag)
    assert platform.failures() == 0


def test_any_producer_drives_it(platform: Platform) -> None:
    finals = platform.finals()
    platform.reset(OTHER_TEAMS, OTHER_PLAYERS)
    body = b""
    for part in OTHER_GAME:
        body += part
        platform.put(body)
        time.sleep(1.5)  # a producer's pace; runs under way meet changes of the stream
    _, etag = platform.stream()
    platform.until_final(etag)
    assert_true_to(platform, body, etag)
    assert platform.documents()[-1]["_id"] == 5
    assert platform.documents()[-1]["away"]["score"] == 3
    assert platform.finals() == finals + 1, "once for each final stream"
    assert platform.failures() == 0
