"""What the assets share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster import Backoff, Jitter, MarkdownMetadataValue, MetadataValue, RetryPolicy

OWNERS = ["team:sidearm-data"]

# A store that is down for a moment. What is longer is the sensor's: it starts the run again.
RETRIES = RetryPolicy(max_retries=2, delay=0.5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)

# As many rows as a table in Dagit's metadata shows.
SHOWN_ROWS = 100


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> MarkdownMetadataValue:
    """Rows as a table that Dagit renders. Names are any text, so what Markdown or HTML would take for its own is escaped."""
    columns = list(columns)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in rows[:SHOWN_ROWS]]
    if len(rows) > SHOWN_ROWS:
        lines += ["", f"… and {len(rows) - SHOWN_ROWS} more"]
    return MetadataValue.md("\n".join(lines))


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    for special, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("`", "&#96;"), ("*", "&#42;")):
        text = text.replace(special, entity)
    return " ".join(text.split())
