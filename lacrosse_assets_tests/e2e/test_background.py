"""Commands in the background of a script: `sh` ignores SIGINT there, and `nohup` SIGHUP. SIGTERM stops all of them."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from lacrosse_assets.embedded.dagster_dev import INSTANCE_SETTINGS
from lacrosse_assets.embedded.ports import free_ports
from lacrosse_assets.embedded.supervision import executable
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support.commands import in_the_background, wait_for

STARTUP_TIMEOUT_SECONDS = 180  # on a busy machine
STOP_TIMEOUT_SECONDS = 20  # less than the kill timeouts of Dagster's children (60 s) and of two of our servers in a row
# Dagster does not wait until its code servers have stopped.
STOP_ALL_TIMEOUT_SECONDS = 30


def assert_stops_with_its_child_processes(process: "subprocess.Popen[bytes]", log: Path) -> None:
    children = psutil.Process(process.pid).children(recursive=True)
    assert children, "it has no child process"
    started = time.monotonic()
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"it is still running after {STOP_TIMEOUT_SECONDS} s: {log.read_text()[-2000:]}")
    _, alive = psutil.wait_procs(children, max(0.1, STOP_ALL_TIMEOUT_SECONDS - (time.monotonic() - started)))
    assert [child.cmdline()[:6] for child in alive] == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("command", "up"),
    [
        ("services", "The services are up"),
        ("dev", "Up until Ctrl-C"),
        ("game", "Dagster UI: "),
        ("gameday", "Dagster UI: "),
    ],
)
def test_a_command_of_this_project(tmp_path: Path, command: str, up: str) -> None:
    log, state_dir = tmp_path / "log", tmp_path / "state"
    environ = {"LACROSSE_STATE_DIR": str(state_dir), "DELAY": "1"}
    with in_the_background([executable("lacrosse"), command], log, environ, tmp_path) as process:
        wait_for(lambda: up in log.read_text(), process, log, STARTUP_TIMEOUT_SECONDS)
        process.send_signal(signal.SIGINT)  # Ctrl-C in the script's terminal
        process.send_signal(signal.SIGHUP)  # the terminal is closed
        time.sleep(2)
        assert process.poll() is None, "both signals are ignored"
        assert_stops_with_its_child_processes(process, log)


@pytest.mark.timeout(400)
def test_dagster_dev_with_this_projects_dagster_yaml(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    home.mkdir()
    shutil.copy(INSTANCE_SETTINGS, home)
    (port,) = free_ports(0)
    command = [executable("dagster"), "dev", "-h", "127.0.0.1", "-p", port, "-w", PROJECT_ROOT / "workspace.yaml"]
    environ = {"DAGSTER_HOME": str(home), "LACROSSE_DEPLOYMENT": "mock"}
    with in_the_background(command, log, environ, tmp_path) as process:
        wait_for(lambda: "Checking for new runs for sensor" in log.read_text(), process, log, STARTUP_TIMEOUT_SECONDS)
        assert_stops_with_its_child_processes(process, log)
