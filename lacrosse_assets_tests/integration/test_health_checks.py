"""docker/healthcheck.py, the health checks of Dagster's containers, against real servers."""

import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bench.postgres import USER, postgres, storage_yaml
from lacrosse_assets.embedded.ports import LOOPBACK, free_ports
from lacrosse_assets_tests import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "docker" / "healthcheck.py"
STATUS = health_pb2.HealthCheckResponse


@pytest.fixture
def script() -> dict[str, Any]:
    # Its functions' own globals, so that the addresses can be set.
    checks: dict[str, Any] = runpy.run_path(str(SCRIPT))["check_daemon"].__globals__
    return checks


@pytest.fixture
def code_server(script: dict[str, Any]) -> Iterator[health.HealthServicer]:
    """The health service that Dagster's code server has."""
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    script["CODE_SERVER"] = f"{LOOPBACK}:{server.add_insecure_port(f'{LOOPBACK}:0')}"
    server.start()
    yield servicer
    server.stop(None)


def test_a_code_server_that_serves_is_healthy(script: dict[str, Any], code_server: health.HealthServicer) -> None:
    code_server.set("DagsterApi", STATUS.SERVING)
    script["check_code_server"]()


def test_a_code_server_that_does_not_serve_is_not_healthy(
    script: dict[str, Any], code_server: health.HealthServicer
) -> None:
    code_server.set("DagsterApi", STATUS.NOT_SERVING)
    with pytest.raises(SystemExit, match="is not serving"):
        script["check_code_server"]()


def test_a_code_server_that_is_not_there_is_one_line(script: dict[str, Any]) -> None:
    (port,) = free_ports(0)
    text = SCRIPT.read_text().replace("127.0.0.1:4000", f"{LOOPBACK}:{port}")
    ended = subprocess.run([sys.executable, "-c", text, "code-server"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("code-server: ")
    assert "Traceback" not in ended.stderr


def test_the_name_of_the_service_is_dagsters_own() -> None:
    source = (Path(sys.modules["dagster"].__file__ or "").parent / "_grpc" / "server.py").read_text()
    assert 'self._health_servicer.set("DagsterApi", ' in source


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DagsterInstance, int]]:
    """An instance on Postgres, and the port of that."""
    home = tmp_path_factory.mktemp("home")
    with postgres() as server:
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + storage_yaml(server))
        with DagsterInstance.from_config(str(home)) as made:
            yield made, server.port


@pytest.fixture
def check_daemon(
    script: dict[str, Any], instance: tuple[DagsterInstance, int], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    script["POSTGRES"] = {"host": LOOPBACK, "port": instance[1]}
    monkeypatch.setenv("POSTGRES_USER", USER)
    monkeypatch.setenv("POSTGRES_PASSWORD", "any")
    check: Callable[[], None] = script["check_daemon"]
    return check


def beat(instance: DagsterInstance, seconds_ago: float, daemon_type: str = "SENSOR") -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds_ago, daemon_type, "any", []))


def test_a_daemon_is_healthy_while_its_sensor_loop_writes_heartbeats(
    instance: tuple[DagsterInstance, int], check_daemon: Callable[[], None]
) -> None:
    instance[0].wipe_daemon_heartbeats()
    with pytest.raises(SystemExit, match="no heartbeat yet"):
        check_daemon()
    beat(instance[0], 0, "SCHEDULER")
    with pytest.raises(SystemExit, match="no heartbeat yet"):
        check_daemon()
    beat(instance[0], 0)
    check_daemon()
    beat(instance[0], 90)  # an evaluation that waits for the code server until its timeout
    check_daemon()
    beat(instance[0], 400)
    with pytest.raises(SystemExit, match=r"no heartbeat for 40[0-9] s"):
        check_daemon()
