"""`lacrosse game`: one game from the first shot to the final tables, and what to say when it does not get there."""

import sys
import time
from datetime import UTC, datetime
from typing import Any

from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from sqlalchemy import MetaData, Table, create_engine, select

from lacrosse_assets.automation import MAX_ATTEMPTS
from lacrosse_assets.embedded.dagster_dev import Dagit, dagster_home
from lacrosse_assets.embedded.processes import Server, ServerError
from lacrosse_assets.embedded.scoreboard import scoreboard, show_table
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets.resources.documents import DocumentStore, MongoDocumentStore
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.object_store import LiveS3, S3ObjectStore, StreamVersion
from lacrosse_assets.settings import Settings, load_settings

LOOK_EVERY = 0.2  # seconds
PATIENCE = 120  # seconds from the simulator's end to the final tables


class GameError(ServerError):
    """A game that did not get to its final tables. The message says why, as far as is known."""


def play(services: EmbeddedServices, dagit: Dagit) -> None:
    """Start the simulator, show the score until the final tables of this play are written, and show those."""
    settings = load_settings()
    # Object stores date by the second; what is of this play is not dated before the second in which it began.
    began = datetime.now(UTC).replace(microsecond=0)
    simulator = Server(
        "gamestream",
        [sys.executable, "-m", "lacrosse_assets.gamestream"],
        services.state_dir,
        answers=lambda: True,
        environ={"LACROSSE_DEPLOYMENT": "embedded", "LACROSSE_STATE_DIR": str(services.state_dir)},
    )
    documents = MongoDocumentStore(uri=settings.mongodb_uri.get_secret_value())
    with DagsterInstance.from_config(str(dagster_home(services.state_dir))) as instance, scoreboard() as show:
        record = _Record(instance, settings, began)
        give_up = None
        try:
            simulator.start()
            while True:
                services.check_alive()
                dagit.check_alive()
                simulator.check_no_failure()
                if document := _current_boxscore(documents, began):
                    show(document)
                if failure := record.failed_for_good():
                    raise GameError(f"{failure}\n  (all of Dagster's log: {dagit.log_file})")
                if not simulator.running():
                    if record.final_tables_written():
                        break
                    give_up = give_up or time.monotonic() + PATIENCE
                    if time.monotonic() > give_up:
                        raise GameError(
                            f"there are no final tables {PATIENCE} s after the simulator's end; {record.last_runs()}\n"
                            f"  (all of Dagster's log: {dagit.log_file})"
                        )
                time.sleep(LOOK_EVERY)
        finally:
            simulator.end()
    for name in FINAL_TABLES:
        show_table(name, *_read_table(settings, name))


def _current_boxscore(documents: DocumentStore, began: datetime) -> dict[str, Any] | None:
    """The current box score, if it is of this play: state is kept, so an earlier game's may still be there."""
    try:
        document = documents.current()
    except StoreError:
        return None  # a server that has ended is reported by name at the next look
    return document if document and document["stream"]["last_modified"] >= began else None


class _Record:
    """What Dagster has on record of this play."""

    def __init__(self, instance: DagsterInstance, settings: Settings, began: datetime) -> None:
        self._instance = instance
        self._settings = settings
        self._began = began
        self._object_store = S3ObjectStore(
            s3=LiveS3(endpoint_url=settings.s3_endpoint_url, region_name=settings.aws_region),
            bucket=settings.gamestream_bucket,
            key=settings.gamestream_key,
        )

    def final_tables_written(self) -> bool:
        """Are both final tables those of the stream as it is now, written during this play?"""
        try:
            version = self._object_store.head()
        except StoreError:
            return False  # a server that has ended is reported by name at the next look
        return version is not None and all(self._made_from(name) == version for name in FINAL_TABLES)

    def _made_from(self, table: str) -> StreamVersion | None:
        event = self._instance.get_latest_materialization_event(AssetKey(table))
        # A replay has the ETags of the game before.
        if event is None or event.asset_materialization is None or event.timestamp < self._began.timestamp():
            return None
        return StreamVersion.from_metadata(event.asset_materialization.metadata)

    def failed_for_good(self) -> str | None:
        """What is wrong, once so many runs have failed in a row that the sensor pauses."""
        newest = self._runs(MAX_ATTEMPTS)
        if len(newest) < MAX_ATTEMPTS or any(run.status != DagsterRunStatus.FAILURE for run in newest):
            return None
        return f"{MAX_ATTEMPTS} runs in a row have failed; {self._describe(newest[0])}"

    def last_runs(self) -> str:
        """The last runs of this play, in words."""
        runs = self._runs(3)
        return "; ".join(self._describe(run) for run in runs) if runs else "Dagster has not run anything"

    def _runs(self, limit: int) -> list[DagsterRun]:
        return list(self._instance.get_runs(RunsFilter(created_after=self._began), limit=limit))

    def _describe(self, run: DagsterRun) -> str:
        said = f"run {run.run_id.split('-')[0]} of {run.job_name}: {run.status.value.lower()}"
        if run.status != DagsterRunStatus.FAILURE:
            return said
        # The last cause of the first step that failed is what was raised; the outer ones only wrap it.
        for event in self._instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE):
            error = event.get_dagster_event().step_failure_data.error
            while error and error.cause:
                error = error.cause
            if error:
                return f"{said}, {error.message.strip()}"
        return said


def _read_table(settings: Settings, name: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    engine = create_engine(settings.sidearmdb_url.get_secret_value())
    try:
        with engine.connect() as connection:
            table = Table(name, MetaData(), autoload_with=connection)
            order = [table.c[column] for column in ("teamid", "id") if column in table.c]
            rows = connection.execute(select(table).order_by(*order)).all()
            return list(table.c.keys()), [tuple(row) for row in rows]
    finally:
        engine.dispose()
