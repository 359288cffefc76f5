"""The `mock` deployment: no service, no port, a canned finished game (CONTRACT.md, sections 8 and 9)."""

from collections import Counter
from pathlib import Path

from dagster import AssetKey, DagsterInstance

from lacrosse_assets.settings import PROJECT_ROOT
from lacrosse_assets_tests.commands import materialize
from lacrosse_assets_tests.world import FINAL, LIVE

CANNED = PROJECT_ROOT / "lacrosse_assets" / "gamestream"


def test_materialize_all_plays_the_canned_game_to_both_final_tables(tmp_path: Path) -> None:
    # Addresses that lie about are not looked at.
    nowhere = {"SPARK_REMOTE": "sc://127.0.0.1:1", "MONGODB_URI": "mongodb://127.0.0.1:1"}

    ended = materialize(tmp_path / "home", {"LACROSSE_DEPLOYMENT": "mock", **nowhere})

    assert ended.exit_code == 0, ended.output
    assert "RUN_SUCCESS" in ended.output
    with DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        told = {}
        for name in (*LIVE, *FINAL):
            event = instance.get_latest_materialization_event(AssetKey(name))
            assert event, f"{name} is not materialized"
            assert event.asset_materialization
            told[name] = {key: value.value for key, value in event.asset_materialization.metadata.items()}

    goals = Counter[str]()
    lines = (CANNED / "game.txt").read_text().splitlines()
    for line in lines:
        event_id, _, team, _, goal = line.split()
        goals[team] += int(goal) if int(event_id) >= 0 else 0
    assert f"syracuse {goals['101']} : {goals['205']} johns hopkins" in str(told["teams2"]["score"])
    assert told["boxscore_doc"]["final"] is True
    events = [line for line in lines if not line.startswith("-1 ")]
    assert told["boxscore_doc"]["documents_filled_in"] == len(events) - 1
    assert told["players2"]["dagster/row_count"] == len((CANNED / "players.csv").read_text().splitlines()) - 1
