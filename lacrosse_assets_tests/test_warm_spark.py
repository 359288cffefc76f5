"""The Spark Connect server, warmed up before the game."""

import os
import subprocess
import sys

from lacrosse_assets_tests.commands import INHERITED
from lacrosse_assets_tests.world import World


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
    assert "RUN_SUCCESS" in ended.stdout
    assert world.documents() == []
    assert [world.table(name) for name in ("teams", "players", "teams2", "players2")] == before
