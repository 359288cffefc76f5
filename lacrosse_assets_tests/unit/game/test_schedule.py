"""The schedule of a game day, and the plays of a game (docs/contract.md, section 10)."""

from datetime import date, datetime
from typing import Any

import pytest

from lacrosse_assets.game.plays import plays
from lacrosse_assets.game.schedule import Game, schedule_of
from lacrosse_assets_tests.support.builders import HOME, line_rows, stream

ROW = {"id": 17, "day": "2026-03-07", "home": 101, "away": 205}


@pytest.mark.parametrize(
    "day",
    ["2026-03-07", date(2026, 3, 7), datetime(2026, 3, 7, 13, 30), "2026-03-07 00:00:00", " 2026-03-07", 20260307],
)
def test_the_stream_of_a_game_is_named_after_its_id(day: Any) -> None:
    schedule = schedule_of([{**ROW, "day": day}], "games/")

    assert schedule.games == {17: Game(17, 101, 205, "2026-03-07", "games/17.txt")}
    assert schedule.problems == ()


def test_ids_of_any_type_are_normalized() -> None:
    rows = [{"id": "17 ", "day": "2026-03-07", "home": 101.0, "away": "205"}]

    assert schedule_of(rows, "games/").games == {17: Game(17, 101, 205, "2026-03-07", "games/17.txt")}


def test_a_stream_may_have_a_name_of_its_own() -> None:
    rows = [
        {**ROW, "stream": "feeds/syracuse.txt "},
        {**ROW, "id": 18, "stream": None},
        {**ROW, "id": 19, "stream": ""},
    ]

    assert [game.stream for game in schedule_of(rows, "games/").games.values()] == [
        "games/feeds/syracuse.txt",
        "games/18.txt",
        "games/19.txt",
    ]


def test_of_several_games_of_one_stream_the_latest_day_is_played_and_on_one_day_the_highest_id() -> None:
    feed = {**ROW, "stream": "feed.txt"}
    rows = [{**feed, "id": 2, "day": "2026-03-08"}, {**feed, "id": 1, "day": "2026-03-08"}, {**feed, "id": 3}]

    schedule = schedule_of(rows, "games/")

    assert list(schedule.games) == [2]
    assert schedule.ended == {1, 3}
    assert schedule.by_stream == {"games/feed.txt": 2}


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_rows_with_one_id_one_is_played_and_it_is_reported(order: int) -> None:
    """As in a view. The last one was played without a word, and reported as the game of an earlier day."""
    rows = [ROW, {**ROW, "away": 300}, {**ROW, "id": 18}, {**ROW, "id": "18"}]

    schedule = schedule_of(rows[::order], "games/")

    assert {game.game_id: game.away for game in schedule.games.values()} == {17: 205, 18: 205}
    assert schedule.ended == frozenset()
    assert schedule.problems == (
        "table games has several rows with id 17: id must be unique; the game of teams 101 and 205 is played",
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"away": 101}, "game 17 is invalid: home and away are both team 101"),
        ({"away": 0}, "game 17 is invalid: no team can have id 0, which marks the clock rows of a stream"),
        (
            {"home": None},
            "table games has an invalid row (id 17): home must be an id of 64 bits (got None)",
        ),
        (
            {"away": "hopkins"},
            "table games has an invalid row (id 17): away must be an id of 64 bits (got 'hopkins')",
        ),
        (
            {"home": 2**63},
            "table games has an invalid row (id 17): home must be an id of 64 bits (got 9223372036854775808)",
        ),
        ({"id": "G17"}, "table games has an invalid row (id 'G17'): id must be an id of 64 bits (got 'G17')"),
        ({"id": -1}, "table games has an invalid row (id -1): id must be an id of 64 bits (got -1)"),
    ],
)
def test_an_invalid_row_is_reported_and_the_others_are_played(change: dict[str, Any], problem: str) -> None:
    schedule = schedule_of([{**ROW, **change}, {**ROW, "id": 18}], "games/")

    assert schedule.problems == (problem,)
    assert list(schedule.games) == [18]


@pytest.mark.parametrize("day", ["7 March 2026", "03/07/2026", "2026-02-30", 7.5])
def test_a_day_that_is_no_date_is_reported_and_the_game_is_played(day: Any) -> None:
    """It is the last thing that may keep a game, or the final tables of all games, from being written."""
    unknown = [{**ROW, "id": 18, "day": None}, {**ROW, "id": 19, "day": "  "}]

    schedule = schedule_of([{**ROW, "day": day}, *unknown], "games/")

    assert [game.day for game in schedule.games.values()] == ["", "", ""]
    assert schedule.problems == (f"game 17: day must be a date (got {day!r}); it is played without one",)


def test_plays_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document has one, and a document that is too large keeps those of all games from being written."""
    monkeypatch.setattr("lacrosse_assets.game.plays.MAX_PLAYS", 2)
    body = stream("0 59:00 101 6 1", f"1 58:00 101 {'x' * 1000} 1", "2 57:00 101 6 1")

    found = plays(line_rows(body), HOME)

    assert [(play["event"], play["home"]) for play in found] == [(1, 2), (2, 3)]
    assert found[0]["jersey"] == "x" * 19 + "…"


def test_each_event_is_a_play_with_both_scores_after_it() -> None:
    body = stream(
        "1 58:00 205 8 1", "0 59:00 101 6 1", "garbage", "2 57:00 0 0 0", "3 56:00 101 77 0", "-1 00:00 0 0 0"
    )

    assert [(each["event"], each["team"], each["home"], each["away"]) for each in plays(line_rows(body), HOME)] == [
        *((0, 101, 1, 0), (1, 205, 1, 1), (2, 0, 1, 1), (3, 101, 1, 1)),
    ]
