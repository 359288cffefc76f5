"""Plays and plot, derived from consecutive documents: complete ones, with gaps, and above those of an earlier play."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.boxscore_page.app import view, view_of_game
from examples.boxscore_page.game import Shots, plays, plot, recorded_plays, timeline
from examples.boxscore_page.watcher import Reading
from lacrosse_assets_tests.page.conftest import GAME, Scores
from lacrosse_assets_tests.support.world import PLAYERS

JERSEYS = {101: ("6", "0", "00", "77"), 205: ("6", "8", "77")}  # 77 is unrostered


def documents(*ends: int, lines: tuple[str, ...] = GAME) -> list[dict[str, Any]]:
    """The box scores of the stream at these lengths, newest first, as the page's query returns them."""
    return [Scores.document(lines[:end]) for end in sorted(ends, reverse=True)]


def summary(shots: Shots) -> tuple[str, str | None, int, int]:
    return shots.side, shots.player["number"] if shots.player else None, shots.shots, shots.goals


def test_each_shot_is_a_play_with_clock_and_score() -> None:
    found = plays(timeline(documents(*range(1, 9))))

    assert [(play.clock, play.since, play.home, play.away, *map(summary, play.shots)) for play in found] == [
        ("59:30", None, 1, 0, ("home", "6", 1, 1)),
        ("48:00", None, 1, 0, ("away", "8", 1, 0)),
        ("40:00", None, 1, 1, ("away", "8", 1, 1)),
        ("31:10", None, 1, 2, ("away", None, 1, 1)),
        ("20:00", None, 2, 2, ("home", "0", 1, 1)),
        ("02:15", None, 3, 2, ("home", "00", 1, 1)),
    ]


def test_several_shots_between_two_documents_are_one_play() -> None:
    first, then = plays(timeline(documents(2, 5)))

    assert (first.clock, first.since) == ("48:00", "the start")
    assert (then.clock, then.since, then.home, then.away) == ("20:00", "48:00", 2, 2)
    assert [summary(shots) for shots in then.shots] == [
        ("home", "0", 1, 1),
        ("away", "8", 1, 1),
        ("away", None, 1, 1),
    ]


def test_documents_of_an_earlier_play_are_left_out() -> None:
    other = ("0 50:00 205 8 1", "1 49:00 205 8 1", "2 48:00 205 8 1", "3 47:00 205 8 0")
    earlier_play = documents(1, 2, lines=other)
    now = documents(3, 4)

    assert timeline([*now, *earlier_play]) == now[::-1]


def test_documents_of_other_teams_are_left_out() -> None:
    (earlier,) = documents(1)
    earlier["home"] = {**earlier["home"], "teamid": 300}
    assert len(timeline([*documents(3), earlier])) == 1


def test_overtime_belongs_to_the_game() -> None:
    """Its clock starts again: all that was before was taken for an earlier play."""
    overtime = ("9 00:00 0 0 0", "10 03:20 205 8 0", "11 02:00 101 6 1")
    lines = (*GAME[:6], *overtime)
    game = timeline(documents(*range(1, 10), lines=lines))

    assert [document["_id"] for document in game] == [*range(6), 9, 10, 11]
    drawn = plot(game)
    assert drawn.now == 100.0
    assert drawn.goals["home"].endswith("M100.0 0.0h0")


def of_a_day(**home: Any) -> dict[str, Any]:
    """The document of a game, in which jersey 6 of the home team has scored."""
    (document,) = documents(1)
    play = {"event": 0, "clock": "59:30", "team": 101, "jersey": "6", "goal": 1, "home": 1, "away": 0}
    return {**document, "_id": 17, "event": 0, "plays": [play], "home": {**document["home"], **home}}


@pytest.mark.parametrize("others", [[None], [None, None], ["0"]])
def test_a_play_names_the_player_who_wears_the_jersey(others: list[str | None]) -> None:
    """A player without a number was an error of the whole page."""
    player = documents(1)[0]["home"]["players"][0]
    document = of_a_day(players=[player, *({**player, "id": 50, "number": number} for number in others)])

    ((shots,),) = (play.shots for play in recorded_plays(document))

    assert shots.player == player


def test_a_play_by_a_jersey_of_two_players_names_neither() -> None:
    player = documents(1)[0]["home"]["players"][0]
    document = of_a_day(players=[player, {**player, "id": 50}])

    ((shots,),) = (play.shots for play in recorded_plays(document))

    assert shots.player is None


def test_what_a_table_does_not_know_is_left_blank() -> None:
    nothing = {"name": None, "conference": None, "wins": None, "losses": None}
    player = {**documents(1)[0]["home"]["players"][0], "name": None, "number": None}
    document = of_a_day(**nothing, players=[player])

    for rendered in (view_of_game(17, Reading((document,))), view(Reading(({**document, "_id": 0},)))):
        assert b"None" not in rendered.page
        assert b"None" not in rendered.event


def test_a_line_steps_at_a_goal_and_slopes_over_a_gap() -> None:
    whole, with_gap = plot(timeline(documents(1, 2, 3))), plot(timeline(documents(1, 5)))

    assert whole.lines["away"] == "M0 100H0.83L0.83 100.0H20.0L20.0 100.0H33.33L33.33 75.0"
    assert whole.goals == {"home": "M0.83 75.0h0", "away": "M33.33 75.0h0"}
    assert with_gap.lines["away"] == "M0 100H0.83L0.83 100.0L66.67 50.0"
    assert (whole.now, list(whole.scores), whole.clocks[0], whole.clocks[-1]) == (
        33.33,
        [4, 3, 2, 1, 0],
        "60:00",
        "00:00",
    )


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, ...]:
    clocks = sorted(draw(st.lists(st.integers(0, 3900), min_size=1, max_size=15)), reverse=True)
    lines = []
    for event, clock in enumerate(clocks):
        team = draw(st.sampled_from((101, 205)))
        jersey, goal = draw(st.sampled_from(JERSEYS[team])), draw(st.integers(0, 1))
        lines.append(f"{event} {clock // 60:02}:{clock % 60:02} {team} {jersey} {goal}")
    return tuple(lines)


@given(streams(), st.data())
def test_sums_are_right_whichever_documents_are_missing(lines: tuple[str, ...], data: st.DataObject) -> None:
    ends = data.draw(st.sets(st.integers(1, len(lines)), min_size=1))
    game = timeline(documents(*ends, lines=lines))

    assert len(game) == len(ends)
    found = plays(game)
    newest = game[-1]
    for side in ("home", "away"):
        done = [shots for play in found for shots in play.shots if shots.side == side]
        assert sum(shots.goals for shots in done) == newest[side]["score"]
        for player in newest[side]["players"]:
            own = [shots for shots in done if shots.player and shots.player["id"] == player["id"]]
            assert sum(shots.shots for shots in own) == player["shots"]
            assert sum(shots.goals for shots in own) == player["goals"]
    drawn = plot(game)
    numbers = [float(number) for line in drawn.lines.values() for number in re.findall(r"[\d.]+", line)]
    assert all(0 <= number <= 100 for number in numbers)
    assert {player["id"] for player in PLAYERS[:5]} == {
        player["id"] for side in ("home", "away") for player in newest[side]["players"]
    }
