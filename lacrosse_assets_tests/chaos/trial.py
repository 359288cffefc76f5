"""One game with one fault in it, and what became of it."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from dagster import DagsterInstance, RunsFilter

from lacrosse_assets.embedded.supervision import executable
from lacrosse_assets.sensors import MAX_RUNTIME_SECONDS
from lacrosse_assets_tests.chaos.game import REFERENCE_PLAYERS, REFERENCE_TEAMS, Producer, bodies, random_game
from lacrosse_assets_tests.chaos.harness import Platform
from lacrosse_assets_tests.chaos.moments import OUTSIDE, Moment
from lacrosse_assets_tests.chaos.verdict import (
    Stores,
    Truth,
    Watcher,
    failed_runs,
    under_way,
    why_not_done,
)

PATIENCE = 150  # seconds from the mending to the recovery, and from the last event to the final tables
CALM = 1.5  # seconds after the end in which nothing may change any more

# Between teams2 and players2, for a second or two: the first row of players2 takes that long.
SLOW = (
    "CREATE VIEW slow AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000000) "
    "SELECT i FROM n",
    "CREATE TRIGGER slowly BEFORE INSERT ON players2 WHEN NEW.id = (SELECT min(id) FROM players) "
    "BEGIN SELECT count(*) FROM slow; END",
)
NOT_SLOW = ("DROP TRIGGER IF EXISTS slowly", "DROP VIEW IF EXISTS slow")


class Fault(NamedTuple):
    """Something that goes wrong: entered, it is broken; left, it is mended.

    `hold`: seconds between the two, from and to. `of_a_run`: it strikes a run, so one has to be under way.
    """

    name: str
    broken: "Callable[[Trial], AbstractContextManager[None]]"
    moments: Sequence[Moment] = OUTSIDE
    hold: tuple[float, float] = (0, 0)
    of_a_run: bool = False
    # How often in the whole matrix, as a multiple of what is asked for.
    weight: int = 1
    needs: str = "platform"


@dataclass
class Outcome:
    """What became of a trial. It was survived if there is no problem."""

    fault: str
    moment: Moment
    problems: list[str] = field(default_factory=list)
    recovered_in: float | None = None  # seconds from the mending
    failures: list[str] = field(default_factory=list)  # what the failed runs say
    runs: int = 0

    @property
    def survived(self) -> bool:
        return not self.problems


class Trial:
    """A game that is played while something goes wrong."""

    def __init__(self, platform: Platform, stores: Stores, truths: dict[str, Truth], rng: random.Random):
        self.platform, self.stores, self.truths, self.rng = platform, stores, truths, rng
        self.instance: DagsterInstance = platform.instance()
        self.producer = Producer(stores, self.game())
        self.watcher = Watcher(stores, truths, None)

    def game(self) -> list[bytes]:
        """The states of the stream of a new game, known to the verdict."""
        return self.know(bodies(random_game(self.rng)))

    def know(self, states: list[bytes]) -> list[bytes]:
        """These states may be written from now on."""
        for state in states:
            truth = self.truth(state)
            self.truths.setdefault(truth.etag, truth)
        return states

    def truth(self, state: bytes) -> Truth:
        return Truth(state, REFERENCE_TEAMS, REFERENCE_PLAYERS)

    def play(self, fault: Fault, moment: Moment) -> Outcome:
        """Play the game, with the fault in it."""
        outcome = Outcome(fault.name, moment)
        try:
            self._prepare()
            known = failed_runs(self.instance, ())
            began = datetime.now(UTC)
            try:
                mended_at = self._strike(fault, moment)
                outcome.recovered_in = self._until_recovered(mended_at)
                self.producer.finish()
                self.producer.join()
                self._until_done()
            except NotSo as problem:
                outcome.problems.append(str(problem))
            outcome.runs = self.instance.get_runs_count(RunsFilter(created_after=began))
            self._judge(outcome, known)
        finally:
            self.producer.stop()
            if self.watcher.ident:
                self.watcher.end()
            self.platform.restore()
            self.instance.dispose()
        return outcome

    def _prepare(self) -> None:
        """No stream, the reference tables, and nothing under way; box scores and tables are those of another game."""
        self.until("no run is under way", lambda: not under_way(self.instance))
        self.stores.remove_stream()
        self.stores.reset_reference(REFERENCE_TEAMS, REFERENCE_PLAYERS)
        self.stores.sql(*NOT_SLOW)
        self.watcher = Watcher(self.stores, self.truths, self.stores.tables())
        self.watcher.start()

    def _strike(self, fault: Fault, moment: Moment) -> float:
        """Play up to the moment, break, hold, mend; when it was mended."""
        producer, states = self.producer, len(self.producer.states)
        if moment == Moment.BEFORE:
            if fault.of_a_run:
                producer.start()
                return self._break(fault)
            return self._break(fault, then=producer.start)
        producer.start()
        if moment == Moment.MIDDLE:
            producer.wait_for(states // 2)
            time.sleep(self.rng.uniform(0, 1))
            return self._break(fault)
        producer.wait_for(states - 1)
        if moment == Moment.END:
            if not fault.of_a_run and self.rng.random() < 0.5:
                return self._break(fault, then=producer.finish)
            producer.finish()
            time.sleep(self.rng.uniform(0, 1))
            return self._break(fault)
        if moment == Moment.TABLES:
            self.stores.sql(*SLOW)
        producer.finish()
        producer.join()
        last = self.truth(producer.states[-1]).etag

        def is_there() -> bool:
            documents = self.stores.documents()
            return bool(documents and documents[-1]["stream"]["etag"] == last)

        self.until("the final box score is there", is_there, every=0.02)
        if moment == Moment.TABLES:
            self.until("the final tables are being written", self.stores.is_being_written, every=0.02)
            time.sleep(self.rng.uniform(0, 0.3))
        return self._break(fault)

    def _break(self, fault: Fault, then: Callable[[], None] = lambda: None) -> float:
        with fault.broken(self):
            then()
            time.sleep(self.rng.uniform(*fault.hold))
        mended_at = time.time()
        self.stores.sql(*NOT_SLOW)
        return mended_at

    def _until_recovered(self, mended_at: float) -> float:
        def is_recovered() -> bool:
            documents, etag = self.stores.documents(), self.stores.etag()
            if not documents or etag is None:
                return False
            stream = documents[-1]["stream"]
            if etag != stream["etag"] and stream["fetched_at"].timestamp() < mended_at:
                return False
            truth = self.truths[etag]
            return not truth.is_final or self.stores.tables() == truth.tables

        self.until("recovered", is_recovered)
        return time.time() - mended_at

    def _until_done(self) -> None:
        def why_not() -> str | None:
            etag = self.stores.etag()
            return why_not_done(self.stores, self.truths[etag]) if etag else "there is no stream"

        give_up = time.monotonic() + PATIENCE
        while problem := why_not():
            if time.monotonic() > give_up:
                raise NotSo(f"{PATIENCE} s after the end: {problem}")
            self._check_up()
            time.sleep(0.2)
        # On a full disk the end of a run may not get onto record: then it is run monitoring that ends it.
        self.until("no run is under way", lambda: not under_way(self.instance), patience=MAX_RUNTIME_SECONDS + PATIENCE)
        time.sleep(CALM)
        if problem := why_not():
            raise NotSo(f"it was right, and did not stay so: {problem}")

    def _judge(self, outcome: Outcome, known: dict[str, str | None]) -> None:
        self.watcher.end()
        outcome.problems += self.watcher.faults
        if not self.watcher.looks:
            outcome.problems.append("nobody looked")
        for run_id, said in failed_runs(self.instance, known).items():
            if said is None or said.startswith("UNEXPLAINED"):
                outcome.problems.append(f"run {run_id[:8]} failed without an explanation: {said}")
            outcome.failures.append(said or "")
        if self.platform.gone:
            outcome.problems.append(f"it did not stay up: {self.platform.gone.message.splitlines()[0]}")

    def until(self, what: str, condition: Callable[[], bool], every: float = 0.1, patience: float = PATIENCE) -> None:
        """Wait until it is so; `NotSo` if it does not come to that."""
        give_up = time.monotonic() + patience
        while not condition():
            if time.monotonic() > give_up:
                raise NotSo(f"{what}: not so after {patience} s")
            self._check_up()
            time.sleep(every)

    def _check_up(self) -> None:
        if self.platform.gone:
            raise NotSo("it did not stay up")

    # What a person does beside it.

    def by_hand(self, select: str) -> "subprocess.Popen[str]":
        """`dagster asset materialize`, as somebody in a shell."""
        return subprocess.Popen(
            [
                str(executable("dagster")),
                *("asset", "materialize", "-m", "lacrosse_assets.definitions", "--select", select),
            ],
            cwd=self.platform.state_dir,
            env={**_environ(), **self.platform.environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @contextmanager
    def simulator(self, delay: float) -> Iterator["subprocess.Popen[str]"]:
        """The real one, at this pace; ended afterwards."""
        process = subprocess.Popen(
            [sys.executable, "-m", "lacrosse_assets.gamestream"],
            cwd=self.platform.state_dir,
            env={
                **_environ(),
                **self.platform.addresses,
                "LACROSSE_DEPLOYMENT": "services",
                "DELAY": str(delay),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


class NotSo(Exception):  # noqa: N818
    """What has to be so is not; the message says what."""


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("SPARK_CONNECT_MODE_ENABLED",)}
