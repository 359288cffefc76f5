"""What the assets share: retries, owners, schemas and tables in metadata, warnings."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from dagster import (
    Backoff,
    Jitter,
    MarkdownMetadataValue,
    MetadataValue,
    RetryPolicy,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
)
from pyspark.sql.types import StructType

from lacrosse_assets.game.schemas import description
from lacrosse_assets.game.stream import truncate

OWNERS = ["team:sidearm-data"]

# For a store that is down for a second or two. After a longer outage gamestream_sensor launches the run again.
RETRIES = RetryPolicy(max_retries=2, delay=0.5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)

# Limits of what a run reports, because the input has none: rows of a table in metadata, characters of one of its
# values, warnings of one kind in the log.
MAX_TABLE_ROWS = 100
MAX_CELL_CHARACTERS = 200
MAX_WARNINGS = 20


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
    return TableSchema(
        [
            TableColumn(
                field.name,
                field.dataType.simpleString(),
                description(field),
                constraints=TableColumnConstraints(nullable=field.nullable),
            )
            for field in schema.fields
        ]
    )


def markdown_table(
    rows: Sequence[Mapping[str, Any]], columns: Iterable[str], total: int | None = None
) -> MarkdownMetadataValue:
    """Rows as a table that the Dagster UI renders in place. Values are escaped: a name may be any text.

    `total` is the number of rows, if `rows` are only the first of them. Markdown is used because Dagster's own table
    type cannot show how many rows are omitted.
    """
    columns, total = list(columns), len(rows) if total is None else total
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in rows[:MAX_TABLE_ROWS]]
    if total > MAX_TABLE_ROWS:
        lines += ["", f"… and {total - MAX_TABLE_ROWS} more"]
    return MetadataValue.md("\n".join(lines))


# The special characters of Markdown and HTML, as entities.
_ESCAPED = str.maketrans({special: f"&#{ord(special)};" for special in "&<>|`*_[]\\~"})


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = truncate(str(value), MAX_CELL_CHARACTERS)
    # `repr` makes invisible characters visible, and keeps a line end from ending the table's row.
    return truncate(text if text.isprintable() else repr(text), MAX_CELL_CHARACTERS).translate(_ESCAPED)
