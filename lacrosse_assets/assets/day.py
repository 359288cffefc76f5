"""The games at a glance: what is stored of each, and how far it is behind its stream (docs/contract.md, section 10)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dagster import MetadataValue

from lacrosse_assets.assets.common import MAX_TABLE_ROWS, table_metadata
from lacrosse_assets.game.document import Document
from lacrosse_assets.game.schedule import Game, Schedule
from lacrosse_assets.resources.object_store import StreamVersion

NOT_STARTED, LIVE, FINAL = "not started", "live", "final"
STATUSES = (FINAL, LIVE, NOT_STARTED)
BOX_COLUMNS = ("home", "score", "away", "clock", "status")


class GameStatus(NamedTuple):
    """A scheduled game: its box score without lists (None: there is none), and the version of its stream now."""

    game: Game
    box: Document | None
    version: StreamVersion | None

    @property
    def status(self) -> str:
        return _status(self.box) if self.box else NOT_STARTED

    @property
    def is_current(self) -> bool:
        """Whether the box score is of the stream as it is now."""
        return self.version is None or bool(self.box and StreamVersion.from_document(self.box) == self.version)

    def behind(self, now: datetime) -> timedelta:
        """How long the stream has been newer than the box score. Negative: by an unknown time (`StreamVersion.age`)."""
        return timedelta(0) if self.version is None or self.is_current else self.version.age(now)

    def version_metadata(self) -> dict[str, Any]:
        return self.version.to_metadata() if self.version else {}

    def to_row(self, now: datetime) -> dict[str, Any]:
        """A row for a person."""
        not_started = {"home": self.game.home, "score": "", "away": self.game.away, "clock": "", "status": NOT_STARTED}
        return {
            "game": self.game.game_id,
            **(box_row(self.box) if self.box else not_started),
            "seconds behind": round(self.behind(now).total_seconds()),
        }


def box_row(box: Document) -> dict[str, Any]:
    """A box score as a row for a person (`BOX_COLUMNS`)."""
    home, away = box["home"], box["away"]
    return {
        "home": home.get("name", home["teamid"]),  # a document of another program may have no name
        "score": f"{home['score']} : {away['score']}",
        "away": away.get("name", away["teamid"]),
        "clock": box["timestamp"],
        "status": _status(box),
    }


def _status(box: Document) -> str:
    return FINAL if box.get("final") else LIVE


def statuses(schedule: Schedule, versions: Mapping[str, StreamVersion], boxes: Sequence[Document]) -> list[GameStatus]:
    """The status of each scheduled game, from the versions of the streams by key, and the stored box scores."""
    by_game = {box["game_id"]: box for box in boxes}
    return [GameStatus(game, by_game.get(id_), versions.get(game.stream)) for id_, game in schedule.games.items()]


def in_words(games: Sequence[GameStatus]) -> str:
    """How many games are in which status, such as `3 final, 9 live, 0 not started`."""
    numbers = Counter(each.status for each in games)
    return ", ".join(f"{numbers[status]} {status}" for status in STATUSES)


def day_metadata(games: Sequence[GameStatus], now: datetime) -> dict[str, MetadataValue[Any]]:
    """The games as a table for a person: live games first, those that are furthest behind on top."""
    order = {LIVE: 0, FINAL: 1, NOT_STARTED: 2}
    rows = sorted(games, key=lambda each: (order[each.status], -each.behind(now), each.game.game_id))
    columns = ["game", *BOX_COLUMNS, "seconds behind"]
    return table_metadata("games", [each.to_row(now) for each in rows[:MAX_TABLE_ROWS]], columns, len(rows))
