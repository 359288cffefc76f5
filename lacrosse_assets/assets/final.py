"""The final tables: the reference tables with the game's result added (docs/contract.md, sections 4 and 5)."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

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

from lacrosse_assets.assets.common import MAX_TABLE_ROWS, OWNERS, RETRIES, markdown_table, table_schema
from lacrosse_assets.assets.lineage import PLAYERS2_LINEAGE, TEAMS2_LINEAGE
from lacrosse_assets.assets.live import box_metadata
from lacrosse_assets.assets.sources import PLAYERS_TABLE, TEAMS_TABLE
from lacrosse_assets.game import finals
from lacrosse_assets.game.document import Document, score_line, why_not_over
from lacrosse_assets.game.keys import integer
from lacrosse_assets.game.reference import differences, first_invalid
from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.frames import arrow_table, spark_frame
from lacrosse_assets.resources.object_store import ObjectStore
from lacrosse_assets.resources.reference_db import Original, ReferenceDatabase, Row
from lacrosse_assets.resources.spark import SparkResource

TEAMS2, PLAYERS2 = AssetKey("teams2"), AssetKey("players2")
FINAL_ASSETS = frozenset({TEAMS2, PLAYERS2})


class FinalTable(NamedTuple):
    """How a final table is made."""

    schema: StructType
    sums: tuple[str, str]  # the columns that the game is added to
    add_the_game: Callable[[SparkSession, DataFrame, Document], DataFrame]
    lineage: TableColumnLineage

    @property
    def computed(self) -> StructType:
        """The columns that Spark needs: the key and the sums. The database copies all other columns by itself."""
        return StructType([self.schema["id"], *(self.schema[column] for column in self.sums)])


TABLES = {
    "teams2": FinalTable(finals.TEAMS2, ("wins", "losses"), finals.teams2, TEAMS2_LINEAGE),
    "players2": FinalTable(finals.PLAYERS2, ("shots", "goals"), finals.players2, PLAYERS2_LINEAGE),
}


def _game(name: str, box: Document) -> dict[int, dict[str, int]]:
    """What the game adds to a final table: by row id and column."""
    sides = [box["home"], box["away"]]
    if name == "players2":
        rows = {player["id"]: (player["shots"], player["goals"]) for side in sides for player in side["players"]}
    else:
        # From the scores. The table itself is made from `status`, so the check is independent.
        best = max(side["score"] for side in sides)
        tied = all(side["score"] == best for side in sides)
        rows = {
            side["teamid"]: (0, 0) if tied else (int(side["score"] == best), int(side["score"] != best))
            for side in sides
        }
    return {id_: dict(zip(TABLES[name].sums, added, strict=True)) for id_, added in rows.items()}


class Final(NamedTuple):
    """The current box score, and why the final tables may not be written from it (None if they may)."""

    document: Document | None
    refusal: str | None


def current_final(documents: DocumentStore, object_store: ObjectStore) -> Final:
    """Whether the current box score is final and of the stream as it is now. The gate is decided here and only here."""
    version = object_store.head()
    document = documents.current()
    # By ETag, not by LastModified: the same content written again makes the same tables.
    return Final(document, why_not_over(document, version.etag if version else None))


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
            metadata={"dagster/column_schema": table_schema(finals.TEAMS2)},
            description="`teams` after the game: 1 is added to the winner's wins and to the loser's losses.",
        ),
        AssetSpec(
            PLAYERS2,
            deps=["boxscore_doc", PLAYERS_TABLE],
            owners=OWNERS,
            kinds={"pyspark", "sqlalchemy"},
            metadata={"dagster/column_schema": table_schema(finals.PLAYERS2)},
            description="`players` after the game: this game's shots and goals are added to each player's.",
        ),
    ],
    check_specs=[
        AssetCheckSpec(
            "adds_the_game",
            asset=TEAMS2,
            description="The stored teams2 is teams plus the result of this game. All other values are equal.",
        ),
        AssetCheckSpec(
            "adds_the_game",
            asset=PLAYERS2,
            description="The stored players2 is players plus the final box score. All other values are equal.",
        ),
    ],
)
def final_tables(
    context: AssetExecutionContext,
    documents: DocumentStore,
    object_store: ObjectStore,
    reference_db: ReferenceDatabase,
    spark: SparkResource,
) -> Iterator[MaterializeResult]:
    """The selected tables, from one final box score, in one transaction."""
    final = current_final(documents, object_store)
    names = [name for name in TABLES if AssetKey(name) in context.selected_asset_keys]
    if final.refusal or final.document is None:
        raise Failure(f"{' and '.join(names)} not written: {final.refusal}", allow_retries=False)
    box = final.document
    reference = reference_db.read()
    games = {name: _game(name, box) for name in names}
    played: dict[str, list[Row]] = {}
    for name in names:
        rows = _computed_rows(getattr(reference, FINAL_TABLES[name]), TABLES[name])
        if problem := _invalid_row(name, rows, games[name]):
            raise Failure(f"{' and '.join(names)} not written: {problem}", allow_retries=False)
        played[name] = [row for row in rows if row["id"] in games[name]]
    changes: dict[str, list[Row]] = {}
    with spark.session() as session:
        for name in names:
            before = spark_frame(session, arrow_table(played[name], TABLES[name].computed))
            changes[name] = TABLES[name].add_the_game(session, before, box).toArrow().to_pylist()

    def precondition() -> None:
        current = documents.current()
        if current is None or box_metadata(current) != box_metadata(box):
            raise Failure(
                f"{' and '.join(names)} not written: the box score changed while they were computed; "
                "gamestream_sensor launches the next run",
                allow_retries=False,
            )

    originals = reference_db.replace(changes, precondition, made_from=reference)
    stored = reference_db.stored(*names)
    for name, original in originals.items():
        if original.key_of_a_view:
            context.log.info(f"{FINAL_TABLES[name]} is a view and has no primary key: {name} gets the primary key id")
        yield MaterializeResult(
            asset_key=name,
            metadata={
                "score": score_line(box),
                **box_metadata(box),
                "dagster/row_count": len(stored[name]),
                "dagster/column_lineage": TABLES[name].lineage,
                "rows": markdown_table(stored[name], stored[name][0] if stored[name] else original.columns.values()),
            },
            check_results=[_adds_the_game(name, original, stored[name], games[name])],
        )


def _computed_rows(rows: list[Row], table: FinalTable) -> list[Row]:
    """The computed columns of each row, normalized to integers; and `name`, for error messages."""
    columns = table.computed.fieldNames()
    return [{**{column: integer(row[column]) for column in columns}, "name": row["name"]} for row in rows]


def _invalid_row(name: str, rows: list[Row], game: Mapping[int, Any]) -> str | None:
    """An error message for the first row that the game cannot be added to; None if there is none.

    Rows that the game does not change may have NULL in the summed columns.
    """
    original, computed = FINAL_TABLES[name], TABLES[name].computed
    played = [row for row in rows if row["id"] in game]
    return first_invalid(original, played, computed, computed.fieldNames()) or first_invalid(
        original, rows, computed, ["id"], unique=True
    )


def _adds_the_game(
    name: str, original: Original, stored: list[Row], game: Mapping[int, Mapping[str, int]]
) -> AssetCheckResult:
    """The check `adds_the_game`: the stored table is its original plus the game, in every row and column."""
    added = {row: {original.columns[column]: plus for column, plus in sums.items()} for row, sums in game.items()}
    found = list(differences(original.rows, stored, original.columns["id"], added))
    rows = [{**each._asdict(), "row": repr(each.row), "column": each.column or "(whole row)"} for each in found]
    table = markdown_table(rows[:MAX_TABLE_ROWS], ["row", "column", "expected", "stored"], len(found))
    return AssetCheckResult(
        asset_key=name,
        check_name="adds_the_game",
        passed=not found,
        description=f"{name} is {FINAL_TABLES[name]} plus the game"
        if not found
        else f"{name} differs from {FINAL_TABLES[name]} plus the game in {len(found)} places: "
        + ", ".join(f"row {each['row']} {each['column']}" for each in islice(rows, 5))
        + (", …" if len(rows) > 5 else ""),
        metadata={"differences": table} if found else {},
    )
