"""What the assets share: groups, retries, owners, frames, schemas and tables in metadata, warnings."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
from dagster import (
    Backoff,
    Jitter,
    MetadataValue,
    PythonObjectDagsterType,
    RetryPolicy,
    TableColumn,
    TableColumnConstraints,
    TableMetadataValue,
    TableRecord,
    TableSchema,
)
from pyspark.sql.types import StructField, StructType

from lacrosse_assets.game.schemas import description
from lacrosse_assets.game.stream import truncate

OWNERS = ["team:sidearm-data"]
LIVE = "live"  # the group of the assets that change during a game

# The IO manager of frames, and their type. Without the type, Dagster assumes that a `MaterializeResult` has no value.
FRAMES = "frames"
FRAME = PythonObjectDagsterType(pa.Table, name="ArrowTable")

# For a store that is down for a second or two. After a longer outage gamestream_sensor launches the run again.
RETRIES = RetryPolicy(max_retries=2, delay=0.5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)

# Limits of what a run reports, because the input has none: rows of a table in metadata, characters of one of its
# values, warnings of one kind in the log.
MAX_TABLE_ROWS = 100
MAX_CELL_CHARACTERS = 200
MAX_WARNINGS = 20
# The Dagster UI reads records as JSON: it rounds greater numbers, and cannot read a NaN or an infinite one.
MAX_NUMBER = 2**53


def warn_of_each(log: logging.Logger, warnings: Iterable[str], total: int) -> None:
    """Log the first `MAX_WARNINGS` of `total` warnings, and how many more there are."""
    for warning in islice(warnings, MAX_WARNINGS):
        log.warning(warning)
    if total > MAX_WARNINGS:
        log.warning(
            f"… and {total - MAX_WARNINGS} more: the metadata has the first {MAX_TABLE_ROWS}, the stored frame has all"
        )


def table_schema(schema: StructType) -> TableSchema:
    """A Spark schema as the Dagster UI shows it, each column with its description.

    Raises:
        KeyError: a column has no description.
    """
    return TableSchema([_column(field) for field in schema.fields])


def _column(field: StructField) -> TableColumn:
    return TableColumn(
        field.name,
        field.dataType.simpleString(),
        description(field),
        constraints=TableColumnConstraints(nullable=field.nullable),
    )


def table_metadata(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Iterable[str],
    total: int | None = None,
    *,
    schema: StructType | None = None,
) -> dict[str, MetadataValue[Any]]:
    """The first `MAX_TABLE_ROWS` rows as a table, and if there are more, how many are left out, as `<name>_left_out`.

    `total` is the number of rows, if `rows` are only the first of them. A column that `schema` has not is of the type
    of its values.
    """
    columns, total = list(columns), len(rows) if total is None else total
    records = [TableRecord({column: _cell(row[column]) for column in columns}) for row in rows[:MAX_TABLE_ROWS]]
    fields = {field.name: field for field in schema.fields} if schema else {}
    table = MetadataValue.table(
        records,
        TableSchema(
            [
                _column(fields[column])
                if column in fields
                else TableColumn(column, _common_type(record.data[column] for record in records))
                for column in columns
            ]
        ),
    )
    left_out = total - len(records)
    return {name: table, **({f"{name}_left_out": MetadataValue.int(left_out)} if left_out else {})}


def _common_type(values: Iterable[str | float | None]) -> str:
    types = {TableMetadataValue.infer_column_type(value) for value in values if value is not None}
    return types.pop() if len(types) == 1 else "string"


def _cell(value: Any) -> str | float | None:
    if value is None or (isinstance(value, int | float) and abs(value) <= MAX_NUMBER):
        return value
    text = truncate(str(value), MAX_CELL_CHARACTERS)
    # `repr` makes line ends and invisible characters visible.
    return truncate(text if text.isprintable() else repr(text), MAX_CELL_CHARACTERS)
