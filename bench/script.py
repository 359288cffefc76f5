"""The notebook of the original exercise as a script: read the stream, compute with a local Spark, write the document.

    python -m bench.script        with the stores' addresses in the environment

It has no Dagster, no checks, no stored frames and no protection against late runs: the minimum for one box score.
"""

from datetime import UTC, datetime

import boto3
from pymongo import MongoClient
from pyspark.sql import SparkSession
from sqlalchemy import create_engine, text

from lacrosse_assets.game.boxscore import box_scores
from lacrosse_assets.game.clock import event_clocks
from lacrosse_assets.game.document import event_document
from lacrosse_assets.game.schedule import SINGLE_GAME_ID
from lacrosse_assets.game.statistics import AWAY, HOME, player_game_stats, tallies
from lacrosse_assets.game.stream import LINES, read_lines
from lacrosse_assets.resources.frames import arrow_table
from lacrosse_assets.settings import load_settings


def main() -> None:
    settings = load_settings()
    fetched_at = datetime.now(UTC).isoformat()
    s3 = boto3.client("s3", endpoint_url=settings.s3_endpoint_url, region_name=settings.aws_region)
    stream = s3.get_object(Bucket=settings.gamestream_bucket, Key=settings.gamestream_key)
    version = {
        "etag": stream["ETag"].strip('"'),
        "last_modified": stream["LastModified"].isoformat(),
        "fetched_at": fetched_at,
    }
    sides = {settings.home_team_id: HOME, settings.away_team_id: AWAY}
    lines = [
        {"game_id": SINGLE_GAME_ID, **line._asdict(), **version}
        for line in read_lines(stream["Body"].read(), settings.home_team_id, settings.away_team_id)
    ]
    with create_engine(settings.sidearmdb_url.get_secret_value()).connect() as connection:
        players = connection.execute(
            text(
                "SELECT t.id AS team_id, t.name AS team_name, conference, wins, losses,"
                " p.id AS player_id, p.name, p.number FROM teams t JOIN players p ON p.teamid = t.id"
            )
        ).mappings()
        roster = [
            {"game_id": SINGLE_GAME_ID, "side": sides[row["team_id"]], **row}
            for row in players
            if row["team_id"] in sides
        ]
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    counted = tallies(spark.createDataFrame(arrow_table(lines, LINES), schema=LINES)).collect()
    clocks = event_clocks(lines)
    stats = player_game_stats(
        [row.asDict() for row in counted], roster, {SINGLE_GAME_ID: clocks[-1] if clocks else None}
    )
    for box in box_scores({**row, **version} for row in stats):
        with MongoClient[dict[str, object]](settings.mongodb_uri.get_secret_value()) as client:
            client["sidearm"]["boxscores"].replace_one({"_id": box["event"]}, event_document(box), upsert=True)


if __name__ == "__main__":
    main()
