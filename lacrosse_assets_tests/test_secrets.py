"""No secret in anything that the platform leaves behind, whether all goes well or everything goes wrong.

The exception are the files that are there to hold them, for their owner's eyes: `.env` (test_compose.py) and the
embedded services' addresses (test_embedded.py).
"""

import os
import subprocess
import sys
import time
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
from lacrosse_assets_tests.commands import INHERITED, Ended, materialize
from lacrosse_assets_tests.game.builders import stream
from lacrosse_assets_tests.guarded import ACCESS_KEY, DATABASE, DOCUMENTS, SECRETS, TOKEN, GuardedStores, guarded_stores
from lacrosse_assets_tests.leaks import Secret, command_lines, in_answer, in_folder, leaks
from lacrosse_assets_tests.world import ENDED, MIDDLE

# One that no store takes.
WRONG = Secret("a wrong secret", "Rm8bYt3KpW@/:;?#[%&=+Gc5vNs9LxH")

PATIENCE = 90  # seconds; a stop for what hangs, not a measure of anything

# All that Dagit's pages ask for in which a secret might stand.
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
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedStores]:
    with guarded_stores(tmp_path_factory.mktemp("stores")) as stores:
        yield stores


class Watched:
    """The platform on the guarded stores: Dagit, the daemon and its sensor, runs as processes."""

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
        """What Dagit says about all that there is."""
        answer = httpx.post(f"{self._dagster.url}/graphql", json={"query": EVERYTHING}, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        return answer

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            self._dagster.check_alive()
            assert time.monotonic() < give_up, f"{what}: not so after {PATIENCE} s"
            time.sleep(0.2)


def play(environ: dict[str, str], folder: Path) -> Ended:
    """The simulator, as fast as it can."""
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
def test_a_game_on_which_every_store_fails_in_its_turn(guarded: GuardedStores, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with command_lines(psutil.Process()) as commands:
        simulator = play(guarded.environ, tmp_path)
        assert simulator.exit_code == 0, simulator.output
        with Watched(state, guarded.environ) as watched:
            watched.until("final tables", watched.is_finished)
            assert watched.failures() == 0
            assert all(login.encrypted and login.password == DATABASE.value for login in guarded.sql.logins)
            # What a run comes to last fails first, so that each has runs that fail at it.
            faults: list[Callable[[], None]] = [
                partial(guarded.close, "SPARK_REMOTE"),
                guarded.change_the_databases_password,
            ]
            for number, fails in enumerate(faults, start=1):
                before = watched.failures()
                fails()
                guarded.put(stream(*MIDDLE[:number]))
                watched.until_more_runs_failed_than(before)
            # At these, the sensor launches no run: its tick names them.
            guarded.change_the_documents_password()
            watched.until("the document store is missed", lambda: "document store at" in str(watched.everything()))
            guarded.close("AWS_ENDPOINT_URL_S3")
            watched.until("the object store is missed", lambda: "object store at" in str(watched.everything()))
            answer = watched.everything()
    for said in ("document store at", "Spark Connect server at", "Login failed", "MONGODB_URI"):
        assert said in str(answer), f"the search would be of no use: nobody says {said!r}"

    left_behind = [
        *in_folder(state),
        *in_answer("Dagit", answer),
        *in_answer("the simulator", simulator.output),
        *in_answer("the documents", guarded.documents()),
        *in_answer("SQL that was asked", guarded.sql.asked),
        *commands,
    ]
    assert leaks(SECRETS, left_behind) == []


@pytest.mark.timeout(600)
def test_stores_that_refuse(guarded: GuardedStores, tmp_path: Path) -> None:
    """The ones that do not fail so in the game above."""
    guarded.put(stream(*ENDED))
    token = quote(TOKEN.value, safe="")
    wrong = guarded.environ["SPARK_REMOTE"].replace(token, quote(WRONG.value, safe=""))
    wrong_token = ": Invalid authentication token (token= in SPARK_REMOTE must be the token of the server)\n"
    for select, settings, told in (
        ("raw_gamestream", {"AWS_SECRET_ACCESS_KEY": WRONG.value}, "SignatureDoesNotMatch"),
        ("raw_gamestream,roster,player_game_stats", {"SPARK_REMOTE": wrong}, wrong_token),
    ):
        home = tmp_path / next(iter(settings))
        with command_lines(psutil.Process()) as commands:
            ended = materialize(home, guarded.environ | settings, select)
        assert ended.exit_code == 1
        assert told in ended.output
        left_behind = [*in_folder(home), *in_answer("the output", ended.output), *commands]
        assert leaks([*SECRETS, WRONG], left_behind) == []


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("MONGODB_URI", f"mongodb://somebody:{WRONG.value}@127.0.0.1:1"),
        ("SIDEARMDB_URL", f"mssql+pyodbc://sa:{WRONG.value}@127.0.0.1:1/sidearmdb"),
        ("SPARK_REMOTE", f"sc://127.0.0.1:1/;token={WRONG.value}"),
    ],
)
def test_an_address_that_holds_its_secret_as_it_is(tmp_path: Path, name: str, address: str) -> None:
    """Special characters belong percent-encoded: with one that is not, the rest of the secret may be anything."""
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
    assert f"Error: {name} does not read as an address (" in ended.output
    assert "Traceback" not in ended.output
    left_behind = [*in_folder(tmp_path), *in_answer("the output", ended.output)]
    assert leaks([*SECRETS, WRONG], left_behind) == []
