"""The embedded services: one command starts them, on loopback; state is kept; no process is left running."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from dotenv import dotenv_values
from mirakuru.base_env import processes_with_env
from pymongo import MongoClient

from lacrosse_assets.embedded import supervision
from lacrosse_assets.embedded.boxscore_page import BoxscorePage
from lacrosse_assets.embedded.dagster_dev import INSTANCE_SETTINGS, DagsterDev
from lacrosse_assets.embedded.ports import free_ports
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.embedded.state_dir import locked
from lacrosse_assets.embedded.supervision import MAX_RESTARTS, OWNER_VARIABLE, Server, ServerError
from lacrosse_assets.java import JavaError, check_java
from lacrosse_assets.settings import VARIABLES, embedded_addresses_file
from lacrosse_assets_tests import PROJECT_ROOT

UP = "The services are up"


def s3(addresses: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=addresses["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=addresses["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=addresses["AWS_SECRET_ACCESS_KEY"],
        region_name=addresses["AWS_REGION"],
    )


def environ_for(state_dir: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES and name != OWNER_VARIABLE}
    return {**kept, "LACROSSE_STATE_DIR": str(state_dir), **more}


def start(state_dir: Path, **more: str) -> "subprocess.Popen[str]":
    """`lacrosse services`, as a person starts it."""
    command = [sys.executable, "-c", "from lacrosse_assets.embedded.cli import main; main()", "services"]
    return subprocess.Popen(
        command, env=environ_for(state_dir, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@contextmanager
def services_process(state_dir: Path) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """The running command and its output so far; stopped in any case."""
    lines: list[str] = []
    with start(state_dir) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                lines.append(line)
                if UP in line:
                    break
            else:
                pytest.fail(f"it did not come up: {lines}")
            yield process, lines
        finally:
            process.terminate()
            process.wait(60)


def left_running(state_dir: Path) -> set[int]:
    return processes_with_env(OWNER_VARIABLE, f"@{state_dir};")


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state of a game's"  # blanks and quotes are allowed
    folder.mkdir()
    yield folder
    for pid in left_running(folder):
        os.kill(pid, signal.SIGKILL)


def test_the_services_answer(embedded: EmbeddedServices) -> None:
    store = s3(embedded.addresses)
    store.create_bucket(Bucket="test-embedded")
    store.put_object(Bucket="test-embedded", Key="a", Body=b"hello")
    assert store.head_object(Bucket="test-embedded", Key="a")["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    with MongoClient[dict[str, object]](embedded.addresses["MONGODB_URI"]) as client:
        client["test"]["embedded"].replace_one({"_id": 1}, {"a": 2}, upsert=True)
        assert client["test"]["embedded"].find_one() == {"_id": 1, "a": 2}
    host, port = embedded.addresses["SPARK_REMOTE"].removeprefix("sc://").split(":")
    socket.create_connection((host, int(port)), timeout=5).close()


def test_the_addresses_are_readable_by_this_user_only(embedded: EmbeddedServices) -> None:
    file = embedded_addresses_file(embedded.state_dir)
    assert dotenv_values(file) == embedded.addresses
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_they_listen_on_loopback_only(embedded: EmbeddedServices) -> None:
    pids = left_running(embedded.state_dir)
    listening = [
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 3
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_state_is_kept_orphans_are_stopped_and_nothing_is_left_running(state_dir: Path) -> None:
    with services_process(state_dir) as (process, lines):
        addresses = {k: str(v) for k, v in dotenv_values(embedded_addresses_file(state_dir)).items()}
        s3(addresses).create_bucket(Bucket="kept")
        s3(addresses).put_object(Bucket="kept", Key="a", Body=b"hello")
        with MongoClient[dict[str, object]](addresses["MONGODB_URI"]) as client:
            client["test"]["kept"].insert_one({"_id": 1})

        second = start(state_dir)
        output, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        assert output.count("\n") == 1
        assert f"already running (process {process.pid}): stop that process (Ctrl-C, or `kill {process.pid}`)" in output

        process.kill()  # SIGKILL: it cannot stop its servers
        process.wait(30)
        assert len(left_running(state_dir)) >= 3

    with services_process(state_dir) as (process, lines):
        assert any("orphaned processes of an earlier start" in line for line in lines)
        addresses = {k: str(v) for k, v in dotenv_values(embedded_addresses_file(state_dir)).items()}
        assert s3(addresses).get_object(Bucket="kept", Key="a")["Body"].read() == b"hello"
        with MongoClient[dict[str, object]](addresses["MONGODB_URI"]) as client:
            assert client["test"]["kept"].count_documents({}) == 1
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 128 + signal.SIGHUP
    assert not left_running(state_dir)
    assert not embedded_addresses_file(state_dir).exists()


def test_ctrl_c_during_the_start_leaves_nothing_running(state_dir: Path) -> None:
    process = start(state_dir)
    while process.poll() is None and len(left_running(state_dir)) < 3:
        pass
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert not left_running(state_dir)


def test_a_port_in_use_is_not_chosen() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen = free_ports(port, port, 0)
        assert port not in chosen
        assert len(set(chosen)) == 3
    assert free_ports(port) == [port]


def test_two_processes_choose_different_ports() -> None:
    """Even while no server listens yet."""
    choose = "from lacrosse_assets.embedded.ports import free_ports; print(*free_ports(0), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", choose], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        port = int(other.stdout.readline())
        assert free_ports(port) != [port]
        other.kill()
    assert free_ports(port) == [port], "a process that has exited has no reserved port"


def test_a_server_that_exits_is_named_with_its_log_tail(tmp_path: Path) -> None:
    server = Server("oracle", ["/bin/sh", "-c", "echo doom is near; exit 3"], tmp_path, is_ready=lambda: False)
    with pytest.raises(ServerError) as caught:
        server.start().wait_until_up()
    assert caught.value.message == (f"oracle exited with code 3 (full log: {tmp_path}/logs/oracle.log)\n  doom is near")


def test_a_server_that_is_not_ready_in_time(tmp_path: Path) -> None:
    server = Server("oracle", ["/bin/sleep", "60"], tmp_path, is_ready=lambda: False, startup_timeout=0.3)
    with pytest.raises(ServerError, match="oracle is not up after 0 s"):
        server.start().wait_until_up()
    assert not left_running(tmp_path)


def test_child_processes_stop_with_their_server(tmp_path: Path) -> None:
    # The child process has a session of its own, as daemons have.
    server = Server("oracle", ["/bin/sh", "-c", "setsid sleep 300 & exec sleep 300"], tmp_path)
    server.start()
    server.wait_until_up()
    server.stop()
    server.stop()
    assert not left_running(tmp_path)


def test_a_server_that_exits_is_restarted(tmp_path: Path) -> None:
    lines: list[str] = []

    def answers() -> bool:
        return server.log_file.read_text() == "I am up\n" * (1 + len(lines))

    server = Server("oracle", ["/bin/sh", "-c", "echo I am up; exec sleep 300"], tmp_path, answers)
    server.start().wait_until_up()
    server.ensure_running(lines.append)
    assert lines == []
    assert server.process
    first = server.process.pid
    server.process.kill()
    server.process.wait()
    server.ensure_running(lines.append)
    assert lines == [f"oracle exited with code -9 (full log: {tmp_path}/logs/oracle.log): restarting it."]
    assert server.process.pid != first
    server.stop()


def test_a_broken_server_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage engine that has failed answers every request with an error until it is restarted."""
    monkeypatch.setattr(supervision, "HEALTH_CHECK_INTERVAL_SECONDS", 0)
    verdicts = iter([False, True, False])
    server = Server("oracle", ["/bin/sleep", "300"], tmp_path, is_broken=lambda: next(verdicts))
    server.start().wait_until_up()
    pids, lines = [], list[str]()
    for _ in range(3):
        server.ensure_running(lines.append)
        assert server.process
        pids.append(server.process.pid)
    assert lines == [
        f"oracle is running, but every request fails (full log: {tmp_path}/logs/oracle.log): restarting it."
    ]
    assert pids[0] != pids[1] == pids[2]
    server.stop()


def test_the_document_store_is_not_broken(embedded: EmbeddedServices) -> None:
    lines: list[str] = []
    embedded.ensure_running(lines.append)
    assert lines == []


def test_a_server_that_keeps_exiting_stays_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("oracle", ["/bin/sh", "-c", "echo doom; sleep 0.2; exit 3"], tmp_path)
    lines: list[str] = []

    def keep_exiting() -> None:
        server.start()
        for _ in range(MAX_RESTARTS + 1):
            assert server.process
            server.process.wait()
            server.ensure_running(lines.append)

    with pytest.raises(ServerError, match="oracle exited with code 3"):
        keep_exiting()
    assert len(lines) == MAX_RESTARTS

    # A server that was stable in between may be restarted again.
    monkeypatch.setattr(supervision, "STABLE_AFTER_SECONDS", 0.1)
    server.ensure_running(lines.append)
    assert len(lines) == MAX_RESTARTS + 1
    server.stop()


def test_the_state_folder_is_free_again(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ServerError, match=f"process {os.getpid()}"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def java(folder: Path, script: str) -> str:
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("version", "found"),
    [("1.8.0_292", "8"), ("11.0.2", "11"), ("16", "16")],
)
def test_an_old_java(tmp_path: Path, version: str, found: str) -> None:
    program = java(tmp_path, f"echo 'openjdk version \"{version}\"' >&2")
    with pytest.raises(JavaError, match=f"^{program} is Java {found}. Spark needs Java 17 or newer: `apt-get install"):
        check_java({"PATH": str(tmp_path / "bin")})
    with pytest.raises(JavaError, match=r"java \(from JAVA_HOME\) is Java"):
        check_java({"JAVA_HOME": str(tmp_path), "PATH": ""})


@pytest.mark.parametrize("version", ["17", "17.0.15", "21-ea", "25.0.1"])
def test_a_supported_java(tmp_path: Path, version: str) -> None:
    java(tmp_path, f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")
    check_java({"JAVA_HOME": str(tmp_path)})


def test_no_java(tmp_path: Path) -> None:
    with pytest.raises(JavaError, match=r"^no `java` on the PATH"):
        check_java({"PATH": str(tmp_path)})
    with pytest.raises(JavaError, match=r"java \(from JAVA_HOME\) does not run"):
        check_java({"JAVA_HOME": str(tmp_path)})
    java(tmp_path, "echo 'Unable to locate a Java Runtime.' >&2; exit 1")
    with pytest.raises(JavaError, match="is not a working Java"):
        check_java({"PATH": str(tmp_path / "bin")})


def test_the_command_without_java(tmp_path: Path) -> None:
    process = start(tmp_path, JAVA_HOME=str(tmp_path))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.startswith("Error: ")
    assert output.count("\n") == 1


def test_invalid_definitions_are_reported_at_once(embedded: EmbeddedServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_TEAM_ID", "205")
    dagster = DagsterDev(embedded.state_dir, print)
    try:
        with pytest.raises(ServerError, match="HOME_TEAM_ID and AWAY_TEAM_ID are both 205: a game has two teams"):
            dagster.start().wait_until_up()
    finally:
        dagster.stop()


def test_the_example_page_needs_a_checkout(tmp_path: Path) -> None:
    """The page is not in the wheel: `lacrosse dev --page` names the file that is missing."""
    with pytest.raises(ServerError, match=f"^{tmp_path}/examples/boxscore_page/app.py does not exist: .* a checkout"):
        BoxscorePage(tmp_path, "mongodb://localhost", print, checkout=tmp_path)


def test_the_package_reads_nothing_from_the_root_of_the_project() -> None:
    """An installed wheel has no such folder; only the default of the state folder looks whether there is one."""
    package = PROJECT_ROOT / "lacrosse_assets"
    reading = [file.name for file in sorted(package.rglob("*.py")) if "PROJECT_ROOT" in file.read_text()]
    assert reading == ["settings.py"]
    assert INSTANCE_SETTINGS.is_relative_to(package)
    assert INSTANCE_SETTINGS.exists()
    assert (PROJECT_ROOT / "dagster.yaml").samefile(INSTANCE_SETTINGS), "at the top level as well, for DAGSTER_HOME=."
