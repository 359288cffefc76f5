"""The same assets under stock Dagster: default sensor interval, executor, launcher and storage; Spark in the process.

Built as Dagster's documentation suggests: a sensor that compares the ETags with its cursor, and a job. On a game day it
launches one run for each game that changed; each run keeps its frames in a folder of its own, since concurrent runs
would overwrite those of the others.
"""

import json
from collections.abc import Iterator
from typing import cast

from dagster import (
    DagsterInstance,
    DagsterRun,
    Definitions,
    InitResourceContext,
    RunRequest,
    SensorEvaluationContext,
    define_asset_job,
    io_manager,
    sensor,
)
from dagster import DefaultSensorStatus as Status
from upath import UPath

from lacrosse_assets.assets.boxscore_doc import boxscore_doc
from lacrosse_assets.assets.common import FRAMES
from lacrosse_assets.assets.player_game_stats import player_game_stats
from lacrosse_assets.assets.raw_gamestream import raw_gamestream
from lacrosse_assets.assets.roster import roster
from lacrosse_assets.assets.sources import SOURCES
from lacrosse_assets.checks import boxscore_checks
from lacrosse_assets.definitions import build_resources
from lacrosse_assets.jobs import LIVE_ASSETS
from lacrosse_assets.resources.frames import ParquetFrames
from lacrosse_assets.resources.object_store import ObjectStore
from lacrosse_assets.resources.reference_db import ReferenceDatabase
from lacrosse_assets.resources.schedule import GameSchedule
from lacrosse_assets.settings import load_settings


@io_manager
def frames_of_the_run(context: InitResourceContext) -> ParquetFrames:
    instance, run = cast(DagsterInstance, context.instance), cast(DagsterRun, context.run)
    return ParquetFrames(UPath(instance.storage_directory()) / run.run_id)


live_boxscore = define_asset_job("live_boxscore", selection=LIVE_ASSETS)


@sensor(job=live_boxscore, default_status=Status.RUNNING)
def on_new_etag(
    context: SensorEvaluationContext,
    object_store: ObjectStore,
    reference_db: ReferenceDatabase,
    schedule: GameSchedule,
) -> Iterator[RunRequest]:
    versions = {key: version.key for key, version in object_store.versions().items()}
    # What is there at the first tick has its box scores already.
    before = json.loads(context.cursor) if context.cursor else versions
    games = schedule.read(reference_db).by_stream
    for key in games.keys() & versions.keys():
        if versions[key] != before.get(key):
            config = {"config": {"games": [games[key]]}}
            yield RunRequest(
                run_key=f"{key} {versions[key]}",
                run_config={"ops": dict.fromkeys(("raw_gamestream", "roster"), config)},
            )
    context.update_cursor(json.dumps(versions))


_settings = load_settings()
defs = Definitions(
    assets=[*SOURCES, raw_gamestream, roster, player_game_stats, boxscore_doc],
    asset_checks=[boxscore_checks],
    jobs=[live_boxscore],
    sensors=[on_new_etag],
    resources={**build_resources(_settings), FRAMES: frames_of_the_run},
)
