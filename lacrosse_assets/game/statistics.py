"""Player and team statistics of one game or many, as Spark frames (docs/contract.md, sections 1 to 3)."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DoubleType, IntegerType, LongType, StringType, StructType

from lacrosse_assets.game.schemas import column, description
from lacrosse_assets.game.stream import EVENTS, GAME_ID, OVER, VERSION_FIELDS, Verdict

HOME, AWAY = "home", "away"

# One row per player of either team, with the team's record before the game. A team without players has one row, whose
# player columns are null.
ROSTER = StructType(
    [
        GAME_ID,
        column("side", StringType(), "home or away", nullable=False),
        column("team_id", IntegerType(), "id of the team in teams", nullable=False),
        column("team_name", StringType(), "name of the team"),
        column("conference", StringType(), "the team's conference"),
        column("wins", IntegerType(), "games that the team has won, before this one"),
        column("losses", IntegerType(), "games that the team has lost, before this one"),
        column("player_id", IntegerType(), "id in players; null for an unrostered jersey"),
        column("name", StringType(), "name of the player"),
        column("number", StringType(), "jersey, as text: 0 and 00 are two players"),
    ]
)

# One row per player of the roster (with zeros, if the player has not shot), and one per unrostered jersey that shot (no
# `player_id`). Each row also has the team's score and the latest event.
STATISTICS = StructType(
    [
        *ROSTER.fields,
        column("shots", IntegerType(), "shots on goal in this game, goals included", nullable=False),
        column("goals", IntegerType(), "goals in this game", nullable=False),
        column("pct", DoubleType(), "goals / shots, rounded half up to two places", nullable=False),
        column("score", IntegerType(), "all goals of the team in this game", nullable=False),
        column("event_id", LongType(), "the latest event of the stream"),
        column("clock", StringType(), "game time left at that event, mm:ss"),
        column("final", BooleanType(), "whether the game is over", nullable=False),
    ]
)
# The same with the version of the stream: a box score needs nothing else. Spark computes without it, since it is the
# same in all lines of a game.
PLAYER_GAME_STATS = StructType(
    [*STATISTICS.fields, *(column(field.name, field.dataType, description(field)) for field in VERSION_FIELDS)]
)

# The columns of a snapshot row: a player as of an event, without the counts.
_SNAPSHOT = (*ROSTER.fieldNames(), "event_id", "clock", "final")

# How many games one Spark task computes. A game is small: up to here, tasks and shuffles take longer than the games.
GAMES_PER_TASK = 100


def player_game_stats(lines: DataFrame, roster: DataFrame, at: Column | None = None, games: int = 1) -> DataFrame:
    """The statistics of each game by itself: a `STATISTICS`, from `lines` (a `LINES`) and `roster` (a `ROSTER`).

    `games` is the number of games, which decides the number of Spark tasks. Each game of `lines` has to be in `roster`.
    A player is identified by team and jersey. `score` is the team's, and counts all goals. A jersey that no player of
    the team wears, or more than one, is unrostered: its shots count for the team and for no player.

    Without `at`, the result is as of the latest event. With `at`, a condition on the lines, it has the rows of each
    event whose line meets the condition, as of that event. Unrostered jerseys have rows only without `at`: for every
    event, their number would grow with the square of the length of an invalid stream.
    """
    tasks = max(1, -(-games // GAMES_PER_TASK))
    wearers = F.count("player_id").over(Window.partitionBy("game_id", "team_id", "number"))
    players = _in_tasks(roster, tasks).withColumn("jersey", F.when(wearers == 1, F.col("number")))
    # A snapshot row for each player and event is inserted among the shots. In the order of events, the shots up to a
    # snapshot row are those that it counts. (The hint avoids a broadcast of a few rows, which is a job of its own.)
    events = _events_at(_in_tasks(lines, tasks), at).hint("shuffle_hash")
    snapshots = (
        players.join(events, "game_id", "left")
        .withColumn("final", F.coalesce("final", F.lit(False)))  # before the first line
        .select("game_id", "team_id", "jersey", "event_id", F.struct(*_SNAPSHOT).alias("snapshot"))
    )
    shots = lines.where(F.col("verdict") == Verdict.SHOT.value).select(
        "game_id", "team_id", F.col("number").alias("jersey"), "event_id", "goal"
    )
    by_team = Window.partitionBy("game_id", "team_id").orderBy("event_id")
    by_jersey = Window.partitionBy("game_id", "team_id", "jersey").orderBy("event_id")
    counted = _in_tasks(shots.unionByName(snapshots, allowMissingColumns=True), tasks).select(
        "*",
        F.coalesce(F.sum("goal").over(by_team).cast("int"), F.lit(0)).alias("score"),
        F.count("goal").over(by_jersey).cast("int").alias("shots"),
        F.coalesce(F.sum("goal").over(by_jersey).cast("int"), F.lit(0)).alias("goals"),
    )
    rows = counted.where("snapshot is not null") if at is not None else _with_unrostered(counted)
    pct = percentage(F.col("goals"), F.col("shots")).alias("pct")
    return rows.select("snapshot.*", "score", "shots", "goals", pct).select(*STATISTICS.fieldNames())


def is_unrostered(row: Mapping[str, Any]) -> bool:
    """Whether a row of a `PLAYER_GAME_STATS` is that of an unrostered jersey."""
    return row["player_id"] is None and row["number"] is not None


def percentage(goals: Column, shots: Column) -> Column:
    """goals / shots, rounded half up to two places; 0.0 without a shot. In integers, so that halves are exact."""
    return F.when(shots == 0, F.lit(0.0)).otherwise(F.floor((goals * 200 + shots) / (shots * 2)) / 100)


def _with_unrostered(counted: DataFrame) -> DataFrame:
    """The snapshot rows, all of one event, and one more for each jersey that has none.

    The row of an unrostered jersey is its last shot, which counts all of its shots. Its team, event and score are those
    of the team's snapshot rows.
    """
    team = Window.partitionBy("game_id", "team_id")
    jersey = Window.partitionBy("game_id", "team_id", "jersey")
    is_last_shot = F.lead("event_id").over(jersey.orderBy("event_id")).isNull()
    no_player = {"player_id": F.lit(None).cast("int"), "name": F.lit(None).cast("string"), "number": F.col("jersey")}
    unrostered = [no_player.get(name, F.col(f"team_snapshot.{name}")).alias(name) for name in _SNAPSHOT]
    return (
        counted.withColumns(
            {
                "team_snapshot": F.max("snapshot").over(team),
                "score": F.max("score").over(team),
                "is_result": F.col("snapshot").isNotNull() | (is_last_shot & F.max("snapshot").over(jersey).isNull()),
            }
        )
        .where("is_result")
        .withColumn("snapshot", F.coalesce("snapshot", F.struct(*unrostered)))
    )


def _events_at(lines: DataFrame, at: Column | None) -> DataFrame:
    """One row per event that is asked for: its game, its id, its clock, and whether the game is over.

    Without `at` this is the latest event; before the first event, one row with a null id.

    The game is over at an event in two cases:

    1. It is the latest event, and the stream has the terminator. At any other event the terminator does not count.
    2. Its clock is 00:00, and an event with a lower id has a clock above 00:00: the game has been under way. A row at
       00:00 before the first whistle is a placeholder and does not end the game.

    Events are ordered by id, whatever the order of their lines. Later events change nothing: if the game goes on after
    a clock of 00:00, the box score of that event stays final.
    """
    is_event = F.col("verdict").isin([verdict.value for verdict in EVENTS])
    is_terminator = F.col("verdict") == Verdict.TERMINATOR.value
    event = F.struct("event_id", "clock")
    events = F.array(F.max(F.when(is_event, event))) if at is None else F.collect_list(F.when(is_event & at, event))
    game = (
        lines.groupBy("game_id")
        .agg(
            events.alias("events"),
            F.max(F.when(is_event, F.col("event_id"))).alias("latest"),
            F.max(F.when(is_terminator, F.col("clock"))).alias("terminator_clock"),
            F.min(F.when(is_event & (F.col("clock") != OVER), F.col("event_id"))).alias("under_way"),
        )
        .withColumn("event", F.explode("events"))
    )
    # The terminator's clock, at the latest event only. Null-safe: before the first event both ids are null.
    end = F.when(F.col("event.event_id").eqNullSafe(F.col("latest")), F.col("terminator_clock"))
    clock = F.coalesce(end, F.col("event.clock"))
    is_played_out = (F.col("event.clock") == OVER) & (F.col("under_way") < F.col("event.event_id"))
    is_over = end.isNotNull() | F.coalesce(is_played_out, F.lit(False))
    return game.select("game_id", "event.event_id", clock.alias("clock"), is_over.alias("final"))


def _in_tasks(frame: DataFrame, tasks: int) -> DataFrame:
    """The same rows in so many partitions, with all rows of a game in one of them. One partition needs no shuffle."""
    return frame.coalesce(1) if tasks == 1 else frame.repartition(tasks, "game_id")
