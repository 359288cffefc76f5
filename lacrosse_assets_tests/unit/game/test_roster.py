"""The roster of a game, from the tables of any school (docs/contract.md, sections 1 and 2)."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacrosse_assets.game import keys
from lacrosse_assets.game.roster import RosterError, Rosters
from lacrosse_assets_tests.support.builders import AWAY, GAME, HOME, HOPKINS, SYRACUSE, TEAMS, Row, player

# What a fixed-width column or another program leaves around a jersey.
PADDING = [
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\x00",
    "\x00\x00",
    "\u00a0",
    "\u2007",
    "\u3000",
    "\u200b",
    "\ufeff",
    "\u2060",
]


def jerseys(*numbers: Any) -> list[Any]:
    """The jerseys in the roster of a home team of players with these values in `number`."""
    players = [player(i, number) for i, number in enumerate(numbers)]
    return [row["number"] for row in Rosters(TEAMS, players).rows(GAME) if row["side"] == "home"]


def test_a_row_for_each_player_of_the_game_home_first_with_the_teams_record() -> None:
    duke = {"id": 77, "name": "duke", "conference": "acc", "wins": 0, "losses": 0}
    players = [player(3, "8", AWAY, "kim"), player(1, "6"), player(2, "6", 77)]
    assert Rosters([duke, HOPKINS, SYRACUSE], players).rows(GAME) == [
        {
            **{"side": "home", "team_id": 101, "team_name": "syracuse", "conference": "acc", "wins": 11, "losses": 2},
            **{"game_id": 1, "player_id": 1, "name": "sam", "number": "6"},
        },
        {
            **{"side": "away", "team_id": 205, "team_name": "johns hopkins", "conference": "big10"},
            **{"wins": 9, "losses": 4, "game_id": 1, "player_id": 3, "name": "kim", "number": "8"},
        },
    ]


def test_a_team_without_players_has_one_row() -> None:
    rows = Rosters(TEAMS, [player(3, "8", AWAY)]).rows(GAME)
    assert [(row["team_id"], row["player_id"], row["number"]) for row in rows] == [(101, None, None), (205, 3, "8")]


# Keys.


@pytest.mark.parametrize("padding", PADDING, ids=ascii)
def test_padding_around_a_jersey_does_not_count(padding: str) -> None:
    """`CHAR(3)` made every jersey unrostered."""
    assert jerseys(f"8{padding}", f"{padding}0", f"{padding}00{padding}") == ["8", "0", "00"]
    assert keys.jersey(f"{padding}8{padding}") == "8"


@pytest.mark.parametrize("number", ["0", "00", "000", "08", "8a", "é", "e\u0301", "1 2", "8\u200b8", "-"])
def test_a_jersey_is_otherwise_kept_as_it_is(number: str) -> None:
    assert jerseys(number) == [number]
    assert keys.jersey(number) == number


@pytest.mark.parametrize(("value", "number"), [(8, "8"), (0, "0"), (Decimal("8"), "8"), (8.0, "8"), (None, None)])
def test_a_jersey_in_a_column_of_numbers(value: Any, number: str | None) -> None:
    assert jerseys(value) == [number]


@pytest.mark.parametrize("blank", ["", " ", "   ", *PADDING], ids=ascii)
def test_a_blank_jersey_belongs_to_no_player_whatever_the_stream_writes(blank: str) -> None:
    assert jerseys(blank) == [""]
    assert keys.jersey(blank) == blank


@given(st.text(), st.text(st.sampled_from("".join(PADDING))), st.text(st.sampled_from("".join(PADDING))))
def test_both_sides_of_the_join_read_a_jersey_alike(number: str, before: str, after: str) -> None:
    (rostered,) = jerseys(before + number + after)
    assert rostered in ("", keys.jersey(before + number + after))
    assert keys.jersey(rostered) == rostered, "read again, it stays the same"


@pytest.mark.parametrize(
    "spelling",
    [int, Decimal, float, str, "{}   ".format, "{:04}".format, lambda value: Decimal(f"{value}.00")],
    ids=["int", "decimal", "float", "text", "char", "zeros", "decimal of two places"],
)
def test_ids_of_any_type(spelling: Any) -> None:
    teams = [{**team, **{key: spelling(team[key]) for key in ("id", "wins", "losses")}} for team in TEAMS]
    players: list[Row] = [{**player(3, "8"), "id": spelling(3), "teamid": spelling(HOME)}]
    expected = Rosters(TEAMS, [player(3, "8")]).rows(GAME)
    found = Rosters(teams, players).rows(GAME)
    assert found == expected
    assert {type(row["team_id"]) for row in found} | {type(row["wins"]) for row in found} == {int}
    assert type(found[0]["player_id"]) is int


# Names.


def test_names_lose_the_padding_of_their_column_and_nothing_else() -> None:
    team = {**SYRACUSE, "name": "syracuse   ", "conference": "acc  "}
    players = [player(1, "6", name="sam       "), player(2, "7", name=" sam\u00a0"), player(3, "8", name="   ")]
    rows = Rosters([team, HOPKINS], players).rows(GAME)
    assert (rows[0]["team_name"], rows[0]["conference"]) == ("syracuse", "acc")
    assert [row["name"] for row in rows[:3]] == ["sam", " sam\u00a0", ""]


def test_the_rows_of_the_tables_are_left_as_they_are() -> None:
    """teams2 and players2 are made of the same rows, and keep every blank."""
    teams, players = [{**SYRACUSE, "name": "syracuse "}, HOPKINS], [player(1, "8  ", name="sam ")]
    before = repr((teams, players))
    Rosters(teams, players).rows(GAME)
    assert repr((teams, players)) == before


# Invalid rows.


@pytest.mark.parametrize(
    ("teams", "message"),
    [
        ([], "table teams has no row with id 101, the home team: the table is empty"),
        ([HOPKINS], "table teams has no row with id 101, the home team: set HOME_TEAM_ID to one of 205"),
        ([SYRACUSE], "table teams has no row with id 205, the away team: set AWAY_TEAM_ID to one of 101"),
        (
            [SYRACUSE, {**HOPKINS, "wins": "many"}],
            "table teams has an invalid row (id 205, name 'johns hopkins'): wins must be a 64-bit integer (got 'many')",
        ),
    ],
)
def test_a_team_that_is_missing_or_malformed(teams: list[Row], message: str) -> None:
    with pytest.raises(RosterError) as raised:
        Rosters(teams, []).rows(GAME)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "value", [None, "one", 2**63, 1.5, Decimal("1.5"), float("nan"), Decimal("NaN"), Decimal("1e400")]
)
def test_an_id_that_is_no_integer_is_reported_with_its_value(value: Any) -> None:
    with pytest.raises(RosterError, match=r"players has an invalid row \(.*\): id must be a 64-bit integer \(got "):
        Rosters(TEAMS, [{**player(1, "6"), "id": value}]).rows(GAME)


@pytest.mark.parametrize("value", [2**31, 2**63 - 1])
def test_an_id_may_have_64_bits(value: int) -> None:
    """As in a BIGINT column: a player whose id has more than 32 bits kept the game from having a box score."""
    assert Rosters(TEAMS, [{**player(1, "6"), "id": value}]).rows(GAME)[0]["player_id"] == value


@pytest.mark.parametrize("value", [b"8", 8.5, float("nan"), True])
def test_a_jersey_that_is_no_text_is_reported_with_its_value(value: Any) -> None:
    with pytest.raises(RosterError, match=r"table players has an invalid row \(.*\): number must be text \(got "):
        Rosters(TEAMS, [player(1, value)]).rows(GAME)


def test_rows_of_other_teams_may_hold_anything() -> None:
    others = [player(1, "6", 77, shots=2**40), {**player(2, "7"), "teamid": None, "id": None}]
    assert len(Rosters([*TEAMS, {**SYRACUSE, "id": 77, "wins": "x"}], others).rows(GAME)) == 2


def test_the_seasons_shots_are_no_part_of_a_roster() -> None:
    """A value that only the final tables cannot be made of holds up no box score."""
    assert len(Rosters(TEAMS, [{**player(1, "6"), "shots": "many", "goals": None}]).rows(GAME)) == 2
