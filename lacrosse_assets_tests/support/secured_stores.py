"""All stores with TLS and authentication; each has its own secret, full of special characters."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
from pymongo import MongoClient

from lacrosse_assets.embedded.ports import LOOPBACK, free_ports
from lacrosse_assets.embedded.services import document_store, object_store, spark_connect
from lacrosse_assets.embedded.supervision import Server
from lacrosse_assets_tests.support.secret_scanner import Secret
from lacrosse_assets_tests.support.sql_server import EXERCISE_TABLES, Script, url
from lacrosse_assets_tests.support.tds import Rows, TdsServer
from lacrosse_assets_tests.support.tls import Authority, tls_in_front_of

BUCKET, KEY = "gamestreams", "gamestream.txt"
USER, ADMINISTRATOR = "somebody", "administrator"
ACCESS_KEY = Secret("the object store's secret key", "Vf7qLm2XzP/+=\"'&<%s>\\Hd9wRt4KcB")
DOCUMENTS = Secret("the document store's password", "Jn3xWq8TgY@:/?#[]%&='\"Mz6vPk1DsF")
DATABASE = Secret("the reference database's password", "Ub5hCr9NeK;{}@:/%+&='\"Ly2tGx7QaW")
TOKEN = Secret("Spark's token", "Zs4kVd8BjR/+=&%;'\"<Pw1mTc6YfN")
SECRETS = (ACCESS_KEY, DOCUMENTS, DATABASE, TOKEN)


@dataclass
class SecuredStores:
    """The running stores; `environ` has all settings that the platform needs."""

    environ: dict[str, str]
    sql: TdsServer
    _proxies: dict[str, ExitStack]
    _mongodb_uri: str  # of the administrator

    def close(self, name: str) -> None:
        """Stop listening at the address of this variable."""
        self._proxies[name].close()

    def change_the_documents_password(self) -> None:
        """Change it without the platform's knowledge."""
        with self._administrator() as client:
            client.admin.command("updateUser", USER, pwd="another")

    def change_the_databases_password(self) -> None:
        self.sql.password = "another"

    def put(self, body: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=KEY, Body=body)

    def documents(self) -> list[dict[str, Any]]:
        with self._administrator() as client:
            return list(client["sidearm"]["boxscores"].find())

    @property
    def _s3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.environ["AWS_ENDPOINT_URL_S3"],
            region_name="us-east-1",
            aws_access_key_id=USER,
            aws_secret_access_key=ACCESS_KEY.value,
            verify=self.environ["AWS_CA_BUNDLE"],
        )

    def _administrator(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self._mongodb_uri)


@contextmanager
def secured_stores(folder: Path) -> Iterator[SecuredStores]:
    """The running stores, with their data in `folder`."""
    authority = Authority(folder)
    s3_port, mongodb_port, spark_port = free_ports(0, 0, 0)
    with ExitStack() as stack:
        servers = (
            object_store(folder, s3_port, {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": ACCESS_KEY.value}),
            spark_connect(folder, spark_port, TOKEN.value),
            _document_store_with_users(folder, mongodb_port),
        )
        for server in servers:
            stack.callback(server.stop)
            server.start()
        for server in servers:
            server.wait_until_up()
        script = Script(*EXERCISE_TABLES, exceptions={"FROM sys.databases": Rows([""], [[1]])})
        sql = stack.enter_context(TdsServer(script, password=DATABASE.value, tls=authority.context()))
        proxies = {
            "AWS_ENDPOINT_URL_S3": (s3_port, authority.context()),
            "MONGODB_URI": (mongodb_port, authority.context()),
            "SPARK_REMOTE": (spark_port, authority.context("h2")),
        }
        closing = {name: stack.enter_context(ExitStack()) for name in proxies}
        at = {
            name: f"localhost:{closing[name].enter_context(tls_in_front_of(*proxy))}" for name, proxy in proxies.items()
        }
        mongodb = f"mongodb://{USER}:{quote(DOCUMENTS.value, safe='')}@{at['MONGODB_URI']}"
        environ = {
            "LACROSSE_DEPLOYMENT": "services",
            "AWS_ENDPOINT_URL_S3": f"https://{at['AWS_ENDPOINT_URL_S3']}",
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY.value,
            "MONGODB_URI": f"{mongodb}/?tls=true&tlsCAFile={quote(str(authority.file))}&directConnection=true",
            "SIDEARMDB_URL": url(sql.port, DATABASE.value, host="localhost", Encrypt="yes"),
            "SPARK_REMOTE": f"sc://{at['SPARK_REMOTE']}/;use_ssl=true;token={quote(TOKEN.value, safe='')}",
            **trust_settings(authority),
        }
        administrator = f"mongodb://{ADMINISTRATOR}:{ADMINISTRATOR}@{LOOPBACK}:{mongodb_port}/?directConnection=true"
        yield SecuredStores(environ, sql, closing, administrator)


def trust_settings(authority: Authority) -> dict[str, str]:
    """The variables with the CA certificate, for clients that do not take it from the address."""
    return dict.fromkeys(("AWS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE"), str(authority.file))


def _document_store_with_users(folder: Path, port: int) -> Server:
    """A document store that requires a login. Its users are created while it runs without authentication."""
    server = document_store(folder, port)
    server.start()
    try:
        server.wait_until_up()
        with MongoClient[dict[str, Any]](LOOPBACK, port, directConnection=True) as client:
            for user, password in ((USER, DOCUMENTS.value), (ADMINISTRATOR, ADMINISTRATOR)):
                client.admin.command("createUser", user, pwd=password, roles=["root"])
    finally:
        server.stop()
    return document_store(folder, port, "--auth")
