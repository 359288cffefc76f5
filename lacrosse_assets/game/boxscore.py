"""The box score document, and what can be said of one (docs/contract.md, section 3)."""

from collections.abc import Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lacrosse_assets.game.statistics import AWAY, HOME
from lacrosse_assets.game.stream import VERSION

Document = dict[str, Any]


def boxscore(stats: DataFrame) -> DataFrame:
    """A row in the shape of the document for each event of a `PLAYER_GAME_STATS`; no row before the first event."""

    def of(side: str, value: Column) -> Column:
        return F.when(F.col("side") == side, value)

    def team(side: str, other: str) -> Column:
        score, others = (F.max(of(which, F.col("score"))) for which in (side, other))
        player = F.struct(F.col("player_id").alias("id"), "name", "number", "shots", "goals", "pct")
        return F.struct(
            F.max(of(side, F.col("team_id"))).alias("teamid"),
            F.max(of(side, F.col("team_name"))).alias("name"),
            *(F.max(of(side, F.col(column))).alias(column) for column in ("conference", "wins", "losses")),
            score.alias("score"),
            F.when(score > others, "winning").when(score < others, "losing").otherwise("tied").alias("status"),
            # Nulls are not collected: whoever is not on the roster is in the score, and not among the players.
            F.sort_array(F.collect_list(F.when(F.col("player_id").isNotNull(), of(side, player)))).alias("players"),
        )

    # In one task, as the statistics are.
    events = stats.where("event_id is not null").withColumnRenamed("event_id", "_id").coalesce(1)
    return events.groupBy("_id").agg(
        F.max("clock").alias("timestamp"),
        team(HOME, AWAY).alias("home"),
        team(AWAY, HOME).alias("away"),
        F.bool_or("final").alias("final"),
        F.struct(*(F.max(column).alias(column) for column in VERSION)).alias("stream"),
    )


def documents_of(boxscores: DataFrame) -> list[Document]:
    """The documents of a `boxscore` frame, ready for BSON, by `_id`."""
    found: list[Document] = [row.asDict(recursive=True) for row in boxscores.collect()]
    for document in found:
        for moment in ("last_modified", "fetched_at"):
            document["stream"][moment] = datetime.fromisoformat(document["stream"][moment])
    return sorted(found, key=itemgetter("_id"))


def score_line(document: Mapping[str, Any]) -> str:
    """The game in a line, such as `syracuse 9 : 8 johns hopkins, 25:17, event 46`."""
    home, away = document["home"], document["away"]
    return (
        f"{home['name']} {home['score']} : {away['score']} {away['name']}, "
        f"{document['timestamp']}, event {document['_id']}"
    )


def why_not_over(document: Mapping[str, Any] | None, etag: str | None) -> str | None:
    """Why the final tables may not be written from this document, or None if they may.

    `document` is the current box score, `etag` that of the stream as it is now: a final box score is the truth about
    today's stream only if it was made from it.
    """
    if document is None:
        return "there is no box score yet: materialize boxscore_doc first"
    if etag is None:
        return f"the stream is not there to hold the box score against ({score_line(document)})"
    if document.get("stream", {}).get("etag") != etag:
        return f"the stream has moved on since the box score ({score_line(document)}): materialize boxscore_doc first"
    if not document["final"]:
        return f"the game is not over yet ({score_line(document)})"
    return None
