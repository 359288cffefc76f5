"""The final tables: the reference tables with the results of all final games added.

docs/contract.md, sections 4, 5 and 10.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Any, NamedTuple

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
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

from lacrosse_assets.assets.boxscore_doc import box_metadata
from lacrosse_assets.assets.common import OWNERS, RETRIES, table_metadata, table_schema, warn_of_each
from lacrosse_assets.assets.games import count
from lacrosse_assets.assets.lineage import PLAYERS2_LINEAGE, TEAMS2_LINEAGE
from lacrosse_assets.assets.sources import PLAYERS_TABLE, TEAMS_TABLE
from lacrosse_assets.game import finals
from lacrosse_assets.game.document import Document, score_line, why_not_over
from lacrosse_assets.game.keys import integer
from lacrosse_assets.game.reference import differences, first_invalid, invalid_rows, repeated_id
from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets.resources.documents import DocumentStore, results_key
from lacrosse_assets.resources.frames import arrow_table, collected, spark_frame
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion
from lacrosse_assets.resources.reference_db import Original, ReferenceDatabase, Row
from lacrosse_assets.resources.schedule import GameSchedule
from lacrosse_assets.resources.spark import SparkResource

# Metadata of the final tables: the key of the final box scores that they were made from.
MADE_FROM = "made_from"
# Metadata: how many rows no game could be added to. gamestream_sensor has the tables made again until there is none.
ROWS_LEFT_OUT = "rows_left_out"

CHANGED = "the box score changed while they were computed; gamestream_sensor launches the next run"

TEAMS2, PLAYERS2 = AssetKey("teams2"), AssetKey("players2")
FINAL_ASSETS = frozenset({TEAMS2, PLAYERS2})


class FinalTable(NamedTuple):
    """How a final table is made."""

    schema: StructType
    sums: tuple[str, str]  # the columns that the game is added to
    add_the_games: Callable[[SparkSession, DataFrame, Iterable[Document]], DataFrame]
    lineage: TableColumnLineage

    @property
    def computed(self) -> StructType:
        """The columns that Spark needs: the key and the sums. The database copies all other columns by itself."""
        return StructType([self.schema["id"], *(self.schema[column] for column in self.sums)])


TABLES = {
    "teams2": FinalTable(finals.TEAMS2, ("wins", "losses"), finals.teams2, TEAMS2_LINEAGE),
    "players2": FinalTable(finals.PLAYERS2, ("shots", "goals"), finals.players2, PLAYERS2_LINEAGE),
}


def _added(name: str, boxes: Iterable[Document]) -> dict[int, dict[str, int]]:
    """What the games add to a final table: by row id and column."""
    added: dict[int, Counter[str]] = {}
    for box in boxes:
        for id_, sums in _added_by(name, box).items():
            added.setdefault(id_, Counter(dict.fromkeys(TABLES[name].sums, 0))).update(sums)
    return {id_: dict(sums) for id_, sums in added.items()}


def _added_by(name: str, box: Document) -> dict[int, dict[str, int]]:
    """What one game adds to a final table: by row id and column."""
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


class Gate(NamedTuple):
    """The current box score of each game, without lists; and why no final table may be written (None: they may)."""

    boxes: list[Document]
    refusal: str | None

    @property
    def final(self) -> list[Document]:
        return [box for box in self.boxes if box.get("final")]


def gate(boxes: list[Document], versions: Mapping[str, StreamVersion], schedule: GameSchedule) -> Gate:
    """Whether the final tables may be written. The gate is decided here and only here.

    - Of the one game, the box score has to be final and of the stream as it is now. By ETag, not by LastModified: the
      same content written again makes the same tables.
    - On a game day the tables are a function of the final box scores that are stored, so there has to be one.
    """
    if schedule.isolates_games:
        return Gate(boxes, None if any(box.get("final") for box in boxes) else "no game is over yet")
    version = next(iter(versions.values()), None)
    return Gate(boxes, why_not_over(boxes[0] if boxes else None, version.etag if version else None))


def read_gate(documents: DocumentStore, object_store: ObjectStore, schedule: GameSchedule) -> Gate:
    """The gate as the stores are now. On a game day it does not depend on the streams, so they are not read.

    Raises:
        StoreError: a store is unreachable or refuses the request.
    """
    versions = {} if schedule.isolates_games else object_store.versions()
    return gate(documents.summaries(), versions, schedule)


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
    schedule: GameSchedule,
    spark: SparkResource,
) -> Iterator[MaterializeResult]:
    """The selected tables, from all final box scores, in one transaction."""
    names = [name for name in TABLES if AssetKey(name) in context.selected_asset_keys]

    def not_written(reason: str) -> Failure:
        return Failure(f"{' and '.join(names)} not written: {reason}", allow_retries=False)

    if refusal := read_gate(documents, object_store, schedule).refusal:
        raise not_written(refusal)
    boxes = documents.final_box_scores()
    if not boxes:  # a replay has begun since: without a game, the tables would be those before it
        raise not_written(CHANGED)
    made_from = results_key(boxes)
    reference = reference_db.read()
    added = {name: _added(name, boxes) for name in names}
    left_out: dict[str, dict[int, str]] = {}
    played: dict[str, list[Row]] = {}  # the rows that the games change
    for name in names:
        rows = _computed_rows(getattr(reference, FINAL_TABLES[name]), TABLES[name])
        if problem := _invalid_id(name, rows):
            raise not_written(problem)
        changed = [row for row in rows if any(added[name].get(row["id"], {}).values())]
        left_out[name] = _invalid_sums(name, changed)
        if left_out[name] and not schedule.isolates_games:
            raise not_written(next(iter(left_out[name].values())))
        for id_ in left_out[name]:
            del added[name][id_]
        played[name] = [row for row in changed if row["id"] not in left_out[name]]

    def precondition() -> None:
        if results_key(read_gate(documents, object_store, schedule).final) != made_from:
            raise not_written(CHANGED)

    originals = reference_db.replace(
        _changes(played, boxes, spark),
        precondition,
        made_from=reference,
        games=[_games2_row(box) for box in boxes] if schedule.isolates_games else None,
    )
    stored = reference_db.stored(*names)
    about = {"games": len(boxes)} if schedule.isolates_games else _game_metadata(boxes[0])
    for name, original in originals.items():
        warn_of_each(
            context.log,
            (f"{problem}: correct it; until then no game is added to this row" for problem in left_out[name].values()),
            len(left_out[name]),
        )
        if original.key_of_a_view:
            context.log.info(f"{FINAL_TABLES[name]} is a view and has no primary key: {name} gets the primary key id")
        yield MaterializeResult(
            asset_key=name,
            metadata={
                **about,
                MADE_FROM: made_from,
                **({ROWS_LEFT_OUT: len(left_out[name])} if left_out[name] else {}),
                **_table_metadata(name, original, stored[name]),
            },
            check_results=[_adds_the_game(name, original, stored[name], added[name], left_out[name])],
        )


def _changes(played: Mapping[str, list[Row]], boxes: Iterable[Document], spark: SparkResource) -> dict[str, list[Row]]:
    """The new values of the rows that the games change, by final table."""
    changes: dict[str, list[Row]] = {}
    with spark.session() as session:
        for name, rows in played.items():
            before = spark_frame(session, arrow_table(rows, TABLES[name].computed))
            changes[name] = collected(TABLES[name].add_the_games(session, before, boxes))
    return changes


def _game_metadata(box: Document) -> dict[str, Any]:
    return {"score": score_line(box), **box_metadata(box)}


def _table_metadata(name: str, original: Original, stored: list[Row]) -> dict[str, Any]:
    return {
        "dagster/row_count": len(stored),
        "dagster/column_lineage": TABLES[name].lineage,
        **table_metadata(
            "rows", stored, stored[0] if stored else original.columns.values(), schema=TABLES[name].schema
        ),
    }


def _games2_row(box: Document) -> Row:
    """The row of `games2` of a final box score."""
    home, away = box["home"], box["away"]
    return {
        "id": box["game_id"],
        "day": date.fromisoformat(box["day"]) if box.get("day") else None,
        "home": home["teamid"],
        "away": away["teamid"],
        "home_score": home["score"],
        "away_score": away["score"],
        "fingerprint": box.get("fingerprint"),
    }


def _computed_rows(rows: list[Row], table: FinalTable) -> list[Row]:
    """The computed columns of each row, normalized to integers; and `name`, for error messages."""
    columns = table.computed.fieldNames()
    return [{**{column: integer(row[column]) for column in columns}, "name": row["name"]} for row in rows]


def _invalid_id(name: str, rows: list[Row]) -> str | None:
    """An error message for the first row without an id of its own; None if there is none."""
    original, ids = FINAL_TABLES[name], StructType([TABLES[name].computed["id"]])
    return first_invalid(original, rows, ids, ["id"]) or repeated_id(original, rows)


def _invalid_sums(name: str, changed: list[Row]) -> dict[int, str]:
    """The ids of the rows that the games cannot be added to, each with an error message.

    Rows that no game changes may have anything in the summed columns: the database copies them.
    """
    computed = TABLES[name].computed
    return {
        row["id"]: problem
        for row, problem in invalid_rows(FINAL_TABLES[name], changed, computed, computed.fieldNames())
    }


def _adds_the_game(
    name: str,
    original: Original,
    stored: list[Row],
    added: Mapping[int, Mapping[str, int]],
    left_out: Mapping[int, str],
) -> AssetCheckResult:
    """The check `adds_the_game`: the stored table is its original plus the games, in every row and column.

    `left_out` are the rows that the games could not be added to: a warning, if nothing else differs.
    """
    expected = {id_: {original.columns[column]: plus for column, plus in sums.items()} for id_, sums in added.items()}
    found = list(differences(original.rows, stored, original.columns["id"], expected))
    if left_out and not found:
        problems = [{"row": id_, "problem": problem} for id_, problem in left_out.items()]
        return AssetCheckResult(
            asset_key=name,
            check_name="adds_the_game",
            passed=False,
            severity=AssetCheckSeverity.WARN,
            description=f"{name} is {FINAL_TABLES[name]} plus the games, without those of "
            f"{count(len(left_out), 'invalid row')}",
            metadata=table_metadata("left_out", problems, ["row", "problem"]),
        )
    # Values as text: as numbers, 1 and 1.0 look the same in the Dagster UI.
    rows = [
        {
            "row": repr(each.row),
            "column": each.column or "(whole row)",
            "expected": None if each.expected is None else str(each.expected),
            "stored": None if each.stored is None else str(each.stored),
        }
        for each in found
    ]
    return AssetCheckResult(
        asset_key=name,
        check_name="adds_the_game",
        passed=not found,
        description=f"{name} is {FINAL_TABLES[name]} plus the game"
        if not found
        else f"{name} differs from {FINAL_TABLES[name]} plus the game in {len(found)} places: "
        + ", ".join(f"row {each['row']} {each['column']}" for each in islice(rows, 5))
        + (", …" if len(rows) > 5 else ""),
        metadata=table_metadata("differences", rows, ["row", "column", "expected", "stored"]) if found else {},
    )
