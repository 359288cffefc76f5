"""Plays a game day: each game at its own pace, each with a stream of its own."""

import heapq
import logging
from collections.abc import Mapping
from functools import partial
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

from lacrosse_assets.gamestream.game_day import GameDay, ScheduledGame
from lacrosse_assets.gamestream.reference_data import GAMES, PLAYERS, TEAMS, Tables
from lacrosse_assets.gamestream.simulator import call_store
from lacrosse_assets.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

WRITERS = 8  # concurrent writes
STOP_TIMEOUT_SECONDS = 5  # for writes that are under way when the simulator is stopped


def tables_of(day: GameDay) -> Tables:
    """The reference tables of the day, and its schedule."""
    return {TEAMS: day.teams, PLAYERS: day.players, GAMES: day.schedule}


def stream_key(settings: Settings, game_id: int) -> str:
    """The key of a game's stream."""
    return f"{settings.gamestream_key}{game_id}.txt"


def play_day(store: "S3Client", settings: Settings, day: GameDay, written: Mapping[int, int] | None = None) -> None:
    """Write each game's whole stream so far at each of its events, at the pace of `settings.delay`.

    `written`: the number of events of each game that an interrupted simulator has written; the games continue after
    those.

    Raises:
        ClickException: the object store refuses a write, or does not respond.
    """
    written = written or {}
    games = [game for game in day.games if written.get(game.game_id, 0) < len(game.events)]
    if not games:
        return
    if written:
        events = sum(len(game.events) for game in day.games)
        logging.info("Resuming Game Data Streams after %d of %d events.", sum(written.values()), events)
    logging.info("Starting %d Game Data Streams. Delay: 1 second == %g seconds.", len(games), settings.delay)
    _Writers(store, settings, games, written).run()


class _Writers:
    """Threads that each take the earliest event, wait until it is due, and write it.

    A game has one event in the heap, and its next one only when that is written: its writes keep their order.
    """

    def __init__(
        self, store: "S3Client", settings: Settings, games: list[ScheduledGame], written: Mapping[int, int]
    ) -> None:
        self._store = store
        self._settings = settings
        self._start = monotonic() - _position(games, written) * settings.delay
        self._games = {game.game_id: game for game in games}
        self._heap = [self._entry(game, written.get(game.game_id, 0)) for game in games]
        heapq.heapify(self._heap)
        self._lock = Lock()
        self._stop = Event()
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()

    def run(self) -> None:
        """Write all events. The first error ends all threads and is raised."""
        threads = [Thread(target=self._write_until_done, daemon=True) for _ in range(min(WRITERS, len(self._games)))]
        for thread in threads:
            thread.start()
        try:
            for _ in threads:
                if error := self._outcomes.get():
                    raise error
        finally:
            self._stop.set()
            deadline = monotonic() + STOP_TIMEOUT_SECONDS
            for thread in threads:
                thread.join(max(0.0, deadline - monotonic()))

    def _entry(self, game: ScheduledGame, written: int) -> tuple[float, int, int]:
        """When the game's next event is due, the game, and how many events are written before it."""
        return self._start + game.due(game.events[written]) * self._settings.delay, game.game_id, written

    def _write_until_done(self) -> None:
        try:
            while entry := self._take():
                due, game_id, written = entry
                # Relative to the start of the day, so that the durations of the writes do not add up.
                if self._stop.wait(max(0.0, due - monotonic())):
                    break
                game = self._games[game_id]
                self._write(game, written)
                if written + 1 < len(game.events):
                    with self._lock:
                        heapq.heappush(self._heap, self._entry(game, written + 1))
            self._outcomes.put(None)
        except BaseException as error:
            self._outcomes.put(error)

    def _take(self) -> tuple[float, int, int] | None:
        with self._lock:
            return heapq.heappop(self._heap) if self._heap else None

    def _write(self, game: ScheduledGame, written: int) -> None:
        bucket, key = self._settings.gamestream_bucket, stream_key(self._settings, game.game_id)
        body = game.stream(written + 1).encode()
        call_store(self._store, partial(self._store.put_object, Bucket=bucket, Key=key, Body=body))
        logging.info("Wrote %s to bucket %s at %s", key, bucket, game.events[written].clock)


def _position(games: list[ScheduledGame], written: Mapping[int, int]) -> float:
    """How far the day has come, in seconds of game time. A finished game says nothing: it may be of an earlier play."""
    started = [(game, written[game.game_id]) for game in games if written.get(game.game_id)]
    if started:
        return max(game.due(game.events[events - 1]) for game, events in started)
    return min(game.due(game.events[0]) for game in games) if written else 0.0
