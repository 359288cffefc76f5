"""Runs of a real `dagster dev` with the patched code server (dagster_patches/): start, cancellation, crashes.

The code location is a separate one, because its jobs do what no job of the project does: they hang, are killed, and
log in which process they run.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._grpc.server import CLEANUP_TICK
from dagster_graphql import DagsterGraphQLClient

from lacrosse_assets.embedded.ports import LOOPBACK, free_ports
from lacrosse_assets.embedded.supervision import Server, executable
from lacrosse_assets_tests.support.waiting import wait_until

TIMEOUT_SECONDS = 60  # only to end a test that hangs
LOCATION = "jobs"
JOBS = """
import os, sys, time
from dagster import Definitions, in_process_executor, job, op
from lacrosse_assets.dagster_patches import patch_code_server

ANSWER = "first"
{patch}


@op
def report(context):
    context.log.info(f"pid {{os.getpid()}} parent {{os.getppid()}} answer {{ANSWER}}")
    context.log.info(f"warm {{'lacrosse_assets.dagster_patches.warm_libraries' in sys.modules}}")


@op
def hang():
    time.sleep(600)


@job(executor_def=in_process_executor)
def reporting():
    report()


@job(executor_def=in_process_executor)
def hanging():
    hang()


defs = Definitions(jobs=[reporting, hanging])
"""


class Platform:
    """Dagster as a user sees it: requests to the UI's API, and Dagster's records."""

    def __init__(self, home: Path, jobs: Path, port: int, instance: DagsterInstance) -> None:
        self.jobs = jobs
        self.client = DagsterGraphQLClient(LOOPBACK, port_number=port)
        self._instance = instance
        self._home = home

    def start(self, job: str) -> str:
        return self.client.submit_job_execution(
            job, repository_location_name=LOCATION, repository_name="__repository__"
        )

    def run(self, job: str) -> dict[str, str]:
        """Run the job to its end. Return the words of its log as pairs."""
        run_id = self.start(job)
        assert self.wait_for(run_id, DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE) == DagsterRunStatus.SUCCESS
        words = " ".join(entry.user_message for entry in self._instance.all_logs(run_id) if not entry.is_dagster_event)
        return dict(zip(words.split()[::2], words.split()[1::2], strict=True))

    def pid(self, run_id: str) -> int:
        """The process of a run, once its first step has started."""

        def logged() -> int | None:
            events = [e.get_dagster_event() for e in self._instance.all_logs(run_id) if e.is_dagster_event]
            started = [e for e in events if e.event_type_value == "STEP_START"]
            pids = [e.engine_event_data.metadata for e in events if e.event_type_value == "ENGINE_EVENT"]
            return next((int(str(each["pid"].value)) for each in pids if "pid" in each), None) if started else None

        return wait_until(logged, "the first step has started")

    def wait_for(self, run_id: str, *statuses: DagsterRunStatus) -> DagsterRunStatus:
        wait_until(lambda: self.status(run_id) in statuses, f"status {statuses}")
        return self.status(run_id)

    def status(self, run_id: str) -> DagsterRunStatus:
        run = self._instance.get_run_by_id(run_id)
        assert run
        return run.status

    def why(self, run_id: str) -> str:
        """All messages of the run's log."""
        return " ".join(entry.message for entry in self._instance.all_logs(run_id))

    @contextmanager
    def no_record_of(self, run_id: str) -> Iterator[None]:
        """No event of this run can be recorded."""
        events = self._home / "history" / "runs" / f"{run_id}.db"
        away = events.rename(events.with_suffix(".away"))
        events.mkdir()
        yield
        events.rmdir()
        away.rename(events)


@contextmanager
def dagster_dev(folder: Path, patch: str) -> Iterator[Platform]:
    """`dagster dev` on the jobs above."""
    folder.mkdir(exist_ok=True)
    home, jobs = folder / "home", folder / "jobs.py"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n"
    )
    jobs.write_text(JOBS.format(patch=patch))
    (folder / "workspace.yaml").write_text(
        f"load_from: [{{python_file: {{relative_path: jobs.py, location_name: {LOCATION}}}}}]"
    )
    (port,) = free_ports(0)
    command = [executable("dagster"), "dev", "-h", LOOPBACK, "-p", str(port), "-w", str(folder / "workspace.yaml")]

    def is_up() -> bool:
        try:
            DagsterGraphQLClient(LOOPBACK, port_number=port).reload_repository_location(LOCATION)
        except Exception:
            return False
        return True

    server = Server(
        "dagster", command, folder, is_up, environ={"DAGSTER_HOME": str(home)}, startup_timeout=120, port=port
    )
    try:
        server.start()
        server.wait_until_up()
        with DagsterInstance.from_config(str(home)) as instance:
            yield Platform(home, jobs, port, instance)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with dagster_dev(tmp_path_factory.mktemp("warm"), patch="patch_code_server(warm=True)") as platform:
        yield platform


def forkserver_of(logged: dict[str, str]) -> psutil.Process:
    """The process that a run was forked from."""
    parent = psutil.Process(int(logged["parent"]))
    assert "forkserver" in " ".join(parent.cmdline())
    return parent


def test_a_run_is_forked_from_a_process_with_the_libraries_in_it(warm: Platform) -> None:
    first, second = warm.run("reporting"), warm.run("reporting")
    assert first["warm"] == second["warm"] == "True"
    assert first["pid"] != second["pid"]
    assert forkserver_of(first) == forkserver_of(second)


def test_the_warm_process_is_safe_to_fork(warm: Platform) -> None:
    """The warm process has no thread and no connection."""
    server = forkserver_of(warm.run("reporting"))
    assert server.num_threads() == 1
    assert server.net_connections("inet") == []
    assert server.children() == []
    assert "jobs.py" not in " ".join(file.path for file in server.open_files())


def test_cancelling_in_the_ui_ends_the_process(warm: Platform) -> None:
    run_id = warm.start("hanging")
    pid = warm.pid(run_id)
    warm.client.terminate_run(run_id)
    assert warm.wait_for(run_id, DagsterRunStatus.CANCELED, DagsterRunStatus.FAILURE) == DagsterRunStatus.CANCELED
    wait_until(lambda: not psutil.pid_exists(pid))


def test_a_run_whose_process_is_killed_fails_at_once(warm: Platform) -> None:
    run_id = warm.start("hanging")
    os.kill(warm.pid(run_id), signal.SIGKILL)
    assert warm.wait_for(run_id, DagsterRunStatus.FAILURE) == DagsterRunStatus.FAILURE
    assert "crash" in warm.why(run_id) or "terminated" in warm.why(run_id) or "exited" in warm.why(run_id)


def test_a_run_that_crashed_while_nothing_could_be_recorded_fails_afterwards(warm: Platform) -> None:
    """A full disk used to end the detection of crashed runs, and a cancelled run then blocked the server."""
    run_id = warm.start("hanging")
    pid = warm.pid(run_id)
    with warm.no_record_of(run_id):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not psutil.pid_exists(pid))
        time.sleep(4 * CLEANUP_TICK)
        assert warm.status(run_id) == DagsterRunStatus.STARTED
    assert warm.wait_for(run_id, DagsterRunStatus.FAILURE)
    assert warm.run("reporting")["warm"] == "True"


def test_the_next_run_uses_new_code(warm: Platform) -> None:
    assert warm.run("reporting")["answer"] == "first"
    warm.jobs.write_text(warm.jobs.read_text().replace('"first"', '"second"'))
    warm.client.reload_repository_location(LOCATION)
    logged = warm.run("reporting")
    assert logged["answer"] == "second"
    assert logged["warm"] == "True"


def test_runs_continue_after_the_warm_process_was_killed(warm: Platform) -> None:
    before = forkserver_of(warm.run("reporting"))
    before.kill()
    wait_until(lambda: not before.is_running() or before.status() == psutil.STATUS_ZOMBIE)
    assert forkserver_of(warm.run("reporting")) != before


def test_without_warm_runs_dagster_starts_runs_itself(tmp_path: Path) -> None:
    with dagster_dev(tmp_path, patch="patch_code_server(warm=False)") as platform:
        logged = platform.run("reporting")
    assert logged["warm"] == "False"


ANOTHER_VERSION = """
from lacrosse_assets.dagster_patches import guard
guard.TESTED_VERSIONS["dagster"] = "1.12"
"""
# As if Dagster detected crashed runs in another way.
ANOTHER_CHECK = """
from dagster._grpc.server import DagsterApiServer
DagsterApiServer._cleanup_thread = lambda server: None
del DagsterApiServer._check_for_orphaned_runs
"""


@pytest.mark.parametrize(
    ("dagster", "missing", "warm"),
    [
        (ANOTHER_VERSION, "the start of warm runs is off", "False"),
        (ANOTHER_CHECK, "detection of crashed runs after an error is off", "True"),
    ],
    ids=["another version", "without the attribute"],
)
def test_another_dagster_works_unpatched(dagster: str, missing: str, warm: str, tmp_path: Path) -> None:
    """A missing attribute used to keep the code location from loading."""
    with dagster_dev(tmp_path, patch=f"{dagster}patch_code_server(warm=True)") as platform:
        logged = platform.run("reporting")
    assert logged["warm"] == warm
    log = (tmp_path / "logs" / "dagster.log").read_text()
    assert f"{missing}, Dagster is left as it is: dagster {version('dagster')} " in log


@pytest.mark.parametrize(("setting", "warm_processes"), [("true", 1), ("false", 0)])
def test_the_setting_turns_warm_runs_off(setting: str, warm_processes: int, tmp_path: Path) -> None:
    (port,) = free_ports(0)
    command = [
        executable("dagster"),
        "api",
        "grpc",
        "-h",
        LOOPBACK,
        "-p",
        str(port),
        "-m",
        "lacrosse_assets.definitions",
    ]
    environ = {"LACROSSE_DEPLOYMENT": "mock", "LACROSSE_WARM_RUNS": setting}
    server = Server("code", command, tmp_path, environ=environ, startup_timeout=TIMEOUT_SECONDS, port=port)
    try:
        server.start()
        server.wait_until_up()
        process = server.process
        assert process
        children = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children(recursive=True)]
        assert (
            len([line for line in children if "lacrosse_assets.dagster_patches.warm_libraries" in line])
            == warm_processes
        )
    finally:
        server.stop()
