"""Column lineage: which columns each column comes from.

Dagster records it with each materialization. Only Dagster+ displays it; the open-source UI does not.
"""

from dagster import AssetKey, TableColumnDep, TableColumnLineage

from lacrosse_assets.assets.sources import PLAYERS_TABLE, TEAMS_TABLE
from lacrosse_assets.game.finals import PLAYERS, TEAMS
from lacrosse_assets.game.statistics import ROSTER
from lacrosse_assets.game.stream import VERSION


def _of(asset: AssetKey | str, *columns: str) -> list[TableColumnDep]:
    return [TableColumnDep(AssetKey(asset) if isinstance(asset, str) else asset, column) for column in columns]


def _same(asset: AssetKey | str, *columns: str) -> dict[str, list[TableColumnDep]]:
    return {column: _of(asset, column) for column in columns}


# A name that both tables have is prefixed with the table's.
ROSTER_LINEAGE = TableColumnLineage(
    {
        **{column: _of(TEAMS_TABLE, "id") for column in ("game_id", "side")},
        "team_id": _of(TEAMS_TABLE, "id"),
        "team_name": _of(TEAMS_TABLE, "name"),
        **_same(TEAMS_TABLE, "conference", "wins", "losses"),
        "player_id": _of(PLAYERS_TABLE, "id"),
        **_same(PLAYERS_TABLE, "name", "number"),
    }
)

_SHOOTER = ("verdict", "team_id", "number")
STATISTICS_LINEAGE = TableColumnLineage(
    {
        **_same("roster", *ROSTER.fieldNames()),
        "number": [*_of("roster", "number"), *_of("raw_gamestream", "number")],
        "shots": _of("raw_gamestream", *_SHOOTER),
        "goals": _of("raw_gamestream", *_SHOOTER, "goal"),
        "pct": _of("raw_gamestream", *_SHOOTER, "goal"),
        "score": _of("raw_gamestream", "verdict", "team_id", "goal"),
        "event_id": _of("raw_gamestream", "verdict", "event_id"),
        "clock": _of("raw_gamestream", "verdict", "event_id", "clock"),
        "final": _of("raw_gamestream", "verdict", "clock"),
        **_same("raw_gamestream", *VERSION),
    }
)

# A document has no columns. These are the fields that a final table is made from.
_GAME = _of("boxscore_doc", "home", "away")
TEAMS2_LINEAGE = TableColumnLineage(
    {
        **_same(TEAMS_TABLE, *TEAMS.fieldNames()),
        **{column: [*_of(TEAMS_TABLE, column), *_GAME] for column in ("wins", "losses")},
    }
)
PLAYERS2_LINEAGE = TableColumnLineage(
    {
        **_same(PLAYERS_TABLE, *PLAYERS.fieldNames()),
        **{column: [*_of(PLAYERS_TABLE, column), *_GAME] for column in ("shots", "goals")},
    }
)
