"""What the assets share."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from dagster import Backoff, Jitter, MarkdownMetadataValue, MetadataValue, RetryPolicy

from lacrosse_assets.game.stream import shown

OWNERS = ["team:sidearm-data"]

# A store that is down for a moment. What is longer is the sensor's: it starts the run again.
RETRIES = RetryPolicy(max_retries=2, delay=0.5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)

# As much as is told of what may be any number of things of any length: rows of a table in Dagit's metadata, characters
# of a value in it, warnings of one kind in a run's log.
SHOWN_ROWS = 100
SHOWN_CHARACTERS = 200
LOGGED = 20


def warn_of_each(log: logging.Logger, warnings: Iterable[str], total: int) -> None:
    """Log a warning for each thing that is amiss, `total` in all; those beyond the first `LOGGED` are counted."""
    for warning in islice(warnings, LOGGED):
        log.warning(warning)
    if total > LOGGED:
        log.warning(f"… and {total - LOGGED} more of these: the metadata has the first {SHOWN_ROWS}, the frame has all")


def markdown_table(
    rows: Sequence[Mapping[str, Any]], columns: Iterable[str], total: int | None = None
) -> MarkdownMetadataValue:
    """Rows as a table that Dagit renders. Names are any text, and are shown as that.

    `total` is how many rows there are, where `rows` are only the first of them.
    """
    columns, total = list(columns), len(rows) if total is None else total
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in rows[:SHOWN_ROWS]]
    if total > SHOWN_ROWS:
        lines += ["", f"… and {total - SHOWN_ROWS} more"]
    return MetadataValue.md("\n".join(lines))


# What Markdown or HTML takes for its own, as the entity that stands for it.
_ESCAPED = str.maketrans({special: f"&#{ord(special)};" for special in "&<>|`*_[]\\~"})


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = shown(str(value), SHOWN_CHARACTERS)
    # As `repr` writes it, what is invisible can be seen, and a line end does not end the table's row.
    return shown(text if text.isprintable() else repr(text), SHOWN_CHARACTERS).translate(_ESCAPED)
