"""When the game is over: the reference tables with the game's result in them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetSpec,
    Failure,
    MaterializeResult,
    TableColumnLineage,
    multi_asset,
)
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from lacrosse_assets.assets.columns import AFTER, REFERENCE, described
from lacrosse_assets.assets.common import OWNERS, RETRIES, markdown_table
from lacrosse_assets.assets.lineage import PLAYERS2_LINEAGE, TEAMS2_LINEAGE
from lacrosse_assets.assets.live import box_metadata
from lacrosse_assets.assets.sources import PLAYERS_TABLE, TEAMS_TABLE
from lacrosse_assets.game import finals
from lacrosse_assets.game.boxscore import Document, score_line, why_not_over
from lacrosse_assets.game.reference import amiss
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.frames import arrow_table, spark_frame
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion
from lacrosse_assets.resources.reference_db import ORIGINALS, ReferenceDatabase, Row
from lacrosse_assets.resources.spark import SparkSessions

TEAMS2, PLAYERS2 = AssetKey("teams2"), AssetKey("players2")
FINAL_TABLES = frozenset({TEAMS2, PLAYERS2})


class FinalTable(NamedTuple):
    """What a final table is made of, and how."""

    schema: StructType
    sums: tuple[str, str]  # the columns that the game is added to
    add_the_game: Callable[[SparkSession, DataFrame, Document], DataFrame]
    lineage: TableColumnLineage


TABLES = {
    "teams2": FinalTable(finals.TEAMS, ("wins", "losses"), finals.teams2, TEAMS2_LINEAGE),
    "players2": FinalTable(finals.PLAYERS, ("shots", "goals"), finals.players2, PLAYERS2_LINEAGE),
}


class Final(NamedTuple):
    """The current box score, and why the final tables may not be written from it (None if they may)."""

    document: Document | None
    refusal: str | None


def current_final(documents: DocumentStore, object_store: ObjectStore) -> Final:
    """The current box score held against the stream as it is now: whoever decides on the final tables asks here."""
    version = object_store.head()
    document = documents.current()
    made_from = StreamVersion.of_document(document or {})
    # By the ETag alone: a stream that was written again with the same content says the same.
    is_of_stream = None if version is None else bool(made_from and made_from.etag == version.etag)
    return Final(document, why_not_over(document, is_of_stream))


@multi_asset(
    name="final_tables",
    group_name="final",
    can_subset=True,
    retry_policy=RETRIES,
    specs=[
        AssetSpec(
            TEAMS2,
            deps=["boxscore_doc", TEAMS_TABLE],
            owners=OWNERS,
            kinds={"pyspark", "sqlalchemy"},
            metadata={"dagster/column_schema": described(finals.TEAMS, REFERENCE, AFTER)},
            description="`teams` after the game: the winner's wins and the loser's losses one up.",
        ),
        AssetSpec(
            PLAYERS2,
            deps=["boxscore_doc", PLAYERS_TABLE],
            owners=OWNERS,
            kinds={"pyspark", "sqlalchemy"},
            metadata={"dagster/column_schema": described(finals.PLAYERS, REFERENCE, AFTER)},
            description="`players` after the game: this game's shots and goals added to each player's.",
        ),
    ],
    check_specs=[
        AssetCheckSpec("adds_the_game", asset=TEAMS2, description="teams2 minus teams is the game's one result."),
        AssetCheckSpec("adds_the_game", asset=PLAYERS2, description="players2 minus players is the final box score."),
    ],
)
def final_tables(
    context: AssetExecutionContext,
    documents: DocumentStore,
    object_store: ObjectStore,
    reference_db: ReferenceDatabase,
    spark: SparkSessions,
) -> Iterator[MaterializeResult]:
    """Both tables from one final box score, in one transaction, whichever of them are selected."""
    final = current_final(documents, object_store)
    names = [name for name in TABLES if AssetKey(name) in context.selected_asset_keys]
    if final.refusal or final.document is None:
        raise Failure(f"{' and '.join(names)} not written: {final.refusal}", allow_retries=False)
    box = final.document
    reference = reference_db.read()._asdict()
    for name in names:
        original, table = ORIGINALS[name], TABLES[name]
        if problem := amiss(original, reference[original], table.schema, ["id", *table.sums], unique=True):
            raise Failure(f"{' and '.join(names)} not written: {problem}", allow_retries=False)
    tables: dict[str, list[Row]] = {}
    with spark.computing() as session:
        for name in names:
            before = spark_frame(session, arrow_table(reference[ORIGINALS[name]], TABLES[name].schema))
            tables[name] = TABLES[name].add_the_game(session, before, box).toArrow().to_pylist()

    def still_true() -> None:
        current = documents.current()
        if current is None or box_metadata(current) != box_metadata(box):
            raise Failure(
                f"{' and '.join(names)} not written: a newer box score came while they were computed",
                allow_retries=False,
            )

    reference_db.replace(tables, still_true)
    for name, rows in tables.items():
        yield MaterializeResult(
            asset_key=name,
            metadata={
                "score": score_line(box),
                **box_metadata(box),
                "dagster/row_count": len(rows),
                "dagster/column_lineage": TABLES[name].lineage,
                "rows": markdown_table(rows, TABLES[name].schema.fieldNames()),
            },
            check_results=[_adds_the_game(name, reference[ORIGINALS[name]], rows, box)],
        )


def _adds_the_game(name: str, before: list[Row], after: list[Row], box: Document) -> AssetCheckResult:
    """Whether the table is its original plus the box score, counted anew from what was written."""
    sides = [box["home"], box["away"]]
    if name == "teams2":
        best = max(side["score"] for side in sides)
        tied = all(side["score"] == best for side in sides)
        game = {side["teamid"]: (int(side["score"] == best), int(side["score"] != best)) for side in sides if not tied}
    else:
        game = {player["id"]: (player["shots"], player["goals"]) for side in sides for player in side["players"]}
    columns, originals = TABLES[name].sums, {row["id"]: row for row in before}
    added = {row["id"]: tuple(row[column] - originals[row["id"]][column] for column in columns) for row in after}
    wrong = {key: difference for key, difference in added.items() if difference != game.get(key, (0, 0))}
    return AssetCheckResult(
        asset_key=name,
        check_name="adds_the_game",
        passed=not wrong and added.keys() == originals.keys(),
        metadata={"wrong": {str(key): str(difference) for key, difference in wrong.items()}},
    )
