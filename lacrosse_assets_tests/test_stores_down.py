"""A store that cannot be worked with (docs/contract.md, section 6).

The run fails after a few tries, with the store's name and address in its words, and no secret in what it leaves.
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
from lacrosse_assets_tests.world import LIVE, MIDDLE, SCHEMA, Run, Stores, World, closed_port

# As they stand in an address (percent-encoded), and as the server gets to see them.
PASSWORD, DECODED = "pa55%40w0rd-0f-no-one", "pa55@w0rd-0f-no-one"


def assert_failed_well(world: World, run: Run, step: str, told: str, *hints: str) -> None:
    """After a few tries, in one line that begins with `told` and ends with one of the ways out, and no secret in any
    stored event."""
    assert not run.success
    assert run.failures[step].startswith(told), run.failures[step]
    assert run.failures[step].endswith(tuple(f"({way_out})" for way_out in hints))
    assert "\n" not in run.failures[step]
    assert run.retries[step] == RETRIES.max_retries
    stored = "\n".join(str(entry) for entry in world.instance.all_logs(run.run_id))
    assert told in stored
    for secret in (PASSWORD, DECODED):
        assert secret not in stored


def test_the_object_store_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", DECODED)

    run = world.materialize("raw_gamestream")

    told = f"object store at {address} (s3://"
    assert_failed_well(world, run, "raw_gamestream", told, unreachable_hint("AWS_ENDPOINT_URL_S3"))


def test_the_document_store_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(*MIDDLE)
    port = closed_port()
    monkeypatch.setenv("MONGODB_URI", f"mongodb://somebody:{PASSWORD}@127.0.0.1:{port}/?authSource=admin")

    run = world.materialize(*LIVE)

    assert_failed_well(
        world, run, "boxscore_doc", f"document store at 127.0.0.1:{port}: ", unreachable_hint("MONGODB_URI")
    )
    assert sorted(run.metadata) == ["player_game_stats", "raw_gamestream", "roster"], "the rest is stored"

    monkeypatch.setenv("MONGODB_URI", world.environ["MONGODB_URI"])
    assert world.tick_and_run().success, "the next tick goes on from there"
    assert world.document()["_id"] == 2


def is_refused(call: Callable[[], object]) -> bool:
    """Whether the server refuses it. Some that are made for tests take any user and any password."""
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
        assert_failed_well(world, run, "raw_gamestream", f"object store at {address} (s3://", s3.CREDENTIALS_HINT)
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
            told = f"document store at {world.document_store().address}: "
            assert_failed_well(world, run, "boxscore_doc", told, documents.USER_HINT)
        else:
            assert run.success


@pytest.mark.parametrize(
    "query", ["driver=ODBC+Driver+18+for+SQL+Server", f"driver=FreeTDS&PWD={PASSWORD}"], ids=["user", "query"]
)
def test_the_reference_database_is_down(world: World, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """Be it that nobody listens, or that this machine has no ODBC driver in the first place."""
    port = closed_port()
    monkeypatch.setenv("SIDEARMDB_URL", f"mssql+pyodbc://sa:{PASSWORD}@127.0.0.1:{port}/sidearmdb?{query}")

    run = world.materialize("roster")

    told = f"reference database at mssql://127.0.0.1:{port}/sidearmdb: "
    assert_failed_well(world, run, "roster", told, Fault.UNREACHABLE.hint, Fault.NO_DRIVER.hint)


@pytest.mark.parametrize("table", ["teams", "players"])
def test_a_table_is_missing(world: World, stores: Stores, table: str) -> None:
    other = SCHEMA[0] if table == "players" else SCHEMA[1].replace(", foreign key (teamid) references teams(id)", "")
    world.sql("DROP TABLE players")
    world.sql("DROP TABLE teams")
    world.sql(other)

    run = world.materialize("roster")

    told = f"reference database at {world.reference_db().address}: "
    # On a server it may be there and invisible: nothing may lead to its being made.
    assert_failed_well(world, run, "roster", told, (Fault.NO_OBJECT if stores.sql_is_a_server else Fault.NO_TABLE).hint)
    assert f"{table}" in run.failure
    assert stores.sql_is_a_server or f"there is no table {table} (" in run.failure


@pytest.mark.parametrize("content", ["This is a letter.\n" * 100, None], ids=["no database", "no such folder"])
def test_a_file_that_is_no_database(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "somewhere" / "letter.db"
    if content:
        file.parent.mkdir()
        file.write_text(content)
    monkeypatch.setenv("SIDEARMDB_URL", f"sqlite:///{file}")

    run = world.materialize("roster")

    hint = (Fault.NOT_A_FILE if content else Fault.CANNOT_OPEN).hint
    assert_failed_well(world, run, "roster", f"reference database at sqlite:///{file}: ", hint)
    assert ("file is not a database" if content else "unable to open") in run.failure


@pytest.mark.parametrize("secret", ["", f"/;use_ssl=true;token={DECODED}"], ids=["address alone", "with a token"])
def test_the_spark_connect_server_is_down(world: World, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    world.put(*MIDDLE)
    assert world.materialize("raw_gamestream", "roster").success, "neither takes Spark"
    port = closed_port()
    monkeypatch.setenv("SPARK_REMOTE", f"sc://127.0.0.1:{port}{secret}")

    run = world.materialize("player_game_stats")

    told = f"Spark Connect server at sc://127.0.0.1:{port}: "
    assert_failed_well(world, run, "player_game_stats", told, unreachable_hint("SPARK_REMOTE"))
