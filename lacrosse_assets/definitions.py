"""The definitions: settings, resources, assets, checks, jobs, schedules and sensors are wired here and only here.

Dagster's commands load this module:

    dagster asset materialize -m lacrosse_assets.definitions --select '*'
"""

from typing import Any

from dagster import Definitions, EnvVar, in_process_executor

from lacrosse_assets.assets.final import final_tables
from lacrosse_assets.assets.live import FRAMES, live_assets
from lacrosse_assets.assets.sources import SOURCES
from lacrosse_assets.checks import game_over, is_fresh
from lacrosse_assets.dagster_patches import patch_code_server
from lacrosse_assets.jobs import finish_game, live_boxscore
from lacrosse_assets.resources.documents import MongoDocumentStore
from lacrosse_assets.resources.frames import parquet_frames
from lacrosse_assets.resources.mock import CannedObjectStore, InMemoryDocumentStore, InMemoryReferenceDatabase
from lacrosse_assets.resources.object_store import LiveS3, S3ObjectStore
from lacrosse_assets.resources.reference_db import SqlReferenceDatabase
from lacrosse_assets.resources.spark import spark_resource
from lacrosse_assets.retention import daily_retention, retention
from lacrosse_assets.sensors import POLL_SECONDS, gamestream_sensor
from lacrosse_assets.settings import Settings, load_settings


def build_resources(settings: Settings) -> dict[str, Any]:
    """The resources of a deployment.

    A value that is a secret, or may contain one, is given as the name of its variable, so that Dagster never stores it.
    boto3 reads the object store's credentials by itself.
    """
    stream = {"bucket": settings.gamestream_bucket, "key": settings.gamestream_key}
    engine = {
        "spark": spark_resource(connect=bool(settings.spark_remote.get_secret_value())),
        FRAMES: parquet_frames,
    }
    if settings.deployment == "mock":
        return {
            **engine,
            "object_store": CannedObjectStore(**stream),
            "documents": InMemoryDocumentStore(),
            "reference_db": InMemoryReferenceDatabase(),
        }
    s3 = LiveS3(endpoint_url=settings.s3_endpoint_url or None, region_name=settings.aws_region or None)
    return {
        **engine,
        "object_store": S3ObjectStore(s3=s3, **stream),
        "documents": MongoDocumentStore(uri=EnvVar("MONGODB_URI")),
        "reference_db": SqlReferenceDatabase(url=EnvVar("SIDEARMDB_URL")),
    }


def build_definitions(settings: Settings, *, poll_seconds: float = POLL_SECONDS, **overrides: object) -> Definitions:
    """All definitions. `overrides` replace resources of the deployment by name; `poll_seconds`: see `sensors.py`."""
    return Definitions(
        assets=[*SOURCES, *live_assets(settings.home_team_id, settings.away_team_id), final_tables],
        asset_checks=[game_over, is_fresh],
        jobs=[live_boxscore, finish_game, retention],
        schedules=[daily_retention],
        sensors=[gamestream_sensor(settings.home_team_id, settings.away_team_id, poll_seconds)],
        resources={**build_resources(settings), **overrides},
        executor=in_process_executor,
    )


settings = load_settings()
patch_code_server(warm=settings.warm_runs)
defs = build_definitions(settings)
