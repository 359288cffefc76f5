"""What `player_game_stats` and `boxscore_doc` take from the frame of `raw_gamestream`, a `LINES`."""

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.pandas.types import to_arrow_schema

from lacrosse_assets.assets.games import by_game
from lacrosse_assets.game.clock import EventClock, event_clocks
from lacrosse_assets.game.statistics import PLAYER_GAME_STATS
from lacrosse_assets.game.stream import EVENTS, VERSION, Verdict

# The columns that Spark counts shots by.
SHOT_COLUMNS = ["game_id", "verdict", "event_id", "team_id", "number", "goal"]


def game_lines(lines: pa.Table) -> pa.Table:
    """The lines that count: events and the terminator. There may be any number of other lines."""
    return lines.filter(pc.field("verdict").isin([*EVENTS, Verdict.TERMINATOR]))


def clocks_by_game(lines: pa.Table) -> dict[int, list[EventClock]]:
    """The events of each game with their clocks."""
    return {
        game: event_clocks(of_game)
        for game, of_game in by_game(lines.select(["game_id", "verdict", "event_id", "clock"]).to_pylist()).items()
    }


def stream_versions(frame: pa.Table) -> pa.Table:
    """The version of the stream that each game's rows are of: the columns `game_id` and `VERSION`."""
    versions = frame.group_by("game_id").aggregate([(column, "max") for column in VERSION])
    return versions.select(["game_id", *(f"{column}_max" for column in VERSION)]).rename_columns(["game_id", *VERSION])


def with_versions(counted: pa.Table, lines: pa.Table) -> pa.Table:
    """A `STATISTICS` as a `PLAYER_GAME_STATS`: with the version of the stream that each game's lines are of."""
    versions = stream_versions(lines)
    row = pc.index_in(counted["game_id"], versions["game_id"])
    for column in VERSION:
        counted = counted.append_column(column, versions[column].take(row))
    return counted.cast(to_arrow_schema(PLAYER_GAME_STATS))
