"""No secret in anything that the platform stores, logs or prints, in successful and in failed runs.

The exceptions are the files that hold secrets, readable by their owner only: `.env` (test_compose.py) and the embedded
services' addresses (test_embedded.py).
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunsFilter

from lacrosse_assets.embedded.dagster_dev import DagsterDev, dagster_home
from lacrosse_assets.resources.spark import HINTS as SPARK_HINTS
from lacrosse_assets_tests.support.builders import stream
from lacrosse_assets_tests.support.commands import INHERITED, Ended, materialize
from lacrosse_assets_tests.support.secret_scanner import Secret, command_lines, find_secrets, in_answer, in_folder
from lacrosse_assets_tests.support.secured_stores import (
    ACCESS_KEY,
    DATABASE,
    DOCUMENTS,
    SECRETS,
    TOKEN,
    SecuredStores,
    secured_stores,
)
from lacrosse_assets_tests.support.waiting import wait_until
from lacrosse_assets_tests.support.world import ENDED, MIDDLE

# A secret that no store accepts.
WRONG = Secret("a wrong secret", "Rm8bYt3KpW@/:;?#[%&=+Gc5vNs9LxH")


# Everything that the Dagster UI queries and that may contain a secret.
EVERYTHING = """
{ instance { info }
  workspaceOrError { ... on Workspace { locationEntries { name displayMetadata { key value }
    locationOrLoadError { ... on PythonError { message stack } } } } }
  repositoriesOrError { ... on RepositoryConnection { nodes {
    allTopLevelResourceDetails { name description configFields { name description configType { key } }
      configuredValues { key value type } nestedResources { name } }
    sensors { name sensorState { ticks { status skipReason error { message stack causes { message stack } } } } } } } }
  runsOrError { ... on Runs { results { id status runConfigYaml tags { key value }
    eventConnection { events { ... on MessageEvent { message }
      ... on ErrorEvent { error { message stack causes { message stack } } }
      ... on MaterializationEvent { metadataEntries { label ... on TextMetadataEntry { text } } } } } } } }
}
"""


@pytest.fixture
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredStores]:
    with secured_stores(tmp_path_factory.mktemp("stores")) as stores:
        yield stores


class Watched:
    """The platform on the secured stores: webserver, daemon with its sensor, and runs as processes."""

    def __init__(self, state: Path, environ: dict[str, str]):
        self._dagster = DagsterDev(state, print, environ)
        self._home = dagster_home(state)

    def __enter__(self) -> "Watched":
        self._dagster.start().wait_until_up()
        self._instance = DagsterInstance.from_config(str(self._home))
        return self

    def __exit__(self, *_: object) -> None:
        self._instance.dispose()
        self._dagster.stop()

    def is_finished(self) -> bool:
        return self._instance.get_latest_materialization_event(AssetKey("players2")) is not None

    def failures(self) -> int:
        return len(self._instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE])))

    def until_more_runs_failed_than(self, before: int) -> None:
        self.until("another failed run", lambda: self.failures() > before)

    def everything(self) -> Any:
        """The response of the Dagster UI's GraphQL API to `EVERYTHING`."""
        answer = httpx.post(f"{self._dagster.url}/graphql", json={"query": EVERYTHING}, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        return answer

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        wait_until(condition, what, check=self._dagster.check_alive)


def play(environ: dict[str, str], folder: Path) -> Ended:
    """Run the simulator at full speed."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "lacrosse_assets.gamestream"],
        env={**inherited, **environ, "DELAY": "0"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Ended(ended.returncode, ended.stdout)


@pytest.mark.timeout(600)
def test_a_game_in_which_each_store_fails_in_turn(secured: SecuredStores, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with command_lines(psutil.Process()) as commands:
        simulator = play(secured.environ, tmp_path)
        assert simulator.exit_code == 0, simulator.output
        with Watched(state, secured.environ) as watched:
            watched.until("final tables", watched.is_finished)
            assert watched.failures() == 0
            assert all(login.encrypted and login.password == DATABASE.value for login in secured.sql.logins)
            # In reverse order of use, so that runs reach each failing store.
            faults: list[Callable[[], None]] = [
                partial(secured.close, "SPARK_REMOTE"),
                secured.change_the_databases_password,
            ]
            for number, inject in enumerate(faults, start=1):
                before = watched.failures()
                inject()
                secured.put(stream(*MIDDLE[:number]))
                watched.until_more_runs_failed_than(before)
            # If one of these fails, the sensor launches no run; its tick reports the store.
            secured.change_the_documents_password()
            watched.until("the document store is reported", lambda: "document store at" in str(watched.everything()))
            secured.close("AWS_ENDPOINT_URL_S3")
            watched.until("the object store is reported", lambda: "object store at" in str(watched.everything()))
            answer = watched.everything()
    for expected in ("document store at", "Spark Connect server at", "Login failed", "MONGODB_URI"):
        assert expected in str(answer), f"the search would prove nothing: {expected!r} is missing"

    left_behind = [
        *in_folder(state),
        *in_answer("the Dagster UI", answer),
        *in_answer("the simulator", simulator.output),
        *in_answer("the documents", secured.documents()),
        *in_answer("SQL statements", secured.sql.statements),
        *commands,
    ]
    assert find_secrets(SECRETS, left_behind) == []


@pytest.mark.timeout(600)
def test_stores_that_refuse(secured: SecuredStores, tmp_path: Path) -> None:
    """The refusals that the game above does not cover."""
    secured.put(stream(*ENDED))
    token = quote(TOKEN.value, safe="")
    wrong = secured.environ["SPARK_REMOTE"].replace(token, quote(WRONG.value, safe=""))
    wrong_token = f": Invalid authentication token ({SPARK_HINTS['authentication token']})\n"
    for select, settings, message in (
        ("raw_gamestream", {"AWS_SECRET_ACCESS_KEY": WRONG.value}, "SignatureDoesNotMatch"),
        ("raw_gamestream,roster,player_game_stats", {"SPARK_REMOTE": wrong}, wrong_token),
    ):
        home = tmp_path / next(iter(settings))
        with command_lines(psutil.Process()) as commands:
            ended = materialize(home, secured.environ | settings, select)
        assert ended.exit_code == 1
        assert message in ended.output
        left_behind = [*in_folder(home), *in_answer("the output", ended.output), *commands]
        assert find_secrets([*SECRETS, WRONG], left_behind) == []


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("MONGODB_URI", f"mongodb://somebody:{WRONG.value}@127.0.0.1:1"),
        ("SIDEARMDB_URL", f"mssql+pyodbc://sa:{WRONG.value}@127.0.0.1:1/sidearmdb"),
        ("SPARK_REMOTE", f"sc://127.0.0.1:1/;token={WRONG.value}"),
    ],
)
def test_an_address_with_an_unencoded_secret(tmp_path: Path, name: str, address: str) -> None:
    """A special character that is not percent-encoded can turn the rest of the secret into any part of the address."""
    whole = {
        "LACROSSE_DEPLOYMENT": "services",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY.value,
        "MONGODB_URI": f"mongodb://somebody:{quote(DOCUMENTS.value, safe='')}@127.0.0.1:1",
        "SIDEARMDB_URL": f"mssql+pyodbc://sa:{quote(DATABASE.value, safe='')}@127.0.0.1:1/sidearmdb",
    }
    ended = materialize(tmp_path / "home", {**whole, name: address})
    assert ended.exit_code == 1
    assert f"Error: {name} is not a valid address (" in ended.output
    assert "Traceback" not in ended.output
    left_behind = [*in_folder(tmp_path), *in_answer("the output", ended.output)]
    assert find_secrets([*SECRETS, WRONG], left_behind) == []
