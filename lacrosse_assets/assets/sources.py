"""The external assets: the stream and the reference tables. The simulator, or a real producer, writes them."""

from dagster import AssetKey, AssetSpec

from lacrosse_assets.assets.common import table_schema
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
        description="The stream of the game, `gamestream.txt`: rewritten whole, and longer, at each event.",
    ),
    AssetSpec(
        TEAMS_TABLE,
        group_name="sources",
        kinds={"sqlserver"},
        description="The teams, with their records before the game. The pipeline only reads this table.",
        metadata={"dagster/column_schema": table_schema(TEAMS)},
    ),
    AssetSpec(
        PLAYERS_TABLE,
        group_name="sources",
        kinds={"sqlserver"},
        description="The players, with their season's shots and goals before the game. The pipeline only reads this "
        "table.",
        metadata={"dagster/column_schema": table_schema(PLAYERS)},
    ),
]
