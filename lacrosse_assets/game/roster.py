"""The rosters of a game, made of the reference tables: the rows of a `ROSTER` (docs/contract.md, sections 1 to 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql.types import IntegerType, StringType, StructField, StructType

from lacrosse_assets.game import keys
from lacrosse_assets.game.reference import amiss
from lacrosse_assets.game.statistics import AWAY, HOME

# The columns of `teams` and `players` that a roster takes.
_TEAM = StructType(
    [
        StructField("id", IntegerType(), nullable=False),
        StructField("name", StringType()),
        StructField("conference", StringType()),
        StructField("wins", IntegerType()),
        StructField("losses", IntegerType()),
    ]
)
_PLAYER = StructType(
    [
        StructField("id", IntegerType(), nullable=False),
        StructField("name", StringType()),
        StructField("number", StringType()),
        StructField("teamid", IntegerType()),
    ]
)


class RosterError(ValueError):
    """No roster can be made of these rows. The message is one line for a person."""


def roster_rows(
    teams: Sequence[Mapping[str, Any]], players: Sequence[Mapping[str, Any]], home: int, away: int
) -> list[dict[str, Any]]:
    """The `ROSTER` rows of both teams, home first; at least one a team, so that a team without players is still there.

    `teams` and `players` are rows of the reference tables, of any season and any number of teams. What they hold is
    read as `keys` says: ids may be `DECIMAL` or text, jerseys padded or integers. Names lose the blanks at their end,
    which is the padding of a `CHAR` column. The rows themselves are not changed.

    Raises:
        RosterError: a team has no row, or a row of the game has a value of another type than its column's.
    """
    known = [_read(team, _TEAM) for team in teams]
    playing = [team for team in known if team["id"] in (home, away)]
    members = [
        {**_read(player, _PLAYER), "number": keys.jersey_of(player["number"])}
        for player in players
        if keys.integer(player["teamid"]) in (home, away)
    ]
    if problem := amiss("teams", playing, _TEAM, ["id"]) or amiss("players", members, _PLAYER, ["id"]):
        raise RosterError(problem)
    rows = []
    for side, team_id in ((HOME, home), (AWAY, away)):
        team = next((team for team in playing if team["id"] == team_id), None)
        if team is None:
            raise RosterError(
                f"table teams has no row for the {side} team {team_id}: {side.upper()}_TEAM_ID has to be one of "
                f"{', '.join(str(team['id']) for team in known) or 'its ids, and it is empty'}"
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


def _read(row: Mapping[str, Any], schema: StructType) -> dict[str, Any]:
    """The columns of the schema, with integers as integers and texts without the blanks at their end."""
    return {
        field.name: keys.integer(row[field.name])
        if isinstance(field.dataType, IntegerType)
        else _without_padding(row[field.name])
        for field in schema.fields
    }


def _without_padding(value: Any) -> Any:
    return value.rstrip(" ") if isinstance(value, str) else value
