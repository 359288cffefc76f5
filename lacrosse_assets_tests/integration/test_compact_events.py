"""The compact files of a run's events: what Dagster's queries see of them, their size, and the way back."""

import hashlib
import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from dagster import DagsterInstance

from lacrosse_assets.dagster_patches import compact_events
from lacrosse_assets.dagster_patches.pooled_sqlite import CHECKPOINT_PAGES
from lacrosse_assets.embedded.dagster_dev import dagster_yaml
from lacrosse_assets_tests.support.world import ENDED, LIVE, MIDDLE, World

EVENT = '{"__class__": "EventLogEntry", "message": "Müller shoots …"}'
# A fifth of the 761 KiB that a live run once left behind, events, records and captured output together.
MAX_BYTES_PER_RUN = 152 * 1024


@pytest.fixture
def compact(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(_opened(tmp_path / "run.db")) as connection:
        yield connection


def _opened(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=30)
    compact_events.register(connection)
    compact_events.create(connection)
    return connection


def _insert(connection: sqlite3.Connection, *events: str) -> None:
    with connection:
        connection.executemany(
            "INSERT INTO event_logs (run_id, event, dagster_event_type) VALUES ('run', ?, 'STEP_START')",
            [(event,) for event in events],
        )


def test_the_view_answers_as_the_table_would(compact: sqlite3.Connection) -> None:
    _insert(compact, EVENT, "{}", "")
    rows = compact.execute("SELECT id, event FROM event_logs WHERE run_id = 'run' ORDER BY id").fetchall()
    assert rows == [(1, EVENT), (2, "{}"), (3, "")]
    with compact:
        compact.execute("UPDATE event_logs SET event = ? WHERE id = 2", (EVENT,))
        compact.execute("DELETE FROM event_logs WHERE id = 3")
    rows = compact.execute("SELECT id, run_id, event, dagster_event_type FROM event_logs").fetchall()
    assert rows == [(1, "run", EVENT, "STEP_START"), (2, "run", EVENT, "STEP_START")]


def test_an_id_is_not_used_again(compact: sqlite3.Connection) -> None:
    """A reader that continues after the last id it has seen would miss an event that has the id of a deleted one."""
    _insert(compact, "{}", "{}")
    with compact:
        compact.execute("DELETE FROM event_logs WHERE id = 2")
    _insert(compact, "{}")
    assert [row[0] for row in compact.execute("SELECT id FROM event_logs")] == [1, 3]


def test_the_dictionary_stays_the_one_of_stored_events() -> None:
    assert hashlib.sha256(compact_events.DICTIONARY).hexdigest() == (
        "72eed68a4f451f10f269dd390f915632d08589fe757bc2b90b24c4f9759c465f"
    )


def _create(file: Path) -> None:
    with closing(_opened(file)) as connection:
        _insert(connection, EVENT)


def test_two_processes_create_a_file_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    creators = [context.Process(target=_create, args=(tmp_path / "run.db",)) for _ in range(8)]
    for creator in creators:
        creator.start()
    for creator in creators:
        creator.join()
    assert [creator.exitcode for creator in creators] == [0] * 8
    with closing(_opened(tmp_path / "run.db")) as connection:
        assert connection.execute("SELECT count(*) FROM event_logs").fetchone() == (8,)


def test_expanded_files_need_nothing_of_this_project(tmp_path: Path) -> None:
    with closing(_opened(tmp_path / "run.db")) as connection:
        _insert(connection, EVENT, "{}")
    assert compact_events.expand_all(tmp_path) == 1
    assert compact_events.expand_all(tmp_path) == 0
    with closing(sqlite3.connect(tmp_path / "run.db")) as connection:
        assert connection.execute("SELECT id, event FROM event_logs").fetchall() == [(1, EVENT), (2, "{}")]


def test_a_live_run_leaves_a_fifth_of_what_it_did(world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(dagster_yaml(home))
    with DagsterInstance.from_config(str(home)) as instance:
        world.instance = instance
        world.put(*MIDDLE)
        world.materialize(*LIVE)
        before = _size(home)
        world.put(*ENDED)
        runs = 5
        for _ in range(runs):
            world.materialize(*LIVE)
        # The write-ahead logs have a maximum size; they are not left by each run.
        assert (_size(home) - before) / runs < MAX_BYTES_PER_RUN
        logs = [file.stat().st_size for file in home.rglob("*.db-wal")]
        assert max(logs) < 2 * 4096 * CHECKPOINT_PAGES


def _size(home: Path) -> int:
    return sum(file.stat().st_size for file in home.rglob("*") if file.is_file() and file.suffix != ".db-wal")
