"""Streams and reference tables as these tests write them down, and as frames."""

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from lacrosse_assets.game.boxscore import box_scores
from lacrosse_assets.game.clock import event_clocks
from lacrosse_assets.game.document import Document, event_document
from lacrosse_assets.game.roster import Rosters
from lacrosse_assets.game.schedule import SINGLE_GAME_ID, Game
from lacrosse_assets.game.statistics import EVENT_CLOCKS, ROSTER, player_game_stats, statistics_at, tallies
from lacrosse_assets.game.stream import LINES, Line, read_lines
from lacrosse_assets.resources.frames import arrow_table

HOME, AWAY = 101, 205
GAME = Game(SINGLE_GAME_ID, HOME, AWAY, day=None, stream="gamestream.txt")
VERSION = {
    "etag": '"c0ffee"',
    "last_modified": "2026-11-07T18:00:00+00:00",
    "fetched_at": "2026-11-07T18:00:01.250000+00:00",
}

Row = dict[str, Any]

SYRACUSE = {"id": HOME, "name": "syracuse", "conference": "acc", "wins": 11, "losses": 2}
HOPKINS = {"id": AWAY, "name": "johns hopkins", "conference": "big10", "wins": 9, "losses": 4}
TEAMS = [SYRACUSE, HOPKINS]


def player(player_id: int, number: str, teamid: int = HOME, name: str = "sam", shots: int = 0, goals: int = 0) -> Row:
    """A row of `players`."""
    return {"id": player_id, "name": name, "number": number, "shots": shots, "goals": goals, "teamid": teamid}


def stream(*lines: str) -> bytes:
    """The body of a stream of these lines, each with its end."""
    return "".join(f"{line}\n" for line in lines).encode()


def read(body: bytes | str) -> list[Line]:
    """What the product makes of a stream of 101 against 205."""
    return list(read_lines(body.encode() if isinstance(body, str) else body, HOME, AWAY))


def frame(spark: SparkSession, rows: Sequence[Row], schema: StructType) -> DataFrame:
    return spark.createDataFrame(arrow_table(rows, schema), schema=schema)


def roster_rows(players: Sequence[Row], teams: Sequence[Row] = TEAMS) -> list[Row]:
    """The rows of a `ROSTER`, as the assets bring the two reference tables together."""
    return Rosters(teams, players).rows(GAME)


def line_rows(body: bytes) -> list[Row]:
    """The rows of a `LINES`."""
    return [{"game_id": GAME.game_id, **line._asdict(), **VERSION} for line in read(body)]


def statistics(
    spark: SparkSession, body: bytes, players: Sequence[Row], teams: Sequence[Row] = TEAMS, *, every_event: bool = False
) -> list[Row]:
    """The product's `STATISTICS` of a stream and reference tables: as of the latest event, or as of every event."""
    rows, roster = line_rows(body), roster_rows(players, teams)
    lines, clocks = frame(spark, rows, LINES), event_clocks(rows)
    if every_event:
        asked_for = frame(spark, [{"game_id": GAME.game_id, **each._asdict()} for each in clocks], EVENT_CLOCKS)
        return list(statistics_at(lines, frame(spark, roster, ROSTER), asked_for))
    counted = [row.asDict() for row in tallies(lines).collect()]
    return player_game_stats(counted, roster, {GAME.game_id: clocks[-1] if clocks else None})


def documents_of(stats: Sequence[Row]) -> list[Document]:
    """The product's documents of the events in a `STATISTICS`, all of `VERSION`."""
    return [event_document(box) for box in box_scores({**row, **VERSION} for row in stats)]


def box_score(
    spark: SparkSession, body: bytes, players: Sequence[Row] = (), teams: Sequence[Row] = TEAMS
) -> Document | None:
    """The product's document of a stream and reference tables."""
    found = documents_of(statistics(spark, body, players, teams))
    assert len(found) <= 1, "only the latest event's is asked for"
    return found[0] if found else None
