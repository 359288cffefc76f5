"""A real Apache Drill for the tests, of the version of docker/drill/Dockerfile, resolved by Maven.

Maven Central has Drill itself with its file plugin, S3A, REST interface and shell. It has neither the distribution nor
the plugins for MongoDB and JDBC of this version. So `minio` is the product's plugin, on a real S3 server, and `mongo`
and `mssql` are file plugins over what these two stores hold, written to JSON. The queries are the product's either way,
and Drill reads, plans and runs them as it does in Compose.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pyhocon import ConfigFactory  # type: ignore[import-untyped]

from lacrosse_assets.embedded.ports import ANY_PORT, LOOPBACK, free_ports
from lacrosse_assets.embedded.supervision import Server
from lacrosse_assets_tests import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "drill-storage-plugins"
PLUGINS_FILE = FOLDER / "storage-plugins-override.conf"
PLUGINS: dict[str, dict[str, Any]] = ConfigFactory.parse_file(str(PLUGINS_FILE), resolve=False).as_plain_ordered_dict()[
    "storage"
]
POM = Path(__file__).with_name("drill_pom.xml")
RESOLVED = PROJECT_ROOT / ".lacrosse" / "drill"
RESOLVE_TIMEOUT_SECONDS = 400  # 100 MB
QUERY_TIMEOUT_SECONDS = 60
MEMORY = ("-Xmx1G", "-XX:MaxDirectMemorySize=1G")  # as in docker-compose.yaml

SHELL = "sqlline.SqlLine"
DRILL_SHELL = ("-ac", "org.apache.drill.exec.client.DrillSqlLineApplication")
# What Drill needs to be opened on Java 17.
OPENED = ("java.lang", "java.util", "java.net", "java.nio", "sun.nio.ch")


def classpath() -> str:
    """The jars of Drill and of all that it uses, downloaded where they are missing."""
    resolved = RESOLVED / "classpath"
    if not resolved.exists() or resolved.stat().st_mtime < POM.stat().st_mtime:
        RESOLVED.mkdir(parents=True, exist_ok=True)
        command = (
            *("mvn", "--quiet", "--batch-mode", "--file", str(POM), "dependency:build-classpath"),
            *(f"-Dmaven.repo.local={RESOLVED / 'repository'}", "-DincludeScope=runtime"),
            f"-Dmdep.outputFile={resolved}",
        )
        made = subprocess.run(command, capture_output=True, text=True, timeout=RESOLVE_TIMEOUT_SECONDS)
        assert made.returncode == 0, f"Maven cannot resolve Drill: is there a network?\n{made.stdout}"
    return resolved.read_text().strip()


class QueryError(Exception):
    """Drill refused a query. The message is Drill's."""


@dataclass(frozen=True)
class Drill:
    """A running Drill."""

    folder: Path
    port: int  # of the web UI
    user_port: int  # of the shell
    log: Path
    java: tuple[str, ...]  # the command, up to the class

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, as the web UI gets them."""
        answer = self._request("/query.json", {"queryType": "SQL", "query": sql.strip().removesuffix(";")})
        if answer["queryState"] != "COMPLETED":
            raise QueryError(answer.get("errorMessage") or answer.get("exception") or answer)
        return [tuple(row.get(column) for column in answer["columns"]) for row in answer["rows"]]

    def plugins(self) -> dict[str, dict[str, Any]]:
        """The configuration of each storage plugin, as the web UI shows it."""
        return {plugin["name"]: plugin["config"] for plugin in self._request("/storage.json")}

    def shell(self, script: str) -> str:
        """What the shell prints for a script: `drill-localhost -f FILE` in the container."""
        file = self.folder / "script.sql"
        file.write_text(script)
        return self._sqlline(*DRILL_SHELL, "-u", f"jdbc:drill:drillbit={LOOPBACK}:{self.user_port}", "-f", str(file))

    def jdbc(self, driver: str, url: str, user: str, password: str, sql: str) -> str:
        """What the shell prints for a statement that goes to a database by its own driver, without Drill."""
        return self._sqlline("-d", driver, "-u", url, "-n", user, "-p", password, "-e", sql)

    def _sqlline(self, *arguments: str) -> str:
        ended = subprocess.run(
            [*self.java, SHELL, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=QUERY_TIMEOUT_SECONDS,
        )
        return ended.stdout

    def put_documents(self, database: str, collection: str, documents: Sequence[Mapping[str, Any]]) -> None:
        """What `mongo` has in a collection."""
        self._put("mongo", database, collection, documents)

    def put_table(self, schema: str, table: str, rows: Sequence[Mapping[str, Any]] | None) -> None:
        """What `mssql` has in a table; None: there is no such table."""
        self._put("mssql", schema, table, rows)

    def _put(self, plugin: str, schema: str, table: str, rows: Sequence[Mapping[str, Any]] | None) -> None:
        folder = self.folder / plugin / schema / table
        shutil.rmtree(folder, ignore_errors=True)
        if rows is not None:
            folder.mkdir(parents=True)
            (folder / "rows.json").write_text("".join(f"{json.dumps(dict(row), default=str)}\n" for row in rows))

    def _request(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://{LOOPBACK}:{self.port}{path}", data, {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=QUERY_TIMEOUT_SECONDS) as response:
                return json.load(response)
        except HTTPError as error:
            return json.load(error)


@contextmanager
def drill(folder: Path, bucket: str, schemas: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Drill]:
    """Drill with the product's plugins, on the object store that `environ` names and `bucket` in it.

    `schemas`: of `mongo` and `mssql`, the one schema of each. Where the product's file names a host of Compose's, this
    one names loopback.
    """
    port, user_port, bit_port = free_ports(*[ANY_PORT] * 3)
    conf = folder / "conf"
    conf.mkdir(parents=True)
    settings = {
        "drill.exec.cluster-id": "tests",
        "drill.exec.http.bind_addr": LOOPBACK,
        "drill.exec.http.port": port,
        "drill.exec.options.drill.exec.http.rest.errors.verbose": True,
        "drill.exec.rpc.bind_addr": LOOPBACK,
        "drill.exec.rpc.user.server.port": user_port,
        "drill.exec.rpc.bit.server.port": bit_port,
        "drill.exec.allow_loopback_address_binding": True,
        "drill.exec.sys.store.provider.local.path": str(folder / "store"),
    }
    (conf / "drill-override.conf").write_text(
        "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
    )
    stand_ins = "".join(
        f"storage.{plugin}: null\nstorage.{plugin}: {json.dumps(_files_of(folder / plugin / schema, schema))}\n"
        for plugin, schema in schemas.items()
    )
    (conf / "storage-plugins-override.conf").write_text(
        f"include required(file({json.dumps(str(PLUGINS_FILE))}))\n"
        f'storage.minio.connection: "s3a://{bucket}"\n'
        f'storage.minio.config."fs.s3a.endpoint": "{environ["AWS_ENDPOINT_URL_S3"]}"\n{stand_ins}'
    )
    (conf / "logback.xml").write_text(
        '<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>'
        '%d %-5level %logger{36} - %msg%n</pattern></encoder></appender><root level="info"><appender-ref ref="out"/>'
        "</root></configuration>"
    )
    java = (
        *(str(Path(os.environ["JAVA_HOME"], "bin", "java")) if "JAVA_HOME" in os.environ else "java",),
        *(part for name in OPENED for part in ("--add-opens", f"java.base/{name}=ALL-UNNAMED")),
        *("--add-opens", "java.security.jgss/sun.security.krb5=ALL-UNNAMED", "-XX:TieredStopAtLevel=1"),
        *(*MEMORY, "-cp", f"{conf}:{classpath()}"),
    )
    # Its shell ends where its input ends, and Drill with it.
    kept_open = 'tail -f /dev/null | "$@"'
    server = Server(
        "drill",
        ["sh", "-c", kept_open, "sh", *java, SHELL, *DRILL_SHELL, "-u", "jdbc:drill:zk=local"],
        folder,
        lambda: _is_up(port),
        environ={**environ, "MONGODB_USER": "nobody", "MSSQL_USER": "nobody"},
        port=port,
    )
    try:
        server.start()
        server.wait_until_up()
        yield Drill(folder, port, user_port, server.log_file, java)
    finally:
        server.stop()


def _files_of(folder: Path, schema: str) -> dict[str, Any]:
    """A file plugin with one schema, in which a folder of JSON is a table."""
    folder.mkdir(parents=True)
    return {
        "type": "file",
        "enabled": True,
        "connection": "file:///",
        "workspaces": {schema: {"location": str(folder), "writable": False, "defaultInputFormat": "json"}},
        "formats": {"json": {"type": "json", "extensions": ["json"]}},
    }


def _is_up(port: int) -> bool:
    try:
        with urlopen(f"http://{LOOPBACK}:{port}/status.json", timeout=5) as response:
            return b"Running" in response.read()
    except (URLError, TimeoutError, ConnectionError):
        return False
