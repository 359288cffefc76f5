"""The embedded services: an S3 server, a server of MongoDB's protocol and a Spark Connect server, on loopback.

What belongs here: which programs stand in for the real services, and their options. The reference database is a SQLite
file and needs no server. All state is in the state folder.
"""

import importlib.util
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import click

from lacrosse_assets.embedded.ports import ANY_PORT, LOOPBACK, choose_port, free_ports
from lacrosse_assets.embedded.state_dir import locked, published
from lacrosse_assets.embedded.supervision import Report, Server, ServerError, executable, kill_orphans
from lacrosse_assets.java import JavaError, check_java
from lacrosse_assets.settings import Settings, embedded_addresses_file

S3_PORT, MONGODB_PORT, SPARK_PORT = 8333, 27017, 15002  # the well-known ones
S3_KILL_TIMEOUT_SECONDS = 2  # it stops serving at once, then waits 10 s for connections between its own parts
SPARK_STARTUP_TIMEOUT_SECONDS = 120  # a cold JVM on a busy machine
HTTP_TIMEOUT_SECONDS = 5
MONGODB_SELECTION_TIMEOUT_MS = 1000
MONGODB_SOCKET_TIMEOUT_MS = 2000
MIN_FREE_BYTES = 50_000_000  # what the document store needs to start, above all for its journal
MONGODB_INTERNAL_ERROR = 1  # error code
# For small jobs on few cores: quickly compiled code is faster here than well optimized code, and both the C1 compiler
# and the serial collector leave the other core to the job.
JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

# Not secrets: the servers listen on loopback only, and S3 clients require a key pair.
S3_KEYS = {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}


@dataclass(frozen=True)
class EmbeddedServices:
    """The running services. `addresses` are environment variables by name, as in docs/contract.md, section 8."""

    state_dir: Path
    addresses: dict[str, str]
    servers: tuple[Server, ...]

    def check_alive(self) -> None:
        """Raise `ServerError` if one of the servers has exited."""
        for server in self.servers:
            server.check_alive()

    def ensure_running(self, report: Report) -> None:
        """Restart each server that has exited or is broken. Raises `ServerError` after too many restarts."""
        for server in self.servers:
            server.ensure_running(report)


@contextmanager
def embedded_services(settings: Settings, report: Report = click.echo) -> Iterator[EmbeddedServices]:
    """Start the services, publish their addresses where `load_settings` finds them, and stop all of it at the end.

    `settings` are those of `embedded_settings()`. Raises `ServerError` if there is no Java for Spark, if the services
    of this state folder are already running, or if one of them does not start.
    """
    try:
        check_java()
    except JavaError as error:
        raise ServerError(str(error)) from None
    state_dir = settings.state_dir
    with ExitStack() as stack:
        stack.enter_context(locked(state_dir))
        if orphans := kill_orphans(state_dir):
            report(f"Stopped {orphans} orphaned processes of an earlier start.")
        s3_port, mongodb_port, spark_port = (
            choose_port(name, port, report)
            for name, port in (("S3", S3_PORT), ("MongoDB", MONGODB_PORT), ("Spark Connect", SPARK_PORT))
        )
        servers = (
            object_store(state_dir, s3_port),
            document_store(state_dir, mongodb_port),
            spark_connect(state_dir, spark_port),
        )
        for server in servers:
            stack.callback(server.stop)
            server.start()
        # Callbacks run in reverse order: first all servers get SIGTERM, then each is waited for.
        stack.callback(_request_stop, servers)
        for server in servers:
            server.wait_until_up()
        addresses = {
            "AWS_ENDPOINT_URL_S3": f"http://{LOOPBACK}:{s3_port}",
            **S3_KEYS,
            "AWS_REGION": settings.aws_region or "us-east-1",
            "MONGODB_URI": f"mongodb://{LOOPBACK}:{mongodb_port}",
            "SIDEARMDB_URL": f"sqlite:///{state_dir / 'sidearmdb.db'}",
            "SPARK_REMOTE": f"sc://{LOOPBACK}:{spark_port}",
        }
        stack.enter_context(published(embedded_addresses_file(state_dir), addresses))
        yield EmbeddedServices(state_dir, addresses, servers)


def _request_stop(servers: tuple[Server, ...]) -> None:
    for server in servers:
        server.request_stop()


def object_store(state_dir: Path, port: int, keys: Mapping[str, str] = S3_KEYS) -> Server:
    """An S3 server (SeaweedFS). `keys` is the key pair of its only user."""
    folder = _folder(state_dir, "s3")
    # Each port has to be set: the defaults are fixed, and several servers may run at the same time.
    grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = free_ports(*[ANY_PORT] * 7)
    admin, admin_grpc = _admin_ports()
    options = {
        "dir": folder,
        "ip": LOOPBACK,
        "ip.bind": LOOPBACK,
        "s3.port": port,
        "s3.port.grpc": grpc,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.port": master,
        "master.port.grpc": master_grpc,
        "master.telemetry": "false",
        "volume.port": volume,
        "volume.port.grpc": volume_grpc,
        "filer.port": filer,
        "filer.port.grpc": filer_grpc,
        "admin.port": admin,
        "admin.port.grpc": admin_grpc,
        "admin.ui": "false",
        "webdav": "false",
    }
    command = [executable("weed"), "mini", *(f"-{name}={value}" for name, value in options.items())]
    return Server(
        "s3",
        command,
        state_dir,
        lambda: _http_ok(port, "/healthz"),
        environ=keys,
        port=port,
        kill_timeout=S3_KILL_TIMEOUT_SECONDS,
    )


def _admin_ports() -> tuple[int, int]:
    """An HTTP port and its gRPC port. SeaweedFS's worker expects the latter 10000 above, whatever is configured."""
    for _ in range(100):
        (port,) = free_ports(ANY_PORT)
        if port + 10000 <= 65535 and free_ports(port + 10000) == [port + 10000]:
            return port, port + 10000
    raise ServerError(
        "no two free ports 10000 apart were found on loopback for the S3 server's admin interface: try again"
    )


def document_store(state_dir: Path, port: int, *options: str) -> Server:
    """A server of MongoDB's protocol (SecantusDB). `options` are further command line options."""
    # It is under the GPL: run it as a separate process, never import it.
    command = [
        executable("secantusd-py"),
        *("--host", LOOPBACK),
        *("--port", str(port)),
        *("--storage-path", _folder(state_dir, "mongodb")),
        *("--cache-size", "128M"),
        "--sync-on-commit",  # costs 2 ms a write; without it a killed server loses acknowledged writes
        *options,
    ]
    return Server(
        "mongodb",
        command,
        state_dir,
        lambda: _mongodb_answers(port),
        port=port,
        is_broken=lambda: _mongodb_is_broken(port) and shutil.disk_usage(state_dir).free > MIN_FREE_BYTES,
    )


def spark_connect(state_dir: Path, port: int, token: str = "") -> Server:
    """A Spark Connect server. With a `token`, clients must authenticate with it."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ServerError("the package pyspark is not installed: run `make install`")
    spark_home = Path(spec.origin).parent
    folder = _folder(state_dir, "spark")
    conf = {
        "spark.connect.grpc.binding.address": LOOPBACK,
        "spark.connect.grpc.binding.port": port,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.driver.host": LOOPBACK,
        "spark.local.dir": folder / "scratch",
        "spark.log.level": "WARN",
        # No call site for each expression: that walks the stack, and looks for IPython, every time.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.shuffle.partitions": 1,  # a game has a few hundred rows
        "spark.sql.warehouse.dir": folder / "warehouse",
        "spark.ui.enabled": "false",
    }
    command = [
        spark_home / "bin" / "spark-submit",
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        *("--master", "local[2]"),
        *("--driver-java-options", JVM_OPTIONS),
        *(part for name, value in conf.items() for part in ("--conf", f"{name}={value}")),
        "spark-internal",
    ]
    # The user's own Spark settings do not apply to this server. SPARK_REMOTE would make it a client.
    environ = {
        "SPARK_HOME": str(spark_home),
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token,
        **dict.fromkeys(("SPARK_REMOTE", "SPARK_CONF_DIR", "PYSPARK_SUBMIT_ARGS"), ""),
    }
    return Server(
        "spark", command, state_dir, environ=environ, startup_timeout=SPARK_STARTUP_TIMEOUT_SECONDS, port=port
    )


def _folder(state_dir: Path, name: str) -> Path:
    folder = state_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _http_ok(port: int, path: str) -> bool:
    connection = HTTPConnection(LOOPBACK, port, timeout=HTTP_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _mongodb_is_broken(port: int) -> bool:
    """Whether the storage engine has failed, as on a full disk: from then on every request fails, reads included.

    A restart repairs it, but only if there is free disk space: the server does not start without.
    """
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure, PyMongoError

    client: MongoClient[dict[str, object]]
    with MongoClient(
        LOOPBACK,
        port,
        serverSelectionTimeoutMS=MONGODB_SELECTION_TIMEOUT_MS,
        socketTimeoutMS=MONGODB_SOCKET_TIMEOUT_MS,
        directConnection=True,
    ) as client:
        try:
            client["sidearm"]["boxscores"].find_one({}, {"_id": 1})
        except OperationFailure as error:
            return error.code == MONGODB_INTERNAL_ERROR
        except PyMongoError:
            return False
    return False


def _mongodb_answers(port: int) -> bool:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    client: MongoClient[dict[str, object]]
    with MongoClient(
        LOOPBACK, port, serverSelectionTimeoutMS=MONGODB_SELECTION_TIMEOUT_MS, directConnection=True
    ) as client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
    return True
