"""The asset `roster`: who plays in each game (docs/contract.md, sections 2 and 5)."""

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    Failure,
    MaterializeResult,
    asset,
)

from lacrosse_assets.assets.common import FRAME, FRAMES, LIVE, OWNERS, RETRIES, table_metadata, table_schema
from lacrosse_assets.assets.games import Games, Problem, count, problem_metadata, warn_of_problems
from lacrosse_assets.assets.lineage import ROSTER_LINEAGE
from lacrosse_assets.assets.sources import PLAYERS_TABLE, TEAMS_TABLE
from lacrosse_assets.game.roster import RosterError, Rosters
from lacrosse_assets.game.statistics import ROSTER
from lacrosse_assets.resources.frames import arrow_table
from lacrosse_assets.resources.reference_db import ReferenceDatabase, Row
from lacrosse_assets.resources.schedule import GameSchedule


@asset(
    group_name=LIVE,
    owners=OWNERS,
    kinds={"sqlalchemy", "parquet"},
    deps=[TEAMS_TABLE, PLAYERS_TABLE],
    io_manager_key=FRAMES,
    dagster_type=FRAME,
    retry_policy=RETRIES,
    check_specs=[
        AssetCheckSpec(
            "rosters_are_complete",
            asset="roster",
            description="Both teams of every game are in teams, and their rows are valid.",
        )
    ],
    metadata={"dagster/column_schema": table_schema(ROSTER)},
    description="The players of both teams of each game, each with the team's record before the game.",
)
def roster(
    context: AssetExecutionContext, config: Games, reference_db: ReferenceDatabase, schedule: GameSchedule
) -> MaterializeResult:
    selected = config.of(schedule.read(reference_db))
    rosters = Rosters(*reference_db.read())
    rows: list[Row] = []
    problems: list[Problem] = []
    for game in selected:
        try:
            rows += rosters.rows(game)
        except RosterError as error:
            if not schedule.isolates_games:
                raise Failure(str(error), allow_retries=False) from None
            problems.append((game.game_id, str(error)))
    warn_of_problems(context, problems)
    of_game = ["game_id"] if schedule.isolates_games else []
    teams = list({(row["game_id"], row["side"]): row for row in rows}.values())
    return MaterializeResult(
        value=arrow_table(rows, ROSTER),
        check_results=[
            AssetCheckResult(
                check_name="rosters_are_complete",
                passed=not problems,
                severity=AssetCheckSeverity.WARN,
                description=f"{count(len(problems), 'game')} without a roster"
                if problems
                else "every game has a roster",
                metadata=problem_metadata(problems),
            )
        ],
        metadata={
            "dagster/column_lineage": ROSTER_LINEAGE,
            **table_metadata(
                "teams", teams, [*of_game, "side", "team_name", "conference", "wins", "losses"], schema=ROSTER
            ),
            **table_metadata("players", rows, [*of_game, "side", "player_id", "name", "number"], schema=ROSTER),
            **problem_metadata(problems),
        },
    )
