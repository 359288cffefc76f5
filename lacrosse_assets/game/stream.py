"""The game stream: from the bytes of `gamestream.txt` to lines, each with a verdict (docs/contract.md, section 1).

    event_id clock team_id jersey_number goal          e.g.   2 56:13 205 8 1

Every line that is not blank gets a verdict: it is an event (a shot or a clock row), the terminator, a repetition of an
earlier line, invalid for a reason, or unfinished (a write in progress, at the very end of the stream).

Clocks are read in several spellings and normalized to one, `mm:ss`:

    clock    = minutes ":" seconds [ "." fraction ]
    minutes  = 1 or 2 digits
    seconds  = 2 digits, 00 to 59
    fraction = 1 to 3 digits: tenths, hundredths or thousandths of a second

A fraction above zero is rounded up to the next second: `0:45.3` becomes `00:46`, `0:59.5` becomes `01:00`, and only a
true zero becomes `00:00`. Every other spelling is invalid, such as `:45`, `45.3` and `1:02:03`. A clock that would be
rounded up to `100:00` is invalid as well. Lines are compared by their normalized clocks.
"""

import codecs
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pyspark.sql.types import IntegerType, LongType, StringType, StructType

from lacrosse_assets.game import keys
from lacrosse_assets.game.schemas import column

TERMINATOR_ID = -1
NO_TEAM = 0
OVER = "00:00"

# The largest event id: BSON and Spark have integers of 64 bits.
LARGEST_ID = 2**63 - 1

# Texts of lines, and values in error messages, are truncated to this length.
MAX_TEXT_CHARACTERS = 80

# Only ASCII blanks separate fields. `\s` would also split a jersey at a Unicode blank.
_BLANKS = re.compile(r"[ \t]+")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_CLOCK = re.compile(r"[0-9]{2}:[0-5][0-9]")
_ANY_CLOCK = re.compile(r"([0-9]{1,2}):([0-5][0-9])(?:\.([0-9]{1,3}))?")
_LONGEST_CLOCK_SECONDS = 99 * 60 + 59

_NOT_UTF8 = "bytes that are not UTF-8"
# Encodings other than UTF-8, by the first bytes of a stream. Of two with the same start, the longer one is first.
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"\x1f\x8b": "gzip",
}
# UTF-16 without a byte order mark: every other byte of ASCII text is zero. The first two characters of a stream are on
# one line, so a line end is none of them.
_UTF16_START = re.compile(rb"(?:[^\0\r\n]\0){2}|(?:\0[^\0\r\n]){2}")


class Verdict(StrEnum):
    """What a line of the stream is."""

    SHOT = "shot"
    CLOCK = "clock"
    TERMINATOR = "terminator"
    REPEATED = "repeated"
    INVALID = "invalid"
    UNFINISHED = "unfinished"


EVENTS = (Verdict.SHOT, Verdict.CLOCK)


class Event(NamedTuple):
    """The content of a valid line: a shot, a clock row or the terminator."""

    event_id: int
    clock: str
    team_id: int
    number: str
    goal: int

    @property
    def verdict(self) -> Verdict:
        if self.event_id == TERMINATOR_ID:
            return Verdict.TERMINATOR
        return Verdict.CLOCK if self.team_id == NO_TEAM else Verdict.SHOT


class Line(NamedTuple):
    """A line of the stream, numbered from 1, with its verdict. The fields of `LINES`, in their order.

    Of an event or the terminator, `reason` and `text` are None; of any other line, all fields after them are.
    """

    line: int
    verdict: str
    reason: str | None = None
    text: str | None = None
    event_id: int | None = None
    clock: str | None = None
    team_id: int | None = None
    number: str | None = None
    goal: int | None = None


# The columns that hold the version of the stream, in every frame that is made from it.
VERSION = ("etag", "last_modified", "fetched_at")
VERSION_FIELDS = (
    column("etag", StringType(), "ETag of the stream that it was read from", nullable=False),
    column("last_modified", StringType(), "when that stream was written (ISO 8601, UTC)", nullable=False),
    column("fetched_at", StringType(), "when it was fetched (ISO 8601, UTC)", nullable=False),
)

# The first column of each frame. The games of several streams are rows of one frame.
GAME_ID = column("game_id", LongType(), "id of the game", nullable=False)

# A frame of lines: the game, the fields of `Line`, and the version.
LINES = StructType(
    [
        GAME_ID,
        column("line", IntegerType(), "line number in the stream, from 1", nullable=False),
        column("verdict", StringType(), "shot, clock, terminator, repeated, invalid or unfinished", nullable=False),
        column("reason", StringType(), "why the line does not count"),
        column("text", StringType(), "the line itself, truncated, where it does not count"),
        column("event_id", LongType(), "the event's id; -1 for the terminator"),
        column("clock", StringType(), "game time left, mm:ss"),
        column("team_id", LongType(), "the team that shot; 0 for a clock row"),
        column("number", StringType(), "jersey of the player who shot"),
        column("goal", IntegerType(), "1 for a goal, 0 for a shot that did not score"),
        *VERSION_FIELDS,
    ]
)


def version_columns(etag: str, last_modified: datetime, fetched_at: datetime) -> dict[str, str]:
    """The `VERSION` columns of a row. The times have to be in UTC."""
    return {"etag": etag, "last_modified": last_modified.isoformat(), "fetched_at": fetched_at.isoformat()}


def version_from_columns(row: Mapping[str, str]) -> dict[str, Any]:
    """The field `stream` of a document, from the `VERSION` columns of a row: what `version_columns` was given."""
    return {
        "etag": row["etag"],
        "last_modified": datetime.fromisoformat(row["last_modified"]),
        "fetched_at": datetime.fromisoformat(row["fetched_at"]),
    }


def read_lines(body: bytes, home: int, away: int) -> Iterator[Line]:
    """Read a stream of any bytes: one `Line` for each line that is not blank, in the order of the stream.

    `home` and `away` are the ids of the two teams; a line with any other team (but 0, a clock row) is invalid.

    - Of two lines with the same id the first one wins. The other is `repeated` if its content is the same, and invalid
      if it is not.
    - A last line without a line end is `unfinished` if it cannot be parsed: a write may be in progress.
    - A byte order mark at the start of the stream is ignored. Anywhere else it is a part of its line.
    """
    teams = frozenset({home, away, NO_TEAM})
    seen: dict[int, tuple[int, Event]] = {}
    encoding = other_encoding(body)
    pieces = body.removeprefix(codecs.BOM_UTF8).split(b"\n")
    for number, piece in enumerate(pieces, start=1):
        # The piece after the last line end is empty, or a line without a line end.
        is_unended = number == len(pieces)
        stripped = piece.removesuffix(b"\r").strip(b" \t")
        if not stripped:
            continue
        try:
            text = stripped.decode()
            event: Event | str = _read_event(text, teams)
        except UnicodeDecodeError:
            text = stripped.decode(errors="backslashreplace")
            event = _NOT_UTF8

        if isinstance(event, Event):
            first_line, first = seen.setdefault(event.event_id, (number, event))
            if first_line == number:
                yield Line(number, event.verdict, None, None, *event)
            elif first == event:
                yield Line(number, Verdict.REPEATED, f"the same as line {first_line}")
            else:
                reason = f"event {event.event_id} again, with other content than line {first_line}"
                yield Line(number, Verdict.INVALID, reason, truncate(text))
        elif is_unended:
            yield Line(number, Verdict.UNFINISHED, "a write in progress", truncate(text))
        else:
            # In another encoding each line is malformed in its own way. One reason for all of them is more useful.
            if encoding and (event == _NOT_UTF8 or "\0" in text):
                event = f"the encoding of the stream is {encoding}, not UTF-8"
            yield Line(number, Verdict.INVALID, event, truncate(text))


def other_encoding(body: bytes) -> str | None:
    """The encoding of a stream, such as `UTF-16`, if its first bytes show that it is not UTF-8; None otherwise."""
    start = body[:4]
    for mark, encoding in _ENCODINGS.items():
        if start.startswith(mark):
            return encoding
    return "UTF-16" if _UTF16_START.match(start) else None


def _read_event(text: str, teams: frozenset[int]) -> Event | str:
    """The event of a line, or the reason why the line is invalid."""
    fields = _BLANKS.split(text)
    if len(fields) != len(Event._fields):
        return f"{len(fields)} field{'s' if len(fields) > 1 else ''} instead of {len(Event._fields)}"
    event_id_text, clock, team_text, number, goal = fields
    for name, field in (("event id", event_id_text), ("team", team_text)):
        if not _INTEGER.fullmatch(field):
            return f"{name} {truncate(field)!r} is not an integer"
    event_id, team_id = _integer(event_id_text), _integer(team_text)
    if event_id is None:
        return f"event id {truncate(event_id_text)} exceeds 64 bits"
    if event_id < TERMINATOR_ID:
        return f"event id {event_id} is negative, and not that of the terminator ({TERMINATOR_ID})"
    normalized_clock = clock if _CLOCK.fullmatch(clock) else _read_clock(clock)
    if normalized_clock is None:
        return f"clock {truncate(clock)!r} is not mm:ss"
    if team_id not in teams:
        return f"team {truncate(team_text)} is not one of {', '.join(map(str, sorted(teams)))}"
    if goal not in ("0", "1"):
        return f"goal flag {truncate(goal)!r} is neither 0 nor 1"
    return Event(event_id, normalized_clock, team_id, keys.jersey(number), int(goal))


def _read_clock(text: str) -> str | None:
    """Normalize a clock to `mm:ss`, rounded up; None if it is invalid."""
    match = _ANY_CLOCK.fullmatch(text)
    if match is None:
        return None
    minutes, seconds, fraction = match.groups()
    total = int(minutes) * 60 + int(seconds) + bool(fraction and fraction.strip("0"))
    return f"{total // 60:02}:{total % 60:02}" if total <= _LONGEST_CLOCK_SECONDS else None


def _integer(text: str) -> int | None:
    """The value of an integer of any number of digits; None if it exceeds 64 bits.

    The digits are counted first: Python raises an error when it has to convert thousands of them.
    """
    digits = text.lstrip("+-").lstrip("0")
    if len(digits) > len(str(LARGEST_ID)):
        return None
    value = int(text[0] + digits if text[0] in "+-" else digits) if digits else 0
    return value if abs(value) <= LARGEST_ID else None


def truncate(text: str, max_characters: int = MAX_TEXT_CHARACTERS) -> str:
    """The text, or its start and an ellipsis if it is longer than `max_characters`. Any input may be megabytes long."""
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"
