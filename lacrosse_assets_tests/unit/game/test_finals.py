"""teams2 and players2 (docs/contract.md, section 4)."""

import pytest
from pyspark.sql import SparkSession

from lacrosse_assets.game import finals
from lacrosse_assets_tests.support.builders import AWAY, HOPKINS, SYRACUSE, Row, box_score, frame, player, stream

DUKE = {"id": 77, "name": "duke", "conference": "acc", "wins": 5, "losses": 6}
TEAMS = [SYRACUSE, DUKE, HOPKINS]
PLAYERS = [
    player(12, "8", AWAY, "jimmy", shots=30, goals=10),
    player(1, "0", name="sam", shots=56, goals=23),
    player(2, "00", name="sam", shots=18, goals=2),
    player(5, "0", 77, "kyle", shots=7, goals=3),
]
HOME_WINS = stream("0 59:51 101 0 1", "1 57:06 101 0 0", "2 56:13 205 8 0", "3 55:25 101 99 1", "-1 00:00 0 0 0")
AWAY_WINS = stream("0 59:51 101 0 0", "1 57:06 205 8 1", "-1 00:00 0 0 0")
TIE = stream("0 59:51 101 0 1", "1 57:06 205 8 1", "-1 00:00 0 0 0")


def final_document(spark: SparkSession, body: bytes, players: list[Row]) -> Row:
    document = box_score(spark, body, players, TEAMS)
    assert document is not None
    return document


def teams2(spark: SparkSession, body: bytes, teams: list[Row] = TEAMS) -> list[Row]:
    document = final_document(spark, body, PLAYERS)
    return [row.asDict() for row in finals.teams2(spark, frame(spark, teams, finals.TEAMS), [document]).collect()]


def players2(spark: SparkSession, body: bytes, players: list[Row] = PLAYERS) -> list[Row]:
    document = final_document(spark, body, players)
    return [row.asDict() for row in finals.players2(spark, frame(spark, players, finals.PLAYERS), [document]).collect()]


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (HOME_WINS, {"syracuse": (12, 2), "johns hopkins": (9, 5)}),
        (AWAY_WINS, {"syracuse": (11, 3), "johns hopkins": (10, 4)}),
        (TIE, {"syracuse": (11, 2), "johns hopkins": (9, 4)}),
    ],
    ids=["home wins", "away wins", "a tie changes neither"],
)
def test_the_winners_wins_and_the_losers_losses_are_one_up(
    spark: SparkSession, body: bytes, records: dict[str, tuple[int, int]]
) -> None:
    found = {row["name"]: (row["wins"], row["losses"]) for row in teams2(spark, body)}
    assert found == records | {"duke": (5, 6)}


def test_the_rows_of_other_teams_and_all_other_columns_are_kept(spark: SparkSession) -> None:
    assert teams2(spark, HOME_WINS) == [DUKE, SYRACUSE | {"wins": 12}, HOPKINS | {"losses": 5}]


def test_each_players_shots_and_goals_are_the_seasons_plus_the_games(spark: SparkSession) -> None:
    assert players2(spark, HOME_WINS) == [
        player(1, "0", name="sam", shots=58, goals=24),
        player(2, "00", name="sam", shots=18, goals=2),
        player(5, "0", 77, "kyle", shots=7, goals=3),
        player(12, "8", AWAY, "jimmy", shots=31, goals=10),
    ]


def test_number_stays_the_text_it_is(spark: SparkSession) -> None:
    numbers = ["0", "00", "007", "1e3", "8a"]
    players = [player(i, number) for i, number in enumerate(numbers)]
    assert [row["number"] for row in players2(spark, AWAY_WINS, players)] == numbers


def test_a_game_of_teams_without_players_has_only_the_rows_of_others(spark: SparkSession) -> None:
    assert players2(spark, HOME_WINS, [PLAYERS[-1]]) == [PLAYERS[-1]]
    assert players2(spark, HOME_WINS, []) == []


def test_running_it_again_gives_the_same_rows(spark: SparkSession) -> None:
    games = [final_document(spark, HOME_WINS, PLAYERS)]
    teams, players = frame(spark, TEAMS, finals.TEAMS), frame(spark, PLAYERS, finals.PLAYERS)
    assert finals.teams2(spark, teams, games).collect() == finals.teams2(spark, teams, games).collect()
    assert finals.players2(spark, players, games).collect() == finals.players2(spark, players, games).collect()


def test_each_game_of_a_day_is_added(spark: SparkSession) -> None:
    games = [final_document(spark, body, PLAYERS) for body in (HOME_WINS, AWAY_WINS, TIE)]
    teams = finals.teams2(spark, frame(spark, TEAMS, finals.TEAMS), games).collect()
    players = finals.players2(spark, frame(spark, PLAYERS, finals.PLAYERS), games).collect()
    assert {row["name"]: (row["wins"], row["losses"]) for row in teams} == {
        "syracuse": (12, 3),
        "johns hopkins": (10, 5),
        "duke": (5, 6),
    }
    assert {row["id"]: (row["shots"], row["goals"]) for row in players} == {
        **{1: (60, 25), 2: (18, 2)},
        **{12: (33, 12), 5: (7, 3)},
    }


def test_columns_and_types_are_those_of_the_reference_tables(spark: SparkSession) -> None:
    document = final_document(spark, HOME_WINS, PLAYERS)
    teams = finals.teams2(spark, frame(spark, TEAMS, finals.TEAMS), [document])
    players = finals.players2(spark, frame(spark, PLAYERS, finals.PLAYERS), [document])
    for found, reference in ((teams, finals.TEAMS), (players, finals.PLAYERS)):
        assert [(field.name, field.dataType) for field in found.schema] == [
            (field.name, field.dataType) for field in reference
        ]
