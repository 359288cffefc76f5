"""Player and team statistics of one game, as Spark frames (docs/contract.md, sections 1 to 3)."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DoubleType, IntegerType, LongType, StringType, StructField, StructType

from lacrosse_assets.game.stream import EVENTS, OVER, VERSION, Verdict

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
        *(StructField(column, StringType()) for column in VERSION),
    ]
)

# What a row has before anything is counted: whose it is, and where the game stands.
_MARK = (*ROSTER.fieldNames(), "event_id", "clock", "final", *VERSION)


def player_game_stats(lines: DataFrame, roster: DataFrame, at: Column | None = None) -> DataFrame:
    """The statistics of this game only. `lines` is a `LINES`, `roster` a `ROSTER`; the result a `PLAYER_GAME_STATS`.

    `score` is the team's, counted from the lines, whoever shot. A player is known by (team, jersey). A shot by a jersey
    that nobody on the roster wears, or that two players of one team wear, counts for the team and for no player.

    They are as the latest event left them; or, where `at` is given, as each event left them whose line meets that
    condition: what the latest event's would be, had the stream ended with it. Jerseys without a player are told at the
    latest event only: at each of them, those of a long and dirty stream would grow with the square of its length.
    """
    wearers = F.count("player_id").over(Window.partitionBy("team_id", "number"))
    players = _in_one_task(roster).withColumn("jersey", F.when(wearers == 1, F.col("number")))
    # A mark for each player at each moment, among the shots in the order of events: what is not after it counts there.
    # (The hint: to broadcast a handful of moments would be a job of its own.)
    marks = players.crossJoin(_moments(lines, at).hint("shuffle_replicate_nl")).select(
        "team_id", "jersey", "event_id", F.struct(*_MARK).alias("mark")
    )
    shots = lines.where(F.col("verdict") == Verdict.SHOT.value).select(
        "team_id", F.col("number").alias("jersey"), "event_id", "goal"
    )
    by_team = Window.partitionBy("team_id").orderBy("event_id")
    by_jersey = Window.partitionBy("team_id", "jersey").orderBy("event_id")
    counted = _in_one_task(shots.unionByName(marks, allowMissingColumns=True)).select(
        "*",
        F.coalesce(F.sum("goal").over(by_team).cast("int"), F.lit(0)).alias("score"),
        F.count("goal").over(by_jersey).cast("int").alias("shots"),
        F.coalesce(F.sum("goal").over(by_jersey).cast("int"), F.lit(0)).alias("goals"),
    )
    told = counted.where("mark is not null") if at is not None else _with_strangers(counted)
    pct = percentage(F.col("goals"), F.col("shots")).alias("pct")
    return told.select("mark.*", "score", "shots", "goals", pct).select(*PLAYER_GAME_STATS.fieldNames())


def is_stranger(row: Mapping[str, Any]) -> bool:
    """Whether a row of a `PLAYER_GAME_STATS` is that of a jersey without a player."""
    return row["player_id"] is None and row["number"] is not None


def percentage(goals: Column, shots: Column) -> Column:
    """goals / shots, rounded half up to two places; 0.0 without a shot. In integers, where a half is a half."""
    return F.when(shots == 0, F.lit(0.0)).otherwise(F.floor((goals * 200 + shots) / (shots * 2)) / 100)


def _with_strangers(counted: DataFrame) -> DataFrame:
    """The marks of the one moment, and one for each jersey without a mark: its last shot, where all of its shots are
    counted. Team, moment and score are those of its team's marks."""
    team, jersey = Window.partitionBy("team_id"), Window.partitionBy("team_id", "jersey")
    is_last_shot = F.lead("event_id").over(jersey.orderBy("event_id")).isNull()
    nobody = {"player_id": F.lit(None).cast("int"), "name": F.lit(None).cast("string"), "number": F.col("jersey")}
    stranger = [nobody.get(name, F.col(f"of_the_team.{name}")).alias(name) for name in _MARK]
    return (
        counted.withColumns(
            {
                "of_the_team": F.max("mark").over(team),
                "score": F.max("score").over(team),
                "is_told": F.col("mark").isNotNull() | (is_last_shot & F.max("mark").over(jersey).isNull()),
            }
        )
        .where("is_told")
        .withColumn("mark", F.coalesce("mark", F.struct(*stranger)))
    )


def _moments(lines: DataFrame, at: Column | None) -> DataFrame:
    """A row an event that is asked for: its id, its clock, whether the game is over, and the version of the stream.

    Without `at` it is one row, the latest event's; before the first event there is one as well, without an id.

    The game is over at an event in two cases:

    1. It is the latest event, and the terminator is there. The terminator counts at no other event.
    2. Its clock is 00:00, and an event with a lower id has a clock above 00:00: the game has been under way. Rows at
       00:00 before the first whistle are placeholders, and end nothing.

    Order is that of the event ids, whatever the order of the lines. Later events change nothing: where the game went on
    after a clock of 00:00, the box score of that event stays final, as it stood then.
    """
    is_event = F.col("verdict").isin([verdict.value for verdict in EVENTS])
    is_end = F.col("verdict") == Verdict.TERMINATOR.value
    event = F.struct("event_id", "clock")
    events = F.array(F.max(F.when(is_event, event))) if at is None else F.collect_list(F.when(is_event & at, event))
    game = (
        _in_one_task(lines)
        .agg(
            events.alias("events"),
            F.max(F.when(is_event, F.col("event_id"))).alias("latest"),
            F.max(F.when(is_end, F.col("clock"))).alias("end"),
            F.min(F.when(is_event & (F.col("clock") != OVER), F.col("event_id"))).alias("under_way"),
            *(F.max(column).alias(column) for column in VERSION),
        )
        .withColumn("event", F.explode("events"))
    )
    # Its own end, or none: neither the clock nor the terminator may be there.
    end = F.when(F.col("event.event_id").eqNullSafe(F.col("latest")), F.col("end"))
    clock = F.coalesce(end, F.col("event.clock"))
    is_played_out = (F.col("event.clock") == OVER) & (F.col("under_way") < F.col("event.event_id"))
    is_over = end.isNotNull() | F.coalesce(is_played_out, F.lit(False))
    return game.select("event.event_id", clock.alias("clock"), is_over.alias("final"), *VERSION)


def _in_one_task(frame: DataFrame) -> DataFrame:
    """The same rows in one partition. A game is small: what takes time is to start tasks and to send rows around."""
    return frame.coalesce(1)
