"""No secret in anything that the platform leaves behind, whether all goes well or everything goes wrong.

The exception are the files that are there to hold them, for their owner's eyes: `.env` (test_compose.py) and the
embedded services' addresses (test_embedded.py).
"""

import base64
import gzip
import html
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    Failure,
    OpExecutionContext,
    RunsFilter,
    job,
    op,
)

from lacrosse_assets.embedded.dagster_dev import Dagit, dagster_home
from lacrosse_assets_tests.commands import INHERITED, materialize
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


def stream(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.mark.timeout(600)
def test_a_game_on_which_every_store_fails_in_its_turn(guarded: GuardedStores, tmp_path: Path) -> None:
    state = tmp_path / "state"
    dagit = Dagit(state, print, guarded.environ)

    def until(what: str, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            dagit.check_alive()
            assert time.monotonic() < give_up, f"{what}: not so after {PATIENCE} s"
            time.sleep(0.2)

    simulator = {name: os.environ[name] for name in INHERITED if name in os.environ} | guarded.environ
    with command_lines(psutil.Process()) as commands:
        played = subprocess.run(
            [sys.executable, "-m", "lacrosse_assets.gamestream"],
            env={**simulator, "DELAY": "0"},
            cwd=tmp_path,
            capture_output=True,
        )
        assert played.returncode == 0, played.stdout
        try:
            dagit.start().wait_until_up()
            with DagsterInstance.from_config(str(dagster_home(state))) as instance:

                def failures() -> int:
                    return len(instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE])))

                until(
                    "final tables",
                    lambda: bool(instance.get_latest_materialization_event(AssetKey("players2"))),
                )
                assert failures() == 0
                assert all(login.encrypted and login.password == DATABASE.value for login in guarded.sql.logins)
                # The last store of a run first, so that each has its run.
                for number, (store, fails) in enumerate(
                    {
                        "boxscore_doc": guarded.change_the_documents_password,
                        "player_game_stats": lambda: guarded.close("SPARK_REMOTE"),
                        "roster": guarded.change_the_databases_password,
                    }.items()
                ):
                    before = failures()
                    fails()
                    guarded.put(stream(*MIDDLE[: number + 1]))
                    until(f"a failed run of {store}", lambda before=before: failures() > before)  # type: ignore[misc]
                guarded.close("AWS_ENDPOINT_URL_S3")
            answers = {}

            def is_told() -> bool:
                answers["Dagit"] = httpx.post(f"{dagit.url}/graphql", json={"query": EVERYTHING}, timeout=60).json()
                return "object store at" in str(answers["Dagit"])

            until("a tick that tells of the object store", is_told)
        finally:
            dagit.end()
    told = json.dumps(answers["Dagit"])
    assert "errors" not in answers["Dagit"], answers["Dagit"]["errors"]
    for said in ("document store at", "Spark Connect server at", "Login failed", "MONGODB_URI"):
        assert said in told, f"the search would have been of no use: nobody says {said!r}"

    everything = [
        *in_folder(state),
        *in_answer("Dagit", answers),
        *in_answer("the simulator", (played.stdout.decode(), played.stderr.decode())),
        *in_answer("the documents", guarded.documents()),
        *in_answer("SQL that was asked", guarded.sql.asked),
        *commands,
    ]
    assert leaks(SECRETS, everything) == []


@pytest.mark.timeout(600)
def test_stores_that_refuse(guarded: GuardedStores, tmp_path: Path) -> None:
    """The ones that do not fail so in the game above."""
    guarded.put(stream(*ENDED))
    token = quote(TOKEN.value, safe="")
    wrong = guarded.environ["SPARK_REMOTE"].replace(token, quote(WRONG.value, safe=""))
    for select, settings, told in (
        ("raw_gamestream", {"AWS_SECRET_ACCESS_KEY": WRONG.value}, "SignatureDoesNotMatch"),
        ("raw_gamestream,roster,player_game_stats", {"SPARK_REMOTE": wrong}, ": Invalid authentication token\n"),
    ):
        home = tmp_path / next(iter(settings))
        with command_lines(psutil.Process()) as commands:
            ended = materialize(home, guarded.environ | settings, select)
        assert ended.exit_code == 1
        assert told in ended.output
        everything = [*in_folder(home), *in_answer("the output", ended.output), *commands]
        assert leaks([*SECRETS, WRONG], everything) == []


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
    everything = [*in_folder(tmp_path), *in_answer("the output", ended.output)]
    assert leaks([*SECRETS, WRONG], everything) == []


# The search itself.


FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "in capitals": lambda text: text.upper().encode(),
    "half of it": lambda text: text[: len(text) // 2].encode(),
    "JSON": lambda text: json.dumps(text).encode(),
    "repr": lambda text: repr(text).encode(),
    "an address": lambda text: quote(text, safe="").encode(),
    "HTML": lambda text: html.escape(text).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, after one byte": lambda text: base64.b64encode(b"x" + text.encode()),
    "base64, after two bytes": lambda text: base64.urlsafe_b64encode(b"xy" + text.encode()),
    "UTF-16": lambda text: text.encode("utf-16"),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "compressed": lambda text: gzip.compress(text.encode()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret.name)
def test_a_secret_in_a_file_is_found(tmp_path: Path, secret: Secret, form: str) -> None:
    (tmp_path / "a file").write_bytes(b"\x00 somewhere in it: " + FORMS[form](secret.value) + b" and so on")
    if form == "compressed":
        (tmp_path / "a file").write_bytes(FORMS[form](secret.value))
    assert any(leak.startswith(secret.name) for leak in leaks(SECRETS, in_folder(tmp_path)))
    (tmp_path / "a file").write_bytes(b"nothing in it")
    assert leaks(SECRETS, in_folder(tmp_path)) == []


def test_a_secret_in_a_frame_is_found(tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": [TOKEN.value * 2, None]}), tmp_path / "frame.parquet", compression="zstd")
    (leak, *_) = leaks(SECRETS, in_folder(tmp_path))
    assert leak.startswith(TOKEN.name)


def test_a_secret_in_a_command_line_is_found() -> None:
    with command_lines(psutil.Process()) as commands:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)", TOKEN.value], check=True)
    assert leaks(SECRETS, commands)


def test_a_secret_that_a_run_gives_away_is_found(tmp_path: Path) -> None:
    """By whichever of the ways that Dagster keeps things in."""
    ways = ("log", "output", "metadata", "error", "tag", "configuration", "description")
    secrets = {way: Secret(way, f"Way{way}Q7xTb3@/w{way}V9kLp5") for way in ways}

    @op(config_schema={"password": str})
    def talkative(context: OpExecutionContext) -> str:
        context.log.info("%s", secrets["log"].value)
        print(secrets["output"].value)
        context.add_output_metadata({"password": secrets["metadata"].value})
        return "done"

    @op
    def failing(done: str) -> None:
        raise Failure(secrets["error"].value)

    @job(description=secrets["description"].value, tags={"password": secrets["tag"].value})
    def leaking() -> None:
        failing(talkative())

    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        leaking.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"ops": {"talkative": {"config": {"password": secrets["configuration"].value}}}},
        )
    found = leaks(secrets.values(), in_folder(tmp_path))
    assert {way for way in ways if any(leak.startswith(f"{way}, ") for leak in found)} == set(ways)
    assert any("unpacked" in leak for leak in found), "Dagster's snapshots are compressed"
