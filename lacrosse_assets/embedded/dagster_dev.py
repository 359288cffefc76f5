"""Dagster in the local environment: `dagster dev`, which runs the Dagster UI, the daemon and the code server.

What belongs here: the Dagster instance of this environment, and the supervision of Dagster's processes.
"""

import json
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from lacrosse_assets.dagster_patches import sqlite_storage
from lacrosse_assets.embedded.ports import LOOPBACK, choose_port
from lacrosse_assets.embedded.supervision import Report, Server, ServerError, executable

UI_PORT = 3000
# The instance's settings, without its storage: a part of the package, because Compose has them as well.
INSTANCE_SETTINGS = Path(__file__).parent.parent / "dagster.yaml"
WORKSPACE = {
    "load_from": [{"python_module": {"module_name": "lacrosse_assets.definitions", "location_name": "lacrosse"}}]
}
LOAD_STATUS_QUERY = """{ workspaceOrError { ... on Workspace { locationEntries {
    loadStatus locationOrLoadError { ... on PythonError { message causes { message } } } } } } }"""
RELOAD_MUTATION = "mutation { reloadWorkspace { __typename } }"
# Two child processes that `dagster dev` itself does not restart, by a part of their command lines: the code server,
# which starts the runs, and its proxy, to which the Dagster UI and the daemon connect.
CODE_SERVER, CODE_SERVER_PROXY = "dagster api grpc", "dagster code-server start"
PROCESS_CHECK_INTERVAL_SECONDS = 2
# It takes longer only during a sensor tick. Runs that this kills are marked as failed at the next start.
KILL_TIMEOUT_SECONDS = 5
STARTUP_TIMEOUT_SECONDS = 120  # the first start, on a busy machine, creates the databases
QUERY_TIMEOUT_SECONDS = 5


def dagster_home(state_dir: Path) -> Path:
    """The DAGSTER_HOME of the embedded deployment."""
    return state_dir / "dagster_home"


class DagsterDev(Server):
    """`dagster dev` on the running embedded services. `url` is the address of the Dagster UI.

    `settings` are further environment variables, such as addresses of other services than the embedded ones.
    `pooled_sqlite`: pool the connections of Dagster's storage.
    """

    def __init__(
        self,
        state_dir: Path,
        report: Report,
        settings: Mapping[str, str] | None = None,
        *,
        pooled_sqlite: bool = True,
    ) -> None:
        home = dagster_home(state_dir)
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text(dagster_yaml(home, pooled_sqlite=pooled_sqlite))
        workspace = home / "workspace.yaml"
        workspace.write_text(yaml.safe_dump(WORKSPACE))
        port = choose_port("the Dagster UI", UI_PORT, report)
        self.url = f"http://{LOOPBACK}:{port}"
        environ = {
            "DAGSTER_HOME": str(home),
            "LACROSSE_DEPLOYMENT": "embedded",
            "LACROSSE_STATE_DIR": str(state_dir),
            **(settings or {}),
        }
        self._home = Path(environ["DAGSTER_HOME"])
        self._processes_checked_at = 0.0
        # It runs in the state folder: in the project's, Dagster would read Compose's `.env`, which has other addresses.
        super().__init__(
            "dagster",
            [executable("dagster"), "dev", "-h", LOOPBACK, "-p", port, "-w", workspace],
            state_dir,
            self._has_loaded,
            environ=environ,
            startup_timeout=STARTUP_TIMEOUT_SECONDS,
            port=port,
            kill_timeout=KILL_TIMEOUT_SECONDS,
        )

    def start(self) -> "DagsterDev":
        """Start it, after marking the orphaned runs of an earlier start as failed."""
        _fail_orphaned_runs(self._home)
        super().start()
        return self

    def ensure_running(self, report: Report) -> None:
        """Restart it if it has exited; reload the code server if only that has exited."""
        super().ensure_running(report)
        if time.monotonic() - self._processes_checked_at < PROCESS_CHECK_INTERVAL_SECONDS:
            return
        commands = self._commands()
        if not any(CODE_SERVER_PROXY in command for command in commands):
            self.restart(ServerError("the proxy of Dagster's code server has exited"), report)
        elif not any(CODE_SERVER in command for command in commands):
            report("Dagster's code server has exited: restarting it.")
            with suppress(OSError):  # it is retried at the next check
                self._query(RELOAD_MUTATION, timeout=STARTUP_TIMEOUT_SECONDS)
        self._processes_checked_at = time.monotonic()

    def _commands(self) -> list[str]:
        """The command lines of its child processes."""
        commands = []
        with suppress(psutil.Error):
            for process in psutil.Process(self.process.pid if self.process else None).children(recursive=True):
                with suppress(psutil.Error):
                    commands.append(" ".join(process.cmdline()))
        return commands

    def _has_loaded(self) -> bool:
        """Whether the Dagster UI has loaded the definitions. Raises `ServerError` if they are invalid."""
        try:
            (location,) = self._query(LOAD_STATUS_QUERY, QUERY_TIMEOUT_SECONDS)["workspaceOrError"]["locationEntries"]
        except (OSError, ValueError):
            return False
        problem = location["locationOrLoadError"] or {}
        if "message" in problem:
            # The last cause is the error that was raised; the others wrap it.
            reason = (problem["causes"] or [problem])[-1]["message"].strip()
            raise ServerError(f"Dagster cannot load the definitions: {reason} (full log: {self.log_file})")
        return bool(location["loadStatus"] == "LOADED")

    def _query(self, query: str, timeout: float) -> Any:
        """The answer of the GraphQL API. Raises `OSError` or `ValueError` if there is none within `timeout` seconds."""
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310 (our own address)
            return json.load(response)["data"]


def dagster_yaml(home: Path, *, pooled_sqlite: bool = True) -> str:
    """The settings of the instance: those of the project, and its storage in the folder `home`."""
    storage = {"storage": sqlite_storage.configuration(home, pooled=pooled_sqlite)}
    return f"{INSTANCE_SETTINGS.read_text()}\n{yaml.safe_dump(storage)}"


def _fail_orphaned_runs(home: Path) -> None:
    """Mark unfinished runs as failed. While Dagster is down, no process is left that could finish them.

    They were killed with their code server. Otherwise the sensor would wait for them until run monitoring gives up.
    """
    if not (home / "history").exists():
        return  # the first start: there are no runs yet
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

    finished = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED
    unfinished = [status for status in DagsterRunStatus if status not in finished]
    with DagsterInstance.from_config(str(home)) as instance:
        for run in instance.get_runs(RunsFilter(statuses=unfinished)):
            instance.report_run_failed(run, "Dagster was stopped while this run was active.")
