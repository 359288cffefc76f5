"""SQLite files of the events of one run, a fraction of the size of Dagster's own.

Dagster gives each run a file with all tables of its event log, most of them empty, and each event is JSON text of one
to five kilobytes. A compact file has the events alone, compressed. A view with the name and the columns of Dagster's
table stands in front of them: Dagster's queries and inserts work on it as they are.

Only connections that `register` was called for can read the view. `expand_all` turns compact files into files of
Dagster's own, for a Dagster without this project's storage (`sqlite_storage.py`).
"""

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

# Smaller than SQLite's 4096 bytes, since a compressed event takes some hundred.
PAGE_BYTES = 1024
# What most events have in common. Never change it: stored events cannot be read with another one.
DICTIONARY = (
    b'{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": '
    b'"MarkdownMetadataEntryData", "md_str": "| "}, "label": "{"__class__": "TextMetadataEntryData", "text": '
    b'"{"__class__": "IntMetadataEntryData", "value": {"__class__": "FloatMetadataEntryData", "value": '
    b'"metadata_entries": [], "AssetCheckEvaluation", "asset_key": {"__class__": "AssetKey", "path": '
    b'["partition": null, "check_name": "partitions_subset": null, "severity": {"__enum__": '
    b'"AssetCheckSeverity.WARN"}, "{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", '
    b'"event_specific_data": {"__class__": "StepOutputData", "step_output_handle": {"__class__": '
    b'"StepOutputHandle", "mapping_key": null, "output_name": "result", "step_key": "type_check_data": '
    b'{"__class__": "TypeCheckData", "description": null, "label": "result", "metadata_entries": [], "success": '
    b'true}, "version": null}, "event_type_value": "STEP_OUTPUT", "logging_tags": {"job_name": "", "op_name": "", '
    b'"resource_fn_name": "None", "resource_name": "None", "run_id": "", "step_key": ""}, "message": "", "pid": , '
    b'"pipeline_name": "", "solid_handle": {"__class__": "SolidHandle", "name": "", "parent": null}, '
    b'"step_handle": {"__class__": "StepHandle", "key": "", "solid_handle": {"__class__": "SolidHandle", "name": '
    b'"", "parent": null}}, "step_key": "", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, '
    b'"message": "", "pipeline_name": "", "run_id": "", "step_key": "", "timestamp": 1, "user_message": ""}'
)

# Without indexes: a run has less than a hundred events.
_SCHEMA = """
    CREATE TABLE compact_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, run_id, dagster_event_type, timestamp, step_key, asset_key, partition,
        event BLOB NOT NULL
    );
    CREATE VIEW event_logs AS
        SELECT id, run_id, dagster_event_type, timestamp, step_key, asset_key, partition, unpacked(event) AS event
        FROM compact_events;
    CREATE TRIGGER insert_event INSTEAD OF INSERT ON event_logs BEGIN
        INSERT INTO compact_events (run_id, dagster_event_type, timestamp, step_key, asset_key, partition, event)
        VALUES (
            new.run_id, new.dagster_event_type, new.timestamp, new.step_key, new.asset_key, new.partition,
            packed(new.event)
        );
    END;
    CREATE TRIGGER update_event INSTEAD OF UPDATE ON event_logs BEGIN
        UPDATE compact_events
        SET run_id = new.run_id, dagster_event_type = new.dagster_event_type, timestamp = new.timestamp,
            step_key = new.step_key, asset_key = new.asset_key, partition = new.partition, event = packed(new.event)
        WHERE id = old.id;
    END;
    CREATE TRIGGER delete_event INSTEAD OF DELETE ON event_logs BEGIN
        DELETE FROM compact_events WHERE id = old.id;
    END;
"""
# Dagster adds its indexes and further tables when it opens the file.
_EXPAND = """
    CREATE TABLE expanded (
        id INTEGER NOT NULL PRIMARY KEY, run_id VARCHAR(255), event TEXT NOT NULL, dagster_event_type TEXT,
        timestamp TIMESTAMP, step_key TEXT, asset_key TEXT, partition TEXT
    );
    INSERT INTO expanded (id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
        SELECT id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition FROM event_logs;
    DROP VIEW event_logs;
    DROP TABLE compact_events;
    ALTER TABLE expanded RENAME TO event_logs;
"""


def register(connection: sqlite3.Connection) -> None:
    """Enable a new connection to read and write compact files, and to create one."""
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")  # without effect on a file that is there
    connection.create_function("packed", 1, _packed, deterministic=True)
    connection.create_function("unpacked", 1, _unpacked, deterministic=True)


def create(connection: sqlite3.Connection) -> None:
    """Create the view and its table, unless the file has events already, compact or in Dagster's own table."""
    if _kind(connection):
        return
    connection.execute("BEGIN IMMEDIATE")  # another process may create it at the same time
    try:
        if not _kind(connection):
            for statement in _statements(_SCHEMA):
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def expand_all(folder: Path) -> int:
    """Turn all compact files in the folder into Dagster's own format. Returns their number. Nothing may use them."""
    return sum(_expand(file) for file in folder.glob("*.db"))


def _expand(file: Path) -> bool:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        register(connection)
        if _kind(connection) != "view":
            return False
        connection.execute("BEGIN IMMEDIATE")
        for statement in _statements(_EXPAND):
            connection.execute(statement)
        connection.execute("COMMIT")
        return True


def _kind(connection: sqlite3.Connection) -> str | None:
    """`view` in a compact file, `table` in one of Dagster's own, None in a new one."""
    row = connection.execute("SELECT type FROM sqlite_master WHERE name = 'event_logs'").fetchone()
    return row and str(row[0])


def _statements(script: str) -> list[str]:
    """The statements of a script. `executescript` would commit the transaction first."""
    statements, statement = [], ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            statements.append(statement)
            statement = ""
    return statements


def _packed(event: str) -> bytes:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    return compressor.compress(event.encode()) + compressor.flush()


def _unpacked(event: bytes) -> str:
    return zlib.decompressobj(zdict=DICTIONARY).decompress(event).decode()
