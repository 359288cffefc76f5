"""The rules of the game can be read, tested and reused alone."""

import subprocess
import sys

import pytest

MODULES = "keys", "roster", "stream", "statistics", "boxscore", "timeline", "finals"
CLIENT_LIBRARIES = "dagster", "boto3", "botocore", "pymongo", "sqlalchemy", "pyodbc"


@pytest.mark.parametrize("module", MODULES)
def test_the_game_needs_neither_dagster_nor_a_client_library(module: str) -> None:
    code = f"import sys, lacrosse_assets.game.{module}; print(*sorted({set(CLIENT_LIBRARIES)} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
