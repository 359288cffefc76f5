"""Any stream and any reference tables, as hypothesis draws them."""

from typing import Any

from hypothesis import strategies as st

from lacrosse_assets_tests.support.builders import AWAY, HOME, HOPKINS, SYRACUSE, Row

Text = st.SearchStrategy[str]
BOM = "\ufeff".encode()

ANY_TEXT: Text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES: Text = st.sampled_from(["sam", "sam ", "sam       ", " sam", "Sam", "o'neil; --", "<b>zoë</b>"]) | ANY_TEXT
# Few, so that they meet: on one team, on both teams, and in the stream.
JERSEYS: Text = st.sampled_from(["0", "00", "1", "8", "08", "é"])
# What a fixed-width column or another program leaves around a jersey. Blanks of ASCII would part a row of the stream.
INVISIBLE: Text = st.sampled_from(["", "", "\u00a0", "\u3000", "\u200b", "\ufeff", "\x00", "\x85", "\u2028"])
PADDED_JERSEYS: Text = st.builds("{}{}{}".format, INVISIBLE, JERSEYS, INVISIBLE)
UNROSTERED_JERSEYS: Text = st.sampled_from(["99", "8a", "000", "8\u00a08", "\x00", "\u00a0\u200b"])
ROSTERED_JERSEYS: Text = (
    JERSEYS | PADDED_JERSEYS | st.builds("{:3}".format, JERSEYS) | st.sampled_from(["", "   ", "\u00a0", "\t8"])
)
CLOCKS: Text = st.builds("{:02}:{:02}".format, st.integers(0, 99), st.integers(0, 59)) | st.just("00:00")
# Other producers' spellings; few minutes and seconds, so that they meet, at both ends of the range.
FRACTIONS: Text = st.sampled_from(["", "", ".0", ".3", ".5", ".9", ".00", ".05", ".000", ".001", ".999"])
OTHER_CLOCKS: Text = st.builds(
    "{}:{:02}{}".format,
    st.sampled_from([0, 0, "00", 1, "01", 9, 59, 99]),
    st.sampled_from([0, 0, 1, 9, 10, 58, 59]),
    FRACTIONS,
)


def rows(**fields: st.SearchStrategy[Any]) -> Text:
    """Rows of the stream: shots, but for the fields given."""
    shot = {
        "event_id": st.integers(0, 40) | st.sampled_from([2**31, 2**63 - 1]),
        "clock": CLOCKS | OTHER_CLOCKS,
        "team": st.sampled_from([HOME, AWAY]),
        "jersey": JERSEYS | PADDED_JERSEYS | UNROSTERED_JERSEYS,
        "goal": st.sampled_from([0, 1]),
    }
    return st.builds("{event_id} {clock} {team} {jersey} {goal}".format, **{**shot, **fields})


SHOTS = rows()
CLOCK_ROWS = rows(team=st.just(0))
PLACEHOLDERS = rows(
    event_id=st.integers(0, 3), clock=st.sampled_from(["00:00", "0:00", "0:00.0"]), team=st.just(0), jersey=st.just(0)
)
TERMINATORS = rows(event_id=st.just(-1), team=st.sampled_from([0, HOME]))
INVALID_LINES = st.one_of(
    ANY_TEXT,
    SHOTS.map(lambda row: row.rsplit(" ", 1)[0]),
    SHOTS.map(lambda row: f"{row} 1"),
    rows(event_id=st.sampled_from(["two", "2.0", "9" * 30, "-" + "9" * 30, "1_0", "-2", "٣", "7" * 5_000, "-"])),
    rows(clock=st.sampled_from(["60:60", "5613", "--:--", "000:00", "00:000", "0:5", ":45.3", "45.3", "1:00:00"])),
    rows(
        clock=st.sampled_from(["0:45.", "0:45,3", "0:45.3333", "99:59.1", "0:60.0", "-0:45", "0:4.5", "0.5:00", "٥:13"])
    ),
    rows(team=st.sampled_from([77, -101, 2**64 + HOME, "home", "101.0"])),
    rows(goal=st.sampled_from([2, -1, "01", "yes", "1\r"])),
).map(str.encode) | st.sampled_from([b"\xff", b"2 56:13 205 \xe9 1", b"x", b"\x00"])


def spaced(lines: Text) -> st.SearchStrategy[bytes]:
    """The same rows, with other blanks between and around their fields."""
    blanks = st.sampled_from([" ", " ", " ", "  ", "\t", " \t "])
    return st.builds(
        lambda line, blank, margin: (margin + line.replace(" ", blank) + margin).encode(),
        lines,
        blanks,
        st.sampled_from(["", "", "", " ", "\t"]),
    )


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A mixture of all that a stream may hold, in any order, cut off anywhere in its last line."""
    shots = draw(st.lists(spaced(SHOTS), max_size=25))
    others = draw(st.lists(spaced(CLOCK_ROWS) | INVALID_LINES | st.sampled_from([b"", b" \t"]), max_size=8))
    ending = draw(st.lists(spaced(TERMINATORS), max_size=2))
    lines = shots + others + ending
    if lines:
        lines += draw(st.lists(st.sampled_from(lines), max_size=3))
    lines = draw(st.permutations(lines))
    # Before the first whistle: clock rows that end nothing.
    lines = draw(st.lists(spaced(PLACEHOLDERS), max_size=2)) + lines
    end = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    body = b"".join(line + end for line in lines)
    last = len(lines[-1] + end) if lines else 0
    mark = draw(st.sampled_from([b"", b"", b"", BOM]))
    return mark + body[: len(body) - draw(st.just(0) | st.integers(0, last))]


# Bytes that come apart into fields and lines more often than any bytes do.
SOUP = st.lists(
    st.sampled_from(
        [
            *(b"\n", b"\n", b"\r\n", b"\r", b" ", b" ", b"\t", b"0", b"1", b"-1", b"x", b"\xff", b"\x00", b"00:00"),
            *(b"2 56:13 205 8 1", b"2 56:13 205 8 0", b"-1 00:00 0 0 0", b"3 00:00 0 0 0\n"),
            *(b"0" * 5_000, b"9" * 5_000),
            *(BOM, BOM[:2], b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"0:45.3", b"2 0:45.3 205 8 1", b"2 0:46 205 8 1"),
        ]
    ),
    max_size=30,
).map(b"".join)


@st.composite
def reference_tables(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """`teams` and `players`: both teams of the game and another, any of them without players, jerseys on several."""
    records = st.integers(0, 30)
    duke = {"id": 77, "name": "duke", "conference": "acc"}
    teams = [
        team | {"name": draw(NAMES), "conference": draw(NAMES), "wins": draw(records), "losses": draw(records)}
        for team in draw(st.permutations([SYRACUSE, HOPKINS, duke]))
    ]
    players = [
        {
            "id": player_id,
            "name": draw(NAMES),
            "number": draw(ROSTERED_JERSEYS),
            "shots": draw(records),
            "goals": draw(records),
            "teamid": draw(st.sampled_from([HOME, HOME, AWAY, AWAY, 77])),
        }
        for player_id in draw(st.lists(st.integers(1, 2**31 - 1), unique=True, max_size=10))
    ]
    return teams, players
