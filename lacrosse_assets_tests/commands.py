"""The command line, as somebody in a shell or in CI uses it: a process, an environment, what it prints and leaves."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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


def files_with(folder: Path, text: str) -> list[Path]:
    """The files anywhere below `folder` that hold `text`, whatever else they hold."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files, f"{folder} is empty: nothing was searched"
    return [path for path in files if text.encode() in path.read_bytes()]
