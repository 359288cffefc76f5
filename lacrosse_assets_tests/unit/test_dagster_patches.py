"""Every patch of Dagster is left out, with one line in the log, if Dagster is not the one that it was tested with."""

import logging
from collections.abc import Callable
from importlib.metadata import requires, version

import dagster_postgres.utils
import pytest
from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from dagster._grpc.server import DagsterApiServer
from dagster_postgres import PostgresRunStorage
from packaging.requirements import Requirement

from lacrosse_assets.dagster_patches import (
    guard,
    instance,
    postgres_storage,
    run_output,
    sensor_daemon,
    sqlite_storage,
    survive_cleanup_errors,
    warm_runs,
)
from lacrosse_assets.dagster_patches.guard import TESTED_VERSIONS, is_supported, unsupported

Change = Callable[[pytest.MonkeyPatch], None]
RELIES_ON = {
    "warm runs": ("dagster", warm_runs.RELIES_ON),
    "crashed runs": ("dagster", survive_cleanup_errors.RELIES_ON),
    "instance": ("dagster", instance.RELIES_ON),
    "sensor daemon": ("dagster", sensor_daemon.RELIES_ON),
    "run output": ("dagster", run_output.RELIES_ON),
    "SQLite": ("dagster", sqlite_storage.RELIES_ON),
    "Postgres": ("dagster-postgres", postgres_storage.RELIES_ON),
}


def another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "version", {"dagster": "1.14.0", "dagster-postgres": "0.30.0"}.__getitem__)


def without_the_check_for_crashed_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(DagsterApiServer, "_check_for_orphaned_runs")


def without_start_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(DagsterApiServer, "StartRun")


def without_the_multiprocessing_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DagsterApiServer, "__init__", lambda _: None)


def without_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster._grpc.server.DagsterApiServer", None)


def without_instance_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(InstanceRef, "config_defaults")


def without_a_function_of_dagster_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dagster_postgres.utils, "set_pg_statement_timeout")


def without_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PostgresRunStorage, "__init__", lambda _: None)


def without_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(PostgresRunStorage, "optimize_for_webserver")


@pytest.mark.parametrize("patch", RELIES_ON)
def test_the_installed_dagster_is_supported(patch: str) -> None:
    package, attributes = RELIES_ON[patch]
    assert unsupported(package, *attributes) is None


@pytest.mark.parametrize(
    ("patch", "change", "missing"),
    [
        *((patch, another_version, "is not tested") for patch in RELIES_ON),
        ("warm runs", without_start_run, "has no dagster._grpc.server.DagsterApiServer.StartRun"),
        ("warm runs", without_the_multiprocessing_context, "has no dagster._grpc.server.DagsterApiServer()._mp_ctx"),
        ("warm runs", without_the_server, "has no dagster._grpc.server.DagsterApiServer.StartRun"),
        ("crashed runs", without_the_check_for_crashed_runs, "DagsterApiServer._check_for_orphaned_runs"),
        ("instance", without_instance_defaults, "has no dagster._core.instance.ref.InstanceRef.config_defaults"),
        ("Postgres", without_a_function_of_dagster_postgres, "has no dagster_postgres.utils.set_pg_statement_timeout"),
        ("Postgres", without_an_engine, "has no dagster_postgres.PostgresRunStorage()._engine"),
        ("Postgres", without_a_method, "has no dagster_postgres.PostgresRunStorage.optimize_for_webserver"),
    ],
)
def test_another_dagster_is_detected(
    patch: str, change: Change, missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package, attributes = RELIES_ON[patch]
    change(monkeypatch)
    with caplog.at_level(logging.WARNING, guard.log.name):
        assert not is_supported("the patch", package, *attributes)
    (line,) = [record.getMessage() for record in caplog.records if record.name == guard.log.name]
    assert line.startswith(f"the patch is off, Dagster is left as it is: {package} ")
    assert missing in line


def test_a_module_that_is_missing_is_detected() -> None:
    assert unsupported("dagster", "dagster._gone:Something") == (
        f"dagster {version('dagster')} has no dagster._gone.Something"
    )


@pytest.mark.parametrize("change", [another_version, without_the_check_for_crashed_runs])
def test_the_check_for_crashed_runs_is_left_alone(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing attribute used to be an AttributeError that kept the code location from loading."""
    change(monkeypatch)
    before = getattr(DagsterApiServer, "_check_for_orphaned_runs", None)
    survive_cleanup_errors.apply()
    assert getattr(DagsterApiServer, "_check_for_orphaned_runs", None) is before


@pytest.mark.parametrize(
    "change", [another_version, without_start_run, without_the_multiprocessing_context, without_the_server]
)
def test_the_start_of_runs_is_left_alone(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch)
    before = getattr(DagsterApiServer, "StartRun", None)
    warm_runs.apply()
    assert getattr(DagsterApiServer, "StartRun", None) is before


def test_an_instance_of_another_dagster_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    another_version(monkeypatch)
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        f"instance_class: {{module: {instance.__name__}, class: {instance.PatchedInstance.__name__}}}\n"
    )
    with DagsterInstance.from_config(str(home)) as unpatched:
        assert isinstance(unpatched, instance.PatchedInstance)
        assert list(unpatched.get_runs()) == []


def test_setup_py_bounds_dagster_to_the_tested_versions() -> None:
    """Otherwise an installation could get a Dagster on which no patch is applied."""
    required = {each.name: each.specifier for each in map(Requirement, requires("lacrosse_assets") or [])}
    for package, tested in TESTED_VERSIONS.items():
        major, minor = map(int, tested.split("."))
        assert required[package].contains(version(package))
        assert not required[package].contains(f"{major}.{minor + 1}.0")
        assert not required[package].contains(f"{major}.{minor - 1}.99")
    ours = [name for name in required if name.startswith("dagster")]
    assert len(ours) > len(TESTED_VERSIONS)
    for package in ours:
        assert len(required[package]) == 2, f"{package} has a lower and an upper bound"
