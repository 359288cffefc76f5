"""From statistics to box score documents (docs/contract.md, section 3)."""

from operator import itemgetter

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lacrosse_assets.game.document import Document
from lacrosse_assets.game.statistics import AWAY, HOME
from lacrosse_assets.game.stream import VERSION, version_from_columns


def boxscore(stats: DataFrame) -> DataFrame:
    """One row, in the shape of the document, for each event of a `PLAYER_GAME_STATS`; no row before the first event."""

    def of(side: str, value: Column) -> Column:
        return F.when(F.col("side") == side, value)

    def team(side: str, other: str) -> Column:
        own_score, other_score = (F.max(of(which, F.col("score"))) for which in (side, other))
        player = F.struct(F.col("player_id").alias("id"), "name", "number", "shots", "goals", "pct")
        return F.struct(
            F.max(of(side, F.col("team_id"))).alias("teamid"),
            F.max(of(side, F.col("team_name"))).alias("name"),
            *(F.max(of(side, F.col(column))).alias(column) for column in ("conference", "wins", "losses")),
            own_score.alias("score"),
            F.when(own_score > other_score, "winning")
            .when(own_score < other_score, "losing")
            .otherwise("tied")
            .alias("status"),
            # collect_list skips nulls: an unrostered player counts in the score and is not in the list.
            F.sort_array(F.collect_list(F.when(F.col("player_id").isNotNull(), of(side, player)))).alias("players"),
        )

    # One task, as for the statistics.
    events = stats.where("event_id is not null").withColumnRenamed("event_id", "_id").coalesce(1)
    return events.groupBy("_id").agg(
        F.max("clock").alias("timestamp"),
        team(HOME, AWAY).alias("home"),
        team(AWAY, HOME).alias("away"),
        F.bool_or("final").alias("final"),
        F.struct(*(F.max(name).alias(name) for name in VERSION)).alias("stream"),
    )


def documents_of(boxscores: DataFrame) -> list[Document]:
    """The documents of a `boxscore` frame, with types that BSON can hold, ordered by `_id`."""
    documents: list[Document] = [row.asDict(recursive=True) for row in boxscores.collect()]
    for document in documents:
        document["stream"] = version_from_columns(document["stream"])
    return sorted(documents, key=itemgetter("_id"))
