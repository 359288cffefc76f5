"""Dagster's SQLite storage with pooled connections, for the embedded deployment.

Dagster opens the file for each event, of which a live run writes about sixty, and reads all of its migrations for each
run. Here connections stay open, and complete tables are not migrated again. A run's events are in a compact file
(`compact_events.py`), and everything else is Dagster's own. An instance can switch between the two at each start.
docs/adr/0002-pooled-storage.md has the difference. Compose uses Postgres instead (`postgres_storage.py`).

`LACROSSE_POOLED_SQLITE=false` turns it off.
"""

from pathlib import Path
from typing import Any

from lacrosse_assets.dagster_patches.compact_events import expand_all
from lacrosse_assets.dagster_patches.guard import is_supported

EVENT_LOG = "dagster._core.storage.event_log.sqlite.sqlite_event_log:SqliteEventLogStorage"
RUNS = "dagster._core.storage.runs.sqlite.sqlite_run_storage:SqliteRunStorage"
SCHEDULES = "dagster._core.storage.schedules.sqlite.sqlite_schedule_storage:SqliteScheduleStorage"
STORAGE = "dagster._core.storage.sqlite_storage"
RELIES_ON = (
    *(
        f"{EVENT_LOG}.{name}"
        for name in ("_connect", "_initdb", "store_event", "has_table", "conn_string_for_shard", "path_for_shard")
    ),
    f"{EVENT_LOG}.dispose",
    *(
        f"dagster._core.storage.event_log.sql_event_log:SqlEventLogStorage.{name}"
        for name in (
            *("delete_events", "delete_events_for_run", "free_concurrency_slots_for_run"),
            *("_event_to_row", "_store_asset_event", "_store_asset_event_tags", "store_asset_check_event"),
            *("has_asset_key_col", "_has_asset_key_col_on_connection", "has_secondary_index"),
        )
    ),
    *(
        f"dagster._core.events:{name}"
        for name in ("ASSET_CHECK_EVENTS", "ASSET_EVENTS", "EVENT_TYPE_TO_PIPELINE_RUN_STATUS")
    ),
    *(
        f"dagster._core.storage.event_log.schema:{table}"
        for table in ("AssetCheckExecutionsTable", "AssetKeyTable", "SqlEventLogStorageTable")
    ),
    "dagster._core.storage.runs.schema:RunTagsTable",
    "dagster._core.storage.runs.sql_run_storage:SqlRunStorage.delete_run",
    *(f"{EVENT_LOG}().{name}" for name in ("_db_lock", "_initialized_dbs")),
    *(f"{storage}{name}" for storage in (RUNS, SCHEDULES) for name in (".connect", ".from_local", "()._conn_string")),
    f"{EVENT_LOG.partition(':')[0]}:INDEX_SHARD_NAME",
    *(f"{STORAGE}:{name}" for name in ("_event_logs_directory", "_runs_directory", "_schedule_directory")),
    *(f"{STORAGE}:DagsterSqliteStorage{name}" for name in (".from_local", "()._run_storage", "()._inst_data")),
    *(f"{STORAGE}:DagsterSqliteStorage()._{name}_storage" for name in ("event_log", "schedule")),
    "dagster._core.storage.sqlite:create_db_conn_string",
    "dagster._utils:mkdir_p",
)
EVENTS_FOLDER = Path("history", "runs")  # of Dagster's SQLite storage, in its home
IMPLEMENTATION = "lacrosse_assets.dagster_patches.pooled_sqlite"


def configuration(home: Path, *, pooled: bool = True) -> dict[str, Any]:
    """The setting `storage` of dagster.yaml for the folder `home`: pooled if Dagster is supported, else its own.

    In the latter case the events of earlier runs are made readable for Dagster's own storage.
    """
    config = {"base_dir": str(home)}
    if pooled and is_supported("the SQLite connection pool", "dagster", *RELIES_ON):
        return {"custom": {"module": IMPLEMENTATION, "class": "PooledSqliteStorage", "config": config}}
    expand_all(home / EVENTS_FOLDER)
    return {"sqlite": config}
