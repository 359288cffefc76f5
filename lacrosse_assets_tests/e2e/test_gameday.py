"""`lacrosse gameday` as a user runs it: from nothing to the final tables (docs/contract.md, section 10)."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from lacrosse_assets.embedded.supervision import executable
from lacrosse_assets.gamestream.game_day import game_day
from lacrosse_assets_tests.support.day import expected_results

GAMES = 4
TIMEOUT_SECONDS = 280  # only to end a test that hangs


def rows(database: Path, table: str) -> list[dict[str, Any]]:
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT * FROM {table} ORDER BY id")).mappings().all()
    engine.dispose()
    return [dict(row) for row in found]


@pytest.mark.timeout(TIMEOUT_SECONDS + 10)
def test_a_game_day_from_nothing_to_the_final_tables(tmp_path: Path) -> None:
    state_dir, day = tmp_path / "state", game_day(GAMES)
    environ = {
        name: value for name, value in os.environ.items() if name not in ("GAMESTREAM_KEY", "LACROSSE_DEPLOYMENT")
    }
    ended = subprocess.run(
        [executable("lacrosse"), "gameday"],
        env={**environ, "LACROSSE_STATE_DIR": str(state_dir), "GAMES": str(GAMES), "DELAY": "0.002"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr

    teams2, players2, scores = expected_results(day)
    database = state_dir / "sidearmdb.db"
    assert rows(database, "teams2") == teams2
    assert rows(database, "players2") == players2
    assert {row["id"]: (row["home_score"], row["away_score"]) for row in rows(database, "games2")} == scores
    assert any(home == away for home, away in scores.values()), "the day has a tie"
    lines = ended.stdout.splitlines()
    names = {team["id"]: team["name"] for team in day.teams}
    for game in day.games:
        home, away = scores[game.game_id]
        assert lines.count(f"final: {names[game.home]} {home} : {away} {names[game.away]}") == 1
    shots = sum(row["shots"] for row in players2) - sum(row["shots"] for row in day.players)
    goals = sum(map(sum, scores.values()))
    assert lines[-3:] == [
        "games2: 4 games, 1 of them tied",
        "teams2: 8 rows, 3 wins and 3 losses more than teams",
        f"players2: {len(players2)} rows, {shots} shots and {goals} goals more than players",
    ]
