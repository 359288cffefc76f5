"""What tests of Docker Compose share, with an engine and without one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from lacrosse_assets_tests import PROJECT_ROOT

MAKEFILE = PROJECT_ROOT / "Makefile"


def tool(name: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program of this virtual environment, or of the system, with nothing of this process's environment."""
    own = Path(sys.executable).parent / name
    program = own if own.exists() else shutil.which(name)
    assert program, f"{name} is not installed"
    environ = {variable: os.environ[variable] for variable in ("PATH", "HOME") if variable in os.environ}
    return subprocess.run(
        [program, *map(str, arguments)], env=environ, cwd=PROJECT_ROOT, capture_output=True, text=True, **options
    )


def make_env(folder: Path) -> subprocess.CompletedProcess[str]:
    """`make env`, as on a checkout in `folder`."""
    shutil.copy(PROJECT_ROOT / ".env.example", folder)
    return tool("make", "--no-print-directory", "-C", folder, "-f", MAKEFILE, "env")
