"""The live assets: from the stream and the reference tables to box score documents (docs/contract.md, section 5)."""

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

from lacrosse_assets.assets.common import (
    MAX_CELL_CHARACTERS,
    MAX_TABLE_ROWS,
    MAX_WARNINGS,
    OWNERS,
    RETRIES,
    markdown_table,
    table_schema,
    warn_of_each,
)
from lacrosse_assets.assets.lineage import ROSTER_LINEAGE, STATISTICS_LINEAGE
from lacrosse_assets.assets.sources import GAMESTREAM, PLAYERS_TABLE, TEAMS_TABLE
from lacrosse_assets.game.boxscore import boxscore, documents_of
from lacrosse_assets.game.document import Document, score_line
from lacrosse_assets.game.roster import RosterError, roster_rows
from lacrosse_assets.game.statistics import AWAY, HOME, PLAYER_GAME_STATS, ROSTER, is_unrostered
from lacrosse_assets.game.statistics import player_game_stats as statistics
from lacrosse_assets.game.stream import (
    EVENTS,
    LINES,
    VERSION,
    Line,
    Verdict,
    other_encoding,
    read_lines,
    truncate,
    version_columns,
)
from lacrosse_assets.game.timeline import FINGERPRINT_COLUMNS, fingerprints, roster_fingerprint
from lacrosse_assets.resources.documents import DocumentStore, WriteResult
from lacrosse_assets.resources.frames import arrow_table, spark_frame
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion
from lacrosse_assets.resources.reference_db import ReferenceDatabase, Row
from lacrosse_assets.resources.spark import SparkResource

GROUP = "live"
FRAMES = "frames"
# Metadata of `boxscore_doc`: the fingerprint of the roster that it was made with.
ROSTER_FINGERPRINT = "roster_fingerprint"
# The type of an asset that returns a frame. Without it, Dagster assumes that a `MaterializeResult` has no value.
FRAME = PythonObjectDagsterType(pa.Table, name="ArrowTable")


def live_assets(home: int, away: int) -> list[Any]:
    """The assets of the live box score, for a game of the teams with these ids."""

    @asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"s3", "parquet"},
        deps=[GAMESTREAM],
        io_manager_key=FRAMES,
        dagster_type=FRAME,
        retry_policy=RETRIES,
        check_specs=[
            AssetCheckSpec("stream_is_clean", asset="raw_gamestream", description="Every line of the stream is valid.")
        ],
        metadata={"dagster/column_schema": table_schema(LINES)},
        description="Every line of the game stream, with its verdict. Body and ETag come from one GET.",
    )
    def raw_gamestream(context: AssetExecutionContext, object_store: ObjectStore) -> MaterializeResult:
        stream = object_store.get()
        if stream is None:
            raise Failure(
                f"there is no {object_store.uri} yet: start the game (python -m lacrosse_assets.gamestream)",
                allow_retries=False,
            )
        version = version_columns(stream.version.etag, stream.version.last_modified, stream.fetched_at)
        if encoding := other_encoding(stream.body):
            # Reported here as well: such a stream may be one line without a line end, which is never invalid.
            context.log.warning(f"{object_store.uri} seems to be {encoding}: the producer must write UTF-8 text")
        verdicts: Counter[str] = Counter()
        first_invalid: list[Line] = []

        def rows() -> Iterator[Row]:
            for line in read_lines(stream.body, home, away):
                verdicts[line.verdict] += 1
                if line.verdict == Verdict.INVALID and len(first_invalid) < MAX_TABLE_ROWS:
                    first_invalid.append(line)
                yield {**line._asdict(), **version}

        lines = arrow_table(rows(), LINES)
        invalid = verdicts[Verdict.INVALID]
        table = markdown_table([line._asdict() for line in first_invalid], ["line", "reason", "text"], invalid)
        warn_of_each(
            context.log,
            (f"{object_store.uri} line {each.line} is invalid: {each.reason}: {each.text!r}" for each in first_invalid),
            invalid,
        )
        clean = AssetCheckResult(
            check_name="stream_is_clean",
            passed=not invalid,
            severity=AssetCheckSeverity.WARN,
            description=_count(invalid, "invalid line") if invalid else "every line is valid",
            metadata={"invalid_lines": table} if invalid else {},
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
                **({"invalid_lines": table} if invalid else {}),
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
        metadata={"dagster/column_schema": table_schema(ROSTER)},
        description="The players of both teams, each with the team's record before the game.",
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
    metadata={"dagster/column_schema": table_schema(PLAYER_GAME_STATS)},
    check_specs=[
        AssetCheckSpec(
            "shooters_are_rostered",
            asset="player_game_stats",
            description="Every shot is by a rostered jersey: exactly one player of the team wears it.",
        ),
        AssetCheckSpec(
            "goals_add_up",
            asset="player_game_stats",
            description="Each team's score equals the goals of its players and its unrostered jerseys.",
        ),
    ],
    description="Shots, goals and percentage of every player in this game, as of the latest event.",
)
def player_game_stats(
    context: AssetExecutionContext, raw_gamestream: pa.Table, roster: pa.Table, spark: SparkResource
) -> MaterializeResult:
    with spark.session() as session:
        lines, players = spark_frame(session, game_lines(raw_gamestream)), spark_frame(session, roster)
        counted = statistics(lines, players).toArrow()
    stats = counted.cast(to_arrow_schema(PLAYER_GAME_STATS))
    unrostered = stats.filter(pc.field("player_id").is_null() & pc.field("number").is_valid())
    first_unrostered = unrostered.slice(0, MAX_TABLE_ROWS).to_pylist()
    warn_of_each(
        context.log,
        (
            f"unrostered jersey {truncate(row['number'], MAX_CELL_CHARACTERS)!r} of "
            f"{truncate(str(row['team_name']), MAX_CELL_CHARACTERS)}: {_count(row['shots'], 'shot')} and "
            f"{_count(row['goals'], 'goal')} count for the team and for no player. "
            "Correct players.number if exactly one player wears this jersey"
            for row in first_unrostered
        ),
        len(unrostered),
    )
    columns = ["team_name", "number", "name", "shots", "goals", "pct"]
    best = stats.sort_by([("goals", "descending"), ("shots", "descending")]).slice(0, MAX_TABLE_ROWS).to_pylist()
    return MaterializeResult(
        value=stats,
        check_results=[
            AssetCheckResult(
                check_name="shooters_are_rostered",
                passed=not unrostered,
                severity=AssetCheckSeverity.WARN,
                description=_count(len(unrostered), "unrostered jersey") if unrostered else "all jerseys are rostered",
                metadata={"unrostered": markdown_table(first_unrostered, columns, len(unrostered))}
                if unrostered
                else {},
            ),
            _goals_add_up(stats),
        ],
        metadata={
            "dagster/column_lineage": STATISTICS_LINEAGE,
            "players": markdown_table(best, columns, len(stats)),
        },
    )


def game_lines(lines: pa.Table) -> pa.Table:
    """The lines of a `LINES` that count: events and the terminator. There may be any number of other lines."""
    return lines.filter(pc.field("verdict").isin([*EVENTS, Verdict.TERMINATOR]))


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pyspark", "mongodb"},
    retry_policy=RETRIES,
    ins={name: AssetIn(input_manager_key=FRAMES) for name in ("player_game_stats", "raw_gamestream")},
    description="The box score of each event, in `sidearm.boxscores`: one document has all that a web page needs.",
)
def boxscore_doc(
    context: AssetExecutionContext,
    player_game_stats: pa.Table,
    raw_gamestream: pa.Table,
    documents: DocumentStore,
    object_store: ObjectStore,
    spark: SparkResource,
) -> MaterializeResult:
    raw_gamestream = game_lines(raw_gamestream)
    roster = _roster(player_game_stats)
    timeline = fingerprints(raw_gamestream.select(FINGERPRINT_COLUMNS).to_pylist(), roster)
    if not timeline:
        context.log.info("no document: the stream has no event yet")
        return MaterializeResult(metadata={"document": "none: the stream has no event yet"})
    stored = documents.fingerprints()
    missing = {event for event, fingerprint in timeline.items() if stored.get(event) != fingerprint}
    with spark.session() as session:
        stats = _statistics_at(missing, max(timeline), player_game_stats, raw_gamestream, session)
        computed = documents_of(boxscore(stats))
    boxes = [{**box, "fingerprint": timeline[box["_id"]]} for box in computed]
    box = boxes[-1]
    written = documents.write(boxes, timeline, latest=object_store.head)
    if not written:
        context.log.warning(f"a newer box score is stored already; this one is not written: {score_line(box)}")
    elif written.blocked:
        context.log.warning(
            f"no box score for events {', '.join(map(str, written.blocked[:MAX_WARNINGS]))}: other documents have "
            "these values of _id. Move those documents out of the collection"
        )
    players = [{"team": side["name"], **player} for side in (box[HOME], box[AWAY]) for player in side["players"]]
    return MaterializeResult(
        metadata={
            "score": score_line(box),
            # Numbers: the Dagster UI plots them over time.
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
    """The `ROSTER` rows that a `PLAYER_GAME_STATS` was made with. The stored roster may be another by now."""
    return [
        {column: row[column] for column in ROSTER.fieldNames()} for row in stats.to_pylist() if not is_unrostered(row)
    ]


def _statistics_at(
    missing: set[int], latest: int, stats: pa.Table, lines: pa.Table, session: SparkSession
) -> DataFrame:
    """The `PLAYER_GAME_STATS` of the latest event and of the `missing` ones.

    `stats` has those of the latest event, so no line is sent to Spark if nothing else is missing. (If only one of the
    two assets was materialized, `stats` may be of another version of the stream than `lines`; then it is not used.)
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
        return {"document": "not written: a newer one is stored already"}
    return {
        "document": "written" if result.current else "unchanged",
        "documents_backfilled": result.backfilled,
        "documents_removed": result.removed,
        **({"documents_blocked": list(result.blocked[:MAX_TABLE_ROWS])} if result.blocked else {}),
    }


def _goals_add_up(stats: pa.Table) -> AssetCheckResult:
    # By side, not by name: two teams may have the same name.
    sums = stats.group_by("side").aggregate([("score", "max"), ("goals", "sum")]).to_pylist()
    scores = {each["side"]: each["score_max"] for each in sums}
    goals = {each["side"]: each["goals_sum"] for each in sums}
    return AssetCheckResult(
        check_name="goals_add_up", passed=scores == goals, metadata={"scores": scores, "goals": goals}
    )


def box_metadata(box: Document) -> dict[str, Any]:
    """The metadata that identifies a box score: the version of the stream, and the fingerprint.

    Assets and checks that depend on a box score report it. The version is not enough: after the roster was corrected,
    the box score of the same stream is another one.
    """
    version = StreamVersion.from_document(box)
    return {**(version.to_metadata() if version else {}), "fingerprint": box.get("fingerprint", "")}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
