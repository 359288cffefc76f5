"""Compose's stores from the host (docs/deployment.md): `dagster dev` in a folder with the `.env` of `make env`.

Dagster reads that file by itself, empty variables included: `SPARK_REMOTE=` is what PySpark fails on.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from lacrosse_assets.embedded.dagster_dev import INSTANCE_SETTINGS
from lacrosse_assets.embedded.ports import free_ports
from lacrosse_assets.embedded.supervision import executable
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support.commands import in_the_background, wait_for
from lacrosse_assets_tests.support.world import ENDED, World, new_embedded_world

world = pytest.fixture(new_embedded_world)

PLAYED_SECONDS = 240  # two runs, each of which starts Spark in its process, on a busy machine
# What else Compose's `${NAME:-}` and people leave empty, and libraries read.
EMPTY = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SPARK_MASTER",
    "SPARK_HOME",
    "JAVA_HOME",
)


def env_file(folder: Path, world: World) -> Path:
    """`.env` as `make env` writes it, with the addresses of the test's stores in the place of Compose's."""
    shutil.copy(PROJECT_ROOT / ".env.example", folder)
    subprocess.run(["make", "-C", folder, "-f", PROJECT_ROOT / "Makefile", "env"], check=True, capture_output=True)
    own = {name: value for name, value in world.environ.items() if name not in ("SPARK_REMOTE", "LACROSSE_DEPLOYMENT")}
    lines = [
        line for line in (folder / ".env").read_text().splitlines() if line.partition("=")[0] not in {*own, *EMPTY}
    ]
    assert "SPARK_REMOTE=" in lines
    lines += [f"{name}={own.get(name, '')}" for name in (*own, *EMPTY)]
    (folder / ".env").write_text("\n".join(lines))
    return folder / ".env"


@pytest.mark.timeout(600)
def test_dagster_dev_plays_a_game_with_the_env_file_of_compose(world: World, tmp_path: Path) -> None:
    world.put(*ENDED)
    home = tmp_path / "home"
    checkout = tmp_path / "checkout"
    for folder in (home, checkout):
        folder.mkdir()
    env_file(checkout, world)
    shutil.copy(INSTANCE_SETTINGS, home)
    (port,) = free_ports(0)
    command = [executable("dagster"), "dev", "-h", "127.0.0.1", "-p", port, "-w", PROJECT_ROOT / "workspace.yaml"]
    environ = {"LACROSSE_DEPLOYMENT": "services", "DAGSTER_HOME": str(home)}
    log = tmp_path / "log"

    with in_the_background(command, log, environ, checkout) as process:
        wait_for(lambda: world.table("teams2"), process, log, PLAYED_SECONDS)

    assert world.document()["final"] is True
