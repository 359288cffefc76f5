"""The definitions: settings, resources, assets, checks, jobs, schedules and sensors are wired here and only here.

Dagster's commands load this module:

    dagster asset materialize -m lacrosse_assets.definitions --select '*'
"""

from typing import Any

from dagster import Definitions, EnvVar, in_process_executor

from lacrosse_assets.assets.boxscore_doc import boxscore_doc
from lacrosse_assets.assets.common import FRAMES
from lacrosse_assets.assets.final import final_tables
from lacrosse_assets.assets.player_game_stats import player_game_stats
from lacrosse_assets.assets.raw_gamestream import raw_gamestream
from lacrosse_assets.assets.roster import roster
from lacrosse_assets.assets.sources import SOURCES
from lacrosse_assets.checks import boxscore_checks
from lacrosse_assets.dagster_patches import patch_code_server
from lacrosse_assets.jobs import finish_game, live_boxscore
from lacrosse_assets.resources.event_documents import MongoEventDocuments
from lacrosse_assets.resources.frames import parquet_frames
from lacrosse_assets.resources.game_documents import MongoGameDocuments
from lacrosse_assets.resources.mock import (
    CannedObjectStore,
    CannedPrefixStore,
    InMemoryEventDocuments,
    InMemoryGameDocuments,
    InMemoryReferenceDatabase,
)
from lacrosse_assets.resources.object_store import LiveS3, S3ObjectStore, S3PrefixStore
from lacrosse_assets.resources.reference_db import SqlReferenceDatabase
from lacrosse_assets.resources.schedule import GameDay, SingleGame
from lacrosse_assets.resources.spark import spark_resource
from lacrosse_assets.retention import retention, retention_schedule
from lacrosse_assets.sensors import POLL_SECONDS, gamestream_sensor
from lacrosse_assets.settings import Settings, load_settings


def build_resources(settings: Settings) -> dict[str, Any]:
    """The resources of a deployment, for one game or a game day.

    A value that is a secret, or may contain one, is given as the name of its variable, so that Dagster never stores it.
    boto3 reads the object store's credentials by itself.
    """
    bucket, key, is_day = settings.gamestream_bucket, settings.gamestream_key, settings.is_game_day
    common = {
        "spark": spark_resource(connect=bool(settings.spark_remote.get_secret_value())),
        FRAMES: parquet_frames,
        "schedule": GameDay(prefix=key)
        if is_day
        else SingleGame(key=key, home_team_id=settings.home_team_id, away_team_id=settings.away_team_id),
    }
    if settings.deployment == "mock":
        return {
            **common,
            "object_store": (CannedPrefixStore if is_day else CannedObjectStore)(bucket=bucket, key=key),
            "documents": (InMemoryGameDocuments if is_day else InMemoryEventDocuments)(),
            "reference_db": InMemoryReferenceDatabase(),
        }
    s3 = LiveS3(endpoint_url=settings.s3_endpoint_url or None, region_name=settings.aws_region or None)
    return {
        **common,
        "object_store": (S3PrefixStore if is_day else S3ObjectStore)(s3=s3, bucket=bucket, key=key),
        "documents": (MongoGameDocuments if is_day else MongoEventDocuments)(uri=EnvVar("MONGODB_URI")),
        "reference_db": SqlReferenceDatabase(url=EnvVar("SIDEARMDB_URL")),
    }


def build_definitions(settings: Settings, *, poll_seconds: float = POLL_SECONDS, **overrides: object) -> Definitions:
    """All definitions. `overrides` replace resources of the deployment by name; `poll_seconds`: see `sensors.py`."""
    return Definitions(
        assets=[*SOURCES, raw_gamestream, roster, player_game_stats, boxscore_doc, final_tables],
        asset_checks=[boxscore_checks],
        jobs=[live_boxscore, finish_game, retention],
        schedules=[retention_schedule(settings.keep_live_runs_hours, settings.keep_live_runs)],
        sensors=[gamestream_sensor(poll_seconds)],
        resources={**build_resources(settings), **overrides},
        executor=in_process_executor,
    )


settings = load_settings()
patch_code_server(warm=settings.warm_runs, preload="lacrosse_assets.warm_definitions")
defs = build_definitions(settings)
