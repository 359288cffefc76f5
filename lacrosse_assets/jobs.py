"""The jobs that the sensor asks for. Both run in one process: a process, and a Spark session, for each step would take
longer than all the steps together."""

from dagster import AssetSelection, define_asset_job, in_process_executor

from lacrosse_assets.assets.final import FINAL_ASSETS

LIVE_ASSETS = AssetSelection.assets("raw_gamestream", "roster", "player_game_stats", "boxscore_doc")

live_boxscore = define_asset_job(
    "live_boxscore",
    selection=LIVE_ASSETS,
    executor_def=in_process_executor,
    description="The stream as it is now, to the box score document. Asked for by gamestream_sensor at each change.",
)

finish_game = define_asset_job(
    "finish_game",
    selection=AssetSelection.assets(*FINAL_ASSETS),
    executor_def=in_process_executor,
    description="The final box score, to teams2 and players2. Asked for by gamestream_sensor when the game is over.",
)
