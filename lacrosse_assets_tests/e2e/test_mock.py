"""The `mock` deployment: in-memory stores with a finished game (docs/contract.md, sections 8 and 9)."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance

from lacrosse_assets.game.document import Document
from lacrosse_assets.resources.documents import WriteResult
from lacrosse_assets.resources.mock import InMemoryEventDocuments
from lacrosse_assets.resources.object_store import StreamVersion
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support.commands import materialize
from lacrosse_assets_tests.support.world import FINAL, LIVE

START = datetime(2026, 3, 7, 20, tzinfo=UTC)
CANNED = PROJECT_ROOT / "lacrosse_assets" / "gamestream"


def test_materialize_all_plays_the_canned_game_to_both_final_tables(tmp_path: Path) -> None:
    # Addresses of other deployments are ignored.
    unreachable = {"SPARK_REMOTE": "sc://127.0.0.1:1", "MONGODB_URI": "mongodb://127.0.0.1:1"}

    ended = materialize(tmp_path / "home", {"LACROSSE_DEPLOYMENT": "mock", **unreachable})

    assert ended.exit_code == 0, ended.output
    assert "RUN_SUCCESS" in ended.output
    with DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        metadata = {}
        for name in (*LIVE, *FINAL):
            event = instance.get_latest_materialization_event(AssetKey(name))
            assert event, f"{name} is not materialized"
            assert event.asset_materialization
            metadata[name] = {key: value.value for key, value in event.asset_materialization.metadata.items()}

    goals = Counter[str]()
    lines = (CANNED / "game.txt").read_text().splitlines()
    for line in lines:
        event_id, _, team, _, goal = line.split()
        goals[team] += int(goal) if int(event_id) >= 0 else 0
    assert f"syracuse {goals['101']} : {goals['205']} johns hopkins" in str(metadata["teams2"]["score"])
    assert metadata["boxscore_doc"]["final"] is True
    events = [line for line in lines if not line.startswith("-1 ")]
    assert metadata["boxscore_doc"]["documents_backfilled"] == len(events) - 1
    assert metadata["players2"]["dagster/row_count"] == len((CANNED / "players.csv").read_text().splitlines()) - 1


@pytest.mark.parametrize(
    ("deployment", "java", "problem"),
    [
        ("mock", "", "java (from JAVA_HOME) does not run"),
        ("mock", "echo 'openjdk version \"11.0.2\"' >&2", "java (from JAVA_HOME) is Java 11"),
        ("services", "", "java (from JAVA_HOME) does not run"),
    ],
)
def test_a_missing_java_is_an_error_of_one_line(tmp_path: Path, deployment: str, java: str, problem: str) -> None:
    """It was a hundred lines of PySpark's, for each of three attempts."""
    program = tmp_path / "java" / "bin" / "java"
    if java:
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{java}\n")
        program.chmod(0o755)
    stores = {"MONGODB_URI": "mongodb://127.0.0.1:1", "SIDEARMDB_URL": f"sqlite:///{tmp_path}/a.db"}
    environ = {"LACROSSE_DEPLOYMENT": deployment, "JAVA_HOME": str(tmp_path / "java"), "SPARK_REMOTE": "", **stores}

    ended = materialize(tmp_path / "home", environ)

    assert ended.exit_code == 1
    (line,) = [line for line in ended.output.splitlines() if line.startswith("Error: ")]
    assert problem in line
    assert "Spark needs Java 17 or newer: " in line
    assert "Traceback" not in ended.output
    assert "STEP_" not in ended.output, "no step was started"


def test_the_in_memory_document_store_behaves_like_a_server() -> None:
    def box(event_id: int, seconds: int) -> Document:
        date = START + timedelta(seconds=seconds)
        version = {"etag": str(seconds), "last_modified": date, "fetched_at": date}
        team = {"name": "syracuse", "score": 0, "players": list[Document]()}
        teams = {"timestamp": "10:00", "home": team, "away": team}
        return {"_id": event_id, **teams, "stream": version, "fingerprint": str(event_id)}

    store = InMemoryEventDocuments(database="of-this-test")
    events = {event_id: str(event_id) for event_id in range(4)}

    def write(documents: list[Document], timeline: dict[int, str], stream: int) -> WriteResult | None:
        return store.write(documents, timeline, latest=lambda: StreamVersion.from_document(box(0, stream)))

    assert write([box(1, 1)], {1: "1"}, stream=1) == WriteResult(True, 0, 0)
    assert write([box(0, 2), box(2, 2), box(3, 2)], events, stream=2) == WriteResult(True, 2, 0)
    assert write([box(2, 1)], {2: "2"}, stream=2) is None, "a late run"
    assert write([box(1, 3)], {0: "0", 1: "1"}, stream=3) == WriteResult(True, 0, 2)
    assert store.current() == box(1, 3)
    assert store.fingerprints() == {0: "0", 1: "1"}
