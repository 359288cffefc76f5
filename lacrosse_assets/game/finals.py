"""The final tables: the reference tables with the results of games added (docs/contract.md, section 4)."""

from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lacrosse_assets.game import schemas, tables

TEAMS = schemas.table(tables.TEAMS)
PLAYERS = schemas.table(tables.PLAYERS)
# The same columns, with other values in those that the game changes.
TEAMS2 = schemas.redescribed(TEAMS, wins="games won, this one included", losses="games lost, this one included")
PLAYERS2 = schemas.redescribed(
    PLAYERS,
    shots="shots on goal this season, this game included",
    goals="goals this season, this game included",
)


def teams2(spark: SparkSession, teams: DataFrame, games: Iterable[Mapping[str, Any]]) -> DataFrame:
    """All rows of `teams` (a `TEAMS`), with 1 for each game added to the winner's `wins` and to the loser's `losses`.

    A tie changes neither. `games` are final box scores, one of each game. The result is ordered by `id`.
    """
    result = spark.createDataFrame(
        [
            (side["teamid"], int(side["status"] == "winning"), int(side["status"] == "losing"))
            for game in games
            for side in (game["home"], game["away"])
        ],
        "id long, won int, lost int",
    )
    return _add(teams, result, {"wins": "won", "losses": "lost"})


def players2(spark: SparkSession, players: DataFrame, games: Iterable[Mapping[str, Any]]) -> DataFrame:
    """All rows of `players` (a `PLAYERS`), with each game's `shots` and `goals` added to each player's.

    `games` are final box scores, one of each game. The result is ordered by `id`.
    """
    # The schema is explicit, because the list may be empty: neither team may have players.
    result = spark.createDataFrame(
        [
            (player["id"], player["shots"], player["goals"])
            for game in games
            for side in (game["home"], game["away"])
            for player in side["players"]
        ],
        "id long, game_shots int, game_goals int",
    )
    return _add(players, result, {"shots": "game_shots", "goals": "game_goals"})


def _add(reference: DataFrame, result: DataFrame, added: Mapping[str, str]) -> DataFrame:
    """Add columns of `result` to columns of `reference`, by `id`. `added` maps the latter to the former."""
    result = result.groupBy("id").agg(*(F.sum(game).alias(game) for game in added.values()))
    sums = {column: F.col(column) + F.coalesce(game, F.lit(0)) for column, game in added.items()}
    return reference.join(result, "id", "left").withColumns(sums).select(*reference.columns).orderBy("id")
