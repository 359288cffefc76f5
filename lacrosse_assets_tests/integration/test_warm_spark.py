"""The Spark Connect server, warmed up before the game."""

import os
import re
import subprocess
import sys

from lacrosse_assets_tests.support.commands import INHERITED
from lacrosse_assets_tests.support.world import World


def test_the_canned_game_is_computed_on_the_server_and_nothing_is_written_to_the_stores(world: World) -> None:
    before = [world.table(name) for name in ("teams", "players", "teams2", "players2")]
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "lacrosse_assets.warm_spark"],
        env={**inherited, **world.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    first, last = ended.stdout.splitlines()
    spark = f"Spark at {world.environ['SPARK_REMOTE']}"
    assert first == f"Warming up {spark}"
    assert re.fullmatch(rf"{spark} is warm after \d+ s", last)
    assert world.documents() == []
    assert [world.table(name) for name in ("teams", "players", "teams2", "players2")] == before


def test_a_server_that_does_not_answer_is_one_line(world: World) -> None:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "lacrosse_assets.warm_spark"],
        env={**inherited, **world.environ, "SPARK_REMOTE": "sc://127.0.0.1:1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 1
    _, last = ended.stdout.splitlines()
    assert last.startswith("Spark at sc://127.0.0.1:1 could not be warmed up, so the first box scores take longer: ")
