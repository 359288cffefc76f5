"""The rosters of games, made from the reference tables: the rows of a `ROSTER` (docs/contract.md, sections 1 to 3)."""

from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql.types import LongType, StructType

from lacrosse_assets.game import keys
from lacrosse_assets.game.finals import PLAYERS, TEAMS
from lacrosse_assets.game.reference import first_invalid
from lacrosse_assets.game.schedule import Game
from lacrosse_assets.game.statistics import AWAY, HOME

# The columns of `players` that a roster needs. The season's shots and goals are not among them: an invalid value there
# must not fail a box score.
_PLAYER = StructType([PLAYERS[column] for column in ("id", "name", "number", "teamid")])


class RosterError(ValueError):
    """No roster can be made from these rows. The message is one line for an operator."""


class Rosters:
    """The rosters of any games, from the rows of the reference tables, which are not changed."""

    def __init__(self, teams: Iterable[Mapping[str, Any]], players: Iterable[Mapping[str, Any]]) -> None:
        self._teams: dict[Any, Mapping[str, Any]] = {}
        for team in teams:
            self._teams.setdefault(keys.integer(team["id"]), team)
        self._players: dict[Any, list[Mapping[str, Any]]] = {}
        for player in players:
            self._players.setdefault(keys.integer(player["teamid"]), []).append(player)

    def rows(self, game: Game) -> list[dict[str, Any]]:
        """The `ROSTER` rows of both teams, home first. A team without players has one row, with nulls for the player.

        Ids and jerseys are normalized (`keys.py`). Spaces at the end of names are removed: they are the padding of
        `CHAR` columns.

        Raises:
            RosterError: a team has no row, or a row of the game has a value of another type than its column's.
        """
        return [row for side, team in ((HOME, game.home), (AWAY, game.away)) for row in self._side(game, side, team)]

    def _side(self, game: Game, side: str, team_id: int) -> list[dict[str, Any]]:
        if team_id not in self._teams:
            raise RosterError(f"table teams has no row with id {team_id}, the {side} team: {self._advice(game, side)}")
        team = _normalized(self._teams[team_id], TEAMS)
        members = [
            {**_normalized(player, _PLAYER), "number": keys.jersey_of(player["number"])}
            for player in self._players.get(team_id, ())
        ]
        problem = first_invalid("teams", [team], TEAMS, ["id"]) or first_invalid("players", members, _PLAYER, ["id"])
        if problem:
            raise RosterError(problem)
        start = {
            "game_id": game.game_id,
            "side": side,
            "team_id": team_id,
            "team_name": team["name"],
            **{column: team[column] for column in ("conference", "wins", "losses")},
        }
        return [
            {**start, "player_id": member["id"], "name": member["name"], "number": member["number"]}
            for member in members
        ] or [{**start, "player_id": None, "name": None, "number": None}]

    def _advice(self, game: Game, side: str) -> str:
        if not self._teams:
            return "the table is empty"
        if game.day is not None:
            return f"add it, or correct row {game.game_id} of table games"
        return f"set {side.upper()}_TEAM_ID to one of {', '.join(map(str, self._teams))}"


def _normalized(row: Mapping[str, Any], schema: StructType) -> dict[str, Any]:
    """The columns of the schema: integers normalized, texts without the spaces at their end."""
    return {
        field.name: keys.integer(row[field.name])
        if isinstance(field.dataType, LongType)
        else _without_padding(row[field.name])
        for field in schema.fields
    }


def _without_padding(value: Any) -> Any:
    return value.rstrip(" ") if isinstance(value, str) else value
