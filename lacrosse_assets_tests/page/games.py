"""The documents of a game day, as the platform writes them (docs/contract.md, section 10)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from lacrosse_assets.game.document import Document
from lacrosse_assets.gamestream.game_day import DAY, GameDay, ScheduledGame, game_day
from lacrosse_assets_tests.support import reference_model


def document(day: GameDay, game: ScheduledGame, events: int, /, **fields: Any) -> Document:
    """The document of a game after so many lines of its stream. `fields` replace its own."""
    body = game.stream(events).encode()
    result = reference_model.game(body, game.home, game.away, list(map(dict, day.teams)), list(map(dict, day.players)))
    assert result.document
    now = datetime.now(UTC)
    return {
        **result.document,
        "_id": game.game_id,
        "day": DAY.isoformat(),
        "event": result.document["_id"],
        "plays": plays(game, events),
        "stream": {
            "etag": str(hash(body)),
            "last_modified": now.replace(microsecond=0),
            "fetched_at": now.replace(microsecond=now.microsecond // 1000 * 1000),
        },
        "fingerprint": f"{hash(body):032x}",
        **fields,
    }


def plays(game: ScheduledGame, events: int) -> list[dict[str, Any]]:
    scores = {game.home: 0, game.away: 0}
    listed = []
    for event in game.events[:events]:
        number, clock, team, jersey, goal = event.line.split()
        if number == "-1":
            continue
        if team != "0":
            scores[int(team)] += int(goal)
        play = {"event": int(number), "clock": clock, "team": int(team), "jersey": jersey, "goal": int(goal)}
        listed.append({**play, "home": scores[game.home], "away": scores[game.away]})
    return listed


class Games:
    """The collection that the page of a game day reads, and the games of a day."""

    def __init__(self, uri: str, games: int = 4) -> None:
        self.uri = uri
        self.day = game_day(games)
        self._client = MongoClient[Document](uri)
        self.collection = self._client["sidearm"]["games"]

    def clear(self) -> None:
        self.collection.delete_many({})

    def game(self, game_id: int) -> ScheduledGame:
        return self.day.games[game_id - 1]

    def write(self, game_id: int, events: int | None = None, **fields: Any) -> Mapping[str, Any]:
        """Write a game's document after so many lines, or after its last one."""
        game = self.game(game_id)
        written = document(self.day, game, len(game.events) if events is None else events, **fields)
        self.collection.replace_one({"_id": game_id}, written, upsert=True)
        return written

    def close(self) -> None:
        self._client.close()
