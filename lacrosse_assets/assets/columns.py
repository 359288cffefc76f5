"""What each column is: for Dagit's readers."""

from collections.abc import Mapping

from dagster import TableColumn, TableColumnConstraints, TableSchema
from pyspark.sql.types import StructType

LINE = {
    "line": "number of the line in the stream, from 1",
    "verdict": "what became of it: shot, clock, terminator, repeated, left out or unfinished",
    "reason": "why it does not count",
    "text": "what stood there, where it does not count",
    "event_id": "the event's number; -1 for the terminator",
    "clock": "game time left, mm:ss",
    "team_id": "the team that shot; 0 for a row that only moves the clock",
    "number": "jersey of the player who shot",
    "goal": "1 for a goal, 0 for a shot that did not score",
}
STREAM = {
    "etag": "ETag of the stream that it was read from",
    "last_modified": "when that stream was written (ISO 8601, UTC)",
    "fetched_at": "when it was fetched (ISO 8601, UTC)",
}
TEAM = {
    "side": "home or away",
    "team_id": "id of the team in `teams`",
    "team_name": "name of the team",
    "conference": "the team's conference",
    "wins": "games that the team has won, before this one",
    "losses": "games that the team has lost, before this one",
}
PLAYER = {
    "player_id": "id in `players`; none for a jersey that no one player wears",
    "name": "name of the player",
    "number": "jersey, as text: 0 and 00 are two players",
}
STATISTICS = {
    "shots": "shots on goal in this game, goals among them",
    "goals": "goals in this game",
    "pct": "goals / shots, rounded half up to two places",
    "score": "all goals of the team in this game",
    "event_id": "the latest event of the stream",
    "clock": "game time left then, mm:ss",
    "final": "whether the game is over",
}
REFERENCE = {
    "id": "primary key",
    "name": "any text",
    "conference": "the team's conference",
    "number": "jersey, as text: 0 and 00 are two players",
    "teamid": "id of the team in `teams`",
}
SEASON = {
    "wins": "games won, before this one",
    "losses": "games lost, before this one",
    "shots": "shots on goal this season, before this game",
    "goals": "goals this season, before this game",
}
AFTER = {
    "wins": "games won, this one included",
    "losses": "games lost, this one included",
    "shots": "shots on goal this season, this game included",
    "goals": "goals this season, this game included",
}


def described(schema: StructType, *words: Mapping[str, str]) -> TableSchema:
    """A Spark schema as Dagit shows it, each column with what it is; a `KeyError` names the one that is not told."""
    known = {name: text for mapping in words for name, text in mapping.items()}
    return TableSchema(
        [
            TableColumn(
                field.name,
                field.dataType.simpleString(),
                known[field.name],
                constraints=TableColumnConstraints(nullable=field.nullable),
            )
            for field in schema.fields
        ]
    )
