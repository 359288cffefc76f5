"""While the game is on: from the stream and the reference tables to the box score document."""

from collections import Counter
from collections.abc import Iterator
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetIn,
    DataVersion,
    Failure,
    MaterializeResult,
    PythonObjectDagsterType,
    asset,
)
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from lacrosse_assets.assets.columns import LINE, PLAYER, STATISTICS, STREAM, TEAM, described
from lacrosse_assets.assets.common import (
    LOGGED,
    OWNERS,
    RETRIES,
    SHOWN_CHARACTERS,
    SHOWN_ROWS,
    markdown_table,
    warn_of_each,
)
from lacrosse_assets.assets.lineage import ROSTER_LINEAGE, STATISTICS_LINEAGE
from lacrosse_assets.assets.sources import GAMESTREAM, PLAYERS_TABLE, TEAMS_TABLE
from lacrosse_assets.game.boxscore import Document, boxscore, documents_of, score_line
from lacrosse_assets.game.roster import RosterError, roster_rows
from lacrosse_assets.game.statistics import AWAY, HOME, PLAYER_GAME_STATS, ROSTER, is_stranger
from lacrosse_assets.game.statistics import player_game_stats as statistics
from lacrosse_assets.game.stream import EVENTS, LINES, VERSION, Line, Verdict, other_encoding, read_lines, shown
from lacrosse_assets.game.timeline import COUNTED, fingerprints, roster_fingerprint
from lacrosse_assets.resources.documents import DocumentStore, WriteResult
from lacrosse_assets.resources.frames import arrow_table, spark_frame
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion
from lacrosse_assets.resources.reference_db import ReferenceDatabase, Row
from lacrosse_assets.resources.spark import SparkResource

GROUP = "live"
FRAMES = "frames"
# Metadata of `boxscore_doc`: the roster that it was made with.
ROSTER_FINGERPRINT = "roster_fingerprint"
# What an asset that is kept as a frame returns; Dagster would take a `MaterializeResult` for one without a value.
FRAME = PythonObjectDagsterType(pa.Table, name="ArrowTable")


def live_assets(home: int, away: int) -> list[Any]:
    """The assets of the live box score, for a game of these two teams."""

    @asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"s3", "parquet"},
        deps=[GAMESTREAM],
        io_manager_key=FRAMES,
        dagster_type=FRAME,
        retry_policy=RETRIES,
        check_specs=[
            AssetCheckSpec("stream_is_clean", asset="raw_gamestream", description="No line of the stream was left out.")
        ],
        metadata={"dagster/column_schema": described(LINES, LINE, STREAM)},
        description="Every line of the game stream, and what became of it; body and ETag from one GET.",
    )
    def raw_gamestream(context: AssetExecutionContext, object_store: ObjectStore) -> MaterializeResult:
        stream = object_store.get()
        if stream is None:
            raise Failure(
                f"there is no {object_store.uri} yet: start the game (python -m lacrosse_assets.gamestream)",
                allow_retries=False,
            )
        version = {
            "etag": stream.version.etag,
            "last_modified": stream.version.last_modified.isoformat(),
            "fetched_at": stream.fetched_at.isoformat(),
        }
        if encoding := other_encoding(stream.body):
            # Such a stream may be one line without an end, which is taken for a write in progress and not reported.
            context.log.warning(f"{object_store.uri} begins like {encoding}: the producer has to write UTF-8 text")
        verdicts: Counter[str] = Counter()
        first_left_out: list[Line] = []

        def rows() -> Iterator[Row]:
            for line in read_lines(stream.body, home, away):
                verdicts[line.verdict] += 1
                if line.verdict == Verdict.LEFT_OUT and len(first_left_out) < SHOWN_ROWS:
                    first_left_out.append(line)
                yield {**line._asdict(), **version}

        lines = arrow_table(rows(), LINES)
        left_out = verdicts[Verdict.LEFT_OUT]
        table = markdown_table([line._asdict() for line in first_left_out], ["line", "reason", "text"], left_out)
        warn_of_each(
            context.log,
            (
                f"{object_store.uri} line {each.line} is left out: {each.reason}: {each.text!r}"
                for each in first_left_out
            ),
            left_out,
        )
        clean = AssetCheckResult(
            check_name="stream_is_clean",
            passed=not left_out,
            severity=AssetCheckSeverity.WARN,
            description="every line could be read" if not left_out else f"left out {_count(left_out, 'line')}",
            metadata={"left_out": table} if left_out else {},
        )
        return MaterializeResult(
            value=lines,
            data_version=DataVersion(stream.version.etag),
            check_results=[clean],
            metadata={
                **stream.version.to_metadata(),
                "object": object_store.uri,
                "bytes": stream.version.size,
                "lines": {verdict.value: verdicts[verdict] for verdict in Verdict if verdicts[verdict]},
                **({"left_out": table} if left_out else {}),
            },
        )

    @asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"sqlalchemy", "parquet"},
        deps=[TEAMS_TABLE, PLAYERS_TABLE],
        io_manager_key=FRAMES,
        dagster_type=FRAME,
        retry_policy=RETRIES,
        metadata={"dagster/column_schema": described(ROSTER, TEAM, PLAYER)},
        description="The players of both teams, with their team's record before the game.",
    )
    def roster(reference_db: ReferenceDatabase) -> MaterializeResult:
        teams, players = reference_db.read()
        try:
            rows = roster_rows(teams, players, home, away)
        except RosterError as error:
            raise Failure(str(error), allow_retries=False) from None
        return MaterializeResult(
            value=arrow_table(rows, ROSTER),
            metadata={
                "dagster/column_lineage": ROSTER_LINEAGE,
                "teams": markdown_table(rows[:1] + rows[-1:], ["side", "team_name", "conference", "wins", "losses"]),
                "players": markdown_table(rows, ["side", "player_id", "name", "number"]),
            },
        )

    return [raw_gamestream, roster, player_game_stats, boxscore_doc]


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pyspark", "parquet"},
    io_manager_key=FRAMES,
    dagster_type=FRAME,
    retry_policy=RETRIES,
    metadata={"dagster/column_schema": described(PLAYER_GAME_STATS, TEAM, PLAYER, STATISTICS, STREAM)},
    check_specs=[
        AssetCheckSpec(
            "shooters_are_rostered",
            asset="player_game_stats",
            description="Every shot was taken by a jersey that exactly one player of the roster wears.",
        ),
        AssetCheckSpec(
            "goals_add_up",
            asset="player_game_stats",
            description="Each team's score is its players' goals and those of jerseys that no one player wears.",
        ),
    ],
    description="Shots, goals and percentage of every player in this game, with where the game stands.",
)
def player_game_stats(
    context: AssetExecutionContext, raw_gamestream: pa.Table, roster: pa.Table, spark: SparkResource
) -> MaterializeResult:
    with spark.session() as session:
        lines, players = spark_frame(session, counting(raw_gamestream)), spark_frame(session, roster)
        counted = statistics(lines, players).toArrow()
    stats = counted.cast(to_arrow_schema(PLAYER_GAME_STATS))
    strangers = stats.filter(pc.field("player_id").is_null() & pc.field("number").is_valid())
    first_strangers = strangers.slice(0, SHOWN_ROWS).to_pylist()
    warn_of_each(
        context.log,
        (
            f"{row['shots']} shots and {row['goals']} goals by jersey {shown(row['number'], SHOWN_CHARACTERS)!r} of "
            f"{shown(str(row['team_name']), SHOWN_CHARACTERS)} count for the team and for no player: "
            "no one player of the roster wears it"
            for row in first_strangers
        ),
        len(strangers),
    )
    columns = ["team_name", "number", "name", "shots", "goals", "pct"]
    best = stats.sort_by([("goals", "descending"), ("shots", "descending")]).slice(0, SHOWN_ROWS).to_pylist()
    return MaterializeResult(
        value=stats,
        check_results=[
            AssetCheckResult(
                check_name="shooters_are_rostered",
                passed=not strangers,
                severity=AssetCheckSeverity.WARN,
                description=f"{_count(len(strangers), 'jersey')} not on the roster" if strangers else "all are",
                metadata={"not_on_the_roster": markdown_table(first_strangers, columns, len(strangers))}
                if strangers
                else {},
            ),
            _goals_add_up(stats),
        ],
        metadata={
            "dagster/column_lineage": STATISTICS_LINEAGE,
            "players": markdown_table(best, columns, len(stats)),
        },
    )


def counting(lines: pa.Table) -> pa.Table:
    """Those lines of a `LINES` that say something of the game. Of the others there may be any number."""
    return lines.filter(pc.field("verdict").isin([*EVENTS, Verdict.TERMINATOR]))


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pyspark", "mongodb"},
    retry_policy=RETRIES,
    ins={name: AssetIn(input_manager_key=FRAMES) for name in ("player_game_stats", "raw_gamestream")},
    description="The box score of each event, in `sidearm.boxscores`: one document for a web page.",
)
def boxscore_doc(
    context: AssetExecutionContext,
    player_game_stats: pa.Table,
    raw_gamestream: pa.Table,
    documents: DocumentStore,
    object_store: ObjectStore,
    spark: SparkResource,
) -> MaterializeResult:
    raw_gamestream = counting(raw_gamestream)
    roster = _roster(player_game_stats)
    timeline = fingerprints(raw_gamestream.select(COUNTED).to_pylist(), roster)
    if not timeline:
        context.log.info("no document: the stream has no event yet")
        return MaterializeResult(metadata={"document": "none: the stream has no event yet"})
    there = documents.fingerprints()
    missing = {event for event, fingerprint in timeline.items() if there.get(event) != fingerprint}
    with spark.session() as session:
        stats = _statistics_at(missing, max(timeline), player_game_stats, raw_gamestream, session)
        computed = documents_of(boxscore(stats))
    boxes = [{**box, "fingerprint": timeline[box["_id"]]} for box in computed]
    box = boxes[-1]
    written = documents.write(boxes, timeline, latest=object_store.head)
    if not written:
        context.log.warning(f"a newer box score is there already; this one is not written: {score_line(box)}")
    elif written.blocked:
        context.log.warning(
            f"events {', '.join(map(str, written.blocked[:LOGGED]))} have no box score: "
            "documents of others have their _id; move those out of the collection"
        )
    players = [{"team": side["name"], **player} for side in (box[HOME], box[AWAY]) for player in side["players"]]
    return MaterializeResult(
        metadata={
            "score": score_line(box),
            # Numbers, of which Dagit draws the plots over time.
            "home_score": box[HOME]["score"],
            "away_score": box[AWAY]["score"],
            "event": box["_id"],
            "clock": box["timestamp"],
            "final": box["final"],
            **_write_metadata(written),
            **box_metadata(box),
            ROSTER_FINGERPRINT: roster_fingerprint(roster),
            "players": markdown_table(players, ["team", "id", "name", "number", "shots", "goals", "pct"]),
        }
    )


def _roster(stats: pa.Table) -> list[Row]:
    """The `ROSTER` that a `PLAYER_GAME_STATS` was made with; the one that is stored may be another by now."""
    return [
        {column: row[column] for column in ROSTER.fieldNames()} for row in stats.to_pylist() if not is_stranger(row)
    ]


def _statistics_at(
    missing: set[int], latest: int, stats: pa.Table, lines: pa.Table, session: SparkSession
) -> DataFrame:
    """The `PLAYER_GAME_STATS` of the latest event and of those that are missing.

    Those of the latest event are there, in `stats`, and no line is sent to Spark where nothing else is asked for. (Only
    where one of the two was materialized without the other is `stats` of another version of the stream.)
    """
    frames = []
    at = missing | {latest}
    if _version(stats) == _version(lines):
        frames.append(spark_frame(session, stats))
        at.remove(latest)
    if at:
        is_asked_for = pa.array([event_id in at for event_id in lines["event_id"].to_pylist()])
        lines = spark_frame(session, lines.append_column("is_asked_for", is_asked_for))
        roster = spark_frame(session, arrow_table(_roster(stats), ROSTER))
        frames.append(statistics(lines, roster, at=F.col("is_asked_for")))
    return reduce(DataFrame.unionByName, frames)


def _version(frame: pa.Table) -> list[Row]:
    rows: list[Row] = frame.select(VERSION).slice(0, 1).to_pylist()
    return rows


def _write_metadata(result: WriteResult | None) -> dict[str, Any]:
    if result is None:
        return {"document": "not written: a newer one is there already"}
    return {
        "document": "written" if result.current else "there already",
        "documents_backfilled": result.backfilled,
        "documents_removed": result.removed,
        **({"documents_blocked": list(result.blocked[:SHOWN_ROWS])} if result.blocked else {}),
    }


def _goals_add_up(stats: pa.Table) -> AssetCheckResult:
    # By side, not by name: two teams may have the same.
    sums = stats.group_by("side").aggregate([("score", "max"), ("goals", "sum")]).to_pylist()
    scores = {each["side"]: each["score_max"] for each in sums}
    goals = {each["side"]: each["goals_sum"] for each in sums}
    return AssetCheckResult(
        check_name="goals_add_up", passed=scores == goals, metadata={"scores": scores, "goals": goals}
    )


def box_metadata(box: Document) -> dict[str, Any]:
    """Which box score it is, as whatever is made from it reports: the version of the stream and the fingerprint.

    The version alone would not do: the box score of the same stream is another one after the roster was corrected.
    """
    version = StreamVersion.of_document(box)
    return {**(version.to_metadata() if version else {}), "fingerprint": box.get("fingerprint", "")}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
