"""The columns of the tables in `sidearmdb`, and which table is the final copy of which.

docs/contract.md, sections 2, 4 and 10.

This is the only definition of these columns: Spark's schemas and the checks follow from it. It does not import Spark,
so that the simulator and the command line can use it.
"""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple


class Column(NamedTuple):
    """A column. Those of the reference tables are as the original exercise declares them."""

    name: str
    type: type[int] | type[str] | type[date]
    description: str
    max_characters: int | None = None  # of a text
    references: str | None = None  # the table whose `id` it holds
    optional: bool = False  # whether the table may lack it


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

# The schedule of a game day, and which games are in the final tables.
GAMES = (
    Column("id", int, "primary key"),
    Column("day", date, "the day on which it is played"),
    Column("home", int, "id of the home team in teams"),
    Column("away", int, "id of the away team in teams"),
    Column("stream", str, "name of its stream object below the prefix; without one it is `<id>.txt`", optional=True),
)
GAMES2 = (
    Column("id", int, "id of the game in games"),
    Column("day", date, "the day on which it was played"),
    Column("home", int, "id of the home team in teams"),
    Column("away", int, "id of the away team in teams"),
    Column("home_score", int, "all goals of the home team"),
    Column("away_score", int, "all goals of the away team"),
    Column("fingerprint", str, "fingerprint of its final box score", max_characters=32),
)

# The tables that are read, by name.
SOURCE_TABLES: Mapping[str, tuple[Column, ...]] = {**REFERENCE_TABLES, "games": GAMES}

# Each final table, and the reference table that it is a copy of.
FINAL_TABLES: Mapping[str, str] = {"teams2": "teams", "players2": "players"}
