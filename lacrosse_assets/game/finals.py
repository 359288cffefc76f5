"""The final tables: the reference tables with the game's result in them (docs/contract.md, section 4)."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

# The reference tables, `teams` and `players`, and so the final ones: the original exercise's columns, in its order.
TEAMS = StructType(
    [
        StructField("id", IntegerType(), nullable=False),
        StructField("name", StringType()),
        StructField("conference", StringType()),
        StructField("wins", IntegerType()),
        StructField("losses", IntegerType()),
    ]
)
PLAYERS = StructType(
    [
        StructField("id", IntegerType(), nullable=False),
        StructField("name", StringType()),
        StructField("number", StringType()),
        StructField("shots", IntegerType()),
        StructField("goals", IntegerType()),
        StructField("teamid", IntegerType()),
    ]
)
REFERENCE = {"teams": TEAMS, "players": PLAYERS}


def teams2(spark: SparkSession, teams: DataFrame, document: Mapping[str, Any]) -> DataFrame:
    """All rows of `teams` (a `TEAMS`), the winner's `wins` and the loser's `losses` one up; a tie changes neither."""
    sides = [document["home"], document["away"]]
    result = spark.createDataFrame(
        [(side["teamid"], int(side["status"] == "winning"), int(side["status"] == "losing")) for side in sides],
        "id int, won int, lost int",
    )
    return _with_game(teams, result, {"wins": "won", "losses": "lost"})


def players2(spark: SparkSession, players: DataFrame, document: Mapping[str, Any]) -> DataFrame:
    """All rows of `players` (a `PLAYERS`), the `shots` and `goals` of this game added to each player's."""
    # The schema is given: a game may be one of two teams without players.
    result = spark.createDataFrame(
        [
            (player["id"], player["shots"], player["goals"])
            for side in (document["home"], document["away"])
            for player in side["players"]
        ],
        "id int, game_shots int, game_goals int",
    )
    return _with_game(players, result, {"shots": "game_shots", "goals": "game_goals"})


def _with_game(reference: DataFrame, result: DataFrame, added: Mapping[str, str]) -> DataFrame:
    """`reference` by id, to each column of `added` the column of `result` that it names, or nothing."""
    sums = {column: F.col(column) + F.coalesce(game, F.lit(0)) for column, game in added.items()}
    return reference.join(result, "id", "left").withColumns(sums).select(*reference.columns).orderBy("id")
