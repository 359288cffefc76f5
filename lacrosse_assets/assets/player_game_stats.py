"""The asset `player_game_stats`: shots and goals, counted by Spark (docs/contract.md, sections 3 and 5)."""

import pyarrow as pa
import pyarrow.compute as pc
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    MaterializeResult,
    asset,
)

from lacrosse_assets.assets.common import (
    FRAME,
    FRAMES,
    LIVE,
    MAX_CELL_CHARACTERS,
    MAX_TABLE_ROWS,
    OWNERS,
    RETRIES,
    table_metadata,
    table_schema,
    warn_of_each,
)
from lacrosse_assets.assets.games import count
from lacrosse_assets.assets.lineage import STATISTICS_LINEAGE
from lacrosse_assets.assets.lines import SHOT_COLUMNS, clocks_by_game, game_lines, with_versions
from lacrosse_assets.game.statistics import PLAYER_GAME_STATS, STATISTICS, tallies
from lacrosse_assets.game.statistics import player_game_stats as statistics
from lacrosse_assets.game.stream import truncate
from lacrosse_assets.resources.frames import arrow_table, collected, spark_frame
from lacrosse_assets.resources.schedule import GameSchedule
from lacrosse_assets.resources.spark import SparkResource


@asset(
    group_name=LIVE,
    owners=OWNERS,
    kinds={"pyspark", "parquet"},
    io_manager_key=FRAMES,
    dagster_type=FRAME,
    retry_policy=RETRIES,
    metadata={"dagster/column_schema": table_schema(PLAYER_GAME_STATS)},
    check_specs=[
        AssetCheckSpec(
            "shooters_are_rostered",
            asset="player_game_stats",
            description="Every shot is by a rostered jersey: exactly one player of the team wears it.",
        ),
        AssetCheckSpec(
            "goals_add_up",
            asset="player_game_stats",
            description="Each team's score equals the goals of its players and its unrostered jerseys.",
        ),
    ],
    description="Shots, goals and percentage of every player in this game, as of the latest event.",
)
def player_game_stats(
    context: AssetExecutionContext,
    raw_gamestream: pa.Table,
    roster: pa.Table,
    schedule: GameSchedule,
    spark: SparkResource,
) -> MaterializeResult:
    lines = game_lines(raw_gamestream)
    with spark.session() as session:
        shots = spark_frame(session, lines.select(SHOT_COLUMNS))
        counted = collected(tallies(shots, games=len(lines["game_id"].unique())))
    clocks = clocks_by_game(lines)
    latest = {game: events[-1] if events else None for game, events in clocks.items()}
    rows = statistics(counted, roster.to_pylist(), latest)
    stats = with_versions(arrow_table(rows, STATISTICS), raw_gamestream)
    columns = [
        *(["game_id"] if schedule.isolates_games else []),
        *("team_name", "number", "name", "shots", "goals", "pct"),
    ]
    best = stats.sort_by([("goals", "descending"), ("shots", "descending")]).slice(0, MAX_TABLE_ROWS).to_pylist()
    return MaterializeResult(
        value=stats,
        check_results=[_shooters_are_rostered(context, stats, schedule, columns), _goals_add_up(stats)],
        metadata={
            "dagster/column_lineage": STATISTICS_LINEAGE,
            **table_metadata("players", best, columns, len(stats), schema=PLAYER_GAME_STATS),
        },
    )


def _shooters_are_rostered(
    context: AssetExecutionContext, stats: pa.Table, schedule: GameSchedule, columns: list[str]
) -> AssetCheckResult:
    """The check `shooters_are_rostered`. It warns of the first unrostered jerseys in the run's log as well."""
    unrostered = stats.filter(pc.field("player_id").is_null() & pc.field("number").is_valid())
    first = unrostered.slice(0, MAX_TABLE_ROWS).to_pylist()
    warn_of_each(
        context.log,
        (
            f"unrostered jersey {truncate(row['number'], MAX_CELL_CHARACTERS)!r} of "
            f"{truncate(str(row['team_name']), MAX_CELL_CHARACTERS)}"
            + (f" in game {row['game_id']}" if schedule.isolates_games else "")
            + f": {count(row['shots'], 'shot')} and "
            f"{count(row['goals'], 'goal')} count for the team and for no player. "
            "Correct players.number if exactly one player wears this jersey"
            for row in first
        ),
        len(unrostered),
    )
    return AssetCheckResult(
        check_name="shooters_are_rostered",
        passed=not unrostered,
        severity=AssetCheckSeverity.WARN,
        description=count(len(unrostered), "unrostered jersey") if unrostered else "all jerseys are rostered",
        metadata=table_metadata("unrostered", first, columns, len(unrostered), schema=PLAYER_GAME_STATS)
        if unrostered
        else {},
    )


def _goals_add_up(stats: pa.Table) -> AssetCheckResult:
    # By side, not by name: two teams may have the same name.
    sums = stats.group_by(["game_id", "side"]).aggregate([("score", "max"), ("goals", "sum")]).to_pylist()
    wrong = {each["game_id"] for each in sums if each["score_max"] != each["goals_sum"]}
    shown = sorted(
        (each for each in sums if each["game_id"] in wrong or not wrong),
        key=lambda each: (each["game_id"], each["side"]),
    )[:MAX_TABLE_ROWS]
    is_one_game = len({each["game_id"] for each in sums}) == 1

    def named(value: str) -> dict[str, int]:
        return {each["side"] if is_one_game else f"{each['game_id']} {each['side']}": each[value] for each in shown}

    return AssetCheckResult(
        check_name="goals_add_up",
        passed=not wrong,
        metadata={"scores": named("score_max"), "goals": named("goals_sum")},
    )
