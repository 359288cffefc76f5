"""What a user would otherwise have: stock Dagster (stock.py) and a plain script (script.py), on the same stores."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import PROJECT_ROOT
from bench.latency import SETTLE_SECONDS
from lacrosse_assets.embedded.ports import LOOPBACK, free_ports
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.embedded.supervision import Server, executable


@contextmanager
def stock_dagster(services: EmbeddedServices) -> Iterator[None]:
    """Stock Dagster with the same assets (stock.py), until the end of the context."""
    home = services.state_dir / "stock"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (port,) = free_ports(0)
    command = [executable("dagster"), "dev", "-h", LOOPBACK, "-p", str(port), "-m", "bench.stock", "-d", PROJECT_ROOT]
    server = Server(
        "stock",
        command,
        services.state_dir,
        environ={**_without_spark_server(services), "DAGSTER_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT)},
        startup_timeout=120,
        port=port,
    )
    try:
        server.start()
        server.wait_until_up()
        time.sleep(2 * SETTLE_SECONDS)
        yield
    finally:
        server.stop()


def run_script(services: EmbeddedServices) -> None:
    """Start the script, and wait for its end."""
    environ = {**os.environ, **_without_spark_server(services), "PYTHONPATH": str(PROJECT_ROOT)}
    environ.pop("SPARK_REMOTE", None)
    command = [sys.executable, "-m", "bench.script"]
    subprocess.run(command, env=environ, cwd=services.state_dir, check=True, stderr=subprocess.DEVNULL)


def _without_spark_server(services: EmbeddedServices) -> dict[str, str]:
    return {**services.addresses, "LACROSSE_DEPLOYMENT": "services", "SPARK_REMOTE": ""}
