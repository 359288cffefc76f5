"""A trial: one game, or one game day, with one injected fault, and its outcome."""

import os
import random
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dagster import DagsterInstance, RunsFilter

from lacrosse_assets.embedded.supervision import executable
from lacrosse_assets.sensors import MAX_RUNTIME_SECONDS
from lacrosse_assets_tests.chaos.game import (
    REFERENCE_PLAYERS,
    REFERENCE_TEAMS,
    GameProducer,
    Producer,
    bodies,
    random_game,
)
from lacrosse_assets_tests.chaos.harness import Platform
from lacrosse_assets_tests.chaos.phases import NOT_IN_TRANSACTION, Phase
from lacrosse_assets_tests.chaos.verdict import (
    GameWatcher,
    Stores,
    Truth,
    Watcher,
    difference_from_truth,
    failed_runs,
    has_active_run,
)
from lacrosse_assets_tests.support.waiting import wait_until

RECOVERY_TIMEOUT_SECONDS = 150  # from the removal of the fault, and from the last event to the final tables
STABLE_SECONDS = 1.5  # after the end, in which nothing may change any more

# A pause of one or two seconds between teams2 and players2: inserting the first row of players2 takes that long.
SLOW_WRITES = (
    "CREATE VIEW slow AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000000) "
    "SELECT i FROM n",
    "CREATE TRIGGER slowly BEFORE INSERT ON players2 WHEN NEW.id = (SELECT min(id) FROM players) "
    "BEGIN SELECT count(*) FROM slow; END",
)
REMOVE_SLOW_WRITES = ("DROP TRIGGER IF EXISTS slowly", "DROP VIEW IF EXISTS slow")


class Fault(NamedTuple):
    """A fault. The context manager `broken` injects it on entry and removes it on exit.

    `hold`: seconds between the two (minimum, maximum). `of_a_run`: it affects a run, so there must be an active one.
    `of_one_game`: it is a problem of one game of a game day, so no run may fail.
    """

    name: str
    broken: Callable[[Any], AbstractContextManager[None]]  # its parameter is the kind of `Trial` that it is made for
    phases: Sequence[Phase] = NOT_IN_TRANSACTION
    hold: tuple[float, float] = (0, 0)
    of_a_run: bool = False
    of_one_game: bool = False
    # Trials of this fault in the whole matrix, as a multiple of `--times`.
    weight: int = 1
    needs: str = "platform"


@dataclass
class Outcome:
    """The outcome of a trial. It is survived if there is no problem."""

    fault: str
    phase: Phase
    problems: list[str] = field(default_factory=list)
    recovered_in: float | None = None  # seconds from the removal of the fault
    failures: list[str] = field(default_factory=list)  # the errors of the failed runs
    runs: int = 0

    @property
    def survived(self) -> bool:
        return not self.problems


class Trial(ABC):
    """A game, or a game day, with an injected fault."""

    producer: Producer
    watcher: Watcher

    def __init__(self, platform: Platform, stores: Stores, rng: random.Random):
        self.platform, self.stores, self.rng = platform, stores, rng
        self.instance: DagsterInstance = platform.instance()

    def play(self, fault: Fault, phase: Phase) -> Outcome:
        """Play the game with this fault."""
        outcome = Outcome(fault.name, phase)
        try:
            self._prepare()
            known = failed_runs(self.instance, ())
            began = datetime.now(UTC)
            try:
                restored_at = self._strike(fault, phase)
                outcome.recovered_in = self._until_recovered(restored_at)
                self.producer.finish()
                self.producer.join()
                self._until_done()
            except ConditionNotMet as problem:
                outcome.problems.append(str(problem))
            outcome.runs = self.instance.get_runs_count(RunsFilter(created_after=began))
            self._judge(outcome, known, fault)
        finally:
            self.producer.stop()
            if self.watcher.ident:
                self.watcher.stop()
            self.platform.restore()
            self.instance.dispose()
        return outcome

    @abstractmethod
    def _prepare(self) -> None:
        """No stream, original reference tables, no active run; documents and final tables of earlier trials."""

    @abstractmethod
    def _final_is_stored(self) -> bool:
        """Whether the documents are those of the last states of all streams."""

    @abstractmethod
    def _is_recovered(self, restored_at: float) -> bool:
        """Whether the box scores, or the final tables, are those of the streams as they are now, or were at a time."""

    @abstractmethod
    def difference(self) -> str | None:
        """How the stores differ from the expected content at the end; None if they do not."""

    def _strike(self, fault: Fault, phase: Phase) -> float:
        """Play up to this phase, inject the fault, hold it and remove it. Return the time of the removal."""
        producer = self.producer
        if phase == Phase.BEFORE:
            if fault.of_a_run:
                producer.start()
                return self._break(fault)
            return self._break(fault, then=producer.start)
        producer.start()
        if phase == Phase.MIDDLE:
            producer.wait_for(producer.total // 2)
            time.sleep(self.rng.uniform(0, 1))
            return self._break(fault)
        producer.wait_for(producer.total - producer.held)
        if phase == Phase.END:
            if not fault.of_a_run and self.rng.random() < 0.5:
                return self._break(fault, then=producer.finish)
            producer.finish()
            time.sleep(self.rng.uniform(0, 1))
            return self._break(fault)
        if phase == Phase.TABLES:
            self.until("there are final tables", lambda: any(self.stores.rows("players2") or ()))
            self.stores.sql(*SLOW_WRITES)
        producer.finish()
        producer.join()
        self.until("the final box score is stored", self._final_is_stored, every=0.02)
        if phase == Phase.TABLES:
            self.until("the final tables are being written", self.stores.is_being_written, every=0.02)
            time.sleep(self.rng.uniform(0, 0.3))
        return self._break(fault)

    def _break(self, fault: Fault, then: Callable[[], None] = lambda: None) -> float:
        with fault.broken(self):
            then()
            time.sleep(self.rng.uniform(*fault.hold))
        restored_at = time.time()
        self.stores.sql(*REMOVE_SLOW_WRITES)
        return restored_at

    def _until_recovered(self, restored_at: float) -> float:
        self.until("recovered", lambda: self._is_recovered(restored_at))
        return time.time() - restored_at

    def _until_done(self) -> None:
        self.until(lambda: f"after the end: {self.difference()}", lambda: self.difference() is None)
        # On a full disk the end of a run may not be recorded. Then run monitoring ends it.
        self.until(
            "no run is active",
            lambda: not has_active_run(self.instance),
            timeout=MAX_RUNTIME_SECONDS + RECOVERY_TIMEOUT_SECONDS,
        )
        time.sleep(STABLE_SECONDS)
        if problem := self.difference():
            raise ConditionNotMet(f"it was correct, and did not stay correct: {problem}")

    def _judge(self, outcome: Outcome, known: dict[str, str | None], fault: Fault) -> None:
        self.watcher.stop()
        outcome.problems += self.watcher.faults
        if not self.watcher.polls:
            outcome.problems.append("the watcher never polled")
        for run_id, error in failed_runs(self.instance, known).items():
            if error is None or error.startswith("UNEXPLAINED"):
                outcome.problems.append(f"run {run_id[:8]} failed without an explanation: {error}")
            elif fault.of_one_game:
                outcome.problems.append(f"run {run_id[:8]} failed by a problem of one game: {error}")
            outcome.failures.append(error or "")
        if self.platform.failure:
            outcome.problems.append(f"the platform did not stay up: {self.platform.failure.message.splitlines()[0]}")

    def until(
        self,
        what: str | Callable[[], str],
        condition: Callable[[], bool],
        every: float = 0.1,
        timeout: float = RECOVERY_TIMEOUT_SECONDS,
    ) -> None:
        """Wait until the condition is met. Raises `ConditionNotMet` after `timeout` seconds."""
        try:
            wait_until(condition, what, timeout=timeout, every=every, check=self._check_up)
        except TimeoutError as error:
            raise ConditionNotMet(str(error)) from None

    def _check_up(self) -> None:
        if self.platform.failure:
            raise ConditionNotMet("the platform did not stay up")

    # What a user does meanwhile.

    def by_hand(self, select: str) -> "subprocess.Popen[str]":
        """`dagster asset materialize` in a shell."""
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


class GameTrial(Trial):
    """A game with an injected fault."""

    producer: GameProducer

    def __init__(self, platform: Platform, stores: Stores, truths: dict[str, Truth], rng: random.Random):
        super().__init__(platform, stores, rng)
        self.truths = truths
        self.producer = GameProducer(stores, self.game())
        self.watcher = GameWatcher(stores, truths, None)

    def game(self) -> list[bytes]:
        """The states of the stream of a new game, registered as possible."""
        return self.know(bodies(random_game(self.rng)))

    def know(self, states: list[bytes]) -> list[bytes]:
        """Register states of the stream that may be written from now on."""
        for state in states:
            truth = self.truth(state)
            self.truths.setdefault(truth.etag, truth)
        return states

    def truth(self, state: bytes) -> Truth:
        return Truth(state, REFERENCE_TEAMS, REFERENCE_PLAYERS)

    def _prepare(self) -> None:
        self.until("no run is active", lambda: not has_active_run(self.instance))
        self.stores.remove_stream()
        self.stores.reset_reference(REFERENCE_TEAMS, REFERENCE_PLAYERS)
        self.stores.sql(*REMOVE_SLOW_WRITES)
        self.watcher = GameWatcher(self.stores, self.truths, self.stores.tables())
        self.watcher.start()

    def _final_is_stored(self) -> bool:
        documents = self.stores.documents()
        return bool(documents and documents[-1]["stream"]["etag"] == self.truth(self.producer.states[-1]).etag)

    def _is_recovered(self, restored_at: float) -> bool:
        documents, etag = self.stores.documents(), self.stores.etag()
        if not documents or etag is None:
            return False
        stream = documents[-1]["stream"]
        if etag != stream["etag"] and stream["fetched_at"].timestamp() < restored_at:
            return False
        truth = self.truths[etag]
        return not truth.is_final or self.stores.tables() == truth.tables

    def difference(self) -> str | None:
        etag = self.stores.etag()
        return difference_from_truth(self.stores, self.truths[etag]) if etag else "there is no stream"

    @contextmanager
    def simulator(self, delay: float) -> Iterator["subprocess.Popen[str]"]:
        """The real simulator at this pace (seconds per game second); killed afterwards."""
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


class ConditionNotMet(Exception):  # noqa: N818
    """A condition was not met in time. The message names it."""


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("SPARK_CONNECT_MODE_ENABLED",)}
