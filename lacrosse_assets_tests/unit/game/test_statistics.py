"""Shots, goals and percentage of every player, in this game only (docs/contract.md, sections 1 and 3)."""

import pytest
from pyspark.sql import SparkSession

from lacrosse_assets.game.statistics import STATISTICS, percentage
from lacrosse_assets.resources.frames import arrow_table
from lacrosse_assets_tests.support.builders import AWAY, HOME, SYRACUSE, Row, player, statistics, stream


def stats(spark: SparkSession, body: bytes, players: list[Row]) -> list[Row]:
    return statistics(spark, body, players)


def shooters(rows: list[Row]) -> dict[tuple[int, int | None, str | None], tuple[int, int, float]]:
    """(team, player, jersey) -> (shots, goals, pct)."""
    found = {
        (row["team_id"], row["player_id"], row["number"]): (row["shots"], row["goals"], row["pct"]) for row in rows
    }
    assert len(found) == len(rows), "one row a player"
    return found


def test_every_player_of_both_rosters_has_a_row_with_zeros_if_need_be(spark: SparkSession) -> None:
    players = [player(1, "6"), player(2, "7"), player(3, "8", AWAY), player(4, "9", AWAY)]
    body = stream("0 59:51 101 6 0", "1 57:06 101 6 1", "2 56:13 205 8 1")
    assert shooters(stats(spark, body, players)) == {
        (HOME, 1, "6"): (2, 1, 0.5),
        (HOME, 2, "7"): (0, 0, 0.0),
        (AWAY, 3, "8"): (1, 1, 1.0),
        (AWAY, 4, "9"): (0, 0, 0.0),
    }


def test_shots_and_goals_of_the_seasons_table_are_not_this_games(spark: SparkSession) -> None:
    season = [player(1, "6", shots=56, goals=23)]
    rows = shooters(stats(spark, stream("0 59:51 101 6 0"), season))
    assert rows[HOME, 1, "6"] == (1, 0, 0.0)


def test_jerseys_0_and_00_are_two_players(spark: SparkSession) -> None:
    players = [player(1, "0"), player(2, "00")]
    body = stream("0 59:00 101 0 1", "1 58:00 101 00 0", "2 57:00 101 00 0")
    rows = shooters(stats(spark, body, players))
    assert rows[HOME, 1, "0"] == (1, 1, 1.0)
    assert rows[HOME, 2, "00"] == (2, 0, 0.0)


def test_the_same_jersey_on_both_teams_is_two_players(spark: SparkSession) -> None:
    players = [player(1, "8"), player(2, "8", AWAY)]
    body = stream("0 59:00 101 8 0", "1 58:00 205 8 1", "2 57:00 205 8 1")
    assert shooters(stats(spark, body, players)) == {(HOME, 1, "8"): (1, 0, 0.0), (AWAY, 2, "8"): (2, 2, 1.0)}


def test_players_of_the_same_name_are_not_taken_for_one(spark: SparkSession) -> None:
    players = [player(1, "6", name="sam"), player(2, "7", name="sam"), player(3, "8", AWAY, name="sam")]
    rows = shooters(stats(spark, stream("0 59:00 101 7 1"), players))
    assert [rows[key][:2] for key in sorted(rows, key=lambda key: key[1] or 0)] == [(0, 0), (1, 1), (0, 0)]


@pytest.mark.parametrize("wearers", [2, 3])
def test_a_jersey_on_several_players_of_a_team_counts_for_none_of_them(spark: SparkSession, wearers: int) -> None:
    players = [player(number, "8") for number in range(wearers)] + [player(9, "8", AWAY)]
    rows = stats(spark, stream("0 59:00 101 8 1", "1 58:00 205 8 0"), players)
    expected = {(HOME, None, "8"): (1, 1, 1.0), (AWAY, 9, "8"): (1, 0, 0.0)}
    assert shooters(rows) == expected | {(HOME, number, "8"): (0, 0, 0.0) for number in range(wearers)}
    assert {row["team_id"]: row["score"] for row in rows} == {HOME: 1, AWAY: 0}


def test_a_jersey_that_nobody_wears_has_a_row_without_a_player(spark: SparkSession) -> None:
    players = [player(1, "6"), player(2, "99", AWAY)]
    body = stream("0 59:00 101 99 1", "1 58:00 101 99 0", "2 57:00 101 6 1")
    rows = stats(spark, body, players)
    (unrostered,) = (row for row in rows if row["player_id"] is None)
    assert unrostered == {
        **{"side": "home", "team_id": HOME, "team_name": "syracuse", "conference": "acc", "wins": 11, "losses": 2},
        **{"player_id": None, "name": None, "number": "99", "shots": 2, "goals": 1, "pct": 0.5, "score": 2},
        **{"game_id": 1, "event_id": 2, "clock": "57:00", "final": False},
    }


def test_the_score_is_the_teams_and_is_on_each_of_its_rows(spark: SparkSession) -> None:
    players = [player(1, "6"), player(2, "7"), player(3, "8", AWAY)]
    body = stream("0 59:00 101 6 1", "1 58:00 101 99 1", "2 57:00 205 8 0")
    scores = {(row["team_id"], row["number"]): row["score"] for row in stats(spark, body, players)}
    assert scores == {(HOME, "6"): 2, (HOME, "7"): 2, (HOME, "99"): 2, (AWAY, "8"): 0}


def test_a_team_without_players_keeps_its_place_and_its_score(spark: SparkSession) -> None:
    rows = stats(spark, stream("0 59:00 101 6 1", "1 58:00 205 8 0"), [player(3, "8", AWAY)])
    assert shooters(rows) == {
        (HOME, None, None): (0, 0, 0.0),
        (HOME, None, "6"): (1, 1, 1.0),
        (AWAY, 3, "8"): (1, 0, 0.0),
    }
    assert {(row["team_name"], row["wins"], row["score"]) for row in rows if row["side"] == "home"} == {
        (SYRACUSE["name"], SYRACUSE["wins"], 1)
    }


def test_clock_rows_and_the_terminator_are_no_shots(spark: SparkSession) -> None:
    players = [player(1, "6"), player(2, "0", AWAY)]
    body = stream("0 59:00 0 6 1", "1 58:00 101 6 0", "-1 00:00 101 6 1")
    assert shooters(stats(spark, body, players)) == {(HOME, 1, "6"): (1, 0, 0.0), (AWAY, 2, "0"): (0, 0, 0.0)}


def test_lines_repeated_invalid_or_unfinished_do_not_count(spark: SparkSession) -> None:
    body = stream("0 59:00 101 6 1", "0 59:00 101 6 1", "0 59:00 101 6 0", "1 58:00 101 6 2") + b"2 57:00 101 6"
    assert shooters(stats(spark, body, [player(1, "6")]))[HOME, 1, "6"] == (1, 1, 1.0)


def test_before_the_first_event_there_is_neither_event_nor_clock(spark: SparkSession) -> None:
    (home, away) = stats(spark, b"", [player(1, "6"), player(2, "8", AWAY)])
    for row in (home, away):
        assert (row["shots"], row["score"], row["event_id"], row["clock"], row["final"]) == (0, 0, None, None, False)


def test_the_result_has_the_columns_and_types_it_declares(spark: SparkSession) -> None:
    """`arrow_table` raises an error if a value is not of its column's type."""
    for every_event in (False, True):
        rows = statistics(spark, stream("0 59:00 101 6 1"), [player(1, "6")], every_event=every_event)
        assert {frozenset(row) for row in rows} == {frozenset(STATISTICS.fieldNames())}
        assert arrow_table(rows, STATISTICS).num_rows == len(rows)


def test_percentages_are_rounded_half_up_to_two_places() -> None:
    expected = {
        (0, 0): 0.0,
        (0, 7): 0.0,
        (7, 7): 1.0,
        (1, 3): 0.33,
        (2, 3): 0.67,
        # Halves, which rounding half to even or a float a little below the half would take down.
        (1, 8): 0.13,
        (5, 8): 0.63,
        (3, 40): 0.08,
        (29, 200): 0.15,
        (201, 200): 1.01,
        (1, 200): 0.01,
        (1, 201): 0.0,
        (199, 200): 1.0,
    }
    assert {(goals, shots): percentage(goals, shots) for goals, shots in expected} == expected
