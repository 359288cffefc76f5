"""What comes in: external assets, which the simulator (or a real producer) writes and Dagster only looks at."""

from dagster import AssetKey, AssetSpec

from lacrosse_assets.assets.columns import REFERENCE, SEASON, described
from lacrosse_assets.game.finals import PLAYERS, TEAMS
from lacrosse_assets.resources.reference_db import DATABASE

GAMESTREAM = AssetKey(["minio", "gamestream"])
TEAMS_TABLE = AssetKey([DATABASE, "teams"])
PLAYERS_TABLE = AssetKey([DATABASE, "players"])

SOURCES = [
    AssetSpec(
        GAMESTREAM,
        group_name="sources",
        kinds={"s3"},
        description="The game as it is played: `gamestream.txt`, rewritten whole, and longer, at each shot.",
    ),
    AssetSpec(
        TEAMS_TABLE,
        group_name="sources",
        kinds={"sqlserver"},
        description="The teams with their records before the game. The pipeline never writes to it.",
        metadata={"dagster/column_schema": described(TEAMS, REFERENCE, SEASON)},
    ),
    AssetSpec(
        PLAYERS_TABLE,
        group_name="sources",
        kinds={"sqlserver"},
        description="The players with their season's shots and goals before the game. The pipeline never writes to it.",
        metadata={"dagster/column_schema": described(PLAYERS, REFERENCE, SEASON)},
    ),
]
