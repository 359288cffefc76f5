"""Player and team statistics of one game, as Spark frames (CONTRACT.md, sections 1 to 3)."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DoubleType, IntegerType, LongType, StringType, StructField, StructType

from lacrosse_assets.game.stream import EVENTS, OVER, Verdict

HOME, AWAY = "home", "away"

_TEAM = [
    StructField("side", StringType(), nullable=False),
    StructField("team_id", IntegerType(), nullable=False),
    StructField("team_name", StringType()),
    StructField("conference", StringType()),
    StructField("wins", IntegerType()),
    StructField("losses", IntegerType()),
]
_PLAYER = [
    StructField("player_id", IntegerType()),
    StructField("name", StringType()),
    StructField("number", StringType()),
]

# A row a player of either team, with the team's record before the game; a team without players has one row without one.
ROSTER = StructType([*_TEAM, *_PLAYER])

# A row a player of the roster (with zeros if need be), and one for each jersey that shot without being on the roster
# (no `player_id`); beside each, where the game stands and which version of the stream says so: all that a box score
# takes.
PLAYER_GAME_STATS = StructType(
    [
        *_TEAM,
        *_PLAYER,
        StructField("shots", IntegerType(), nullable=False),
        StructField("goals", IntegerType(), nullable=False),
        StructField("pct", DoubleType(), nullable=False),
        StructField("score", IntegerType(), nullable=False),
        StructField("event_id", LongType()),
        StructField("clock", StringType()),
        StructField("final", BooleanType(), nullable=False),
        StructField("etag", StringType()),
        StructField("last_modified", StringType()),
        StructField("fetched_at", StringType()),
    ]
)


def player_game_stats(lines: DataFrame, roster: DataFrame) -> DataFrame:
    """The statistics of this game only. `lines` is a `LINES`, `roster` a `ROSTER`; the result a `PLAYER_GAME_STATS`.

    `score` is the team's, counted from the lines, whoever shot. A player is known by (team, jersey). A shot by a jersey
    that nobody on the roster wears, or that two players of one team wear, counts for the team and for no player.
    """
    shots = (
        lines.where(F.col("verdict") == Verdict.SHOT.value)
        .groupBy("team_id", F.col("number").alias("jersey"))
        .agg(F.count("*").cast("int").alias("shots"), F.sum("goal").cast("int").alias("goals"))
    )
    wearers = F.count("player_id").over(Window.partitionBy("team_id", "number"))
    players = roster.withColumn("jersey", F.when(wearers == 1, F.col("number")))
    teams = roster.select(*(field.name for field in _TEAM)).distinct()
    strangers = (
        shots.join(players, ["team_id", "jersey"], "left_anti")
        .join(teams, "team_id")
        .withColumns(
            {"player_id": F.lit(None).cast("int"), "name": F.lit(None).cast("string"), "number": F.col("jersey")}
        )
    )
    scores = shots.groupBy("team_id").agg(F.sum("goals").cast("int").alias("score"))
    counted = (
        players.join(shots, ["team_id", "jersey"], "left")
        .unionByName(strangers)
        .join(scores, "team_id", "left")
        .fillna(0, ["shots", "goals", "score"])
        .withColumn("pct", percentage(F.col("goals"), F.col("shots")))
    )
    return counted.crossJoin(F.broadcast(_standing(lines))).select(*PLAYER_GAME_STATS.fieldNames())


def percentage(goals: Column, shots: Column) -> Column:
    """goals / shots, rounded half up to two places; 0.0 without a shot. In integers, where a half is a half."""
    return F.when(shots == 0, F.lit(0.0)).otherwise(F.floor((goals * 200 + shots) / (shots * 2)) / 100)


def _standing(lines: DataFrame) -> DataFrame:
    """One row: the latest event, the clock, whether the game is over, and the version of the stream that says so."""
    is_event = F.col("verdict").isin([verdict.value for verdict in EVENTS])
    is_end = F.col("verdict") == Verdict.TERMINATOR.value
    event_id = F.when(is_event, F.col("event_id"))
    clock = F.coalesce(F.max(F.when(is_end, F.col("clock"))), F.max_by("clock", event_id))
    return lines.agg(
        F.max(event_id).alias("event_id"),
        clock.alias("clock"),
        (F.coalesce(F.bool_or(is_end), F.lit(False)) | F.coalesce(clock == OVER, F.lit(False))).alias("final"),
        *(F.max(column).alias(column) for column in ("etag", "last_modified", "fetched_at")),
    )
