"""The jobs that gamestream_sensor launches.

Each runs all its steps in one process. A process and a Spark session for each step would take longer than the steps.
"""

from dagster import AssetSelection, define_asset_job, in_process_executor

from lacrosse_assets.assets.final import FINAL_ASSETS

LIVE_ASSETS = AssetSelection.assets("raw_gamestream", "roster", "player_game_stats", "boxscore_doc")

live_boxscore = define_asset_job(
    "live_boxscore",
    selection=LIVE_ASSETS,
    executor_def=in_process_executor,
    description="From the current stream to the box score documents. gamestream_sensor launches it at each change.",
)

finish_game = define_asset_job(
    "finish_game",
    selection=AssetSelection.assets(*FINAL_ASSETS),
    executor_def=in_process_executor,
    description="From the final box score to teams2 and players2. gamestream_sensor launches it when the game is over.",
)
