"""The platform of the chaos tests: embedded services, a proxy in front of each, `dagster dev`, and supervision.

The supervision is that of `lacrosse dev`: it restarts what has exited, and nothing else.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import psutil
from dagster import DagsterInstance
from mirakuru.base_env import processes_with_env

from lacrosse_assets.embedded.cli import CHECK_INTERVAL_SECONDS
from lacrosse_assets.embedded.dagster_dev import CODE_SERVER, CODE_SERVER_PROXY, DagsterDev, dagster_home
from lacrosse_assets.embedded.ports import LOOPBACK
from lacrosse_assets.embedded.services import EmbeddedServices, embedded_services
from lacrosse_assets.embedded.supervision import OWNER_VARIABLE, Server, ServerError
from lacrosse_assets.settings import embedded_settings
from lacrosse_assets_tests.support.proxy import Proxy

# Dagster's processes by a part of their command lines.
DAGSTER_PROCESSES = {
    "daemon": "dagster._daemon",
    "webserver": "dagster_webserver",
    "code server": CODE_SERVER,
    "code server's proxy": CODE_SERVER_PROXY,
    "warm process": "multiprocessing.forkserver",
}


def kill(processes: list[psutil.Process]) -> int:
    """SIGKILL to those that still run. Returns their number."""
    killed = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                killed += 1
    return killed


class Platform:
    """The running platform."""

    def __init__(self, services: EmbeddedServices, say: Callable[[str], None], environ: Mapping[str, str]):
        self.services = services
        self.state_dir = services.state_dir
        self.addresses = services.addresses
        self.servers = {server.name: server for server in services.servers}
        self.lines = {
            "s3": Proxy(LOOPBACK, urlsplit(self.addresses["AWS_ENDPOINT_URL_S3"]).port or 0),
            "mongodb": Proxy(LOOPBACK, urlsplit(self.addresses["MONGODB_URI"]).port or 0),
            "spark": Proxy(LOOPBACK, urlsplit(self.addresses["SPARK_REMOTE"]).port or 0),
        }
        self.environ = {
            **self.addresses,
            "LACROSSE_DEPLOYMENT": "services",
            "AWS_ENDPOINT_URL_S3": f"http://{LOOPBACK}:{self.lines['s3'].port}",
            "MONGODB_URI": f"mongodb://{LOOPBACK}:{self.lines['mongodb'].port}/?directConnection=true",
            "SPARK_REMOTE": f"sc://{LOOPBACK}:{self.lines['spark'].port}",
            "DAGSTER_HOME": str(dagster_home(self.state_dir)),
            **environ,
        }
        self.dagster = DagsterDev(self.state_dir, say, self.environ)
        self.restarts: list[str] = []  # one line for each restart
        self.failure: ServerError | None = None  # what could not be restarted
        self._say = say
        self._stopped = threading.Event()
        self._watching = threading.Lock()
        self._watcher = threading.Thread(target=self._watch)

    @property
    def database(self) -> Path:
        """The SQLite file of the reference database."""
        return Path(self.addresses["SIDEARMDB_URL"].removeprefix("sqlite:///"))

    def start(self) -> None:
        self.dagster.start().wait_until_up()
        self._watcher.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._watcher.ident:
            self._watcher.join()
        self.dagster.stop()
        for line in self.lines.values():
            line.close()

    def instance(self) -> DagsterInstance:
        """A new Dagster instance: an earlier one may have been opened before its files were replaced."""
        return DagsterInstance.from_config(str(dagster_home(self.state_dir)))

    def restore(self) -> None:
        """Restore every connection."""
        for line in self.lines.values():
            line.restore()

    def processes(self, kind: str) -> list[psutil.Process]:
        """Dagster's processes of this kind of `DAGSTER_PROCESSES`."""
        return [each for each in self._of_dagster() if DAGSTER_PROCESSES[kind] in _command(each)]

    def runs(self) -> list[psutil.Process]:
        """The processes of runs that the daemon launched: forked from the warm process, or spawned."""
        # A forked process has the command line of its parent, the warm process.
        warm = {process.pid: process for process in self.processes("warm process")}
        forked = [each for each in warm.values() if each.ppid() in warm]
        spawned = [each for each in self._of_dagster() if "multiprocessing.spawn" in _command(each)]
        return [*forked, *spawned]

    def kill_everything(self) -> None:
        """Send SIGKILL to every process at once and start all of them again, as a restart of the machine does."""
        with self._watching:
            for pid in processes_with_env(OWNER_VARIABLE, f"@{self.state_dir};"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for server in self._all():
                server.stop()
            for server in self._all():
                server.start()
            for server in self._all():
                server.wait_until_up()

    def _of_dagster(self) -> list[psutil.Process]:
        found = []
        for pid in processes_with_env(OWNER_VARIABLE, f"dagster@{self.state_dir};"):
            with suppress(psutil.Error):
                found.append(psutil.Process(pid))
        return found

    def _all(self) -> list[Server]:
        return [*self.services.servers, self.dagster]

    def _watch(self) -> None:
        while not self._stopped.wait(CHECK_INTERVAL_SECONDS):
            with self._watching:
                try:
                    self.services.ensure_running(self.restarts.append)
                    self.dagster.ensure_running(self.restarts.append)
                except ServerError as error:
                    self.failure = error
                    return


@contextmanager
def platform(
    state_dir: Path, say: Callable[[str], None], environ: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Platform]:
    """The running platform in this state folder, with further environment variables; stopped afterwards."""
    with ExitStack() as stack:
        settings = embedded_settings({"LACROSSE_STATE_DIR": str(state_dir)})
        up = Platform(stack.enter_context(embedded_services(settings, lambda _: None)), lambda _: None, environ)
        stack.callback(up.stop)
        began = time.monotonic()
        up.start()
        say(f"the platform is up ({time.monotonic() - began:.0f} s)")
        yield up


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
