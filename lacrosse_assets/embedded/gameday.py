"""`lacrosse gameday`: many games at once, from the first shot to the final tables (docs/contract.md, section 10)."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from dagster import DagsterInstance
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from sqlalchemy.exc import SQLAlchemyError

from lacrosse_assets.embedded.dagster_dev import DagsterDev, dagster_home
from lacrosse_assets.embedded.day_scoreboard import day_scoreboard
from lacrosse_assets.embedded.game import Runs, follow, read_table
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.game.document import Document
from lacrosse_assets.resources.documents import DATABASE, SUMMARY
from lacrosse_assets.resources.game_documents import GAMES
from lacrosse_assets.resources.object_store import StreamVersion
from lacrosse_assets.settings import Settings, load_settings

TIMEOUT_MS = 5_000
IDLE_FACTOR = 4  # the pause between two queries for all games, as a multiple of a query's duration
NAMED_GAMES = 5  # in an error
# What each final table has more than its reference table.
ADDED = {"teams2": ("teams", ("wins", "losses")), "players2": ("players", ("shots", "goals"))}

Versions = Mapping[int, StreamVersion | None]  # of the stream of each box score, by game


def play_day(services: EmbeddedServices, dagster: DagsterDev) -> None:
    """Start the simulator, show the scoreboard until the final tables have all games, and print their sums.

    Raises `ServerError` if a server exits, and `GameError` if a game or a final table is missing.
    """
    settings = load_settings()
    client = MongoClient[Document](
        settings.mongodb_uri.get_secret_value(), tz_aware=True, serverSelectionTimeoutMS=TIMEOUT_MS
    )
    games: dict[int, Document] = {}
    home = str(dagster_home(services.state_dir))
    with client, DagsterInstance.from_config(home) as instance, day_scoreboard(settings.games) as show:
        next_at = 0.0
        earlier = _earlier(client)

        def refresh() -> None:
            nonlocal next_at
            asked_at = time.monotonic()
            if asked_at < next_at:
                return
            with suppress(PyMongoError):  # a server that has exited is reported by name at the next poll
                games.update(of_this_play(_documents(client), earlier))
                show(list(games.values()))
            next_at = asked_at + IDLE_FACTOR * (time.monotonic() - asked_at)

        def missing() -> str | None:
            return missing_games(settings.games, games) or missing_rows(games, _rows(settings, "games2"))

        follow(services, dagster, Runs(instance), refresh, missing)
    for line in summary({name: _rows(settings, name) for name in ("games2", "teams", "teams2", "players", "players2")}):
        print(line, flush=True)


def _documents(client: "MongoClient[Document]") -> list[Document]:
    """What is shown of the games."""
    return list(client[DATABASE]["games"].find(GAMES, SUMMARY, sort=[("_id", 1)]))


def _earlier(client: "MongoClient[Document]") -> Versions:
    """The versions of the streams that an earlier play has left box scores of, by game, because state is kept."""
    with suppress(PyMongoError):  # a server that has exited is reported by name at the next poll
        return {game["_id"]: StreamVersion.from_document(game) for game in _documents(client)}
    return {}


def of_this_play(found: Iterable[Document], earlier: Versions) -> dict[int, Document]:
    """The games whose box scores are not of an earlier play, by game. No clock tells them apart: it may be set."""
    return {game["_id"]: game for game in found if earlier.get(game["_id"]) != StreamVersion.from_document(game)}


def _rows(settings: Settings, table: str) -> list[dict[str, Any]]:
    try:
        columns, rows = read_table(settings, table)
    except SQLAlchemyError:
        return []  # it does not exist yet, or is about to be replaced
    return [dict(zip(columns, row, strict=True)) for row in rows]


def missing_games(scheduled: int, games: Mapping[int, Document]) -> str | None:
    """The games without a final box score; None if all have one."""
    open_games = [number for number in range(1, scheduled + 1) if not games.get(number, {}).get("final")]
    return f"{_named(open_games)} of {scheduled} without a final box score" if open_games else None


def missing_rows(games: Mapping[int, Document], games2: Sequence[Mapping[str, Any]]) -> str | None:
    """The final games that the final tables do not have as they are; None if they have all."""
    stored = {row["id"]: row["fingerprint"] for row in games2}
    absent = [number for number, game in games.items() if stored.get(number) != game["fingerprint"]]
    return f"{_named(absent)} missing in the final tables" if absent else None


def _named(games: Sequence[int]) -> str:
    named = ", ".join(map(str, games[:NAMED_GAMES])) + (", …" if len(games) > NAMED_GAMES else "")
    return f"{len(games)} game{'' if len(games) == 1 else 's'} ({named})"


def summary(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """A line for each final table: its rows, and what has been added to its reference table."""
    ties = sum(row["home_score"] == row["away_score"] for row in tables["games2"])
    lines = [f"games2: {len(tables['games2'])} games, {ties} of them tied"]
    for name, (reference, columns) in ADDED.items():
        added = [
            f"{sum(row[column] for row in tables[name]) - sum(row[column] for row in tables[reference])} {column}"
            for column in columns
        ]
        lines.append(f"{name}: {len(tables[name])} rows, {' and '.join(added)} more than {reference}")
    return lines
