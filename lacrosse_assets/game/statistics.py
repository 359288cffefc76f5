"""Player and team statistics of one game or many (docs/contract.md, sections 1 to 3).

Spark counts the shots; what is left are a few rows for each game, and plain Python joins them with the roster. With so
few rows a Spark query takes longer with each operator of its plan: joins and windows cost more than the counting.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DoubleType, IntegerType, LongType, StringType, StructType

from lacrosse_assets.game.clock import EventClock
from lacrosse_assets.game.schemas import column, description
from lacrosse_assets.game.stream import GAME_ID, VERSION_FIELDS, Verdict

HOME, AWAY = "home", "away"

# One row per player of either team, with the team's record before the game. A team without players has one row, whose
# player columns are null.
ROSTER = StructType(
    [
        GAME_ID,
        column("side", StringType(), "home or away", nullable=False),
        column("team_id", LongType(), "id of the team in teams", nullable=False),
        column("team_name", StringType(), "name of the team"),
        column("conference", StringType(), "the team's conference"),
        column("wins", LongType(), "games that the team has won, before this one"),
        column("losses", LongType(), "games that the team has lost, before this one"),
        column("player_id", LongType(), "id in players; null for an unrostered jersey"),
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

# The events whose statistics are computed, each with its clock: see `EventClock`.
EVENT_CLOCKS = StructType(
    [
        GAME_ID,
        column("event_id", LongType(), "the event's id", nullable=False),
        column("clock", StringType(), "game time left at that event, mm:ss", nullable=False),
        column("final", BooleanType(), "whether the game is over", nullable=False),
    ]
)
# The columns of a snapshot row: a player as of an event, without the counts.
_SNAPSHOT = (*ROSTER.fieldNames(), "event_id", "clock", "final")

# How many games one Spark task computes. A game is small: up to here, tasks and shuffles take longer than the games.
GAMES_PER_TASK = 100

Row = Mapping[str, Any]


def tallies(lines: DataFrame, games: int = 1) -> DataFrame:
    """The shots and goals of each jersey: `game_id`, `team_id`, `number`, `shots`, `goals`.

    `lines` is a `LINES`, `games` the number of games in it, which decides the number of Spark tasks.
    """
    shots = lines.where(F.col("verdict") == Verdict.SHOT.value)
    return (
        _in_tasks(shots, games)
        .groupBy("game_id", "team_id", "number")
        .agg(F.count("goal").cast("int").alias("shots"), F.sum("goal").cast("int").alias("goals"))
    )


def player_game_stats(
    tallies: Iterable[Row], roster: Iterable[Row], clocks: Mapping[int, EventClock | None]
) -> list[dict[str, Any]]:
    """The statistics of each game by itself, as of its latest event: the rows of a `STATISTICS`.

    From the rows of `tallies`, those of a `ROSTER`, and each game's latest event (None, or missing: there is none).

    A player is identified by team and jersey. `score` is the team's, and counts all goals. A jersey that no player of
    the team wears, or more than one, is unrostered: its shots count for the team and for no player.
    """
    roster = list(roster)
    wearers = Counter(_jersey(row) for row in roster if row["player_id"] is not None)
    counted = {_jersey(row): (row["shots"], row["goals"]) for row in tallies}
    scores: Counter[tuple[int, int]] = Counter()
    for (game, team, _), (_, goals) in counted.items():
        scores[game, team] += goals

    def row(of: Row, shots: int, goals: int) -> dict[str, Any]:
        event = clocks.get(of["game_id"])
        return {
            **of,
            "shots": shots,
            "goals": goals,
            "pct": percentage(goals, shots),
            "score": scores[of["game_id"], of["team_id"]],
            "event_id": event.event_id if event else None,
            "clock": event.clock if event else None,
            "final": bool(event and event.final),
        }

    rostered = {jersey: of_jersey for jersey, of_jersey in counted.items() if wearers[jersey] == 1}
    rows = [row(player, *rostered.get(_jersey(player), (0, 0))) for player in roster]
    teams = {(player["game_id"], player["team_id"]): player for player in roster}
    for (game, team, number), (shots, goals) in sorted(counted.items()):
        if (game, team, number) not in rostered and (game, team) in teams:
            no_player = {"player_id": None, "name": None, "number": number}
            rows.append(row({**teams[game, team], **no_player}, shots, goals))
    return rows


def statistics_at(lines: DataFrame, roster: DataFrame, clocks: DataFrame, games: int = 1) -> Iterator[dict[str, Any]]:
    """The statistics as of events: the rows of a `STATISTICS` for each event of `clocks` (an `EVENT_CLOCKS`).

    `lines` is a `LINES`, `roster` a `ROSTER`. There is no row for an unrostered jersey: for every event, their number
    would grow with the square of the length of an invalid stream.
    """
    wearers = F.count("player_id").over(Window.partitionBy("game_id", "team_id", "number"))
    players = _in_tasks(roster, games).withColumn("jersey", F.when(wearers == 1, F.col("number")))
    # A snapshot row for each player and event is inserted among the shots. In the order of events, the shots up to a
    # snapshot row are those that it counts. (The hint avoids a broadcast of a few rows, which is a job of its own.)
    snapshots = players.join(_in_tasks(clocks, games).hint("shuffle_hash"), "game_id").select(
        "game_id", "team_id", "jersey", "event_id", F.struct(*_SNAPSHOT).alias("snapshot")
    )
    shots = lines.where(F.col("verdict") == Verdict.SHOT.value).select(
        "game_id", "team_id", F.col("number").alias("jersey"), "event_id", "goal"
    )
    by_team = Window.partitionBy("game_id", "team_id").orderBy("event_id")
    by_jersey = Window.partitionBy("game_id", "team_id", "jersey").orderBy("event_id")
    counted = _in_tasks(shots.unionByName(snapshots, allowMissingColumns=True), games).select(
        "snapshot",
        F.coalesce(F.sum("goal").over(by_team).cast("int"), F.lit(0)).alias("score"),
        F.count("goal").over(by_jersey).cast("int").alias("shots"),
        F.coalesce(F.sum("goal").over(by_jersey).cast("int"), F.lit(0)).alias("goals"),
    )
    for found in counted.where("snapshot is not null").select("snapshot.*", "score", "shots", "goals").collect():
        yield {**found.asDict(), "pct": percentage(found["goals"], found["shots"])}


def is_unrostered(row: Row) -> bool:
    """Whether a row of a `PLAYER_GAME_STATS` is that of an unrostered jersey."""
    return row["player_id"] is None and row["number"] is not None


def percentage(goals: int, shots: int) -> float:
    """goals / shots, rounded half up to two places; 0.0 without a shot. In integers, so that halves are exact."""
    return (goals * 200 + shots) // (shots * 2) / 100 if shots else 0.0


def _jersey(row: Row) -> tuple[int, int, str]:
    return row["game_id"], row["team_id"], row["number"]


def _in_tasks(frame: DataFrame, games: int) -> DataFrame:
    """The same rows in a partition per `GAMES_PER_TASK` games. All rows of a game are in one; one needs no shuffle."""
    tasks = max(1, -(-games // GAMES_PER_TASK))
    return frame.coalesce(1) if tasks == 1 else frame.repartition(tasks, "game_id")
