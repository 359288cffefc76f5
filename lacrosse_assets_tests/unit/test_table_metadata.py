"""Tables in metadata (docs/adr/0007-tables-in-metadata.md)."""

from typing import Any

import pytest
from pyspark.sql.types import IntegerType, StructType

from lacrosse_assets.assets.common import MAX_CELL_CHARACTERS, MAX_NUMBER, MAX_TABLE_ROWS, table_metadata
from lacrosse_assets.game.schemas import column
from lacrosse_assets_tests.support.world import table_rows


def shown(value: Any) -> Any:
    [(cell,)] = table_rows(table_metadata("t", [{"c": value}], ["c"])["t"])
    return cell


def test_rows_left_out_are_counted_in_an_entry_of_their_own() -> None:
    rows = [{"c": number} for number in range(MAX_TABLE_ROWS + 12)]
    for metadata in (table_metadata("t", rows, ["c"]), table_metadata("t", rows[:MAX_TABLE_ROWS], ["c"], len(rows))):
        assert table_rows(metadata["t"]) == [(number,) for number in range(MAX_TABLE_ROWS)]
        assert metadata["t_left_out"].value == 12
    assert list(table_metadata("t", rows[:MAX_TABLE_ROWS], ["c"])) == ["t"]


def test_columns_have_the_type_of_the_schema_or_of_their_values() -> None:
    schema = StructType([column("id", IntegerType(), "the id", nullable=False)])
    rows: list[dict[str, Any]] = [
        {"id": 1, "pct": None, "name": "n", "mixed": 1, "nothing": None},
        {"id": 2, "pct": 1.0, "name": None, "mixed": "1", "nothing": None},
    ]
    table: Any = table_metadata("t", rows, rows[0], schema=schema)["t"]
    columns = table.schema.columns
    assert [(each.name, each.type) for each in columns] == [
        *[("id", "int"), ("pct", "float"), ("name", "string"), ("mixed", "string"), ("nothing", "string")]
    ]
    assert (columns[0].description, columns[0].constraints.nullable) == ("the id", False)
    assert table_rows(table) == [tuple(row.values()) for row in rows]


def test_a_table_without_rows_has_its_columns() -> None:
    table: Any = table_metadata("t", [], ["a", "b"])["t"]
    assert [each.name for each in table.schema.columns] == ["a", "b"]
    assert table_rows(table) == []


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("a\nb", r"'a\nb'"),
        ("8\u200b8", r"'8\u200b8'"),
        ('<b>|"x"', '<b>|"x"'),
        (b"here", "b'here'"),
        (MAX_NUMBER, MAX_NUMBER),
        (MAX_NUMBER + 1, "9007199254740993"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_values_are_shown_as_they_are(value: Any, cell: Any) -> None:
    assert shown(value) == cell


@pytest.mark.parametrize("value", ["x" * 1000, "\n" * 1000], ids=["text", "line ends"])
def test_long_values_are_truncated(value: str) -> None:
    assert len(shown(value)) == MAX_CELL_CHARACTERS
    assert shown(value).isprintable()
