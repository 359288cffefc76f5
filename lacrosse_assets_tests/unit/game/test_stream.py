"""The lines of the stream and their verdicts (docs/contract.md, section 1)."""

import gzip

import pytest

from lacrosse_assets.game.stream import LARGEST_ID, LINES, MAX_TEXT_CHARACTERS, Line, Verdict, read_lines
from lacrosse_assets_tests.support.builders import VERSION, read, stream

SHOT = "2 56:13 205 8 1"
CLOCK = "70 00:00 0 0 0"
TERMINATOR = "-1 00:00 0 0 0"


def verdicts(body: bytes | str) -> list[tuple[int, str]]:
    return [(line.line, line.verdict) for line in read(body)]


def invalid(body: bytes | str) -> list[tuple[int, str | None]]:
    """Line number and reason of each invalid line."""
    return [(line.line, line.reason) for line in read(body) if line.verdict == Verdict.INVALID]


def events(body: bytes | str) -> list[int | None]:
    return [line.event_id for line in read(body) if line.event_id is not None]


# Valid lines.


def test_a_shot_is_read_field_by_field() -> None:
    assert read(f"{SHOT}\n") == [
        Line(1, Verdict.SHOT, event_id=2, clock="56:13", team_id=205, number="8", goal=1),
    ]


def test_a_row_of_team_0_is_a_clock_row_and_not_a_shot() -> None:
    assert read(f"{CLOCK}\n") == [
        Line(1, Verdict.CLOCK, event_id=70, clock="00:00", team_id=0, number="0", goal=0),
    ]


@pytest.mark.parametrize("row", [TERMINATOR, "-1 25:17 101 6 1", "-1 00:00 205 0 0"])
def test_the_row_of_id_minus_1_is_the_terminator_whatever_team_it_names(row: str) -> None:
    assert verdicts(f"{row}\n") == [(1, "terminator")]


@pytest.mark.parametrize("row", ["-1", "-1 00:00 0 0", "-1 00:00 999 0 0", "-1 end 0 0 0", "-1 00:00 0 0 2"])
def test_a_terminator_has_to_be_well_formed_as_any_other_row(row: str) -> None:
    assert verdicts(f"{row}\n") == [(1, "invalid")]


@pytest.mark.parametrize("clock", ["60:00", "00:00", "00:59", "99:59", "08:09"])
def test_clocks(clock: str) -> None:
    assert [line.clock for line in read(f"2 {clock} 205 8 1\n")] == [clock]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        *(("0:00", "00:00"), ("0:00.0", "00:00"), ("00:00.000", "00:00")),
        *(("0:00.3", "00:01"), ("0:00.001", "00:01"), ("0:01", "00:01"), ("0:01.0", "00:01")),
        *(("9:51", "09:51"), ("09:51.0", "09:51"), ("9:51.5", "09:52")),
        *(("0:45.3", "00:46"), ("00:45.3", "00:46"), ("0:45.30", "00:46"), ("0:45.04", "00:46")),
        *(("0:59.5", "01:00"), ("9:59.9", "10:00"), ("59:59.1", "60:00"), ("60:00", "60:00")),
        *(("99:58.9", "99:59"), ("99:59.0", "99:59")),
    ],
)
def test_a_clock_in_another_spelling_is_shown_as_mm_ss_rounded_up(written: str, shown: str) -> None:
    """Goals at `0:45.3` were lost as invalid lines; rounded down, `0:00.3` would have ended the game."""
    assert read(f"2 {written} 205 8 1\n") == read(f"2 {shown} 205 8 1\n")
    assert [line.clock for line in read(f"2 {written} 205 8 1\n")] == [shown]


def test_a_terminators_clock_may_be_in_another_spelling_as_well() -> None:
    assert [(line.verdict, line.clock) for line in read("-1 0:00.0 0 0 0\n")] == [("terminator", "00:00")]


@pytest.mark.parametrize(
    "jersey", ["0", "00", "000", "8a", "-", "é", "8\u00a08", "\u2028", "\x00", "\x85", "\u00a0\x00"]
)
def test_a_jersey_is_text_kept_as_it_is(jersey: str) -> None:
    (line,) = read(f"2 56:13 205 {jersey} 1\n")
    assert (line.verdict, line.number) == ("shot", jersey)


@pytest.mark.parametrize("jersey", ["\u00a08", "8\u2003", "\x008\x00", "8\ufeff", "\u200b8"])
def test_what_is_invisible_around_a_jersey_does_not_count(jersey: str) -> None:
    assert read(f"2 56:13 205 {jersey} 1\n") == read("2 56:13 205 8 1\n")


def test_jerseys_0_and_00_are_two_contents_of_one_id() -> None:
    assert invalid("2 56:13 205 0 1\n2 56:13 205 00 1\n") == [(2, "event 2 again, with other content than line 1")]


@pytest.mark.parametrize("event_id", [0, 2**31, LARGEST_ID])
def test_ids_up_to_the_largest_that_a_document_can_hold(event_id: int) -> None:
    assert events(f"{event_id} 56:13 205 8 1\n") == [event_id]


@pytest.mark.parametrize("zeros", ["0", "0" * 30, "0" * 5_000], ids=len)
def test_leading_zeros_change_no_integer(zeros: str) -> None:
    (line,) = read(f"{zeros}2 56:13 {zeros}205 8 1\n")
    assert (line.event_id, line.team_id) == (2, 205)


def test_a_plus_is_a_sign() -> None:
    assert read("+2 56:13 +205 8 1\n") == read(f"{SHOT}\n")


# Fields and lines.


@pytest.mark.parametrize(
    "line",
    ["2  56:13   205 8 1", "2\t56:13\t205\t8\t1", " 2 56:13 205 8 1", "2 56:13 205 8 1 ", "\t 2 \t56:13 205 \t 8 1\t "],
)
def test_blanks_and_tabs_in_any_number_part_the_fields(line: str) -> None:
    assert read(f"{line}\n") == read(f"{SHOT}\n")


def test_both_line_ends_even_in_one_stream() -> None:
    ended_by_lf = read(f"{SHOT}\n{CLOCK}\n{TERMINATOR}\n")
    assert read(f"{SHOT}\r\n{CLOCK}\r\n{TERMINATOR}\r\n") == ended_by_lf
    assert read(f"{SHOT}\r\n{CLOCK}\n{TERMINATOR}\r\n") == ended_by_lf


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_nothing_else_ends_a_line(end: str) -> None:
    assert invalid(f"{SHOT}{end}3 55:00 101 6 0\n") == [(1, "9 fields instead of 5")]


@pytest.mark.parametrize("blank", ["\n", "\r\n", " \n", "\t \t\r\n", "\n\n\r\n"])
def test_blank_lines_are_ignored_and_numbered(blank: str) -> None:
    after = 1 + blank.count("\n")
    assert verdicts(f"{blank}{SHOT}\n{blank}") == [(after, "shot")]


@pytest.mark.parametrize("body", ["", "\n", "\r", " ", "\r\n\t"])
def test_a_stream_of_nothing_has_no_lines(body: str) -> None:
    assert read(body) == []


# A last line without a line end.


def test_a_last_line_cut_off_is_a_write_in_progress_and_not_reported() -> None:
    assert verdicts(f"{SHOT}\n3 55:0") == [(1, "shot"), (2, "unfinished")]


@pytest.mark.parametrize("end", ["", "\r"])
def test_a_last_line_without_its_end_that_can_be_read_counts(end: str) -> None:
    assert verdicts(f"{CLOCK}\n{SHOT}{end}") == [(1, "clock"), (2, "shot")]


def test_a_last_line_cut_off_within_a_character_is_a_write_in_progress() -> None:
    assert verdicts("2 56:13 205 é".encode()[:-1]) == [(1, "unfinished")]


@pytest.mark.parametrize("line_text", ["x", "2", "2 56:13 205 8", "goal!"])
def test_a_malformed_line_with_its_end_is_invalid_and_the_same_one_without_it_is_unfinished(line_text: str) -> None:
    assert verdicts(f"{line_text}\n{line_text}") == [(1, "invalid"), (2, "unfinished")]


def test_a_malformed_last_line_is_invalid_once_its_line_end_is_written() -> None:
    assert invalid("3 55:0") == []
    assert invalid("3 55:0\n") == [(1, "2 fields instead of 5")]


def test_a_last_line_without_its_end_that_contradicts_an_earlier_one_is_reported() -> None:
    assert invalid(f"{SHOT}\n2 56:13 205 8 0") == [(2, "event 2 again, with other content than line 1")]


# Invalid lines: reported, with line number and reason.


@pytest.mark.parametrize(
    ("line_text", "reason"),
    [
        ("x", "1 field instead of 5"),
        ("2 56:13 205 8", "4 fields instead of 5"),
        ("2 56:13 205 8 1 1", "6 fields instead of 5"),
        ("\u00a0", "1 field instead of 5"),
        ("2\u00a056:13\u00a0205\u00a08\u00a01", "1 field instead of 5"),
        ("two 56:13 205 8 1", "event id 'two' is not an integer"),
        ("2.0 56:13 205 8 1", "event id '2.0' is not an integer"),
        ("1e3 56:13 205 8 1", "event id '1e3' is not an integer"),
        ("1_000 56:13 205 8 1", "event id '1_000' is not an integer"),
        ("٣ 56:13 205 8 1", "event id '٣' is not an integer"),
        ("2² 56:13 205 8 1", "event id '2²' is not an integer"),
        ("- 56:13 205 8 1", "event id '-' is not an integer"),
        ("--2 56:13 205 8 1", "event id '--2' is not an integer"),
        ("\ufeff2 56:13 205 8 1", r"event id '\ufeff2' is not an integer"),
        ("\x002 56:13 205 8 1", r"event id '\x002' is not an integer"),
        ("2 56:13 home 8 1", "team 'home' is not an integer"),
        ("2 56:13 205.0 8 1", "team '205.0' is not an integer"),
        (f"{'9' * 30} 56:13 205 8 1", f"event id {'9' * 30} exceeds 64 bits"),
        (f"{LARGEST_ID + 1} 56:13 205 8 1", f"event id {LARGEST_ID + 1} exceeds 64 bits"),
        (f"-{'9' * 30} 56:13 205 8 1", f"event id -{'9' * 30} exceeds 64 bits"),
        ("-2 56:13 205 8 1", "event id -2 is negative, and not that of the terminator (-1)"),
        ("-1000 56:13 205 8 1", "event id -1000 is negative, and not that of the terminator (-1)"),
        ("2 56:60 205 8 1", "clock '56:60' is not mm:ss"),
        ("2 5:1 205 8 1", "clock '5:1' is not mm:ss"),
        ("2 :45.3 205 8 1", "clock ':45.3' is not mm:ss"),
        ("2 45.3 205 8 1", "clock '45.3' is not mm:ss"),
        ("2 0:45. 205 8 1", "clock '0:45.' is not mm:ss"),
        ("2 0:45,3 205 8 1", "clock '0:45,3' is not mm:ss"),
        ("2 0:45.3333 205 8 1", "clock '0:45.3333' is not mm:ss"),
        ("2 0:45.3s 205 8 1", "clock '0:45.3s' is not mm:ss"),
        ("2 0:60.0 205 8 1", "clock '0:60.0' is not mm:ss"),
        ("2 1:00:00 205 8 1", "clock '1:00:00' is not mm:ss"),
        ("2 99:59.1 205 8 1", "clock '99:59.1' is not mm:ss"),
        ("2 ٥:13 205 8 1", "clock '٥:13' is not mm:ss"),
        ("2 56:1 205 8 1", "clock '56:1' is not mm:ss"),
        ("2 056:13 205 8 1", "clock '056:13' is not mm:ss"),
        ("2 56:130 205 8 1", "clock '56:130' is not mm:ss"),
        ("2 56-13 205 8 1", "clock '56-13' is not mm:ss"),
        ("2 5613 205 8 1", "clock '5613' is not mm:ss"),
        ("2 -1:13 205 8 1", "clock '-1:13' is not mm:ss"),
        ("2 ٥٦:13 205 8 1", "clock '٥٦:13' is not mm:ss"),
        ("2 56:13 206 8 1", "team 206 is not one of 0, 101, 205"),
        ("2 56:13 -101 8 1", "team -101 is not one of 0, 101, 205"),
        (f"2 56:13 {'9' * 30} 8 1", f"team {'9' * 30} is not one of 0, 101, 205"),
        ("2 56:13 205 8 2", "goal flag '2' is neither 0 nor 1"),
        ("2 56:13 205 8 -1", "goal flag '-1' is neither 0 nor 1"),
        ("2 56:13 205 8 01", "goal flag '01' is neither 0 nor 1"),
        ("2 56:13 205 8 +1", "goal flag '+1' is neither 0 nor 1"),
        ("2 56:13 205 8 yes", "goal flag 'yes' is neither 0 nor 1"),
        ("2 56:13 205 8 1\x00", r"goal flag '1\x00' is neither 0 nor 1"),
        ("2 56:13 205 8 1\r", r"goal flag '1\r' is neither 0 nor 1"),
        ("70 00:00 0 0 2", "goal flag '2' is neither 0 nor 1"),
    ],
)
def test_an_invalid_line_is_reported_with_its_number_its_reason_and_its_text(line_text: str, reason: str) -> None:
    before, line, after = read(f"{CLOCK}\n{line_text}\r\n{TERMINATOR}\n")
    assert line == Line(2, Verdict.INVALID, reason, line_text)
    assert (before.verdict, after.line, after.verdict) == ("clock", 3, "terminator")


@pytest.mark.parametrize(
    "line_text",
    [b"\xff", b"2 56:13 205 \xe9 1", b"2 56:13 205 8 1\xc3", b"\xff\xfe2\x00 \x00", b"2 56:13 205 \xed\xa0\x80 1"],
)
def test_bytes_that_are_not_utf8_are_invalid(line_text: bytes) -> None:
    body = b"\n".join([SHOT.encode(), line_text, CLOCK.encode(), b""])
    assert invalid(body) == [(2, "bytes that are not UTF-8")]
    assert events(body) == [2, 70]


def test_bytes_that_are_not_utf8_are_shown_as_what_they_are() -> None:
    (line,) = read(b"2 56:13 205 \xe9 1\n")
    assert line.text == r"2 56:13 205 \xe9 1"


# Byte order marks and other encodings.


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_byte_order_mark_at_the_start_is_ignored(end: str) -> None:
    """It made the first event an invalid line."""
    assert read(f"\ufeff{SHOT}\n{CLOCK}{end}") == read(f"{SHOT}\n{CLOCK}{end}")


@pytest.mark.parametrize("body", ["\ufeff", "\ufeff\n", "\ufeff \r\n\n"])
def test_a_byte_order_mark_alone_is_a_stream_of_nothing(body: str) -> None:
    assert read(body) == []


def test_a_byte_order_mark_in_the_course_of_being_written() -> None:
    assert verdicts("\ufeff".encode()[:2]) == [(1, "unfinished")]


@pytest.mark.parametrize(
    ("body", "line"),
    [(f"{CLOCK}\n\ufeff{SHOT}\n", 2), (f"\n\ufeff{SHOT}\n", 2), (f"\ufeff\ufeff{SHOT}\n", 1), (f" \ufeff{SHOT}\n", 1)],
)
def test_a_byte_order_mark_anywhere_else_is_a_part_of_its_line(body: str, line: int) -> None:
    assert invalid(body) == [(line, r"event id '\ufeff2' is not an integer")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_stream_in_another_encoding_is_reported_as_that(encoding: str) -> None:
    body = f"{SHOT}\r\n{CLOCK}\r\n".encode(encoding)
    assert events(body) == []
    reason = f"the encoding of the stream is {encoding[:6].upper()}, not UTF-8"
    assert {reason} == {line.reason for line in read(body) if line.verdict == Verdict.INVALID}
    assert invalid(body)[0] == (1, reason)


def test_a_compressed_stream_is_reported_as_that() -> None:
    body = gzip.compress(b"".join(b"%d 50:00 101 %d 0\n" % (event, event * event) for event in range(500)))
    assert events(body) == []
    assert (1, "the encoding of the stream is gzip, not UTF-8") in invalid(body)


def test_a_first_line_that_begins_like_another_encoding_affects_no_other_line() -> None:
    body = b"\xff\xfe2 56:13 205 8 1\n" + stream(SHOT, "3 x 101 6 1", CLOCK)
    assert invalid(body) == [
        (1, "the encoding of the stream is UTF-16, not UTF-8"),
        (3, "clock 'x' is not mm:ss"),
    ]
    assert events(body) == [2, 70]


def test_the_teams_of_the_game_are_those_given() -> None:
    body = stream("0 59:00 7 1 0", "1 58:00 101 1 0", "2 57:00 9 1 0", "3 56:00 0 0 0")
    assert [line.verdict for line in read_lines(body, 7, 9)] == ["shot", "invalid", "shot", "clock"]


@pytest.mark.parametrize("megabyte", ["x", "9", "x ", " ", "é"])
def test_an_invalid_line_of_a_megabyte_is_truncated(megabyte: str) -> None:
    ends, line, after = read(f"{CLOCK}\nx{megabyte * (1_000_000 // len(megabyte))}x\n{SHOT}\n")
    assert (ends.verdict, line.verdict, after.verdict) == ("clock", "invalid", "shot")
    assert line.text is not None
    assert len(line.text) == MAX_TEXT_CHARACTERS
    assert line.text.endswith("…")


@pytest.mark.parametrize("sign", ["", "-", "+"])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{} 56:13 205 8 1", "event id "),
        ("2 {} 205 8 1", "clock "),
        ("2 56:13 {} 8 1", "team "),
        ("2 56:13 205 8 {}", "goal flag "),
    ],
)
def test_thousands_of_digits_in_any_field(row: str, reason: str, sign: str) -> None:
    (line,) = read(row.format(sign + "9" * 5_000) + "\n")
    assert line.verdict == Verdict.INVALID
    assert line.reason is not None
    assert line.reason.startswith(reason)
    assert len(line.reason) < 2 * MAX_TEXT_CHARACTERS


def test_a_text_of_the_maximum_length_is_not_truncated() -> None:
    assert [line.text for line in read("x" * MAX_TEXT_CHARACTERS + "\n")] == ["x" * MAX_TEXT_CHARACTERS]


# Repetitions and contradictions.


def test_the_same_line_twice_counts_once_and_is_not_reported() -> None:
    lines = read(f"{SHOT}\n{CLOCK}\n{SHOT}\n")
    assert [line.verdict for line in lines] == ["shot", "clock", "repeated"]
    assert lines[2].reason == "the same as line 1"
    assert lines[2].event_id is None


@pytest.mark.parametrize(
    "again",
    [
        *("2\t56:13  205 8 1", "02 56:13 0205 8 1", " 2 56:13 205 8 1\r"),
        *("2 56:13.0 205 8 1", "2 56:12.4 205 8 1", "2 56:13 205 8\u00a0 1"),
    ],
)
def test_the_same_content_written_otherwise_is_the_same_line(again: str) -> None:
    assert verdicts(f"{SHOT}\n{again}\n") == [(1, "shot"), (2, "repeated")]


@pytest.mark.parametrize(
    "other", ["2 56:12 205 8 1", "2 56:13 101 8 1", "2 56:13 205 9 1", "2 56:13 205 8 0", "2 56:13 0 8 1"]
)
def test_the_same_id_with_other_content_is_invalid_and_the_first_wins(other: str) -> None:
    body = f"{CLOCK}\n{SHOT}\n{other}\n"
    assert invalid(body) == [(3, "event 2 again, with other content than line 2")]
    assert [(line.clock, line.team_id, line.number, line.goal) for line in read(body) if line.event_id == 2] == [
        ("56:13", 205, "8", 1)
    ]


def test_after_a_contradiction_the_first_content_is_still_the_one_that_counts() -> None:
    assert verdicts(f"{SHOT}\n2 56:13 205 8 0\n{SHOT}\n2 56:13 205 8 0\n") == [
        (1, "shot"),
        (2, "invalid"),
        (3, "repeated"),
        (4, "invalid"),
    ]


def test_a_second_terminator() -> None:
    assert verdicts(f"{TERMINATOR}\n{TERMINATOR}\n-1 25:17 0 0 0\n") == [
        (1, "terminator"),
        (2, "repeated"),
        (3, "invalid"),
    ]


def test_an_invalid_line_takes_no_id() -> None:
    assert verdicts(f"2 56:13 206 8 1\n{SHOT}\n") == [(1, "invalid"), (2, "shot")]


def test_rows_out_of_order_are_read_as_they_come() -> None:
    assert events(f"{TERMINATOR}\n{CLOCK}\n{SHOT}\n0 59:00 101 6 0\n") == [-1, 70, 2, 0]


# The frame of lines.


def test_game_line_and_version_are_the_columns_of_the_frame() -> None:
    assert LINES.fieldNames() == ["game_id", *Line._fields, *VERSION]
