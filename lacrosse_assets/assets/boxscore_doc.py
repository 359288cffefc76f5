"""The asset `boxscore_doc`: a box score of every event, stored (docs/contract.md, sections 3 and 5)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from dagster import AssetExecutionContext, AssetIn, MaterializeResult, asset

from lacrosse_assets.assets.common import (
    FRAMES,
    LIVE,
    MAX_TABLE_ROWS,
    MAX_WARNINGS,
    OWNERS,
    RETRIES,
    table_metadata,
    warn_of_each,
)
from lacrosse_assets.assets.day import BOX_COLUMNS, box_row
from lacrosse_assets.assets.games import by_game
from lacrosse_assets.assets.lines import SHOT_COLUMNS, clocks_by_game, game_lines, stream_versions, with_versions
from lacrosse_assets.game.boxscore import box_scores
from lacrosse_assets.game.document import Document, score_line
from lacrosse_assets.game.plays import MAX_PLAYS, plays
from lacrosse_assets.game.schedule import Game
from lacrosse_assets.game.statistics import AWAY, EVENT_CLOCKS, HOME, ROSTER, STATISTICS, is_unrostered, statistics_at
from lacrosse_assets.game.timeline import FINGERPRINT_COLUMNS, fingerprints
from lacrosse_assets.resources.documents import DocumentStore, WriteResult, box_score_key
from lacrosse_assets.resources.frames import arrow_table, spark_frame
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion
from lacrosse_assets.resources.reference_db import ReferenceDatabase, Row
from lacrosse_assets.resources.schedule import GameSchedule
from lacrosse_assets.resources.spark import SparkResource

# Metadata: the key of each game's box score, by game id.
BOX_SCORES = "box_scores"
# Metadata: the ids of the games that have no box score because they have no roster.
WITHOUT_ROSTER = "without_roster"


@asset(
    group_name=LIVE,
    owners=OWNERS,
    kinds={"pyspark", "mongodb"},
    retry_policy=RETRIES,
    ins={name: AssetIn(input_manager_key=FRAMES) for name in ("player_game_stats", "raw_gamestream")},
    description="The box scores, in database `sidearm`: one document has all that a web page needs.",
)
def boxscore_doc(
    context: AssetExecutionContext,
    player_game_stats: pa.Table,
    raw_gamestream: pa.Table,
    documents: DocumentStore,
    object_store: ObjectStore,
    reference_db: ReferenceDatabase,
    schedule: GameSchedule,
    spark: SparkResource,
) -> MaterializeResult:
    lines = game_lines(raw_gamestream)
    lines_of = by_game(lines.select(["game_id", *FINGERPRINT_COLUMNS]).to_pylist())
    stats = player_game_stats.to_pylist()
    rosters = by_game(_roster(stats))
    games = schedule.read(reference_db).games
    timelines = {
        game: timeline
        for game in sorted(rosters.keys() & lines_of.keys() & games.keys())
        if (timeline := fingerprints(lines_of[game], rosters[game], games[game].day))
    }
    without_roster = sorted(lines_of.keys() - rosters.keys())
    lacking = {WITHOUT_ROSTER: without_roster} if without_roster else {}
    if not timelines:
        why = "no game has a roster" if without_roster else "the stream has no event yet"
        context.log.info(f"no document: {why}")
        return MaterializeResult(metadata={"document": f"none: {why}", **lacking})
    latest = {game: max(timeline) for game, timeline in timelines.items()}
    missing = documents.missing(timelines)
    counted = timelines.keys() & _same_version(player_game_stats, raw_gamestream)
    for game in timelines.keys() - counted:
        missing[game].add(latest[game])  # its statistics are of other lines
    rows = [row for row in stats if row["game_id"] in counted]
    if any(missing.values()):
        rows += _statistics_at(missing, lines, rosters, spark)
    boxes = [{**box, "fingerprint": timelines[box["game_id"]][box["event"]]} for box in box_scores(rows)]
    current = [box for box in boxes if box["event"] == latest[box["game_id"]]]
    for box in current:
        box.update(_day_and_plays(games[box["game_id"]], lines_of))
    if schedule.isolates_games:
        _warn_of_plays(context, timelines)

    def streams_now() -> dict[int, StreamVersion]:
        found = object_store.versions()
        return {game: found[each.stream] for game, each in games.items() if each.stream in found}

    written = documents.save(boxes, timelines, latest=streams_now)
    blocked = [document_id for result in written.values() if result for document_id in result.blocked]
    _warn_of_documents(context, current, written, blocked, documents.entities)
    return MaterializeResult(
        metadata={
            **(_games_metadata(current, written) if schedule.isolates_games else _game_metadata(current[0], written)),
            **({"documents_blocked": blocked[:MAX_TABLE_ROWS]} if blocked else {}),
            BOX_SCORES: {str(box["game_id"]): box_score_key(box) for box in current},
            **lacking,
        }
    )


def _day_and_plays(game: Game, lines_of: Mapping[int, list[Row]]) -> Document:
    return {"day": game.day, "plays": plays(lines_of[game.game_id], game.home)}


def _same_version(stats: pa.Table, lines: pa.Table) -> set[int]:
    """The games whose statistics are of the version of the stream that their lines are of.

    In a run of all assets, all of them. If only one of the two assets was materialized, they may differ.
    """
    versions = {each["game_id"]: each for each in stream_versions(lines).to_pylist()}
    return {game for each in stream_versions(stats).to_pylist() if versions.get(game := each["game_id"]) == each}


def _warn_of_plays(context: AssetExecutionContext, timelines: Mapping[int, Mapping[int, str]]) -> None:
    for game, timeline in timelines.items():
        if len(timeline) > MAX_PLAYS:
            context.log.warning(f"game {game} has {len(timeline)} plays: its document has the latest {MAX_PLAYS}")


def _warn_of_documents(
    context: AssetExecutionContext,
    current: Sequence[Document],
    written: Mapping[int, WriteResult | None],
    blocked: Sequence[object],
    entities: str,
) -> None:
    not_written = [box for box in current if written[box["game_id"]] is None]
    warn_of_each(
        context.log,
        (f"a newer box score is stored already; this one is not written: {score_line(box)}" for box in not_written),
        len(not_written),
    )
    if blocked:
        context.log.warning(
            f"no box score for {entities} {', '.join(map(str, blocked[:MAX_WARNINGS]))}: other documents have "
            "these values of _id. Move those documents out of the collection"
        )


def _roster(stats: Sequence[Row]) -> list[Row]:
    """The `ROSTER` rows that a `PLAYER_GAME_STATS` was made with. The stored roster may be another by now."""
    return [{column: row[column] for column in ROSTER.fieldNames()} for row in stats if not is_unrostered(row)]


def _statistics_at(
    missing: Mapping[int, set[int]], lines: pa.Table, rosters: Mapping[int, list[Row]], spark: SparkResource
) -> list[Row]:
    """The rows of a `PLAYER_GAME_STATS` of each event that is missing: its ids by game."""
    games = [game for game, events in missing.items() if events]
    lines = lines.filter(pc.field("game_id").isin(games))
    clocks = (
        {"game_id": game, **event._asdict()}
        for game, events in clocks_by_game(lines).items()
        for event in events
        if event.event_id in missing[game]
    )
    roster = (row for game in games for row in rosters[game])
    with spark.session() as session:
        found = list(
            statistics_at(
                spark_frame(session, lines.select(SHOT_COLUMNS)),
                spark_frame(session, arrow_table(roster, ROSTER)),
                spark_frame(session, arrow_table(clocks, EVENT_CLOCKS)),
                games=len(games),
            )
        )
    rows: list[Row] = with_versions(arrow_table(found, STATISTICS), lines).to_pylist()
    return rows


def _game_metadata(box: Document, written: Mapping[int, WriteResult | None]) -> dict[str, Any]:
    """What the one game's run reports."""
    result = written[box["game_id"]]
    players = [{"team": side["name"], **player} for side in (box[HOME], box[AWAY]) for player in side["players"]]
    return {
        "score": score_line(box),
        # Numbers: the Dagster UI plots them over time.
        "home_score": box[HOME]["score"],
        "away_score": box[AWAY]["score"],
        "event": box["event"],
        "clock": box["timestamp"],
        "final": box["final"],
        "document": _outcome(result),
        **({"documents_backfilled": result.backfilled, "documents_removed": result.removed} if result else {}),
        **box_metadata(box),
        **table_metadata("players", players, ["team", "id", "name", "number", "shots", "goals", "pct"]),
    }


def _games_metadata(boxes: Sequence[Document], written: Mapping[int, WriteResult | None]) -> dict[str, Any]:
    """What the run of a game day reports: a row for each game of the run."""
    rows = [
        {
            "game": box["game_id"],
            **box_row(box),
            "document": _outcome(written[box["game_id"]]),
        }
        for box in boxes
    ]
    return {
        "games": len(boxes),
        "documents_written": sum(bool(result and result.current) for result in written.values()),
        **table_metadata("scores", rows, ["game", *BOX_COLUMNS, "document"]),
    }


def _outcome(result: WriteResult | None) -> str:
    if result is None:
        return "not written: a newer one is stored already"
    return "written" if result.current else "unchanged"


def box_metadata(box: Document) -> dict[str, Any]:
    """The metadata that identifies a box score: the version of the stream, and the fingerprint.

    The version is not enough: after the roster was corrected, the box score of the same stream is another one.
    """
    version = StreamVersion.from_document(box)
    return {**(version.to_metadata() if version else {}), "fingerprint": box.get("fingerprint", "")}
