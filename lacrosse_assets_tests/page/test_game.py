"""What consecutive documents tell: who shot, how the score went; with holes, and above what an earlier game left."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from examples.boxscore_page.game import Shots, plays, plot, timeline
from lacrosse_assets_tests.page.conftest import GAME, Scores
from lacrosse_assets_tests.world import PLAYERS

JERSEYS = {101: ("6", "0", "00", "77"), 205: ("6", "8", "77")}  # nobody wears 77


def documents(*ends: int, lines: tuple[str, ...] = GAME) -> list[dict[str, Any]]:
    """The box scores of the stream at these lengths, the newest first, as the page's query has them."""
    return [Scores.document(lines[:end]) for end in sorted(ends, reverse=True)]


def told(shots: Shots) -> tuple[str, str | None, int, int]:
    return shots.side, shots.player["number"] if shots.player else None, shots.shots, shots.goals


def test_each_shot_is_told_with_its_clock_and_the_score_after_it() -> None:
    found = plays(timeline(documents(*range(1, 9))))

    assert [(play.clock, play.since, play.home, play.away, *map(told, play.shots)) for play in found] == [
        ("59:30", None, 1, 0, ("home", "6", 1, 1)),
        ("48:00", None, 1, 0, ("away", "8", 1, 0)),
        ("40:00", None, 1, 1, ("away", "8", 1, 1)),
        ("31:10", None, 1, 2, ("away", None, 1, 1)),
        ("20:00", None, 2, 2, ("home", "0", 1, 1)),
        ("02:15", None, 3, 2, ("home", "00", 1, 1)),
    ]


def test_several_shots_between_two_documents_are_told_as_such() -> None:
    first, then = plays(timeline(documents(2, 5)))

    assert (first.clock, first.since) == ("48:00", "the start")
    assert (then.clock, then.since, then.home, then.away) == ("20:00", "48:00", 2, 2)
    assert [told(shots) for shots in then.shots] == [
        ("home", "0", 1, 1),
        ("away", "8", 1, 1),
        ("away", None, 1, 1),
    ]


def test_what_an_earlier_game_left_below_is_not_of_this_game() -> None:
    other = ("0 50:00 205 8 1", "1 49:00 205 8 1", "2 48:00 205 8 1", "3 47:00 205 8 0")
    left_below = documents(1, 2, lines=other)
    now = documents(3, 4)

    assert timeline([*now, *left_below]) == now[::-1]


def test_another_fixture_is_not_of_this_game() -> None:
    (below,) = documents(1)
    below["home"] = {**below["home"], "teamid": 300}
    assert len(timeline([*documents(3), below])) == 1


def test_a_line_steps_up_at_a_goal_and_slopes_over_a_hole() -> None:
    whole, holed = plot(timeline(documents(1, 2, 3))), plot(timeline(documents(1, 5)))

    assert whole.lines["away"] == "M0 100H0.83L0.83 100.0H20.0L20.0 100.0H33.33L33.33 75.0"
    assert whole.goals == {"home": "M0.83 75.0h0", "away": "M33.33 75.0h0"}
    assert holed.lines["away"] == "M0 100H0.83L0.83 100.0L66.67 50.0"
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
def test_whatever_is_missing_in_between_the_sums_are_right(lines: tuple[str, ...], data: st.DataObject) -> None:
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
