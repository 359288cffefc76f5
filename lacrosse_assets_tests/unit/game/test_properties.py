"""Property tests: the product and `reference_model.py` agree on any stream and any reference tables."""

import json
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from lacrosse_assets.game import finals
from lacrosse_assets.game.boxscore import box_scores
from lacrosse_assets.game.clock import event_clocks
from lacrosse_assets.game.document import event_document
from lacrosse_assets.game.roster import Rosters
from lacrosse_assets.game.statistics import GAMES_PER_TASK, is_unrostered, player_game_stats, tallies
from lacrosse_assets.game.stream import LINES
from lacrosse_assets.game.timeline import fingerprints
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.builders import (
    AWAY,
    GAME,
    HOME,
    VERSION,
    Row,
    documents_of,
    frame,
    line_rows,
    read,
    roster_rows,
    statistics,
    stream,
)
from lacrosse_assets_tests.support.strategies import BOM, SOUP, reference_tables, streams

EXAMPLES = settings().max_examples  # of the profile: 100, or 25 in `make test-unit`
PURE = settings(max_examples=3 * EXAMPLES)
# Each of them costs half a second and more.
ON_SPARK = settings(max_examples=EXAMPLES // 5)


def exactly(value: Any) -> str:
    """A value so written that 1, 1.0 and True differ, which `==` takes for one."""
    return json.dumps(value, sort_keys=True, indent=1)


@PURE
@given(streams() | SOUP | st.binary())
def test_each_line_has_the_verdict_of_the_contract(body: bytes) -> None:
    expected, _, _ = reference_model.read_stream(body, HOME, AWAY)
    assert [(line.line, line.verdict) for line in read(body)] == expected


@PURE
@given(streams() | SOUP | st.binary())
def test_any_bytes_are_read_and_every_line_that_is_not_blank_is_accounted_for(body: bytes) -> None:
    marked = body.removeprefix(BOM)
    not_blank = [
        number for number, line in enumerate(marked.split(b"\n"), start=1) if line.removesuffix(b"\r").strip(b" \t")
    ]
    lines = read(body)
    assert [line.line for line in lines] == not_blank
    for line in lines:
        if line.verdict in {"invalid", "unfinished"}:
            assert line.reason
            assert line.text
            assert (line.event_id, line.clock, line.team_id, line.number, line.goal) == (None,) * 5


@PURE
@given(streams() | SOUP, streams() | SOUP)
def test_what_is_written_later_changes_nothing_of_the_lines_before(before: bytes, after: bytes) -> None:
    whole = before + b"\n"
    lines = read(whole)
    assert read(whole + after)[: len(lines)] == lines


@PURE
@given(streams() | SOUP)
@example(b"\0\n\0\n")  # not UTF-16, with either line end
def test_line_ends_are_all_the_same(body: bytes) -> None:
    body = body.replace(b"\r", b"")
    ended_by_crlf = body.replace(b"\n", b"\r\n")
    assert [line._replace(text=None) for line in read(ended_by_crlf)] == [
        line._replace(text=None) for line in read(body)
    ]


@PURE
@given(streams() | SOUP | st.binary())
def test_a_byte_order_mark_at_the_start_changes_nothing(body: bytes) -> None:
    body = body.removeprefix(BOM)
    assume(not body.startswith(BOM))
    # Behind a byte order mark, no other encoding is detected: the reason differs.
    assert [line._replace(reason=None) for line in read(BOM + body)] == [
        line._replace(reason=None) for line in read(body)
    ]


@PURE
@given(st.text(), st.sampled_from(["utf-16", "utf-16-le", "utf-16-be", "utf-32"]))
def test_a_stream_in_another_encoding_is_read_without_an_error(text: str, encoding: str) -> None:
    body = f"2 56:13 205 8 1\n{text}\n".encode(encoding)
    lines = read(body)
    assert [(line.line, line.verdict) for line in lines] == reference_model.read_stream(body, HOME, AWAY)[0]
    assert (lines[0].verdict, lines[0].event_id) == ("invalid", None)
    assert lines[0].reason == f"the encoding of the stream is {encoding[:6].upper()}, not UTF-8"


@PURE
@given(st.integers(0, 99 * 60 + 59), st.integers(0, 999), st.integers(1, 3), st.booleans())
def test_a_clock_is_rounded_up_to_the_second(seconds: int, fraction: int, places: int, is_padded: bool) -> None:
    """In integers: the seconds of what is shown are those of what was written, or of less than a second more."""
    minutes = f"{seconds // 60:02}" if is_padded else f"{seconds // 60}"
    decimals = f"{fraction:03}"[:places]
    (line,) = read(f"2 {minutes}:{seconds % 60:02}.{decimals} 205 8 1\n")
    expected = seconds + (int(decimals) > 0)
    if expected == 100 * 60:
        assert line.verdict == "invalid"
    else:
        assert line.clock
        shown_minutes, shown_seconds = line.clock.split(":")
        assert int(shown_minutes) * 60 + int(shown_seconds) == expected
        assert len(line.clock) == 5


@PURE
@given(st.text(st.sampled_from("0123456789:.,- x٥"), max_size=9))
def test_any_text_is_a_clock_to_both_readings_or_to_neither(text: str) -> None:
    clocks = [line.clock for line in read(f"2 {text.replace(' ', '_')} 205 8 1\n")]
    assert clocks == [reference_model.read_clock(text.replace(" ", "_"))]


@ON_SPARK
@given(body=streams(), tables=reference_tables())
def test_the_game_is_what_the_contract_says(
    spark: SparkSession, body: bytes, tables: tuple[list[Row], list[Row]]
) -> None:
    teams, players = tables
    expected = reference_model.game(body, HOME, AWAY, teams, players)

    stats = statistics(spark, body, players, teams)
    found = next(iter(documents_of(stats)), None)
    if found is not None:
        del found["stream"]
    assert found == expected.document
    assert exactly(found) == exactly(expected.document)

    unrostered = {(row["team_id"], row["number"]): (row["shots"], row["goals"]) for row in stats if is_unrostered(row)}
    assert unrostered == expected.unrostered

    if found is not None:
        teams2 = finals.teams2(spark, frame(spark, teams, finals.TEAMS), [found]).collect()
        players2 = finals.players2(spark, frame(spark, players, finals.PLAYERS), [found]).collect()
        assert exactly([row.asDict() for row in teams2]) == exactly(expected.teams2)
        assert exactly([row.asDict() for row in players2]) == exactly(expected.players2)


@ON_SPARK
@given(body=streams(), tables=reference_tables())
def test_each_event_has_the_document_of_a_stream_that_ends_with_it(
    spark: SparkSession, body: bytes, tables: tuple[list[Row], list[Row]]
) -> None:
    teams, players = tables
    expected = reference_model.timeline(body, HOME, AWAY, teams, players)

    found = documents_of(statistics(spark, body, players, teams, every_event=True))
    for document in found:
        del document["stream"]
    assert found == expected
    assert exactly(found) == exactly(expected)


@PURE
@given(streams(), reference_tables(), st.integers(0, 25))
def test_a_fingerprint_is_that_of_the_stream_that_ends_with_its_event(
    body: bytes, tables: tuple[list[Row], list[Row]], cut: int
) -> None:
    teams, players = tables
    roster = roster_rows(players, teams)
    _, events, terminator = reference_model.read_stream(body, HOME, AWAY)
    whole = fingerprints(line_rows(body), roster)
    assert list(whole) == sorted(events)
    assert len(set(whole.values())) == len(whole)

    played = sorted(events.values())[:cut]
    prefix = stream(*(" ".join(map(str, fields)) for fields in reversed(played)))
    expected = dict(list(whole.items())[: len(played)])
    found = fingerprints(line_rows(prefix), reversed(roster))
    if terminator and played and len(played) == len(events):
        assert found.pop(played[-1][0]) != expected.pop(played[-1][0])
    assert found == expected


@PURE
@given(streams(), streams(), reference_tables(), reference_tables())
def test_the_same_fingerprint_is_the_same_document(
    one: bytes, other: bytes, tables: tuple[list[Row], list[Row]], other_tables: tuple[list[Row], list[Row]]
) -> None:
    def read_both_ways(body: bytes, teams: list[Row], players: list[Row]) -> dict[str, str]:
        prints = fingerprints(line_rows(body), roster_rows(players, teams))
        documents = reference_model.timeline(body, HOME, AWAY, teams, players)
        return {prints[document["_id"]]: exactly(document) for document in documents}

    first = read_both_ways(one, *tables)
    for body, (teams, players) in ((other, tables), (one, other_tables)):
        second = read_both_ways(body, teams, players)
        assert all(first[same] == second[same] for same in first.keys() & second.keys())


@ON_SPARK
@given(bodies=st.lists(streams(), min_size=2, max_size=4), tables=reference_tables(), tasks=st.sampled_from([1, 2]))
def test_each_game_of_a_day_is_what_it_is_by_itself(
    spark: SparkSession, bodies: list[bytes], tables: tuple[list[Row], list[Row]], tasks: int
) -> None:
    teams, players = tables
    rosters = Rosters(teams, players)
    games = {number: GAME._replace(game_id=number) for number in range(1, len(bodies) + 1)}
    lines = [{**row, "game_id": number} for number, body in enumerate(bodies, start=1) for row in line_rows(body)]
    roster = [row for game in games.values() for row in rosters.rows(game)]

    counted = tallies(frame(spark, lines, LINES), games=1 + (tasks - 1) * GAMES_PER_TASK).collect()
    clocks = {number: event_clocks(line_rows(body)) for number, body in enumerate(bodies, start=1)}
    latest = {number: events[-1] if events else None for number, events in clocks.items()}
    stats = player_game_stats([row.asDict() for row in counted], roster, latest)
    found = {box["game_id"]: box for box in box_scores({**row, **VERSION} for row in stats)}

    for number, body in enumerate(bodies, start=1):
        document = event_document(found[number]) if number in found else None
        if document:
            del document["stream"]
        assert exactly(document) == exactly(reference_model.game(body, HOME, AWAY, teams, players).document)
