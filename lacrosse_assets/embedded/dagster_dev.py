"""Dagster itself, as `dagster dev` runs it: Dagit, the daemon with the sensor, and the code server."""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from lacrosse_assets.embedded.dagster_storage import KeptSqliteStorage
from lacrosse_assets.embedded.processes import LOOPBACK, Server, ServerError
from lacrosse_assets.embedded.services import choose_port, executable
from lacrosse_assets.settings import PROJECT_ROOT

DAGIT_PORT = 3000
WHETHER_LOADED = """{ workspaceOrError { ... on Workspace { locationEntries {
    loadStatus locationOrLoadError { ... on PythonError { message causes { message } } } } } } }"""
RELOAD = "mutation { reloadWorkspace { __typename } }"
# Two of its processes that `dagster dev` itself does not watch, by what their command lines have in them: the code
# server, from which runs are started, and its proxy, which Dagit and the daemon talk to.
CODE_SERVER, CODE_SERVER_PROXY = "dagster api grpc", "dagster code-server start"
LOOK_AT_THEM_EVERY = 2  # seconds
KILL_TIMEOUT = 5  # seconds; it waits longer only for a sensor's tick, and the next start fails what a run left behind
STARTUP_TIMEOUT = 120  # seconds; the first start on a busy machine makes its databases


def dagster_home(state_dir: Path) -> Path:
    """Where Dagster keeps its runs and events in the embedded deployment."""
    return state_dir / "dagster_home"


class Dagit(Server):
    """`dagster dev` on the embedded services, which have to be up. `url` is Dagit's.

    `settings` are laid over those of the embedded deployment: addresses of other services than the embedded ones.
    """

    def __init__(self, state_dir: Path, say: Callable[[str], None], settings: Mapping[str, str] | None = None) -> None:
        home = dagster_home(state_dir)
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text(dagster_yaml(home))
        port = choose_port("Dagit", DAGIT_PORT, say)
        self.url = f"http://{LOOPBACK}:{port}"
        self._looked_at = 0.0
        workspace = PROJECT_ROOT / "workspace.yaml"
        command = [executable("dagster"), "dev", "-h", LOOPBACK, "-p", str(port), "-w", workspace]
        # It runs in the state folder: in the project's it would read Compose's `.env`, whose addresses are others.
        environ = {
            "DAGSTER_HOME": str(home),
            "LACROSSE_DEPLOYMENT": "embedded",
            "LACROSSE_STATE_DIR": str(state_dir),
            **(settings or {}),
        }
        super().__init__(
            "dagster",
            command,
            state_dir,
            self._is_up,
            environ=environ,
            timeout=STARTUP_TIMEOUT,
            port=port,
            kill_timeout=KILL_TIMEOUT,
        )

    def start(self) -> "Dagit":
        _fail_orphaned_runs(Path(self._envvars["DAGSTER_HOME"]))
        super().start()
        return self

    def keep_up(self, say: Callable[[str], None]) -> None:
        """Start again what has ended: the whole, or the code server alone, which nobody else would."""
        super().keep_up(say)
        if time.monotonic() - self._looked_at < LOOK_AT_THEM_EVERY:
            return
        commands = self._commands()
        if not any(CODE_SERVER_PROXY in command for command in commands):
            self._start_again(ServerError("the proxy of Dagster's code server has ended"), say)
        elif not any(CODE_SERVER in command for command in commands):
            say("Dagster's code server has ended: it is started again.")
            with suppress(OSError):  # it is asked again at the next look
                self._ask(RELOAD, timeout=STARTUP_TIMEOUT)
        self._looked_at = time.monotonic()

    def _commands(self) -> list[str]:
        """The command lines of its processes."""
        commands = []
        with suppress(psutil.Error):
            for process in psutil.Process(self.process.pid if self.process else None).children(recursive=True):
                with suppress(psutil.Error):
                    commands.append(" ".join(process.cmdline()))
        return commands

    def _is_up(self) -> bool:
        """Whether Dagit answers with the definitions loaded; a `ServerError` if they cannot be."""
        try:
            (location,) = self._ask(WHETHER_LOADED, timeout=5)["workspaceOrError"]["locationEntries"]
        except (OSError, ValueError):
            return False
        problem = location["locationOrLoadError"] or {}
        if "message" in problem:
            # The last cause is what was raised; the others wrap it.
            said = (problem["causes"] or [problem])[-1]["message"].strip()
            raise ServerError(f"Dagster cannot load the definitions: {said} (all of its log: {self.log_file})")
        return bool(location["loadStatus"] == "LOADED")

    def _ask(self, query: str, timeout: float) -> Any:
        """What Dagit's GraphQL says; an `OSError` or a `ValueError` if it does not answer."""
        question = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", question, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 (our own address)
            return json.load(answer)["data"]


def dagster_yaml(home: Path) -> str:
    """The instance's settings: the project's, and where this deployment keeps its runs and events."""
    storage = {
        "module": KeptSqliteStorage.__module__,
        "class": KeptSqliteStorage.__name__,
        "config": {"base_dir": str(home)},
    }
    return f"{(PROJECT_ROOT / 'dagster.yaml').read_text()}\n{yaml.safe_dump({'storage': {'custom': storage}})}"


def _fail_orphaned_runs(home: Path) -> None:
    """Mark as failed what is on record as under way: with no Dagster up, nobody is left to finish it.

    It was killed with its code server; the sensor would wait for its end, until run monitoring gives it up.
    """
    if not (home / "history").exists():
        return  # the first start, with nothing on record yet
    from dagster import DagsterInstance, RunsFilter
    from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

    with DagsterInstance.from_config(str(home)) as instance:
        for run in instance.get_runs(RunsFilter(statuses=NOT_FINISHED_STATUSES)):
            instance.report_run_failed(run, "Dagster was ended while this run was under way.")
