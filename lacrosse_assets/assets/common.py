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
    """Rows as a table that Dagit renders. Names are any text, and are shown as that."""
    columns = list(columns)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in rows[:SHOWN_ROWS]]
    if len(rows) > SHOWN_ROWS:
        lines += ["", f"… and {len(rows) - SHOWN_ROWS} more"]
    return MetadataValue.md("\n".join(lines))


# What Markdown or HTML takes for its own, as the entity that stands for it.
_ESCAPED = str.maketrans({special: f"&#{ord(special)};" for special in "&<>|`*_[]\\~"})


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split()).translate(_ESCAPED)
