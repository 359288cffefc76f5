"""The product held against `plain.py`, the other reading of the contract, on any streams and reference tables."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from lacrosse_assets.game import finals
from lacrosse_assets.game.boxscore import boxscore, document

from . import plain
from .builders import AWAY, HOME, Row, frame, read, statistics
from .strategies import SOUP, reference_tables, streams

PURE = settings(max_examples=300)
# Each of them costs half a second and more.
ON_SPARK = settings(max_examples=20)


def exactly(value: Any) -> str:
    """A value so written that 1, 1.0 and True differ, which `==` takes for one."""
    return json.dumps(value, sort_keys=True, indent=1)


@PURE
@given(streams() | SOUP | st.binary())
def test_each_line_becomes_what_the_contract_says(body: bytes) -> None:
    expected, _, _ = plain.read_stream(body, HOME, AWAY)
    assert [(line.line, line.verdict) for line in read(body)] == expected


@PURE
@given(streams() | SOUP | st.binary())
def test_any_bytes_are_read_and_every_line_that_is_not_blank_is_accounted_for(body: bytes) -> None:
    not_blank = [
        number for number, line in enumerate(body.split(b"\n"), start=1) if line.removesuffix(b"\r").strip(b" \t")
    ]
    lines = read(body)
    assert [line.line for line in lines] == not_blank
    for line in lines:
        if line.verdict in {"left out", "unfinished"}:
            assert line.reason
            assert line.text
            assert line.event_id is line.clock is line.team_id is line.number is line.goal is None


@PURE
@given(streams() | SOUP, streams() | SOUP)
def test_what_is_written_later_changes_nothing_of_the_lines_before(before: bytes, after: bytes) -> None:
    whole = before + b"\n"
    lines = read(whole)
    assert read(whole + after)[: len(lines)] == lines


@PURE
@given(streams() | SOUP)
def test_line_ends_are_all_the_same(body: bytes) -> None:
    body = body.replace(b"\r", b"")
    ended_by_crlf = body.replace(b"\n", b"\r\n")
    assert [line._replace(text=None) for line in read(ended_by_crlf)] == [
        line._replace(text=None) for line in read(body)
    ]


@ON_SPARK
@given(body=streams(), tables=reference_tables())
def test_the_game_is_what_the_contract_says(
    spark: SparkSession, body: bytes, tables: tuple[list[Row], list[Row]]
) -> None:
    teams, players = tables
    expected = plain.game(body, HOME, AWAY, teams, players)

    stats = statistics(spark, body, players, teams).localCheckpoint()
    found = document(boxscore(stats))
    if found is not None:
        del found["stream"]
    assert found == expected.document
    assert exactly(found) == exactly(expected.document)

    strangers = {
        (row["team_id"], row["number"]): (row["shots"], row["goals"])
        for row in stats.where("player_id is null and number is not null").collect()
    }
    assert strangers == expected.strangers

    if found is not None:
        teams2 = finals.teams2(spark, frame(spark, teams, finals.TEAMS), found).collect()
        players2 = finals.players2(spark, frame(spark, players, finals.PLAYERS), found).collect()
        assert exactly([row.asDict() for row in teams2]) == exactly(expected.teams2)
        assert exactly([row.asDict() for row in players2]) == exactly(expected.players2)
