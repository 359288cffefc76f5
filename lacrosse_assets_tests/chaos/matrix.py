"""The trials, one after the other, on one platform for as long as it survives them."""

import os
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import NamedTuple

import click

from lacrosse_assets.embedded.supervision import ServerError
from lacrosse_assets.gamestream.simulator import read_game
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.chaos.day import DayStores
from lacrosse_assets_tests.chaos.day_trial import DayTrial
from lacrosse_assets_tests.chaos.faults import EARLIER_VERSION, FAULTS, GAME_DAY, SMALL_DISK
from lacrosse_assets_tests.chaos.game import REFERENCE_PLAYERS, REFERENCE_TEAMS, bodies
from lacrosse_assets_tests.chaos.harness import Platform, platform
from lacrosse_assets_tests.chaos.phases import Phase
from lacrosse_assets_tests.chaos.trial import ConditionNotMet, Fault, GameTrial, Outcome
from lacrosse_assets_tests.chaos.verdict import Stores, Truth
from lacrosse_assets_tests.support.day import PREFIX

SMALL_DISK_SIZE = "400m"
# The tag of the version whose state today's code must be able to use: no warm runs yet, no fingerprints, one document
# per run. CHANGELOG.md lists it.
EARLIER = "v0.0.1"
# What makes a platform one of a game day.
DAY_ENVIRON = {"GAMESTREAM_KEY": PREFIX}
# A reserved port counts as free within this process until a server listens on it.
ONE_STARTS = Lock()


class Attempt(NamedTuple):
    """A trial to run. `number` counts the trials of this fault and phase, from 0."""

    fault: Fault
    phase: Phase
    number: int


def play_at_once(attempts: Sequence[Attempt], jobs: int, seed: int, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Run these trials, which have the same requirements, on `jobs` platforms. Yield outcomes as they finish."""
    shares = [list(attempts[number::jobs]) for number in range(jobs)]
    outcomes: SimpleQueue[Outcome | None] = SimpleQueue()

    def play_share(share: list[Attempt]) -> None:
        try:
            for outcome in play_all(share, seed, say):
                outcomes.put(outcome)
        finally:
            outcomes.put(None)

    with ThreadPoolExecutor(jobs) as pool:
        players = [pool.submit(play_share, share) for share in shares]
        try:
            for _ in players:
                yield from iter(outcomes.get, None)
        finally:
            for share in shares:
                share.clear()  # after Ctrl-C, only the active trials finish
    for player in players:
        player.result()


def play_all(todo: list[Attempt], seed: int, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Run these trials in turn, with a new platform after each one that is not survived."""
    while todo:
        needs = todo[0].fault.needs
        with state_folder(on_small_disk=needs == SMALL_DISK) as folder, ExitStack() as stack:
            truths: dict[str, Truth] = {}
            if needs == EARLIER_VERSION:
                play_with_earlier_version(folder)
                for body in bodies([event.line for event in read_game()]):
                    truth = Truth(body, REFERENCE_TEAMS, REFERENCE_PLAYERS)
                    truths[truth.etag] = truth
            with ONE_STARTS:
                up = stack.enter_context(platform(folder, say, DAY_ENVIRON if needs == GAME_DAY else {}))
            while todo:
                fault, phase, number = todo.pop(0)
                outcome = play(up, truths, fault, phase, random.Random(f"{seed} {fault.name} {phase.name} {number}"))
                yield outcome
                if not outcome.survived:
                    _keep(up, say)
                    break  # its remains must not affect the next one


def unmet_requirement(needs: str) -> str | None:
    """Why trials with this requirement cannot run on this machine; None if they can."""
    if needs == SMALL_DISK and os.geteuid() != 0:
        return "a small disk is a mount, which needs root"
    if needs == EARLIER_VERSION:
        look = ["git", "cat-file", "-e", f"{EARLIER}^{{commit}}"]
        if subprocess.run(look, cwd=PROJECT_ROOT, capture_output=True).returncode:
            return f"the earlier version is taken from git, and tag {EARLIER} is missing: run `git fetch --tags`"
    return None


def play(up: Platform, truths: dict[str, Truth], fault: Fault, phase: Phase, rng: random.Random) -> Outcome:
    """Run one trial. On a new platform a game without a fault comes first, for box scores and final tables."""
    if fault.needs == GAME_DAY:
        return play_day(up, fault, phase, rng)
    stores = Stores(up.addresses, up.database)
    try:
        if not truths:
            _first_game(up, stores, truths)
        return GameTrial(up, stores, truths, rng).play(fault, phase)
    except (ConditionNotMet, ServerError) as problem:
        return Outcome(fault.name, phase, [f"could not be tried: {problem}"])
    finally:
        stores.close()


def play_day(up: Platform, fault: Fault, phase: Phase, rng: random.Random) -> Outcome:
    """Run one trial of a game day."""
    stores = DayStores(up.addresses, up.database)
    try:
        stores.create()
        return DayTrial(up, stores, rng).play(fault, phase)
    except (ConditionNotMet, ServerError) as problem:
        return Outcome(fault.name, phase, [f"could not be tried: {problem}"])
    finally:
        stores.close()


def _first_game(up: Platform, stores: Stores, truths: dict[str, Truth]) -> None:
    stores.create()
    outcome = GameTrial(up, stores, truths, random.Random(0)).play(FAULTS[0], Phase.MIDDLE)
    if not outcome.survived:
        raise ConditionNotMet(f"failed without a fault: {'; '.join(outcome.problems)}")


@contextmanager
def state_folder(on_small_disk: bool) -> Iterator[Path]:
    """An empty folder. `on_small_disk`: on a small file system of its own, which needs root."""
    with tempfile.TemporaryDirectory(prefix="lacrosse-chaos-") as name, ExitStack() as stack:
        folder = Path(name)
        if on_small_disk:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_SIZE},mode=700", "none", name]
            subprocess.run(mount, check=True)
            stack.callback(subprocess.run, ["umount", "--lazy", name], check=False)
        yield folder


def play_with_earlier_version(state_dir: Path) -> None:
    """Play a whole game with the code of `EARLIER`. Its Dagster home, documents and tables stay in this folder."""
    archive = subprocess.run(
        ["git", "archive", EARLIER, "lacrosse_assets", "dagster.yaml", "workspace.yaml"],
        cwd=PROJECT_ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    with tempfile.TemporaryDirectory(prefix="lacrosse-earlier-") as code:
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(code, filter="data")
        game = subprocess.run(
            [sys.executable, "-c", "from lacrosse_assets.embedded.cli import main; main(['game'])"],
            cwd=code,
            env={**os.environ, "PYTHONPATH": code, "LACROSSE_STATE_DIR": str(state_dir), "DELAY": "0.002"},
            check=False,
            capture_output=True,
            text=True,
        )
    if game.returncode:
        raise click.ClickException(f"the game with {EARLIER} failed: {game.stderr.strip() or game.stdout[-500:]}")


def _keep(up: Platform, say: Callable[[str], None]) -> None:
    """Dagster's log, for who polls for the cause."""
    with suppress(OSError):
        kept = Path(tempfile.gettempdir()) / f"{up.state_dir.name}.log"
        kept.write_bytes(up.dagster.log_file.read_bytes())
        say(f"    (Dagster's log of this trial: {kept})")
