"""The scoreboard of a game day, derived from the lines of its games. Plain Python; knows nothing of the web."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .game import SIDES, Document, seconds

# An update this late is marked. The object store's times are whole seconds: less may be rounding.
BEHIND_SECONDS = 3


@dataclass(frozen=True)
class Board:
    """The games, as they are listed: by day, latest first, then by id."""

    live: Sequence[Document]
    final: Sequence[Document]
    days: Sequence[str]

    @property
    def title(self) -> str:
        return f"Scoreboard: {len(self.live)} live, {len(self.final)} final"


def is_line(document: Document) -> bool:
    """Whether a document has all fields that the scoreboard shows. The collection may contain other documents."""
    try:
        seconds(document["timestamp"])
        sides = [document[side] for side in SIDES]
        return (
            isinstance(document["_id"], int)
            and isinstance(document["final"], bool)
            and all(isinstance(side["score"], int) and isinstance(side["name"], str | None) for side in sides)
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def board(lines: Sequence[Document]) -> Board:
    """The scoreboard; `lines` are ordered by id."""
    days = sorted({_day(line) for line in lines} - {""}, reverse=True)
    # Sorting is stable.
    by_day = sorted(lines, key=_day, reverse=True)
    return Board(
        live=[line for line in by_day if not line["final"]],
        final=[line for line in by_day if line["final"]],
        days=days,
    )


def behind(line: Document) -> int | None:
    """How many seconds after the stream the shown update was read, if that is known and worth a mark."""
    stream: Any = line.get("stream")
    if not isinstance(stream, dict):
        return None
    written, read = stream.get("last_modified"), stream.get("fetched_at")
    if not (isinstance(written, datetime) and isinstance(read, datetime)):
        return None
    late = int((read - written).total_seconds())
    return late if late >= BEHIND_SECONDS else None


def _day(line: Document) -> str:
    day = line.get("day")
    return day if isinstance(day, str) else ""
