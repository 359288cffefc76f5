"""The scoreboard and the game of a game day, derived from its documents, as the example page shows them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from examples.boxscore_page.game import is_game, plays, plot, recorded_plays, recorded_timeline, timeline
from examples.boxscore_page.scoreboard import behind, board, is_line
from lacrosse_assets.gamestream.game_day import game_day
from lacrosse_assets_tests.page.games import document
from lacrosse_assets_tests.support import reference_model

DAY = game_day(3)


def line(game_id: int, final: bool = False, day: object = "2026-03-07") -> dict[str, Any]:
    return {"_id": game_id, "final": final, "day": day}


def test_live_games_come_first_and_the_latest_day_before_the_others() -> None:
    lines = [line(1, final=True), line(2, day="2026-03-01"), line(3), line(4, final=True, day="2026-03-08"), line(5)]
    shown = board(lines)
    assert [each["_id"] for each in shown.live] == [3, 5, 2]
    assert [each["_id"] for each in shown.final] == [4, 1]
    assert shown.days == ["2026-03-08", "2026-03-07", "2026-03-01"]
    assert shown.title == "Scoreboard: 3 live, 2 final"


def test_a_day_is_not_needed() -> None:
    assert board([line(1, day=None), line(2, day=7)]).days == []


@pytest.mark.parametrize(("late", "shown"), [(0.9, None), (2.9, None), (3.1, 3), (75, 75), (-5, None)])
def test_a_late_update_is_marked(late: float, shown: int | None) -> None:
    written = datetime(2026, 3, 7, 18, tzinfo=UTC)
    assert behind({"stream": {"last_modified": written, "fetched_at": written + timedelta(seconds=late)}}) == shown


@pytest.mark.parametrize("stream", [None, "x", {}, {"last_modified": "soon", "fetched_at": None}])
def test_an_unknown_delay_is_not_marked(stream: object) -> None:
    assert behind({"stream": stream}) is None


@pytest.mark.parametrize("game", DAY.games, ids=lambda game: str(game.game_id))
def test_the_plays_of_one_document_are_those_of_a_document_per_event(game: Any) -> None:
    """The page of one game shows the same in both layouts."""
    events = len(game.events) - game.events[-1].line.startswith("-1")
    teams, players = [[dict(row) for row in rows] for rows in (DAY.teams, DAY.players)]
    each = [
        reference_model.game(game.stream(count).encode(), game.home, game.away, teams, players).document or {}
        for count in range(events, 0, -1)
    ]
    whole = document(DAY, game, events)

    def shown(found: Any) -> list[Any]:
        return [
            (play.event, play.clock, play.home, play.away, shots.side, shots.player and shots.player["id"], shots.goals)
            for play in found
            for shots in play.shots
        ]

    assert shown(recorded_plays(whole)) == shown(plays(timeline(each)))
    assert plot(recorded_timeline(whole)) == plot(timeline(each))


def test_a_shot_of_an_unrostered_player_is_a_play() -> None:
    whole = document(DAY, DAY.games[0], 1)
    whole["plays"][0]["jersey"] = "99"
    (play,) = recorded_plays(whole)
    assert play.shots[0].player is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"plays": None},
        {"plays": [{"event": 0}]},
        {"plays": [3]},
        {"timestamp": "soon"},
        {"home": {}},
        {"final": "no"},
        {"_id": "1"},
    ],
)
def test_other_documents_are_no_games(wrong: dict[str, Any]) -> None:
    whole = document(DAY, DAY.games[0], 10)
    assert is_game(whole)
    assert is_line(whole)
    assert not is_game({**whole, **wrong})
    assert is_line({**whole, **wrong}) is ("plays" in wrong)
