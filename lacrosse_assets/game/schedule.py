"""The games that are played, and which stream each of them has (docs/contract.md, section 10).

A game is a row of the table `games`. Without a game day there is one game, `SINGLE_GAME_ID`, of two teams that the
settings name.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from lacrosse_assets.game.keys import integer
from lacrosse_assets.game.stream import LARGEST_ID

SINGLE_GAME_ID = 1
STREAM_SUFFIX = ".txt"


class Game(NamedTuple):
    """A game: two ids of `teams`, its day (ISO 8601; "" if unknown), and the key of its stream object.

    The single game has no day (None).
    """

    game_id: int
    home: int
    away: int
    day: str | None
    stream: str


class Schedule(NamedTuple):
    """The games by id, in the order of their ids, and why other rows of the table are not among them."""

    games: Mapping[int, Game]
    problems: tuple[str, ...] = ()
    # Games whose stream is another game's by now. Their documents stay as they are.
    ended: frozenset[int] = frozenset()

    @property
    def by_stream(self) -> dict[str, int]:
        return {game.stream: game.game_id for game in self.games.values()}


def schedule_of(rows: Iterable[Mapping[str, Any]], prefix: str) -> Schedule:
    """The schedule that the rows of table `games` make: `id`, `day`, `home`, `away` and, optional, `stream`.

    The stream of game 17 is `<prefix>17.txt`, or what its column `stream` names below the prefix. A school's feed is
    often one file, which its next game reuses: of several games of one stream, the one with the latest day is played
    (on one day, the one with the highest id).
    """
    by_id: dict[int, Game] = {}
    problems = []
    for row in rows:
        game = _game(row, prefix)
        if isinstance(game, str):
            problems.append(game)
            continue
        if not game.day and str(row["day"] or "").strip():
            problems.append(f"game {game.game_id}: day must be a date (got {row['day']!r}); it is played without one")
        # A view may have several rows with one id. Which one is played must not depend on their order.
        other = by_id.get(game.game_id, game)
        by_id[game.game_id] = first = min(game, other)
        if game != other:
            problems.append(
                f"table games has several rows with id {game.game_id}: id must be unique; "
                f"the game of teams {first.home} and {first.away} is played"
            )
    games: dict[str, list[Game]] = {}
    for game in by_id.values():
        games.setdefault(game.stream, []).append(game)
    in_order = {stream: sorted(each, key=lambda game: (str(game.day), game.game_id)) for stream, each in games.items()}
    played = sorted(each[-1] for each in in_order.values())
    ended = frozenset(game.game_id for each in in_order.values() for game in each[:-1])
    return Schedule({game.game_id: game for game in played}, tuple(problems), ended)


def _game(row: Mapping[str, Any], prefix: str) -> Game | str:
    """The game of a row, or what is wrong with the row."""
    ids = {name: integer(row[name]) for name in ("id", "home", "away")}
    for name, value in ids.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_ID:
            where = f"table games has an invalid row (id {row['id']!r})"
            return f"{where}: {name} must be an id of 64 bits (got {row[name]!r})"
    if 0 in (ids["home"], ids["away"]):
        return f"game {ids['id']} is invalid: no team can have id 0, which marks the clock rows of a stream"
    if ids["home"] == ids["away"]:
        return f"game {ids['id']} is invalid: home and away are both team {ids['home']}"
    stream = row.get("stream")
    name = stream.strip() if isinstance(stream, str) else ""
    return Game(ids["id"], ids["home"], ids["away"], _day(row["day"]), prefix + (name or f"{ids['id']}{STREAM_SUFFIX}"))


def _day(value: Any) -> str:
    """A date as ISO 8601 text: some databases return it as text, others as a date or a timestamp. "" if it is none."""
    try:
        return date.fromisoformat(
            (value.isoformat() if isinstance(value, date) else str(value).strip())[:10]
        ).isoformat()
    except ValueError:
        return ""
