"""`dagster asset materialize` as a process: real services, invalid settings, no secret in output or storage."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lacrosse_assets_tests.support.commands import files_with, materialize
from lacrosse_assets_tests.support.world import ENDED, FINAL, MIDDLE, World, closed_port, new_embedded_world

world = pytest.fixture(new_embedded_world)


# None of them is a part of any other output.
SECRETS = {"AWS_SECRET_ACCESS_KEY": "s3cr3t-0f-s3", "password": "s3cr3t-0f-m0ng0db", "token": "s3cr3t-0f-sidearm"}


@pytest.fixture
def any_s3(world: World) -> Iterator[dict[str, str]]:
    """The variables of an S3 server that is not the embedded one, and takes any key."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRETS["AWS_SECRET_ACCESS_KEY"],
    }
    client = boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL_S3"],
        region_name=world.environ["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=world.environ["GAMESTREAM_BUCKET"])
    body = "".join(f"{line}\n" for line in ENDED).encode()
    client.put_object(Bucket=world.environ["GAMESTREAM_BUCKET"], Key=world.environ["GAMESTREAM_KEY"], Body=body)
    yield variables
    server.stop()


def test_services_need_their_addresses_only(world: World, any_s3: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"

    ended = materialize(home, {**world.environ, **any_s3})

    assert ended.exit_code == 0, ended.output
    assert world.document()["final"] is True
    assert world.document()["home"]["score"] == 2
    teams2, players2 = (world.table(name) or [] for name in FINAL)
    assert [(row["id"], row["wins"], row["losses"]) for row in teams2] == [(101, 12, 2), (205, 9, 5), (300, 1, 1)]
    assert [(row["shots"], row["goals"]) for row in players2 if row["id"] in (1, 12)] == [(57, 24), (41, 21)]
    assert SECRETS["AWS_SECRET_ACCESS_KEY"] not in ended.output
    assert files_with(home, SECRETS["AWS_SECRET_ACCESS_KEY"]) == []
    assert files_with(home, "somebody") == [], "the user name is not stored either"


def test_materialize_all_during_a_game_ends_in_failure_with_its_reason(world: World, tmp_path: Path) -> None:
    world.put(*MIDDLE)

    ended = materialize(tmp_path / "home", world.environ)

    assert ended.exit_code != 0
    # Dagster logs the check as well, at level DEBUG.
    (line,) = [line for line in ended.output.splitlines() if "not over yet" in line and " DEBUG " not in line]
    assert line.endswith(
        "teams2 and players2 are not written: the game is not over yet (syracuse 1 : 1 johns hopkins, 31:10, event 2)"
    )
    assert [world.table(name) for name in FINAL] == [None, None]


def test_a_failed_run_leaves_no_secret_in_its_output_or_its_storage(world: World, tmp_path: Path) -> None:
    """Every store is down, each with a secret in its address or beside it."""
    home = tmp_path / "home"
    port = closed_port()
    down = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_SECRET_ACCESS_KEY": SECRETS["AWS_SECRET_ACCESS_KEY"],
        "MONGODB_URI": f"mongodb://somebody:{SECRETS['password']}@127.0.0.1:{port}/",
        "SIDEARMDB_URL": f"mssql+pyodbc://sa:{SECRETS['token']}@127.0.0.1:{port}/sidearmdb?driver=FreeTDS",
    }

    # The final tables alone start with the document store.
    for select in ("raw_gamestream,roster", "teams2,players2"):
        ended = materialize(home, {**world.environ, **down}, select)

        assert ended.exit_code != 0
        assert f"127.0.0.1:{port}" in ended.output
        for secret in SECRETS.values():
            assert secret not in ended.output
            assert files_with(home, secret) == []
    assert files_with(home, f"127.0.0.1:{port}"), "the search would not have found anything"


# Invalid settings: one line that says what to do.


def assert_one_line(output: str, *words: str) -> None:
    assert "Traceback" not in output
    found = [line for line in output.splitlines() if words[0] in line]
    assert len(found) == 1, output
    for word in words:
        assert word in found[0]


def test_a_misspelt_deployment_is_one_line(tmp_path: Path) -> None:
    ended = materialize(tmp_path / "home", {"LACROSSE_DEPLOYMENT": "servcies"})

    assert ended.exit_code != 0
    assert_one_line(ended.output, "LACROSSE_DEPLOYMENT", "'servcies'", "embedded", "services", "mock")


def test_a_missing_variable_is_one_line(world: World, tmp_path: Path) -> None:
    environ = {name: value for name, value in world.environ.items() if name != "MONGODB_URI"}
    environ["AWS_SECRET_ACCESS_KEY"] = SECRETS["AWS_SECRET_ACCESS_KEY"]

    ended = materialize(tmp_path / "home", environ)

    assert ended.exit_code != 0
    assert_one_line(ended.output, "MONGODB_URI", "mongodb://")
    assert SECRETS["AWS_SECRET_ACCESS_KEY"] not in ended.output


def test_embedded_services_that_are_not_up_are_one_line(tmp_path: Path) -> None:
    ended = materialize(tmp_path / "home", {"LACROSSE_STATE_DIR": str(tmp_path / uuid.uuid4().hex)})

    assert ended.exit_code != 0
    assert_one_line(ended.output, "the embedded services are not running", "make dev", "LACROSSE_DEPLOYMENT")
