"""The process from which runs are forked has the definitions loaded, and a forked run has the code that is on disk."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lacrosse_assets

# As the warm process does it, then a run: what the run prints is what it has.
FORK = """
import os, sys
import psutil
from lacrosse_assets.dagster_patches import warm_libraries
from lacrosse_assets import warm_definitions

process = psutil.Process()
print("threads", process.num_threads(), "connections", len(process.net_connections("inet")), flush=True)
{change}
if os.fork() == 0:
    loaded = "lacrosse_assets.definitions" in sys.modules
    from lacrosse_assets.definitions import defs
    print("loaded", loaded, "description", defs.resolve_job_def("live_boxscore").description[:8], flush=True)
    import boto3
    parsers = boto3.DEFAULT_SESSION._session.get_component("response_parser_factory")
    print("timestamps parsed by", parsers._defaults["timestamp_parser"].__module__, flush=True)
    os._exit(0)
os.wait()
"""
CHANGE = """
from pathlib import Path
jobs = Path(sys.modules["lacrosse_assets.jobs"].__file__)
jobs.write_text(jobs.read_text().replace("From the current stream", "Changed, while the code server was up"))
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package, to change it."""
    source = Path(lacrosse_assets.__file__).parent
    shutil.copytree(source, tmp_path / "lacrosse_assets", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def forked(folder: Path, change: str = "", **environ: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", FORK.format(change=change)],
        env={**os.environ, "LACROSSE_DEPLOYMENT": "mock", "PYTHONPATH": str(folder), **environ},
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_a_run_has_the_definitions_when_it_is_forked(copied: Path) -> None:
    assert "loaded True description From the" in forked(copied)


def test_a_run_has_the_session_of_s3_when_it_is_forked(copied: Path) -> None:
    """With the platform's parser: botocore's own takes most of the time of a listing."""
    assert "timestamps parsed by lacrosse_assets.s3" in forked(copied)


def test_the_warm_process_is_safe_to_fork_with_the_definitions(copied: Path) -> None:
    assert "threads 1 connections 0" in forked(copied)


def test_a_run_reads_changed_code_again(copied: Path) -> None:
    assert "loaded False description Changed," in forked(copied, CHANGE)


def test_definitions_that_cannot_be_loaded_in_advance_are_left_to_the_run(copied: Path) -> None:
    broken = copied / "lacrosse_assets" / "jobs.py"
    correct = broken.read_text()
    broken.write_text("raise RuntimeError('the code is being edited')")
    repaired = f"from pathlib import Path; Path({str(broken)!r}).write_text({correct!r})"
    assert "loaded False description From the" in forked(copied, repaired)
