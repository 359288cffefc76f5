"""The Makefile: which system packages it asks for, and when it installs them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lacrosse_assets_tests import PROJECT_ROOT

PACKAGES = "unixodbc libgssapi-krb5-2 chromium"


class Machine:
    """Debian without the system packages: `make` with these programs alone, some of which only record their call."""

    def __init__(self, folder: Path, user_id: int) -> None:
        self._bin, self._venv, self._calls = folder / "bin", folder / "venv", folder / "calls"
        self._bin.mkdir()
        (self._venv / "bin").mkdir(parents=True)
        for program in ("sh", "make"):
            (self._bin / program).symlink_to(str(shutil.which(program)))
        self.add(self._bin / "id", f"echo {user_id}")
        self.add(self._bin / "apt-get", f'echo "$@" >>{self._calls}')
        self.add(self._venv / "bin" / "python", "exit 1")  # pyodbc cannot be imported

    @staticmethod
    def add(program: Path, script: str) -> None:
        program.write_text(f"#!{shutil.which('sh')}\n{script}\n")
        program.chmod(0o755)

    def make(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`make system`, as a target that needs everything has it. Nothing is installed with pip."""
        variables = f"VENV={self._venv}", f"STAMP={self._venv}", f"PYTHON={sys.executable}", "NEEDS=odbc chromium"
        return subprocess.run(
            ["make", "-o", self._venv, "system", *variables, *arguments],
            cwd=PROJECT_ROOT,
            env={"PATH": str(self._bin), "HOME": os.environ.get("HOME", "/")},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def apt_calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []


def test_an_installation_is_announced_before_it_happens(tmp_path: Path) -> None:
    root = Machine(tmp_path, 0)

    made = root.make()

    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith(f"Installing system packages with apt-get: {PACKAGES} (`make APT=no` ")
    assert root.apt_calls == ["update", f"install -y {PACKAGES}"]


@pytest.mark.parametrize(("user_id", "arguments"), [(0, ["APT=no"]), (1000, [])], ids=["refused", "not root"])
def test_otherwise_the_missing_packages_are_named_and_nothing_is_installed(
    tmp_path: Path, user_id: int, arguments: list[str]
) -> None:
    machine = Machine(tmp_path, user_id)

    made = machine.make(*arguments)

    assert made.returncode != 0
    assert f"Error: system packages are missing: install them with `apt-get install {PACKAGES}` as root" in made.stderr
    assert machine.apt_calls == []


def test_an_installation_that_fails_names_its_log(tmp_path: Path) -> None:
    root = Machine(tmp_path, 0)
    root.add(tmp_path / "bin" / "apt-get", "echo no network >&2; exit 100")

    made = root.make()

    assert made.returncode != 0
    assert f"its output is in {tmp_path / 'venv' / 'apt.log'}" in made.stderr
    assert "no network" in (tmp_path / "venv" / "apt.log").read_text()


def test_installed_packages_are_not_asked_for(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 1000)
    machine.add(tmp_path / "venv" / "bin" / "python", "exit 0")
    machine.add(tmp_path / "bin" / "google-chrome", "exit 0")
    assert machine.make().returncode == 0
