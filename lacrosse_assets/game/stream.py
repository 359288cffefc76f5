"""The game stream: from the bytes of `gamestream.txt` to classified lines (docs/contract.md, section 1).

    event_id clock team_id jersey_number goal          e.g.   2 56:13 205 8 1

A line is never lost from sight: it is an event (a shot or a clock row), the terminator, a repetition of an earlier
line, left out for a reason, or, at the very end of the stream, a write that is still in progress.

Clocks are read in several spellings and shown in one, `mm:ss`:

    clock    = minutes ":" seconds [ "." fraction ]
    minutes  = 1 or 2 digits
    seconds  = 2 digits, 00 to 59
    fraction = 1 to 3 digits: tenths, hundredths or thousandths of a second

A fraction above zero is rounded up to the next second: `0:45.3` is shown as `00:46`, `0:59.5` as `01:00`, and only a
true zero as `00:00`. Every other spelling is invalid, such as `:45`, `45.3` and `1:02:03`. So is a clock that would be
rounded up to `100:00`. The clock as shown is what counts: the same event in another spelling is the same content.
"""

import codecs
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from lacrosse_assets.game import keys

TERMINATOR_ID = -1
NO_TEAM = 0
OVER = "00:00"

# The largest id that a document's `_id` can hold: BSON's and Spark's longest integer.
LARGEST_ID = 2**63 - 1

# As much of a line that was left out as a person needs to recognize it.
SHOWN_CHARACTERS = 80

# Blanks are the two of ASCII: a name or a number may hold any other, and `\s` would cut it in two.
_BLANKS = re.compile(r"[ \t]+")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_CLOCK = re.compile(r"[0-9]{2}:[0-5][0-9]")
_OTHER_CLOCK = re.compile(r"([0-9]{1,2}):([0-5][0-9])(?:\.([0-9]{1,3}))?")
_LONGEST_CLOCK_SECONDS = 99 * 60 + 59

_NOT_UTF8 = "bytes that are not UTF-8"
# Encodings that a stream may come in by mistake, by its first bytes. Of two that begin alike, the longer one is first.
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"\x1f\x8b": "gzip",
}


class Verdict(StrEnum):
    """What became of a line."""

    SHOT = "shot"
    CLOCK = "clock"
    TERMINATOR = "terminator"
    REPEATED = "repeated"
    LEFT_OUT = "left out"
    UNFINISHED = "unfinished"


EVENTS = (Verdict.SHOT, Verdict.CLOCK)


class Event(NamedTuple):
    """What one line says: a shot, a clock row or the terminator."""

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
    """A line of the stream, numbered from 1, with what became of it. The fields of `LINES`, in their order."""

    line: int
    verdict: str
    reason: str | None = None
    text: str | None = None
    event_id: int | None = None
    clock: str | None = None
    team_id: int | None = None
    number: str | None = None
    goal: int | None = None


# The version of the object that lines were read from. Times are ISO 8601, in UTC.
VERSION = ("etag", "last_modified", "fetched_at")

# A frame of lines: `Line`, and their version.
LINES = StructType(
    [
        StructField("line", IntegerType(), nullable=False),
        StructField("verdict", StringType(), nullable=False),
        StructField("reason", StringType()),
        StructField("text", StringType()),
        StructField("event_id", LongType()),
        StructField("clock", StringType()),
        StructField("team_id", IntegerType()),
        StructField("number", StringType()),
        StructField("goal", IntegerType()),
        *(StructField(column, StringType(), nullable=False) for column in VERSION),
    ]
)


def read_lines(body: bytes, home: int, away: int) -> Iterator[Line]:
    """Read a stream of any bytes, one `Line` for each line that is not blank, in the order of the stream.

    Of two lines with the same id the first one wins: a repetition of the same content means nothing, another content is
    left out. A last line without its end that cannot be read is taken for a write in progress. A byte order mark at the
    start of the stream means nothing; anywhere else it is a part of its line.
    """
    teams = frozenset({home, away, NO_TEAM})
    seen: dict[int, tuple[int, Event]] = {}
    encoding = other_encoding(body)
    pieces = body.removeprefix(codecs.BOM_UTF8).split(b"\n")
    for number, piece in enumerate(pieces, start=1):
        # What follows the last line end is nothing, or a line without one.
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
                yield Line(number, Verdict.LEFT_OUT, reason, shown(text))
        elif is_unended:
            yield Line(number, Verdict.UNFINISHED, "a write in progress", shown(text))
        else:
            # In another encoding each line is malformed in a way of its own, and there is one thing to do about all.
            if encoding and (event == _NOT_UTF8 or "\0" in text):
                event = f"the encoding of the stream is {encoding}, not UTF-8"
            yield Line(number, Verdict.LEFT_OUT, event, shown(text))


def other_encoding(body: bytes) -> str | None:
    """What a stream is encoded in, where its first bytes show that it is not UTF-8; such as `UTF-16`."""
    start = body[:4]
    for mark, encoding in _ENCODINGS.items():
        if start.startswith(mark):
            return encoding
    # UTF-16 without a byte order mark: every other byte of ASCII text is zero.
    if len(start) == 4 and [not byte for byte in start] in ([False, True] * 2, [True, False] * 2):
        return "UTF-16"
    return None


def _read_event(text: str, teams: frozenset[int]) -> Event | str:
    """The event that a line tells of, or the reason why it tells of none."""
    fields = _BLANKS.split(text)
    if len(fields) != len(Event._fields):
        return f"{len(fields)} field{'s' if len(fields) > 1 else ''} instead of {len(Event._fields)}"
    event_id_text, clock, team_text, number, goal = fields
    for name, field in (("event id", event_id_text), ("team", team_text)):
        if not _INTEGER.fullmatch(field):
            return f"{name} {shown(field)!r} is not an integer"
    event_id, team_id = _integer(event_id_text), _integer(team_text)
    if event_id is None:
        return f"event id {shown(event_id_text)} is beyond 64 bits"
    if event_id < TERMINATOR_ID:
        return f"event id {event_id} is neither an event's nor the terminator's ({TERMINATOR_ID})"
    shown_clock = clock if _CLOCK.fullmatch(clock) else _read_clock(clock)
    if shown_clock is None:
        return f"clock {shown(clock)!r} is not mm:ss"
    if team_id not in teams:
        return f"team {shown(team_text)} is none of {', '.join(map(str, sorted(teams)))}"
    if goal not in ("0", "1"):
        return f"goal flag {shown(goal)!r} is neither 0 nor 1"
    return Event(event_id, shown_clock, team_id, keys.jersey(number), int(goal))


def _read_clock(text: str) -> str | None:
    """A clock in any of its spellings as `mm:ss`, rounded up; None if it is none, or has no such form."""
    match = _OTHER_CLOCK.fullmatch(text)
    if match is None:
        return None
    minutes, seconds, fraction = match.groups()
    total = int(minutes) * 60 + int(seconds) + bool(fraction and fraction.strip("0"))
    return f"{total // 60:02}:{total % 60:02}" if total <= _LONGEST_CLOCK_SECONDS else None


def _integer(text: str) -> int | None:
    """The value of an integer of any number of digits, or None where it takes more than 64 bits.

    The digits are counted first: Python refuses to convert thousands of them.
    """
    digits = text.lstrip("+-").lstrip("0")
    if len(digits) > len(str(LARGEST_ID)):
        return None
    value = int(text[0] + digits if text[0] in "+-" else digits) if digits else 0
    return value if abs(value) <= LARGEST_ID else None


def shown(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """As much of a text as a person takes in: a line, a jersey or a name may be a megabyte long."""
    return text if len(text) <= most else text[: most - 1] + "…"
