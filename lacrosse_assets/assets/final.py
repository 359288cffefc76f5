"""When the game is over: the reference tables with the game's result in them."""

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

from lacrosse_assets.assets.columns import AFTER, REFERENCE, described
from lacrosse_assets.assets.common import OWNERS, RETRIES, SHOWN_ROWS, markdown_table
from lacrosse_assets.assets.lineage import PLAYERS2_LINEAGE, TEAMS2_LINEAGE
from lacrosse_assets.assets.live import box_metadata
from lacrosse_assets.assets.sources import PLAYERS_TABLE, TEAMS_TABLE
from lacrosse_assets.game import finals
from lacrosse_assets.game.boxscore import Document, score_line, why_not_over
from lacrosse_assets.game.keys import integer
from lacrosse_assets.game.reference import amiss, differences
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.frames import arrow_table, spark_frame
from lacrosse_assets.resources.object_store import ObjectStore
from lacrosse_assets.resources.reference_db import ORIGINALS, Original, ReferenceDatabase, Row
from lacrosse_assets.resources.spark import SparkResource

TEAMS2, PLAYERS2 = AssetKey("teams2"), AssetKey("players2")
FINAL_TABLES = frozenset({TEAMS2, PLAYERS2})


class FinalTable(NamedTuple):
    """What a final table is made of, and how."""

    schema: StructType
    sums: tuple[str, str]  # the columns that the game is added to
    add_the_game: Callable[[SparkSession, DataFrame, Document], DataFrame]
    lineage: TableColumnLineage

    @property
    def counted(self) -> StructType:
        """The key and the summed columns: all that Spark computes with. The others are copied in the database."""
        return StructType([self.schema["id"], *(self.schema[column] for column in self.sums)])


TABLES = {
    "teams2": FinalTable(finals.TEAMS, ("wins", "losses"), finals.teams2, TEAMS2_LINEAGE),
    "players2": FinalTable(finals.PLAYERS, ("shots", "goals"), finals.players2, PLAYERS2_LINEAGE),
}


def _game(name: str, box: Document) -> dict[int, dict[str, int]]:
    """What the game adds: by the id of each row that is concerned, to which columns how much."""
    sides = [box["home"], box["away"]]
    if name == "players2":
        rows = {player["id"]: (player["shots"], player["goals"]) for side in sides for player in side["players"]}
    else:
        # By the scores, not by `status`, which the tables are made from.
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
    """The current box score held against the stream as it is now: whoever decides on the final tables asks here."""
    version = object_store.head()
    document = documents.current()
    # By the ETag alone: a stream that was written again with the same content says the same.
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
        AssetCheckSpec(
            "adds_the_game",
            asset=TEAMS2,
            description="teams2, as it is stored, is teams plus the game's one result; all else is equal.",
        ),
        AssetCheckSpec(
            "adds_the_game",
            asset=PLAYERS2,
            description="players2, as it is stored, is players plus the final box score; all else is equal.",
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
    """Both tables from one final box score, in one transaction, whichever of them are selected."""
    final = current_final(documents, object_store)
    names = [name for name in TABLES if AssetKey(name) in context.selected_asset_keys]
    if final.refusal or final.document is None:
        raise Failure(f"{' and '.join(names)} not written: {final.refusal}", allow_retries=False)
    box = final.document
    reference = reference_db.read()
    games = {name: _game(name, box) for name in names}
    played: dict[str, list[Row]] = {}
    for name in names:
        rows = _counted(getattr(reference, ORIGINALS[name]), TABLES[name])
        if problem := _problem(name, rows, games[name]):
            raise Failure(f"{' and '.join(names)} not written: {problem}", allow_retries=False)
        played[name] = [row for row in rows if row["id"] in games[name]]
    changes: dict[str, list[Row]] = {}
    with spark.session() as session:
        for name in names:
            before = spark_frame(session, arrow_table(played[name], TABLES[name].counted))
            changes[name] = TABLES[name].add_the_game(session, before, box).toArrow().to_pylist()

    def still_true() -> None:
        current = documents.current()
        if current is None or box_metadata(current) != box_metadata(box):
            raise Failure(
                f"{' and '.join(names)} not written: a newer box score came while they were computed",
                allow_retries=False,
            )

    originals = reference_db.replace(changes, still_true, made_from=reference)
    stored = reference_db.stored(*names)
    for name, original in originals.items():
        if original.key_of_a_view:
            context.log.info(f"{ORIGINALS[name]} is a view, which has no primary key: that of {name} is id")
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


def _counted(rows: list[Row], table: FinalTable) -> list[Row]:
    """The key and the summed columns of each row, as integers where they stand for some; and the name, to show it."""
    columns = table.counted.fieldNames()
    return [{**{column: integer(row[column]) for column in columns}, "name": row["name"]} for row in rows]


def _problem(name: str, rows: list[Row], game: Mapping[int, Any]) -> str | None:
    """Why the game cannot be added to these rows. The sums of those who did not play may be NULL, and stay so."""
    original, counted = ORIGINALS[name], TABLES[name].counted
    played = [row for row in rows if row["id"] in game]
    return amiss(original, played, counted, counted.fieldNames()) or amiss(original, rows, counted, ["id"], unique=True)


def _adds_the_game(
    name: str, original: Original, stored: list[Row], game: Mapping[int, Mapping[str, int]]
) -> AssetCheckResult:
    """Whether the table, as it was read back, is its original plus the box score, and equal in everything else."""
    added = {row: {original.columns[column]: plus for column, plus in sums.items()} for row, sums in game.items()}
    found = list(differences(original.rows, stored, original.columns["id"], added))
    shown = [{**each._asdict(), "row": repr(each.row), "column": each.column or "(whole row)"} for each in found]
    wrong = markdown_table(shown[:SHOWN_ROWS], ["row", "column", "expected", "stored"], len(found))
    return AssetCheckResult(
        asset_key=name,
        check_name="adds_the_game",
        passed=not found,
        description=f"{name} is {ORIGINALS[name]} plus the game"
        if not found
        else f"{name} is not {ORIGINALS[name]} plus the game in {len(found)} places: "
        + ", ".join(f"row {each['row']} {each['column']}" for each in islice(shown, 5))
        + (", …" if len(shown) > 5 else ""),
        metadata={"wrong": wrong} if found else {},
    )
