"""A short game, and whoever writes its stream."""

import random
import threading
import time
from collections.abc import Sequence

from lacrosse_assets.gamestream.reference_data import PLAYERS, TEAMS, original_rows
from lacrosse_assets_tests.chaos.verdict import AWAY, HOME, Stores

EVENTS = 10
PACE = 0.5  # seconds between two events
# The simulator's, so that it may come in between.
REFERENCE_TEAMS, REFERENCE_PLAYERS = original_rows(TEAMS), original_rows(PLAYERS)


def random_game(rng: random.Random) -> list[str]:
    """The lines of a game of `EVENTS` events, ended in one of the ways in which producers end theirs."""
    jerseys = [(player["teamid"], player["number"]) for player in REFERENCE_PLAYERS if player["teamid"] in (HOME, AWAY)]
    clocks = sorted(rng.sample(range(1, 3600), EVENTS), reverse=True)
    lines = []
    for event, clock in enumerate(clocks):
        team, jersey = rng.choice(jerseys)
        lines.append(f"{event} {clock // 60:02}:{clock % 60:02} {team} {jersey} {rng.randint(0, 1)}")
    ends = [f"{EVENTS} 00:00 0 0 0"], ["-1 00:00 0 0 0"], [f"{EVENTS} 00:00 0 0 0", "-1 00:00 0 0 0"]
    return lines + rng.choice(ends)


def bodies(lines: Sequence[str]) -> list[bytes]:
    """The stream after each of its lines."""
    return ["".join(f"{line}\n" for line in lines[: count + 1]).encode() for count in range(len(lines))]


class Producer(threading.Thread):
    """Writes these states of the stream at a pace, the last only when told to: `finish`."""

    def __init__(self, stores: Stores, states: Sequence[bytes], pace: float = PACE):
        super().__init__(daemon=True)
        self._stores, self.states, self._pace = stores, states, pace
        self._finish = threading.Event()
        self._stopped = threading.Event()
        self._goes_on = threading.Event()
        self._goes_on.set()
        self.written = 0

    def run(self) -> None:
        for number, state in enumerate(self.states):
            if number == len(self.states) - 1:
                self._finish.wait()
            self._goes_on.wait()
            if self._stopped.is_set():
                return
            self._stores.put(state)
            self.written = number + 1
            if number < len(self.states) - 2:
                time.sleep(self._pace)

    def pause(self) -> None:
        """Write nothing until `go_on`."""
        self._goes_on.clear()

    def go_on(self) -> None:
        """Go on where it was; where all is written, write the last state once more."""
        self._goes_on.set()
        if self.written == len(self.states):
            self._stores.put(self.states[-1])

    def finish(self) -> None:
        """The last state, and the end."""
        self._finish.set()

    def stop(self) -> None:
        """Write no more."""
        self._stopped.set()
        self._finish.set()
        self._goes_on.set()
        if self.ident:
            self.join()

    def wait_for(self, written: int) -> None:
        """Wait until so many states are written."""
        while self.written < written and self.is_alive():
            time.sleep(0.02)
