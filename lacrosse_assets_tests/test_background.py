"""Commands that a script starts in the background: `sh` ignores SIGINT there, `nohup` SIGHUP. SIGTERM ends them all."""

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
from lacrosse_assets.settings import PROJECT_ROOT
from lacrosse_assets_tests.commands import in_the_background

STARTED_SECONDS = 180  # on a busy machine
ENDED_SECONDS = 20  # less than the kill timeouts of Dagster's children (60 s) and of two of our servers in a row
# Dagster's code servers are asked to end, and not waited for.
ALL_ENDED_SECONDS = 30


def wait_for(log: Path, part: str, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + STARTED_SECONDS
    while part not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.2)


def assert_ends_with_all_that_it_started(process: "subprocess.Popen[bytes]", log: Path) -> None:
    children = psutil.Process(process.pid).children(recursive=True)
    assert children, "it has started nothing"
    started = time.monotonic()
    process.terminate()
    try:
        process.wait(ENDED_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"it goes on after {ENDED_SECONDS} s: {log.read_text()[-2000:]}")
    _, alive = psutil.wait_procs(children, max(0.1, ALL_ENDED_SECONDS - (time.monotonic() - started)))
    assert [child.cmdline()[:6] for child in alive] == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("command", "up"), [("services", "The services are up"), ("dev", "Up until Ctrl-C"), ("game", "Dagster UI: ")]
)
def test_a_command_of_ours(tmp_path: Path, command: str, up: str) -> None:
    log, state_dir = tmp_path / "log", tmp_path / "state"
    environ = {"LACROSSE_STATE_DIR": str(state_dir), "DELAY": "1"}
    with in_the_background([executable("lacrosse"), command], log, environ, tmp_path) as process:
        wait_for(log, up, process)
        process.send_signal(signal.SIGINT)  # Ctrl-C in the script's terminal
        process.send_signal(signal.SIGHUP)  # the terminal is closed
        time.sleep(2)
        assert process.poll() is None, "it has to go on: these two are ignored"
        assert_ends_with_all_that_it_started(process, log)


@pytest.mark.timeout(400)
def test_dagster_dev_with_this_projects_dagster_yaml(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    home.mkdir()
    shutil.copy(INSTANCE_SETTINGS, home)
    (port,) = free_ports(0)
    command = [executable("dagster"), "dev", "-h", "127.0.0.1", "-p", port, "-w", PROJECT_ROOT / "workspace.yaml"]
    environ = {"DAGSTER_HOME": str(home), "LACROSSE_DEPLOYMENT": "mock"}
    with in_the_background(command, log, environ, tmp_path) as process:
        wait_for(log, "Checking for new runs for sensor", process)
        assert_ends_with_all_that_it_started(process, log)
