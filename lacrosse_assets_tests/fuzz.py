"""`make fuzz`: reads millions of hostile lines, and compares the result with the reference model.

    python -m lacrosse_assets_tests.fuzz --lines 1000000 --seed 7

A stream is a pure function of the seed and its number, which an error reports, so a difference can be reproduced.
Hypothesis (`unit/game/test_properties.py`) searches for the smallest stream that fails; this reads many streams, and
long ones.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from time import process_time

import click

from lacrosse_assets.game.stream import LINES, MAX_TEXT_CHARACTERS, TERMINATOR_ID, Line, Verdict, read_lines
from lacrosse_assets.game.timeline import fingerprints
from lacrosse_assets.resources.frames import arrow_table
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.builders import AWAY, HOME, VERSION, roster_rows

# Characters that some library or other takes for a blank, for the end of a line or for the end of a text.
UNICODE_BLANKS = [
    chr(code)
    for code in (
        *(*range(0x1C, 0x20), 0x85, 0xA0, 0x1680, *range(0x2000, 0x2010)),
        *(0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF),
    )
]
CONTROLS = [chr(code) for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in "\t\n"]
CODE = ["'; DROP TABLE teams; --", "<script>alert(1)</script>", "$where", "home.players.0", '{"$gt":""}', "%s%n"]
MEGABYTE = 1_000_000

IDS = ["-1", "-1", "-2", "+3", "007", "-0", "9" * 30, "-" + "9" * 30, str(2**63 - 1), str(2**63), "1e3", "2.0", "٣"]
CLOCKS = [
    *("00:00", "00:60", "60:00", "99:59", "5:13", "--:--", "٥٦:١٣", "00:000", "0:0:0"),
    # Other producers' spellings, and invalid ones that are similar.
    *("0:00", "0:00.0", "0:00.3", "0:45.3", "00:45.3", "00:46", "0:59.95", "9:59.999", "99:59.0"),
    *("99:59.1", ":45.3", "45.3", "0:45.", "0:45,3", "0:45.3333", "1:02:03", "0:4.5", "0:45.٣", "0:45." + "0" * 5_000),
]
FIELDS = {
    "event_id": IDS,
    "clock": CLOCKS,
    "team_id": ["0", "-0", "+101", "77", "101.0", "home", str(2**64 + HOME), "9" * 5_000],
    "number": ["0", "00", "é", "8a", "\U0001f94d", "e\u0301", *UNICODE_BLANKS, *CONTROLS, *CODE],
    "goal": ["2", "-1", "01", "1.0", "true", "1\x00", "１"],
}
BLANKS = [" "] * 20 + ["  ", "\t", " \t ", "\r", "\u00a0", "\u3000", "\x0b", ""]
# What a stream may begin with: a byte order mark, whole, cut off, twice, or that of another encoding.
BOM = "\ufeff".encode()
STARTS = [BOM] * 5 + [
    BOM[:2],
    BOM * 2,
    b" " + BOM,
    b"\n" + BOM,
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xff\xfe\x00\x00",
    b"\x1f\x8b\x08",
]
# Clock rows before the first whistle.
PLACEHOLDERS = [b"0 00:00 0 0 0\n", b"0 0:00.0 0 0 0\r\n1 0:00 0 0 0\n"]
ENDS = [b"\n"] * 20 + [b"\r\n"] * 10 + [b"\r", b"\n\n", b"\r\r\n", b"\x0b\n", b"", "\u2028".encode(), b"\x00\n"]
PLAYERS = [
    {"id": number, "name": name, "number": f"{number:<3}", "shots": 0, "goals": 0, "teamid": (HOME, AWAY)[number % 2]}
    for number, name in enumerate(CODE)
]


class DifferenceError(Exception):
    """The product and the reference model disagree."""


def streams(seed: int) -> Iterator[bytes]:
    """Streams without end: most of some dozen lines, some of ten thousand, a few with a line of a megabyte."""
    for number in range(sys.maxsize):
        yield stream(random.Random(f"{seed}/{number}"))


def stream(
    chance: random.Random,
    teams: tuple[int, int] = (HOME, AWAY),
    sizes: Sequence[int] = (1, 10, 30, 30, 100, 300, 10_000),
) -> bytes:
    """One stream of a game of these teams; `chance` alone decides on it. `sizes`: possible numbers of lines."""
    size = chance.choice(sizes)
    # The share of lines that may be invalid.
    invalid = chance.choice([0, 0.01, 0.1, 0.5, 1])
    ids = chance.choice([size, size * 10, 5])
    lines: list[bytes] = []
    for number in range(size):
        if lines and chance.random() < invalid / 5:
            lines.append(chance.choice(lines))
        else:
            event_id = min(number, ids) if chance.random() < 0.9 else chance.randrange(ids)
            lines.append(line(chance, invalid, event_id, teams))
    if chance.random() < 0.02:
        unit = chance.choice([b"x", b"9", b" ", b"\t ", b"\xff", b"\x00", b"1 ", "é".encode()])
        lines.insert(chance.randrange(len(lines) + 1), b"2 56:13 205 " + unit * (MEGABYTE // len(unit)) + b" 1")
    body = b"".join(each + (chance.choice(ENDS) if invalid else b"\n") for each in lines)
    if chance.random() < 0.1:
        body = chance.choice(PLACEHOLDERS) + body
    if chance.random() < 0.1:
        body = chance.choice(STARTS) + body
    if chance.random() < 0.02:
        body = body.decode(errors="replace").encode(chance.choice(["utf-8-sig", "utf-16", "utf-16-be", "utf-32"]))
    return body[: chance.randrange(len(body) + 1)] if chance.random() < 0.2 else body


def line(chance: random.Random, invalid: float, event_id: int, teams: tuple[int, int] = (HOME, AWAY)) -> bytes:
    """A row, in which each field, each blank and each byte may be another than it ought to be."""
    clock = f"{chance.randrange(60):02}:{chance.randrange(60):02}"
    home, away = teams
    team = chance.choice((home, away, away, 0))
    row = {
        "event_id": str(event_id),
        "clock": clock,
        "team_id": str(team),
        "number": str(chance.randrange(30)),
        "goal": chance.choice("01"),
    }
    if chance.random() >= invalid:
        return " ".join(row.values()).encode()
    for name, odd in FIELDS.items():
        if chance.random() < 0.2:
            row[name] = chance.choice(odd)
    if chance.random() < 0.1:  # padding, which does not count
        row["number"] = chance.choice(UNICODE_BLANKS) + row["number"] + chance.choice([*UNICODE_BLANKS, "\x00"])
    written = "".join(field + chance.choice(BLANKS) for field in row.values()).encode()
    match chance.randrange(6):
        case 0:  # bytes in the place of bytes
            start, end = sorted(chance.randrange(len(written) + 1) for _ in range(2))
            return written[:start] + chance.randbytes(chance.randrange(4)) + written[end:]
        case 1:  # no row at all
            return chance.randbytes(chance.randrange(40))
    return written


# Streams of one kind of line, of any size. Those of the last two have events without end, the others fifty.
FEW_EVENTS = ("invalid lines", "bytes", "repeats", "clashes", "long lines")
MANY_EVENTS = ("events", "unrostered")


def flood(kind: str, size: int) -> bytes:
    """A stream of `size` bytes or a little more, whose last line is the last event."""
    game = b"".join(_event(number, number % 30) for number in range(50))
    last = _event(50, 6)
    match kind:
        case "invalid lines":
            return game + _filled(b"2026-11-24T04:45:12Z INFO something else happened here\n", size) + last
        case "bytes":
            return game + _filled(b"\x00\xff\xfe \x80\x1b[2J 205 8 1\r\n", size) + last
        case "repeats":
            return _filled(game, size) + last
        case "clashes":
            return game + _filled(b"0 11:11 101 6 0\n", size) + last
        case "long lines":
            long = min(MEGABYTE, size // 4)
            return (
                game + _filled(b"1 59:00 101 " + b"x" * long + b" 1\n", size) + b"51 00:01 101 " + b"y" * long + b" 1\n"
            )
        case "events":
            return b"".join(_event(number, number % 30) for number in range(size // len(_event(10_000, 10))))
        case "unrostered":
            return b"".join(_event(number, number) for number in range(size // len(_event(10_000, 10_000))))
    raise ValueError(kind)


def _event(number: int, jersey: int) -> bytes:
    return b"%d %02d:%02d %d %d %d\n" % (number, 59 - number % 60, 1, (HOME, AWAY)[number % 2], jersey, number % 7 == 0)


def _filled(piece: bytes, size: int) -> bytes:
    return piece * (size // len(piece) + 1)


def check(body: bytes) -> int:
    """Compare the product's reading of a stream with the reference model's; returns the number of lines.

    Raises:
        DifferenceError: they differ, or the product yields what its stores could not hold.
    """
    lines = list(read_lines(body, HOME, AWAY))
    expected, events, terminator = reference_model.read_stream(body, HOME, AWAY)
    for ours, theirs in zip(((line.line, str(line.verdict)) for line in lines), expected, strict=False):
        if ours != theirs:
            raise DifferenceError(f"line {theirs[0]} is {theirs[1]!r}, and was read as {ours}")
    if len(lines) != len(expected):
        raise DifferenceError(f"{len(expected)} lines are not blank, and {len(lines)} were read")
    everything = events if terminator is None else {**events, TERMINATOR_ID: terminator}
    if (found := {line.event_id: _fields(line) for line in lines if line.event_id is not None}) != everything:
        raise DifferenceError(f"events differ: {found.items() ^ everything.items()}")
    for line in lines:
        if line.verdict in (Verdict.INVALID, Verdict.UNFINISHED):
            if not (line.text and line.reason and len(line.text) <= MAX_TEXT_CHARACTERS):
                raise DifferenceError(f"line {line.line} is invalid, and was reported as {line}")
            if len(line.reason) > 20 * MAX_TEXT_CHARACTERS:
                raise DifferenceError(f"line {line.line}: a reason of {len(line.reason)} characters")

    table = arrow_table(({**line._asdict(), **VERSION} for line in lines), LINES)
    prints = fingerprints(table.to_pylist(), roster_rows(PLAYERS))
    if list(prints) != sorted(events):
        raise DifferenceError("the frame of the lines holds other events than the lines")
    return len(expected)


def _fields(line: Line) -> tuple[object, ...]:
    return line.event_id, line.clock, line.team_id, line.number, line.goal


@click.command()
@click.option("--lines", default=1_000_000, show_default=True, help="How many lines to read, at least.")
@click.option("--seed", type=int, help="Which streams; another one each time, if none is given.")
def main(lines: int, seed: int | None) -> None:
    """Read hostile streams, by the product and by the reference model, until the first difference."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    start, read, size = process_time(), 0, 0
    for number, body in enumerate(streams(seed), start=1):
        try:
            read += check(body)
        except Exception as error:
            raise click.ClickException(
                f"stream {number} of seed {seed} ({len(body)} bytes): {type(error).__name__}: {error}"
            ) from error
        size += len(body)
        if read >= lines:
            break
    click.echo(
        f"{number} streams, {read} lines, {size / 1e6:.0f} MB, read alike by both; "
        f"seed {seed}, {process_time() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
