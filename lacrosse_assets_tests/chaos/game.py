"""A short game, and the producer of its stream."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from lacrosse_assets.gamestream.reference_data import PLAYERS, TEAMS, original_rows
from lacrosse_assets_tests.chaos.verdict import AWAY, HOME, Row, Stores
from lacrosse_assets_tests.support.waiting import wait_until

EVENTS = 10
INTERVAL_SECONDS = 0.5  # between two events
# The same as the simulator's, because some faults start the simulator during a game.
REFERENCE_TEAMS, REFERENCE_PLAYERS = original_rows(TEAMS), original_rows(PLAYERS)


def random_game(
    rng: random.Random,
    teams: tuple[int, int] = (HOME, AWAY),
    players: Sequence[Row] = REFERENCE_PLAYERS,
    events: int = EVENTS,
) -> list[str]:
    """The lines of a game of so many events, with one of the possible ends of a stream."""
    jerseys = [(player["teamid"], player["number"]) for player in players if player["teamid"] in teams]
    clocks = sorted(rng.sample(range(1, 3600), events), reverse=True)
    lines = []
    for event, clock in enumerate(clocks):
        team, jersey = rng.choice(jerseys)
        lines.append(f"{event} {clock // 60:02}:{clock % 60:02} {team} {jersey} {rng.randint(0, 1)}")
    ends = [f"{events} 00:00 0 0 0"], ["-1 00:00 0 0 0"], [f"{events} 00:00 0 0 0", "-1 00:00 0 0 0"]
    return lines + rng.choice(ends)


def bodies(lines: Sequence[str]) -> list[bytes]:
    """The stream after each of its lines."""
    return ["".join(f"{line}\n" for line in lines[: count + 1]).encode() for count in range(len(lines))]


class Producer(threading.Thread, ABC):
    """Writes states of streams at a fixed interval, and the last ones only after `finish`.

    `total`: the number of writes. `held`: how many of them wait for `finish`.
    """

    def __init__(self, total: int, held: int, pace: float):
        super().__init__(daemon=True)
        self.total, self.held, self._pace = total, held, pace
        self._finish = threading.Event()
        self._stopped = threading.Event()
        self.written = 0

    @abstractmethod
    def write(self, number: int) -> None:
        """Write state `number`, counted from 0."""

    def run(self) -> None:
        for number in range(self.total):
            if number == self.total - self.held:
                self._finish.wait()
            if self._stopped.is_set():
                return
            self.write(number)
            self.written = number + 1
            if number < self.total - self.held - 1:
                time.sleep(self._pace)

    def finish(self) -> None:
        """Write the last states."""
        self._finish.set()

    def stop(self) -> None:
        """Write nothing more."""
        self._stopped.set()
        self._finish.set()
        if self.ident:
            self.join()

    def wait_for(self, written: int) -> None:
        """Wait until this number of states is written."""
        wait_until(lambda: self.written >= written or not self.is_alive(), f"{written} states", every=0.02)


class GameProducer(Producer):
    """Writes these states of the one stream."""

    def __init__(self, stores: Stores, states: Sequence[bytes], pace: float = INTERVAL_SECONDS):
        super().__init__(len(states), 1, pace)
        self._stores, self.states = stores, states
        self._resumed = threading.Event()
        self._resumed.set()

    def write(self, number: int) -> None:
        self._resumed.wait()
        if not self._stopped.is_set():
            self._stores.put(self.states[number])

    def pause(self) -> None:
        """Write nothing until `resume`."""
        self._resumed.clear()

    def resume(self) -> None:
        """Continue after `pause`. If all states are written, write the last one again."""
        self._resumed.set()
        if self.written == len(self.states):
            self._stores.put(self.states[-1])

    def stop(self) -> None:
        self._stopped.set()
        self._resumed.set()
        super().stop()
