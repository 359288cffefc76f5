"""Server processes: ports chosen, started, waited for, watched, and ended with everything they started.

mirakuru starts them, each in a session of its own, so that a Ctrl-C reaches only this process, which then ends the
others in order. What belongs to a state folder carries its name in the environment: that finds grandchildren, and
what an earlier supervisor left behind when it was killed.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom

import psutil
from click import ClickException
from mirakuru import SimpleExecutor, TimeoutExpired
from mirakuru.base_env import processes_with_env

from lacrosse_assets.signals import pass_interrupts_on

LOOPBACK = "127.0.0.1"
MARK = "LACROSSE_SUPERVISED"  # not a setting: the environment variable by which our processes are recognized
GRACE = 10  # seconds between SIGTERM and SIGKILL
LAST_LINES = 8  # of a log, in an error
LOOK_EVERY = 2  # seconds, whether one that runs is broken
# A server that ends is started again, but not for ever: one that has ended so often in a row, each time within so many
# seconds of its start, stays down.
RESTARTS, SETTLED_AFTER = 3, 10
# Below those that systems give to outgoing connections: one of these might have the port of a server that is being
# started again.
ANY_PORTS = range(10_000, 32_768)

_CHANCE = SystemRandom()
_claims: dict[int, socket.socket] = {}  # by port


class ServerError(ClickException):
    """A server that did not come up, or went down."""


class Server(SimpleExecutor):
    """One server process, with a log of its own. `start` returns at once, `wait_until_up` when the server answers."""

    def __init__(
        self,
        name: str,
        command: Sequence[object],
        state_dir: Path,
        answers: Callable[[], bool],
        environ: Mapping[str, str] | None = None,
        timeout: float = 60,
        port: int | None = None,
        is_broken: Callable[[], bool] = lambda: False,
        kill_timeout: float = GRACE,
    ) -> None:
        """It is up when it listens on `port` (where one is given) and `answers`. One that runs and `is_broken` is of no
        more use than one that has ended. `kill_timeout`: seconds for it to end by itself, and then as many for what it
        has started.

        `environ` is laid over this process's own environment; an empty value there takes a variable out.
        """
        self.name = name
        self.log_file = state_dir / "logs" / f"{name}.log"
        self._answers = answers
        self._port = port
        self._is_broken = is_broken
        self._kill_timeout = kill_timeout
        self._asked_to_end = False
        self._checked_at = 0.0
        self._mark = f"{name}{_mark(state_dir)}"
        self._restarts = 0  # in a row
        self._started_at = 0.0
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [str(part) for part in command],
            cwd=str(state_dir),
            timeout=timeout,
            envvars={**(environ or {}), MARK: self._mark},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )

    @property
    def envvars(self) -> dict[str, str]:
        return {name: value for name, value in super().envvars.items() if value}

    def start(self) -> "Server":
        with self.log_file.open("a" if self._restarts else "w") as log:
            self._stdout = log
            super().start()
        self._asked_to_end = False
        self._started_at = time.monotonic()
        return self

    def wait_until_up(self) -> None:
        """Wait until it answers; a `ServerError` with its last words if it ends, or takes too long."""

        def up() -> bool:
            self.check_alive()
            return self._listens() and self._answers()

        try:
            self.wait_for(up)
        except TimeoutExpired as error:
            raise ServerError(f"{self.name} gave no answer within {error.timeout:.0f} s{self._last_words()}") from None

    def _listens(self) -> bool:
        """Whether it is this server that listens: another's answer on the same port would be taken for its own."""
        if self._port is None:
            return True
        for pid in _marked(self._mark):
            with suppress(psutil.Error):
                connections = psutil.Process(pid).net_connections("tcp")
                if any(held.status == psutil.CONN_LISTEN and held.laddr.port == self._port for held in connections):
                    return True
        return False

    def check_alive(self) -> None:
        """Raise a `ServerError` with its last words if the server has ended."""
        if self.process and not self.running():
            raise ServerError(f"{self.name} ended with exit code {self.process.returncode}{self._last_words()}")

    def keep_up(self, say: Callable[[str], None]) -> None:
        """Start it again if it has ended, or is broken, and say so; a `ServerError` if that is of no use."""
        try:
            self.check_alive()
            if time.monotonic() - self._checked_at > LOOK_EVERY:
                self._checked_at = time.monotonic()
                if self._is_broken():
                    raise ServerError(f"{self.name} runs, and answers errors alone{self._last_words()}")
        except ServerError as error:
            self._start_again(error, say)

    def _start_again(self, why: ServerError, say: Callable[[str], None]) -> None:
        if time.monotonic() - self._started_at > SETTLED_AFTER:
            self._restarts = 0
        if self._restarts >= RESTARTS:
            raise why
        self._restarts += 1
        say(f"{why.message.splitlines()[0]}: it is started again.")
        self.end()
        self.start()
        self.wait_until_up()

    def check_no_failure(self) -> None:
        """Raise a `ServerError` if it has ended with an error: for a program that ends when its work is done."""
        if self.process and self.process.poll():
            self.check_alive()

    def ask_to_end(self) -> None:
        """Send it SIGTERM, once, and do not wait: several servers end at the same time."""
        if self.process and self.running() and not self._asked_to_end:
            # The server alone, so that one with children can end them in its own order.
            self.process.terminate()
            self._asked_to_end = True

    def end(self) -> None:
        """End it and all that it started: first asked, then killed. Does nothing twice."""
        self.ask_to_end()
        if self.process and self.running():
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self._kill_timeout)
        end_processes(self._mark, self._kill_timeout)
        self.kill()

    def _last_words(self) -> str:
        lines = self.log_file.read_text(errors="replace").split("\n")
        last = [line.rstrip() for line in lines if line.strip()][-LAST_LINES:]
        return "\n  ".join([f" (all of its log: {self.log_file})", *last])


def _mark(state_dir: Path) -> str:
    return f"@{state_dir};"  # with an end, for it is looked for as a part of the variable: not /state in /state2


def end_leftovers(state_dir: Path) -> int:
    """End the servers that a killed supervisor of this state folder left running; how many there were."""
    return end_processes(_mark(state_dir))


def end_processes(mark: str, kill_timeout: float = GRACE) -> int:
    """End every process whose mark contains `mark`: first asked, then killed. How many there were."""
    found = _marked(mark)
    left = found
    for number, timeout in ((signal.SIGTERM, kill_timeout), (signal.SIGKILL, GRACE)):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        give_up = time.monotonic() + timeout
        while (left := _marked(mark)) and time.monotonic() < give_up:
            time.sleep(0.05)
    return len(found)


def _marked(mark: str) -> set[int]:
    return processes_with_env(MARK, mark) - {os.getpid()}


def free_ports(*preferred: int) -> list[int]:
    """For each preferred port: itself if it is free on loopback, otherwise any free one (0 prefers none).

    They are this process's from now on: some seconds pass until a server listens on its port, in which another
    environment that is being started on this machine would find it free as well.
    """
    chosen: list[int] = []
    for port in preferred:
        while not port or port in chosen or not _is_free(port) or not _claim(port):
            port = _CHANCE.choice([each for each in ANY_PORTS if each not in _claims])
        chosen.append(port)
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose last user has just gone is free
        try:
            held.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _claim(port: int) -> bool:
    """Take a port for this process; False if another process has it."""
    if port in _claims:
        return True
    claim = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":  # which keeps names without a file, beside the ports, and forgets them with the process
        try:
            claim.bind(f"\0lacrosse-port-{port}")
        except OSError:
            claim.close()
            return False
    _claims[port] = claim
    return True


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold the state folder for this process alone; a `ServerError` names the one that has it."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip()
            raise ServerError(
                f"the services of {state_dir} are already up, started by process {pid}: end that one "
                f"(Ctrl-C, or `kill {pid}`), or let LACROSSE_STATE_DIR name another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextmanager
def signals_end_the_process() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind this process as Ctrl-C does, so that its servers are ended with it.

    In the background of a script, SIGINT is ignored: not in the servers, which Dagster stops by it. A SIGHUP that is
    ignored (`nohup`) stays so.
    """

    def unwind(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    pass_interrupts_on()
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, unwind) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
