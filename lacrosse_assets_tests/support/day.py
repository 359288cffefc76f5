"""A game day in the environment of one test: a schedule, and a stream for each game (docs/contract.md, section 10)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from dagster import RunRequest
from pymongo import MongoClient

from lacrosse_assets.gamestream.game_day import GameDay
from lacrosse_assets.resources.game_documents import MongoGameDocuments
from lacrosse_assets.resources.object_store import LiveS3, S3PrefixStore
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.world import Run, World

PREFIX = "games/"
DAY = "2026-03-07"
GAMES_TABLE = "CREATE TABLE games (id int primary key, day date, home int, away int, stream varchar(50))"
# Three games of the teams that `world.TEAMS` has.
SCHEDULE = {17: (101, 205), 18: (205, 300), 19: (300, 101)}


class Day:
    """The actions of other programs, and the content of the stores."""

    def __init__(self, world: World):
        self.world = world
        self._s3 = boto3.client("s3", **world.s3)

    def schedule(self, games: Mapping[int, tuple[int, int]] = SCHEDULE, **more: str) -> None:
        """Replace table `games`. `more`: for the column `stream`, by `game_<id>`."""
        self.world.sql("DROP TABLE IF EXISTS games")
        self.world.sql(GAMES_TABLE)
        for game, (home, away) in games.items():
            stream = f"'{more[f'game_{game}']}'" if f"game_{game}" in more else "NULL"
            self.world.sql(f"INSERT INTO games VALUES ({game}, '{DAY}', {home}, {away}, {stream})")

    def put_into_the_schedule(self, game: int, column: str, value: str, type_: str) -> None:
        """Set a value that the column's type does not allow. (A server enforces it, SQLite does not.)"""
        if self.world.environ["SIDEARMDB_URL"].startswith("mssql"):
            self.world.sql(f"ALTER TABLE games ALTER COLUMN {column} {type_}")
        self.world.sql(f"UPDATE games SET {column} = {value} WHERE id = {game}")

    def put(self, game: int | str, *lines: str, body: bytes | None = None, **headers: str) -> str:
        """Write the stream of a game, or the object of this name. Returns its ETag."""
        content = "".join(f"{line}\n" for line in lines).encode() if body is None else body
        key = f"{PREFIX}{game}.txt" if isinstance(game, int) else f"{PREFIX}{game}"
        bucket = self.world.environ["GAMESTREAM_BUCKET"]
        return str(self._s3.put_object(Bucket=bucket, Key=key, Body=content, **headers)["ETag"]).strip('"')

    def remove(self, game: int) -> None:
        self._s3.delete_object(Bucket=self.world.environ["GAMESTREAM_BUCKET"], Key=f"{PREFIX}{game}.txt")

    def documents(self) -> dict[Any, dict[str, Any]]:
        """The documents of collection `games`, by `_id`."""
        with self.games() as games:
            return {document["_id"]: document for document in games.find()}

    def scores(self) -> dict[int, tuple[int, int, int, bool]]:
        """Event, home score, away score and whether it is over, by game."""
        return {
            game: (each["event"], each["home"]["score"], each["away"]["score"], each["final"])
            for game, each in self.documents().items()
        }

    @contextmanager
    def games(self) -> Iterator[Any]:
        with MongoClient[dict[str, Any]](self.world.environ["MONGODB_URI"], tz_aware=True) as client:
            yield client[self.world.mongo_database]["games"]

    def object_store(self, s3: type[LiveS3] = LiveS3) -> S3PrefixStore:
        return S3PrefixStore(s3=s3(**self.world.s3), bucket=self.world.environ["GAMESTREAM_BUCKET"], key=PREFIX)

    def document_store(self) -> MongoGameDocuments:
        return self.world.closed_at_the_end(
            MongoGameDocuments(uri=self.world.environ["MONGODB_URI"], database=self.world.mongo_database)
        )

    def run_until_idle(self, at_most: int = 6) -> list[Run]:
        """Launch what the sensor requests until it requests nothing."""
        runs = []
        while isinstance(request := self.world.tick(), RunRequest):
            runs.append(self.world.launch(request))
            assert len(runs) <= at_most, "the sensor requests runs without an end"
        return runs


def games_of(request: RunRequest | str) -> list[int]:
    """The games that a run is requested for."""
    assert isinstance(request, RunRequest), request
    games: list[int] = request.run_config["ops"]["raw_gamestream"]["config"]["games"]
    assert request.run_config["ops"]["roster"]["config"]["games"] == games
    return games


def expected_results(day: GameDay) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[int, tuple[int, int]]]:
    """`teams2`, `players2` and the scores at the end of the simulator's day: every game's additions, added up."""
    teams, players = [[dict(row) for row in rows] for rows in (day.teams, day.players)]
    documents = []
    for game, row in zip(day.games, day.schedule, strict=True):
        body = game.stream(len(game.events)).encode()
        document = reference_model.document_of_a_day(dict(row), body, teams, players)
        assert document
        assert document["final"]
        documents.append(document)
    tables = reference_model.final_tables(teams, players, documents)
    return tables.teams2, tables.players2, {row["id"]: (row["home_score"], row["away_score"]) for row in tables.games2}
