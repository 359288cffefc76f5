"""The columns of the reference tables, and which table is the final copy of which (docs/contract.md, sections 2 and 4).

This is the only definition of these columns: Spark's schemas and the checks follow from it. It does not import Spark,
so that the simulator and the command line can use it.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Column(NamedTuple):
    """A column of a reference table, as the original exercise declares it."""

    name: str
    type: type[int] | type[str]
    description: str
    max_characters: int | None = None  # of a text
    references: str | None = None  # the table whose `id` it holds


TEAMS = (
    Column("id", int, "primary key"),
    Column("name", str, "name of the team", max_characters=50),
    Column("conference", str, "the team's conference", max_characters=50),
    Column("wins", int, "games won, before this one"),
    Column("losses", int, "games lost, before this one"),
)
PLAYERS = (
    Column("id", int, "primary key"),
    Column("name", str, "name of the player", max_characters=50),
    Column("number", str, "jersey, as text: 0 and 00 are two players", max_characters=3),
    Column("shots", int, "shots on goal this season, before this game"),
    Column("goals", int, "goals this season, before this game"),
    Column("teamid", int, "id of the team in teams", references="teams"),
)
REFERENCE_TABLES: Mapping[str, tuple[Column, ...]] = {"teams": TEAMS, "players": PLAYERS}

# Each final table, and the reference table that it is a copy of.
FINAL_TABLES: Mapping[str, str] = {"teams2": "teams", "players2": "players"}
