"""The command line, as somebody in a shell or in CI uses it: a process, an environment, what it prints and leaves."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from lacrosse_assets_tests.support.waiting import wait_until

# Nothing else of this process: PySpark, for one, leaves settings of its own in the environment.
INHERITED = ("PATH", "HOME", "LANG", "JAVA_HOME", "TMPDIR")


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    exit_code: int
    output: str  # standard output and error


def materialize(home: Path, environ: Mapping[str, str], select: str = "*") -> Ended:
    """`dagster asset materialize`, with these settings and no other, and `home` as its DAGSTER_HOME.

    It runs there, too: in the project's folder Dagster would read Compose's `.env`.
    """
    home.mkdir(exist_ok=True)
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    ended = subprocess.run(
        [
            Path(sys.executable).parent / "dagster",
            *("asset", "materialize", "-m", "lacrosse_assets.definitions", "--select", select),
        ],
        cwd=home,
        env={**inherited, **environ, "DAGSTER_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Ended(ended.returncode, ended.stdout)


@contextmanager
def in_the_background(
    command: list[object], log: Path, environ: Mapping[str, str], cwd: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """The command as a script has it: `command >log &`, with signals ignored; ended in any case."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    line = 'trap "" INT HUP; exec "$@"'  # what a shell without job control does to it, and nohup
    with log.open("w") as out:
        process = subprocess.Popen(
            ["sh", "-c", line, "sh", *map(str, command)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**inherited, **environ},
            cwd=cwd,
            start_new_session=True,
        )
    children: list[psutil.Process] = []
    try:
        yield process
    finally:
        with suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        for child in children:
            with suppress(psutil.Error):
                child.kill()


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[bytes]", log: Path, timeout: float) -> None:
    """Wait while the process is running. Errors show its log."""

    def check_running() -> None:
        assert process.poll() is None, log.read_text()

    wait_until(condition, log.read_text, timeout=timeout, check=check_running)


def files_with(folder: Path, text: str) -> list[Path]:
    """The files anywhere below `folder` that hold `text`, whatever else they hold."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files, f"{folder} is empty: nothing was searched"
    return [path for path in files if text.encode() in path.read_bytes()]
