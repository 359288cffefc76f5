"""From statistics to box scores (docs/contract.md, section 3)."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from lacrosse_assets.game.document import Document
from lacrosse_assets.game.statistics import AWAY, HOME
from lacrosse_assets.game.stream import version_from_columns

_EVENT = itemgetter("game_id", "event_id")


def box_scores(stats: Iterable[Mapping[str, Any]]) -> list[Document]:
    """The box score of each event in rows of a `PLAYER_GAME_STATS`, ordered by game and event.

    There is none for a game without an event.
    """
    rows = sorted((row for row in stats if row["event_id"] is not None), key=_EVENT)
    return [_box_score(list(of_event)) for _, of_event in groupby(rows, key=_EVENT)]


def _box_score(rows: list[Mapping[str, Any]]) -> Document:
    first = rows[0]
    sides = {side: [row for row in rows if row["side"] == side] for side in (HOME, AWAY)}
    scores = {side: of_side[0]["score"] for side, of_side in sides.items()}
    return {
        "game_id": first["game_id"],
        "event": first["event_id"],
        "timestamp": first["clock"],
        HOME: _side(sides[HOME], scores[AWAY]),
        AWAY: _side(sides[AWAY], scores[HOME]),
        "final": first["final"],
        "stream": version_from_columns(first),
    }


def _side(rows: list[Mapping[str, Any]], other_score: int) -> Document:
    team = rows[0]
    score: int = team["score"]
    return {
        "teamid": team["team_id"],
        "name": team["team_name"],
        **{column: team[column] for column in ("conference", "wins", "losses")},
        "score": score,
        "status": "winning" if score > other_score else "losing" if score < other_score else "tied",
        # An unrostered jersey counts in the score and is not in the list.
        "players": [
            {"id": row["player_id"], **{column: row[column] for column in ("name", "number", "shots", "goals", "pct")}}
            for row in sorted(rows, key=_player_id)
            if row["player_id"] is not None
        ],
    }


def _player_id(row: Mapping[str, Any]) -> int:
    return -1 if row["player_id"] is None else int(row["player_id"])
