"""`lacrosse game`: one game from the first shot to the final tables, or the reason why it does not get there."""

import sys
import time
from collections.abc import Callable
from typing import Any

from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from sqlalchemy import MetaData, Table, create_engine, select

from lacrosse_assets.automation import MAX_ATTEMPTS
from lacrosse_assets.embedded.dagster_dev import DagsterDev, dagster_home
from lacrosse_assets.embedded.scoreboard import scoreboard, show_table
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.embedded.supervision import Server, ServerError
from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.event_documents import EventDocuments, MongoEventDocuments
from lacrosse_assets.resources.object_store import LiveS3, S3ObjectStore, StreamVersion
from lacrosse_assets.settings import Settings, load_settings

POLL_INTERVAL_SECONDS = 0.2
FINAL_TABLES_TIMEOUT_SECONDS = 120  # from the simulator's exit to the final tables


class GameError(ServerError):
    """A game without final tables. The message gives the reason, as far as Dagster's records have it."""


def play(services: EmbeddedServices, dagster: DagsterDev) -> None:
    """Start the simulator, show the score until the final tables of this game are written, and print the tables.

    Raises `ServerError` if a server exits, and `GameError` if there are no final tables.
    """
    settings = load_settings()
    documents = MongoEventDocuments(uri=settings.mongodb_uri.get_secret_value())
    earlier = _version_of(_current_boxscore(documents))
    with DagsterInstance.from_config(str(dagster_home(services.state_dir))) as instance, scoreboard() as show:

        def refresh() -> None:
            # State is kept, so an earlier game may have left a box score. No clock tells them apart: it may be set.
            document = _current_boxscore(documents)
            if document and _version_of(document) != earlier:
                show(document)

        def missing() -> str | None:
            return None if _final_tables_written(instance, settings) else "there are no final tables"

        follow(services, dagster, Runs(instance), refresh, missing)
    for name in FINAL_TABLES:
        show_table(name, *read_table(settings, name))


def follow(
    services: EmbeddedServices,
    dagster: DagsterDev,
    runs: "Runs",
    refresh: Callable[[], None],
    missing: Callable[[], str | None],
) -> None:
    """Run the simulator, and wait until nothing is `missing`. `refresh` shows the score at each poll.

    Raises `ServerError` if a server exits, and `GameError` if something is still missing some time after the end.
    """
    simulator = Server(
        "gamestream",
        [sys.executable, "-m", "lacrosse_assets.gamestream"],
        services.state_dir,
        environ={"LACROSSE_DEPLOYMENT": "embedded", "LACROSSE_STATE_DIR": str(services.state_dir)},
    )
    deadline = None
    try:
        simulator.start()
        while True:
            services.check_alive()
            dagster.check_alive()
            simulator.check_no_failure()
            refresh()
            if failure := runs.failed_repeatedly():
                raise GameError(f"{failure}\n  (full log of Dagster: {dagster.log_file})")
            if not simulator.running():
                what = missing()
                if what is None:
                    return
                deadline = deadline or time.monotonic() + FINAL_TABLES_TIMEOUT_SECONDS
                if time.monotonic() > deadline:
                    raise GameError(
                        f"{what} {FINAL_TABLES_TIMEOUT_SECONDS} s after the simulator's exit; "
                        f"{runs.last_runs()}\n  (full log of Dagster: {dagster.log_file})"
                    )
            time.sleep(POLL_INTERVAL_SECONDS)
    finally:
        simulator.stop()


def _current_boxscore(documents: EventDocuments) -> dict[str, Any] | None:
    try:
        return documents.current()
    except StoreError:
        return None  # a server that has exited is reported by name at the next poll


def _version_of(document: dict[str, Any] | None) -> StreamVersion | None:
    return StreamVersion.from_document(document) if document else None


def _final_tables_written(instance: DagsterInstance, settings: Settings) -> bool:
    """Whether both final tables were made from the stream's present version. A replay's has another date."""
    object_store = S3ObjectStore(
        s3=LiveS3(endpoint_url=settings.s3_endpoint_url, region_name=settings.aws_region),
        bucket=settings.gamestream_bucket,
        key=settings.gamestream_key,
    )

    def made_from(table: str) -> StreamVersion | None:
        event = instance.get_latest_materialization_event(AssetKey(table))
        if event is None or event.asset_materialization is None:
            return None
        return StreamVersion.from_metadata(event.asset_materialization.metadata)

    try:
        version = object_store.head()
    except StoreError:
        return False  # a server that has exited is reported by name at the next poll
    return version is not None and all(made_from(name) == version for name in FINAL_TABLES)


class Runs:
    """Dagster's runs since this was created, in their order in the storage: a clock may be set in mid-game."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance = instance
        self._last_before = max((record.storage_id for record in instance.get_run_records(limit=1)), default=0)

    def failed_repeatedly(self) -> str | None:
        """The reason, once `MAX_ATTEMPTS` runs in a row have failed, after which the sensor pauses; otherwise None."""
        newest = self._runs(MAX_ATTEMPTS)
        if len(newest) < MAX_ATTEMPTS or any(run.status != DagsterRunStatus.FAILURE for run in newest):
            return None
        return f"{MAX_ATTEMPTS} runs in a row have failed; {self._describe(newest[0])}"

    def last_runs(self) -> str:
        """A description of the last runs."""
        runs = self._runs(3)
        return "; ".join(self._describe(run) for run in runs) if runs else "Dagster has launched no run"

    def _runs(self, limit: int) -> list[DagsterRun]:
        records = self._instance.get_run_records(limit=limit)
        return [record.dagster_run for record in records if record.storage_id > self._last_before]

    def _describe(self, run: DagsterRun) -> str:
        description = f"run {run.run_id.split('-')[0]} of {run.job_name}: {run.status.value.lower()}"
        if run.status != DagsterRunStatus.FAILURE:
            return description
        # The last cause is the error that was raised; the others wrap it.
        for event in self._instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE):
            error = event.get_dagster_event().step_failure_data.error
            while error and error.cause:
                error = error.cause
            if error:
                return f"{description}, {error.message.strip()}"
        return description


def read_table(settings: Settings, name: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and the rows of a table of the reference database."""
    engine = create_engine(settings.sidearmdb_url.get_secret_value())
    try:
        with engine.connect() as connection:
            table = Table(name, MetaData(), autoload_with=connection)
            order = [table.c[column] for column in ("teamid", "id") if column in table.c]
            rows = connection.execute(select(table).order_by(*order)).all()
            return list(table.c.keys()), [tuple(row) for row in rows]
    finally:
        engine.dispose()
