"""The captured output of a run: its files, the console, and the processes that mirror one to the other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.execution import compute_logs
from dagster._core.storage import local_compute_log_manager

from lacrosse_assets.dagster_patches import guard, run_output
from lacrosse_assets.dagster_patches.instance import PatchedInstance

# What a run does: Python and a child process write to both streams while they are captured.
RUN = """
import subprocess, sys
import psutil
from dagster import DagsterInstance

with DagsterInstance.from_config({home!r}) as instance:
    print("before", flush=True)
    with instance.compute_log_manager.capture_logs(["run", "compute_logs", "step"]):
        print("a goal")
        print("a warning", file=sys.stderr)
        subprocess.run(["sh", "-c", "echo of a child; echo x | tr x y >&2"], check=True)
        processes = len(psutil.Process().children())
        {then}
    print("processes", processes, flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return configured(tmp_path, "mirror_output_in_process: true")


def configured(folder: Path, setting: str) -> Path:
    (folder / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        f"instance_class: {{module: {PatchedInstance.__module__}, class: {PatchedInstance.__name__}}}\n{setting}\n"
    )
    return folder


def run(home: Path, then: str = "pass") -> "subprocess.CompletedProcess[str]":
    script = RUN.format(home=str(home), then=then)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def captured(home: Path, kind: str) -> str:
    return (home / "storage" / "run" / "compute_logs" / f"step.{kind}").read_text()


def test_both_the_files_and_the_console_have_everything(home: Path) -> None:
    ended = run(home)
    assert ended.stdout == "before\na goal\nof a child\nprocesses 0\n"
    assert ended.stderr == "a warning\ny\n"
    assert captured(home, "out") == "a goal\nof a child\n"
    assert captured(home, "err") == "a warning\ny\n"
    assert (home / "storage" / "run" / "compute_logs" / "step.complete").exists()


def test_a_killed_run_leaves_its_output_in_the_files(home: Path) -> None:
    ended = run(home, "sys.stdout.flush(); import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ended.returncode == -signal.SIGKILL
    assert captured(home, "out") == "a goal\nof a child\n"


def test_the_console_shows_output_before_the_run_ends(home: Path) -> None:
    script = RUN.format(home=str(home), then="sys.stdout.flush(); sys.stdin.read()")
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(3)] == ["before\n", "a goal\n", "of a child\n"]
        process.communicate("")
    assert process.returncode == 0


def test_a_closed_console_does_not_fail_the_run(home: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    script = RUN.format(home=str(home), then="pass")
    ended = subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=write, check=False)
    os.close(write)
    assert ended.returncode == 0
    assert captured(home, "err") == "a warning\ny\n"


def test_a_setting_leaves_it_to_dagster(tmp_path: Path) -> None:
    ended = run(configured(tmp_path, "mirror_output_in_process: false"))
    assert "processes 4\n" in ended.stdout
    assert captured(tmp_path, "out") == "a goal\nof a child\n"


def test_the_setting_can_change_within_a_process(tmp_path: Path) -> None:
    for setting, function in (("true", run_output), ("false", compute_logs), ("true", run_output)):
        with DagsterInstance.from_config(str(configured(tmp_path, f"mirror_output_in_process: {setting}"))):
            assert vars(local_compute_log_manager)["mirror_stream_to_file"] is function.mirror_stream_to_file


def test_another_dagster_mirrors_output_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_output.apply(enabled=False)
    monkeypatch.setattr(guard, "version", lambda _: "1.14.0")
    with DagsterInstance.from_config(str(home)):
        assert vars(local_compute_log_manager)["mirror_stream_to_file"] is compute_logs.mirror_stream_to_file
