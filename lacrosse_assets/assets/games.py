"""Which games a run processes, and what it reports of those that it cannot (docs/contract.md, section 10)."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from dagster import AssetExecutionContext, Config, MetadataValue
from pydantic import Field

from lacrosse_assets.assets.common import MAX_TABLE_ROWS, table_metadata, warn_of_each
from lacrosse_assets.game.schedule import Game, Schedule
from lacrosse_assets.resources.object_store import ObjectStore
from lacrosse_assets.resources.reference_db import Row

# What keeps a game from being processed; with the id of the game, if it has one.
Problem = tuple[int | None, str]


class Games(Config):
    """Which games a run processes. gamestream_sensor names those that have changed."""

    games: list[int] = Field([], description="Ids of the games to process. Without one: all games that have a stream.")

    def of(self, schedule: Schedule) -> list[Game]:
        """The games that the run processes, in the order of their ids."""
        return [game for game_id, game in schedule.games.items() if not self.games or game_id in self.games]


def by_game(rows: Collection[Row]) -> dict[int, list[Row]]:
    """The rows of each game, by its id."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row["game_id"], []).append(row)
    return found


def schedule_problems(schedule: Schedule, streams: Collection[str], object_store: ObjectStore) -> Iterator[str]:
    """Rows of the schedule that are no game, and `streams`, the keys of stream objects, that belong to no game."""
    yield from schedule.problems
    for key in sorted(set(streams) - schedule.by_stream.keys()):
        yield f"{object_store.uri_of(key)} belongs to no game: add it to table games, or remove the object"


def warn_of_problems(context: AssetExecutionContext, problems: Sequence[Problem]) -> None:
    warn_of_each(
        context.log,
        (text if game is None else f"game {game}: {text}" for game, text in problems[:MAX_TABLE_ROWS]),
        len(problems),
    )


def problem_metadata(problems: Sequence[Problem]) -> dict[str, MetadataValue[Any]]:
    """The problems as a table; nothing if there are none."""
    rows = [{"game": game, "problem": text} for game, text in problems]
    return table_metadata("problems", rows, ["game", "problem"]) if rows else {}


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
