"""The rosters of a game, made from the reference tables: the rows of a `ROSTER` (docs/contract.md, sections 1 to 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql.types import IntegerType, StructType

from lacrosse_assets.game import keys
from lacrosse_assets.game.finals import PLAYERS, TEAMS
from lacrosse_assets.game.reference import first_invalid
from lacrosse_assets.game.statistics import AWAY, HOME

# The columns of `players` that a roster needs. The season's shots and goals are not among them: an invalid value there
# must not fail a box score.
_PLAYER = StructType([PLAYERS[column] for column in ("id", "name", "number", "teamid")])


class RosterError(ValueError):
    """No roster can be made from these rows. The message is one line for an operator."""


def roster_rows(
    teams: Sequence[Mapping[str, Any]], players: Sequence[Mapping[str, Any]], home: int, away: int
) -> list[dict[str, Any]]:
    """The `ROSTER` rows of both teams, home first. A team without players has one row, with nulls for the player.

    `teams` and `players` are rows of the reference tables, with any number of teams; they are not changed. Ids and
    jerseys are normalized (`keys.py`). Spaces at the end of names are removed: they are the padding of `CHAR` columns.

    Raises:
        RosterError: a team has no row, or a row of the game has a value of another type than its column's.
    """
    known = [_normalized(team, TEAMS) for team in teams]
    playing = [team for team in known if team["id"] in (home, away)]
    members = [
        {**_normalized(player, _PLAYER), "number": keys.jersey_of(player["number"])}
        for player in players
        if keys.integer(player["teamid"]) in (home, away)
    ]
    problem = first_invalid("teams", playing, TEAMS, ["id"]) or first_invalid("players", members, _PLAYER, ["id"])
    if problem:
        raise RosterError(problem)
    rows = []
    for side, team_id in ((HOME, home), (AWAY, away)):
        team = next((team for team in playing if team["id"] == team_id), None)
        if team is None:
            ids = ", ".join(str(team["id"]) for team in known)
            raise RosterError(
                f"table teams has no row with id {team_id}, the {side} team: "
                + (f"set {side.upper()}_TEAM_ID to one of {ids}" if ids else "the table is empty")
            )
        start = {
            "side": side,
            "team_id": team_id,
            "team_name": team["name"],
            "conference": team["conference"],
            "wins": team["wins"],
            "losses": team["losses"],
        }
        rows += [
            {**start, "player_id": member["id"], "name": member["name"], "number": member["number"]}
            for member in members
            if member["teamid"] == team_id
        ] or [{**start, "player_id": None, "name": None, "number": None}]
    return rows


def _normalized(row: Mapping[str, Any], schema: StructType) -> dict[str, Any]:
    """The columns of the schema: integers normalized, texts without the spaces at their end."""
    return {
        field.name: keys.integer(row[field.name])
        if isinstance(field.dataType, IntegerType)
        else _without_padding(row[field.name])
        for field in schema.fields
    }


def _without_padding(value: Any) -> Any:
    return value.rstrip(" ") if isinstance(value, str) else value
