"""A store that is unreachable or refuses requests (docs/contract.md, section 6).

The run fails after a few retries. The error names the store and its address, and no stored event contains a secret.
"""

import re
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from lacrosse_assets import s3
from lacrosse_assets.assets.common import RETRIES
from lacrosse_assets.resources import documents
from lacrosse_assets.resources.errors import unreachable_hint
from lacrosse_assets.resources.sql import Fault
from lacrosse_assets_tests.support.world import LIVE, MIDDLE, SCHEMA, Run, Stores, World, closed_port

# As in an address (percent-encoded), and as the server receives it.
PASSWORD, DECODED = "pa55%40w0rd-0f-no-one", "pa55@w0rd-0f-no-one"


def assert_failed_with(world: World, run: Run, step: str, message: str, *hints: str) -> None:
    """Assert that the step failed after its retries, with an error of one line from `message` to one of the hints.

    No stored event contains a secret.
    """
    assert not run.success
    assert run.failures[step].startswith(message), run.failures[step]
    assert run.failures[step].endswith(tuple(f"({hint})" for hint in hints))
    assert "\n" not in run.failures[step]
    assert run.retries[step] == RETRIES.max_retries
    stored = "\n".join(str(entry) for entry in world.instance.all_logs(run.run_id))
    assert message in stored
    for secret in (PASSWORD, DECODED):
        assert secret not in stored


def test_the_object_store_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", DECODED)

    run = world.materialize("raw_gamestream")

    message = f"object store at {address} (s3://"
    assert_failed_with(world, run, "raw_gamestream", message, unreachable_hint("AWS_ENDPOINT_URL_S3"))


def test_the_document_store_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(*MIDDLE)
    port = closed_port()
    monkeypatch.setenv("MONGODB_URI", f"mongodb://somebody:{PASSWORD}@127.0.0.1:{port}/?authSource=admin")

    run = world.materialize(*LIVE)

    assert_failed_with(
        world, run, "boxscore_doc", f"document store at 127.0.0.1:{port}: ", unreachable_hint("MONGODB_URI")
    )
    assert sorted(run.metadata) == ["player_game_stats", "raw_gamestream", "roster"], "the rest is stored"

    monkeypatch.setenv("MONGODB_URI", world.environ["MONGODB_URI"])
    assert world.tick_and_run().success, "the next tick continues from there"
    assert world.document()["_id"] == 2


def is_refused(call: Callable[[], object]) -> bool:
    """Whether the server refuses the call. Some servers for tests accept any user and password."""
    try:
        call()
    except (ClientError, OperationFailure):
        return True
    return False


def test_an_object_store_that_refuses_the_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(*MIDDLE)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", DECODED)
    client = boto3.client("s3", **{**world.s3, "aws_secret_access_key": DECODED})

    run = world.materialize("raw_gamestream")

    if is_refused(client.list_buckets):
        address = world.environ["AWS_ENDPOINT_URL_S3"]
        assert_failed_with(world, run, "raw_gamestream", f"object store at {address} (s3://", s3.CREDENTIALS_HINT)
    else:
        assert run.success


def test_a_document_store_that_refuses_the_password(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(*MIDDLE)
    assert world.materialize(*LIVE).success
    uri = re.sub("//([^@/]*@)?", f"//nobody:{PASSWORD}@", world.environ["MONGODB_URI"], count=1)
    monkeypatch.setenv("MONGODB_URI", uri)

    run = world.materialize("boxscore_doc", checks=False)

    with MongoClient[dict[str, object]](uri) as client:
        if is_refused(client.list_database_names):
            message = f"document store at {world.document_store().address}: "
            assert_failed_with(world, run, "boxscore_doc", message, documents.USER_HINT)
        else:
            assert run.success


@pytest.mark.parametrize(
    "query", ["driver=ODBC+Driver+18+for+SQL+Server", f"driver=FreeTDS&PWD={PASSWORD}"], ids=["user", "query"]
)
def test_the_reference_database_is_down(world: World, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """Either the port is closed, or this machine has no ODBC driver at all."""
    port = closed_port()
    monkeypatch.setenv("SIDEARMDB_URL", f"mssql+pyodbc://sa:{PASSWORD}@127.0.0.1:{port}/sidearmdb?{query}")

    run = world.materialize("roster")

    message = f"reference database at mssql://127.0.0.1:{port}/sidearmdb: "
    assert_failed_with(world, run, "roster", message, Fault.UNREACHABLE.hint, Fault.NO_DRIVER.hint)


@pytest.mark.parametrize("table", ["teams", "players"])
def test_a_table_is_missing(world: World, stores: Stores, table: str) -> None:
    other = SCHEMA[0] if table == "players" else SCHEMA[1].replace(", foreign key (teamid) references teams(id)", "")
    world.sql("DROP TABLE players")
    world.sql("DROP TABLE teams")
    world.sql(other)

    run = world.materialize("roster")

    message = f"reference database at {world.reference_db().address}: "
    # On a server the table may exist and be invisible: the hint must not lead to its creation.
    assert_failed_with(
        world, run, "roster", message, (Fault.NO_OBJECT if stores.sql_is_a_server else Fault.NO_TABLE).hint
    )
    assert f"{table}" in run.failure
    assert stores.sql_is_a_server or f"there is no table {table} (" in run.failure


@pytest.mark.parametrize("content", ["This is a letter.\n" * 100, None], ids=["no database", "no such folder"])
def test_a_file_that_is_not_a_database(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "somewhere" / "letter.db"
    if content:
        file.parent.mkdir()
        file.write_text(content)
    monkeypatch.setenv("SIDEARMDB_URL", f"sqlite:///{file}")

    run = world.materialize("roster")

    hint = (Fault.NOT_A_FILE if content else Fault.CANNOT_OPEN).hint
    assert_failed_with(world, run, "roster", f"reference database at sqlite:///{file}: ", hint)
    assert ("file is not a database" if content else "unable to open") in run.failure


@pytest.mark.parametrize("secret", ["", f"/;use_ssl=true;token={DECODED}"], ids=["address alone", "with a token"])
def test_the_spark_connect_server_is_down(world: World, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    world.put(*MIDDLE)
    assert world.materialize("raw_gamestream", "roster").success, "neither uses Spark"
    port = closed_port()
    monkeypatch.setenv("SPARK_REMOTE", f"sc://127.0.0.1:{port}{secret}")

    run = world.materialize("player_game_stats")

    message = f"Spark Connect server at sc://127.0.0.1:{port}: "
    assert_failed_with(world, run, "player_game_stats", message, unreachable_hint("SPARK_REMOTE"))
