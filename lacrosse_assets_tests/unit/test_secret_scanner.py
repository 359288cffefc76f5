"""The secret scanner finds planted secrets in every place and encoding that Dagster uses."""

import base64
import gzip
import html
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster import DagsterInstance, Failure, OpExecutionContext, job, op

from lacrosse_assets_tests.support.secret_scanner import Secret, command_lines, find_secrets, in_folder
from lacrosse_assets_tests.support.secured_stores import SECRETS, TOKEN

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
    assert any(leak.startswith(secret.name) for leak in find_secrets(SECRETS, in_folder(tmp_path)))
    (tmp_path / "a file").write_bytes(b"nothing in it")
    assert find_secrets(SECRETS, in_folder(tmp_path)) == []


def test_a_secret_in_a_frame_is_found(tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": [TOKEN.value * 2, None]}), tmp_path / "frame.parquet", compression="zstd")
    (leak, *_) = find_secrets(SECRETS, in_folder(tmp_path))
    assert leak.startswith(TOKEN.name)


def test_a_secret_in_a_command_line_is_found() -> None:
    with command_lines(psutil.Process()) as commands:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)", TOKEN.value], check=True)
    assert find_secrets(SECRETS, commands)


def test_a_secret_that_a_run_leaks_is_found(tmp_path: Path) -> None:
    """In everything that Dagster stores of a run."""
    ways = ("log", "output", "metadata", "error", "tag", "configuration", "description")
    secrets = {way: Secret(way, f"Way{way}Q7xTb3@/w{way}V9kLp5") for way in ways}

    @op(config_schema={"password": str})
    def leaking_op(context: OpExecutionContext) -> str:
        context.log.info("%s", secrets["log"].value)
        print(secrets["output"].value)
        context.add_output_metadata({"password": secrets["metadata"].value})
        return "done"

    @op
    def failing(done: str) -> None:
        raise Failure(secrets["error"].value)

    @job(description=secrets["description"].value, tags={"password": secrets["tag"].value})
    def leaking_job() -> None:
        failing(leaking_op())

    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        leaking_job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"ops": {"leaking_op": {"config": {"password": secrets["configuration"].value}}}},
        )
    found = find_secrets(secrets.values(), in_folder(tmp_path))
    assert {way for way in ways if any(leak.startswith(f"{way}, ") for leak in found)} == set(ways)
    assert any("unpacked" in leak for leak in found), "Dagster's snapshots are compressed"
