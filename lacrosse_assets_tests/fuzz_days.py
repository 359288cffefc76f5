"""`make fuzz`: plays random game days, and compares documents and final tables with the reference model.

    python -m lacrosse_assets_tests.fuzz_days --days 50 --seed 7
    python -m lacrosse_assets_tests.fuzz_days --seed 7 --first 13 --days 1

A day is a league, a schedule with invalid rows, and two or three rounds. In each round streams are written, corrected,
replayed, deleted or made unreadable, and rosters and schedule change. Then the sensor launches runs until it has
nothing to do. Sensor, assets and checks are those of production; the stores are in memory, and Dagster's instance is
temporary.

A day is a pure function of the seed and its number, which an error reports with the command that repeats it.
"""

import gzip
import hashlib
import json
import os
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from unittest.mock import patch

import click
import mongomock
from dagster import (
    AssetCheckEvaluation,
    DagsterInstance,
    Definitions,
    RunRequest,
    TableMetadataValue,
    build_sensor_context,
)
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from lacrosse_assets import automation, state_reader
from lacrosse_assets.resources.mock import InMemoryGameDocuments, InMemoryReferenceDatabase
from lacrosse_assets.resources.object_store import LiveS3, S3PrefixStore, StreamObject, StreamVersion
from lacrosse_assets.settings import load_settings
from lacrosse_assets_tests.fuzz import DifferenceError, stream
from lacrosse_assets_tests.support import reference_model

PREFIX = "games/"
BEGAN = datetime(2026, 3, 7, 18, tzinfo=UTC)
SCHEMA = (
    "CREATE TABLE teams (id int primary key, name varchar(50), conference varchar(50), wins int, losses int)",
    "CREATE TABLE players (id int primary key, name varchar(50), number varchar(3), shots int, goals int, teamid int)",
    # Without types, as those of a view: a value is stored as it is given.
    "CREATE TABLE games (id, day, home, away, stream)",
)
SIZES = (0, 1, 10, 10, 30, 30, 30, 100)  # lines of a stream
JERSEYS = [*map(str, range(30)), "0", "00", "08", "8  ", " 8", "\u00a08", "é", "", "  "]
NAMES = ["sam", "sam   ", "o'neil; --", "<b>zoë</b>", "", "$where", "\u200b"]
DATES = ["2026-03-07", "2026-03-07", "2026-03-08", "2026-03-06 00:00:00", None, "", "soon", "7 March", "2026-02-30"]
INVALID_IDS = [None, -5, "x", 1.5, "", "1e3", b"7"]
ENDS = [b"-1 00:00 0 0 0\n", b"-1 0:00.0 0 0 0\r\n", b"9999999 00:00 0 0 0\n", b"9999999 00:00 0 0 0\n-1 00:00 0 0 0\n"]

# Without the events of each run in the terminal.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Row = dict[str, Any]
Chance = random.Random


@dataclass
class Day:
    """A day as other programs have made it so far."""

    teams: list[Row]
    players: list[Row]
    late: tuple[list[Row], list[Row]]  # teams and players that are missing at first
    invalid: frozenset[int]  # teams with an invalid row
    schedule: list[Row]
    streams: dict[str, bytes] = field(default_factory=dict)
    max_games: int = 250  # of a run


def random_day(chance: Chance) -> Day:
    """A league and a schedule, without a stream; `chance` alone decides on it."""
    ids = chance.sample(range(1, 10**6), chance.randrange(4, 17))
    teams = [_team(chance, team_id) for team_id in ids]
    players = [
        player
        for number, team_id in enumerate(ids)
        for player in _roster(chance, team_id, 100 * number, chance.choice([0, 1, 5, 12]))
    ]
    late = set(ids[: chance.choice([0, 0, 1, 2])])
    invalid = set()
    for team in teams:
        if chance.random() < 0.05:
            team["name"] = b"\xff"  # of another type than its column's
            invalid.add(team["id"])
    return Day(
        [team for team in teams if team["id"] not in late],
        [player for player in players if player["teamid"] not in late],
        ([team for team in teams if team["id"] in late], [each for each in players if each["teamid"] in late]),
        frozenset(invalid),
        [_game(chance, game_id, ids) for game_id in chance.sample(range(10**6), chance.randrange(1, 30))],
        max_games=chance.choice([2, 7, 250, 250]),
    )


def _team(chance: Chance, team_id: int) -> Row:
    name, conference = chance.choice(NAMES), chance.choice(NAMES)
    return {
        "id": team_id,
        "name": name,
        "conference": conference,
        "wins": chance.randrange(20),
        "losses": chance.randrange(20),
    }


def _roster(chance: Chance, team_id: int, first: int, size: int) -> list[Row]:
    return [
        {
            "id": first + number + 1,
            "name": chance.choice(NAMES),
            "number": chance.choice(JERSEYS),
            "shots": chance.randrange(60),
            "goals": chance.randrange(60),
            "teamid": team_id,
        }
        for number in range(size)
    ]


def _game(chance: Chance, game_id: int, teams: Sequence[int]) -> Row:
    home, away = chance.sample(teams, 2)
    row: Row = {"id": game_id, "day": chance.choice(DATES), "home": home, "away": away, "stream": None}
    if chance.random() < 0.2:
        row["stream"] = chance.choice(["", "  ", "feed.txt", " feed.txt ", "a/b.txt", f"{game_id}.txt", "no suffix"])
    match chance.randrange(20):
        case 0:
            row[chance.choice(["id", "home", "away"])] = chance.choice(INVALID_IDS)
        case 1:
            row["away"] = home
        case 2:
            row["away"] = 10**6 + 1  # in no table
        case 3:  # another spelling
            name = chance.choice(["id", "home", "away"])
            row[name] = chance.choice([str(row[name]), float(row[name]), f"{row[name]}  "])
    return row


def change(chance: Chance, day: Day) -> set[str]:
    """What happens to the day before the next round. Returns the keys of the objects that are written or deleted."""
    played, _ = reference_model.schedule(day.schedule, PREFIX)
    keys = set()
    for game in played.values():
        if chance.random() < 0.8:
            keys.add(game["key"])
            _write(chance, day, game)
    if chance.random() < 0.2:  # of no game
        keys.add(key := PREFIX + chance.choice(["notes", "x/y.txt", "é.txt"]))
        day.streams[key] = stream(chance, sizes=SIZES)
    if chance.random() < 0.5:
        late_teams, late_players = day.late
        day.teams, day.players, day.late = day.teams + late_teams, day.players + late_players, ([], [])
    if chance.random() < 0.3:
        # Perhaps the next game of a stream, whose game so far stays as it is.
        game = _game(chance, 10**6 + chance.randrange(10**6), [team["id"] for team in day.teams])
        if played and chance.random() < 0.5:
            game |= {"day": "2026-03-09", "stream": chance.choice(list(played.values()))["key"].removeprefix(PREFIX)}
        day.schedule = [*day.schedule, game]
    if day.schedule and chance.random() < 0.1:
        day.schedule = chance.sample(day.schedule, len(day.schedule) - 1)
    if chance.random() < 0.3:
        day.players = [
            {**player, "number": chance.choice(JERSEYS)} if chance.random() < 0.1 else player for player in day.players
        ]
    return keys


def _write(chance: Chance, day: Day, game: Row) -> None:
    """Another version of a game's stream."""
    key, before = game["key"], day.streams.get(game["key"], b"")
    match chance.randrange(12):
        case 0:
            day.streams.pop(key, None)
        case 1:
            day.streams[key] = gzip.compress(before, mtime=0)[:-9]
        case 2 if before:  # it goes back
            day.streams[key] = before[: chance.randrange(len(before))]
        case 3:
            day.streams[key] = b""
        case _:
            body = stream(chance, (game["home"], game["away"]), SIZES)
            body += chance.choice(ENDS) if chance.random() < 0.5 else b""
            day.streams[key] = gzip.compress(body, mtime=0) if chance.random() < 0.1 else body


class Stores:
    """The stores of a day, in memory."""

    def __init__(self) -> None:
        self.versions: dict[str, StreamVersion] = {}
        self.bodies: dict[str, bytes] = {}
        self.documents: Any = mongomock.MongoClient(tz_aware=True)
        self.engine: Engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        with self.engine.begin() as connection:
            for statement in SCHEMA:
                connection.exec_driver_sql(statement)
        self._now = BEGAN

    def write(self, day: Day, keys: set[str]) -> None:
        """Write these streams, or delete them, and the tables."""
        for key in sorted(keys):
            self._now += timedelta(seconds=1)
            if key in day.streams:
                body = self.bodies[key] = day.streams[key]
                etag = hashlib.md5(body).hexdigest()
                self.versions[key] = StreamVersion(etag, self._now, len(body), self._now)
            else:
                self.versions.pop(key, None)
        tables = {"teams": day.teams, "players": day.players, "games": day.schedule}
        with self.engine.begin() as connection:
            for table, rows in tables.items():
                connection.exec_driver_sql(f"DELETE FROM {table}")
                for row in rows:
                    places = ", ".join("?" * len(row))
                    connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({places})", tuple(row.values()))

    def resources(self) -> dict[str, Any]:
        """The resources of production, on these stores."""
        stores = self

        class Streams(S3PrefixStore):
            def versions(self) -> dict[str, StreamVersion]:
                return dict(stores.versions)

            def _fetch(self, key: str) -> StreamObject | None:
                if (version := stores.versions.get(key)) is None:
                    return None
                return StreamObject(self._decoded(key, stores.bodies[key], ""), version, datetime.now(UTC))

        class Documents(InMemoryGameDocuments):
            def connect(self) -> Any:
                return stores.documents

        class Tables(InMemoryReferenceDatabase):
            def create_engine(self) -> Engine:
                return stores.engine

        return {
            "object_store": Streams(s3=LiveS3(), bucket="gamestreams", key=PREFIX),
            "documents": Documents(),
            "reference_db": Tables(),
        }

    def games(self) -> dict[int, Row]:
        """The stored documents by id."""
        return {document["_id"]: document for document in self.documents["sidearm"]["games"].find()}

    def tables(self) -> list[list[Row]] | None:
        """teams2, players2 and games2; None if there are none."""
        with self.engine.begin() as connection:
            names = {name for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master")}
            if "games2" not in names:
                return None
            return [
                [dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY id").mappings()]
                for name in ("teams2", "players2", "games2")
            ]


class Platform:
    """The sensor, and the runs that it launches."""

    def __init__(self, stores: Stores, instance: DagsterInstance):
        self._stores, self._instance = stores, instance
        self.restart()

    def restart(self) -> None:
        """Start the daemon again: the sensor has forgotten what it knew."""
        from lacrosse_assets.definitions import build_definitions

        settings = load_settings({"LACROSSE_DEPLOYMENT": "mock", "GAMESTREAM_KEY": PREFIX})
        self._definitions: Definitions = build_definitions(settings, poll_seconds=0, **self._stores.resources())

    def run_until_idle(self, at_most: int) -> set[int | None]:
        """Launch what the sensor requests. Returns the games that checks name as problems; None for other problems."""
        problems: set[int | None] = set()
        for _ in range(at_most):
            request = self._tick()
            if not isinstance(request, RunRequest):
                return problems
            problems |= self._launch(request)
        raise DifferenceError(f"after {at_most} runs the sensor still requests one: {self._tick()}")

    def _tick(self) -> RunRequest | str:
        sensor = self._definitions.resolve_sensor_def("gamestream_sensor")
        with build_sensor_context(
            self._instance, definitions=self._definitions, resources=self._definitions.resources
        ) as context:
            result = sensor.evaluate_tick(context)
        return result.run_requests[0] if result.run_requests else str(result.skip_message)

    def _launch(self, request: RunRequest) -> set[int | None]:
        job = self._definitions.resolve_job_def(str(request.job_name))
        config = {**request.run_config, **QUIET}
        result = job.execute_in_process(config, instance=self._instance, tags=request.tags, raise_on_error=False)
        for event in result.all_events:
            if event.is_step_failure:
                error = event.step_failure_data.error
                raise DifferenceError(f"step {event.step_key} failed: {error.to_string() if error else ''}")
        return {game for check in result.get_asset_check_evaluations() for game in _problems(check)}


def _problems(check: AssetCheckEvaluation) -> Iterator[int | None]:
    """The games of the problems that a check reports; None where one is of no game."""
    table = check.metadata.get("problems")
    if isinstance(table, TableMetadataValue):
        for record in table.records:
            game: Any = record.data["game"]
            yield game


def play(chance: Chance) -> int:
    """Play one day, and compare each round with the reference model. Returns the number of documents.

    Raises:
        DifferenceError: they differ.
    """
    day, stores = random_day(chance), Stores()
    expected: dict[int, Row] = {}
    references: list[tuple[list[Row], list[Row]]] = []
    with (
        DagsterInstance.ephemeral() as instance,
        patch.object(automation, "MAX_GAMES_PER_RUN", day.max_games),
        patch.object(state_reader, "RECORDS_INTERVAL_SECONDS", 0),
    ):
        platform = Platform(stores, instance)
        for number in range(chance.choice([1, 2, 3])):
            changed = change(chance, day)
            references.append((day.teams, day.players))
            stores.write(day, changed)
            if chance.random() < 0.3:
                platform.restart()
            before = stores.tables()
            named = platform.run_until_idle(at_most=10 + 4 * len(day.schedule) // day.max_games)
            made, lacking = _made(day)
            expected.update(made)
            final = [document for document in expected.values() if document["final"]]
            try:
                _compare_documents(stores.games(), expected)
                if final:
                    _compare_tables(stores, references, final)
                elif stores.tables() != before:
                    raise DifferenceError("final tables were written without a final game")
                if missing := {game for game, key in lacking.items() if key in changed} - named:
                    raise DifferenceError(f"no check names the games {sorted(missing)}")
                played, problems = reference_model.schedule(day.schedule, PREFIX)
                if problems and any(played[game]["key"] in changed for game in made) and None not in named:
                    raise DifferenceError("no check reports the invalid rows of the schedule")
            except DifferenceError as error:
                raise DifferenceError(f"round {number + 1}: {error}") from None
    return len(expected)


def _made(day: Day) -> tuple[dict[int, Row], dict[int, str]]:
    """The documents of the streams as they are; and the games of which none can be made, with their streams."""
    played, _ = reference_model.schedule(day.schedule, PREFIX)
    known = {team["id"] for team in day.teams} - day.invalid
    made, lacking = {}, {}
    for game_id, game in played.items():
        if not (body := day.streams.get(game["key"])):
            continue
        if (text := _text(body)) is None or not {game["home"], game["away"]} <= known:
            lacking[game_id] = game["key"]
        elif document := reference_model.document_of_a_day(game, text, day.teams, day.players):
            made[game_id] = document
    return made, lacking


def _text(body: bytes) -> bytes | None:
    """The text of a body, which may be compressed with gzip; None if it is cut off."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return None


def _compare_documents(stored: Mapping[int, Row], expected: Mapping[int, Row]) -> None:
    if stored.keys() != expected.keys():
        raise DifferenceError(f"documents of games {sorted(stored)}, of {sorted(expected)}")
    for game_id, document in stored.items():
        found = {name: value for name, value in document.items() if name not in ("stream", "fingerprint")}
        if _exactly(found) != _exactly(expected[game_id]):
            names = [
                name
                for name in sorted(found.keys() | expected[game_id].keys())
                if _exactly(found.get(name)) != _exactly(expected[game_id].get(name))
            ]
            values = [(found.get(name), expected[game_id].get(name)) for name in names]
            raise DifferenceError(f"the document of game {game_id} differs in {names}: found and expected {values}")


def _compare_tables(stores: Stores, references: Sequence[tuple[list[Row], list[Row]]], final: list[Row]) -> None:
    """The tables are made from the reference tables as they are, or were when the last of these games changed."""
    tables = stores.tables()
    if tables is None:
        raise DifferenceError("there are no final tables")
    fingerprints = {game_id: document["fingerprint"] for game_id, document in stores.games().items()}
    if wrong := [row for row in tables[2] if row["fingerprint"] != fingerprints.get(row["id"])]:
        raise DifferenceError(f"games2 has other versions of games than those that are stored: {wrong}")
    games2 = [
        {**{name: value for name, value in row.items() if name != "fingerprint"}, "day": row["day"] or ""}
        for row in tables[2]
    ]
    found = _exactly([tables[0], tables[1], games2])
    for teams, players in references:
        if found == _exactly([*reference_model.final_tables(teams, players, final)]):
            return
    games = [document["_id"] for document in final]
    raise DifferenceError(f"teams2, players2 and games2 are not the sums of the games {sorted(games)}: {games2}")


def _exactly(value: Any) -> str:
    """A value so written that 1, 1.0 and True differ."""
    return json.dumps(value, sort_keys=True, default=repr)


@contextmanager
def mock_deployment() -> Iterator[None]:
    """Definitions can be imported without a service."""
    with patch.dict(os.environ, {"LACROSSE_DEPLOYMENT": "mock"}):
        for name in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED"):
            os.environ.pop(name, None)
        yield


@click.command()
@click.option("--days", default=40, show_default=True, help="How many days to play.")
@click.option("--seed", type=int, help="Which days; others each time, if none is given.")
@click.option("--first", default=1, show_default=True, help="The number of the first day.")
def main(days: int, seed: int | None, first: int) -> None:
    """Play random game days, until the first one that differs from the reference model."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    began, documents = monotonic(), 0
    with mock_deployment():
        for number in range(first, first + days):
            try:
                documents += play(Chance(f"{seed}/{number}"))
            except Exception as error:
                command = f"python -m lacrosse_assets_tests.fuzz_days --seed {seed} --first {number} --days 1"
                raise click.ClickException(f"{command}: {type(error).__name__}: {error}") from error
    click.echo(
        f"{days} game days, {documents} documents, the same as the reference model's; "
        f"seed {seed}, {monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
