"""The same assets under stock Dagster: default sensor interval, executor, launcher and storage; Spark in the process.

Built as Dagster's documentation suggests: a sensor that compares the ETag with its cursor, and a job.
"""

from dagster import DefaultSensorStatus as Status
from dagster import (
    Definitions,
    RunRequest,
    SensorEvaluationContext,
    SkipReason,
    define_asset_job,
    sensor,
)

from lacrosse_assets.assets.boxscore_doc import boxscore_doc
from lacrosse_assets.assets.player_game_stats import player_game_stats
from lacrosse_assets.assets.raw_gamestream import raw_gamestream
from lacrosse_assets.assets.roster import roster
from lacrosse_assets.assets.sources import SOURCES
from lacrosse_assets.checks import boxscore_checks
from lacrosse_assets.definitions import build_resources
from lacrosse_assets.jobs import LIVE_ASSETS
from lacrosse_assets.resources.object_store import SingleObjectStore
from lacrosse_assets.settings import load_settings

live_boxscore = define_asset_job("live_boxscore", selection=LIVE_ASSETS)


@sensor(job=live_boxscore, default_status=Status.RUNNING)
def on_new_etag(context: SensorEvaluationContext, object_store: SingleObjectStore) -> RunRequest | SkipReason:
    version = object_store.head()
    if version is None or version.key == context.cursor:
        return SkipReason("no change")
    context.update_cursor(version.key)
    return RunRequest(run_key=version.key)


_settings = load_settings()
defs = Definitions(
    assets=[*SOURCES, raw_gamestream, roster, player_game_stats, boxscore_doc],
    asset_checks=[boxscore_checks],
    jobs=[live_boxscore],
    sensors=[on_new_etag],
    resources=build_resources(_settings),
)
