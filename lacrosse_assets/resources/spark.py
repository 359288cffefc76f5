"""The Spark session as a Dagster resource: in the run's process, or of a Spark Connect server."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from dagster import ConfigurableResource, EnvVar, InitResourceContext
from dagster_pyspark.resources import spark_session_from_config
from pydantic import Field, PrivateAttr

from lacrosse_assets import addresses
from lacrosse_assets.java import JavaError, check_java
from lacrosse_assets.resources.errors import translate_errors, unreachable_hint
from lacrosse_assets.settings import SettingsError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STORE = "Spark Connect server"
HEALTH_TIMEOUT_SECONDS = 5
# Retries of the client, within about a second. Its own default is ten minutes, after which its session is gone together
# with the server. A new run gets a new session as soon as the server is back.
MAX_RETRIES = 3
HINTS = {
    "Hostname Verification Check failed": "the server's certificate is for another host name: use that name in "
    "SPARK_REMOTE",
    "CERTIFICATE_VERIFY_FAILED": "set GRPC_DEFAULT_SSL_ROOTS_FILE_PATH to the file of the authority that signed "
    "the server's certificate",
    "Socket closed": "if the server uses TLS, append /;use_ssl=true to its address in SPARK_REMOTE",
    "authentication token": "token= in SPARK_REMOTE must be the token of the server",
}

# A game has few rows, and each run has a few queries that run once: one partition, no adaptive planning, and no code
# generation, which takes longer than the query. This halves the time of a live run's Spark jobs.
SMALL_DATA_CONFIG = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.session.timeZone": "UTC",
}
LOCAL_CONFIG = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # No call site for each expression: that walks the stack, and looks for IPython, every time.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}


class SparkResource(ConfigurableResource[Any]):
    """A Spark session in the run's process. It is created at first use and ends with the process."""

    spark_config: dict[str, Any] = Field(description="Spark settings by name.")

    @contextmanager
    def session(self) -> "Iterator[SparkSession]":
        """The session, for everything that uses it. Raises `StoreError` if a Spark server fails."""
        yield spark_session_from_config(self.spark_config)


class ConnectSparkResource(SparkResource):
    """A session of a Spark Connect server. It is created while the run starts, and closed at its end.

    A thread creates it, so that it is ready when the stream is fetched. If that fails, it is created at first use.
    After an error a session is not used again: the server may have been replaced, or the client may have closed it.
    """

    remote: str = Field(description="sc://host:port. It may hold a token, so it is given by the name of its variable.")
    _session: Any = PrivateAttr(default=None)
    _connecting: "Future[SparkSession] | None" = PrivateAttr(default=None)

    @property
    def address(self) -> str:
        """The server's host and port, without the parameters, which may hold a token."""
        return addresses.spark_server(self.remote)

    @contextmanager
    def session(self) -> "Iterator[SparkSession]":
        with self._store_errors():
            if self._session is None:
                self._session = self._connected() or self._connect()
            try:
                yield self._session
            except Exception:
                self._session.client.close()  # or `stop` would ask the server, which may be down, to release it
                self._close()
                raise

    def setup_for_execution(self, context: InitResourceContext) -> None:
        connector = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spark-connect")
        self._connecting = connector.submit(self._connect)
        connector.shutdown(wait=False)

    def _connected(self) -> "SparkSession | None":
        """The session that the thread has created, once; None if it could not."""
        connecting, self._connecting = self._connecting, None
        with suppress(Exception):
            return connecting.result() if connecting else None
        return None

    def _connect(self) -> "SparkSession":
        from pyspark.sql.connect.client.retries import DefaultPolicy

        _check_reachable(self.remote)
        session: SparkSession = spark_session_from_config({**self.spark_config, "spark.remote": self.remote})
        cast(Any, session).client.set_retry_policies([DefaultPolicy(max_retries=MAX_RETRIES)])
        return session

    def _store_errors(self) -> AbstractContextManager[None]:
        import grpc
        from pyspark.errors import AnalysisException, PySparkAssertionError
        from pyspark.errors.exceptions.connect import SparkConnectException

        # PySparkAssertionError: the session is that of another server. AnalysisException: the query is wrong.
        errors = grpc.RpcError, SparkConnectException, PySparkAssertionError
        return translate_errors(
            STORE, self.address, *errors, hints=HINTS, hint=_hint, message=_message, unless=AnalysisException
        )

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        # Otherwise the server would keep the session, and what it holds, for an hour.
        self._session = self._session or self._connected()
        self._close()

    def _close(self) -> None:
        if self._session is not None:
            self._session.stop()
            self._session = None


def _check_reachable(remote: str) -> None:
    """Raise `grpc.RpcError` if the server is unreachable. PySpark's own client would retry for ten minutes."""
    import grpc
    from pyspark.sql.connect.client import DefaultChannelBuilder

    # A separate connection: gRPC shares connections, and does not retry a failed one for a second.
    with DefaultChannelBuilder(remote, [("grpc.use_local_subchannel_pool", 1)]).toChannel() as channel:
        try:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=HEALTH_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            # Every other error is an answer: Spark's server does not implement this method.
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise


def _hint(error: Exception) -> str | None:
    """What to do if the server is unreachable. A server that answers with an error is up; its message says more."""
    import grpc

    lost = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
    code = error.code() if isinstance(error, grpc.Call) else None
    # The client wraps some of gRPC's errors. Then only the text has the status.
    is_unreachable = code in lost or (code is None and any(f"StatusCode.{each.name}" in str(error) for each in lost))
    return unreachable_hint("SPARK_REMOTE") if is_unreachable else None


def _message(error: Exception) -> str:
    """The detail line of a gRPC error, whose text has many lines."""
    details = re.search(r'details = "(.*?)"\s+debug_error_string', str(error), re.DOTALL)
    return details[1] if details else str(error)


def spark_resource(connect: bool) -> SparkResource:
    """The Spark Connect server at `SPARK_REMOTE` if `connect`, otherwise a session in the process.

    Raises `SettingsError` if there is no Java for a session in the process. The definitions then do not load; otherwise
    each step would fail with a hundred lines of PySpark's, and be retried.
    """
    if connect:
        return ConnectSparkResource(spark_config=SMALL_DATA_CONFIG, remote=EnvVar("SPARK_REMOTE"))
    try:
        check_java()
    except JavaError as error:
        raise SettingsError(f"without SPARK_REMOTE, Spark runs in the process, and {error}") from None
    return SparkResource(spark_config={**LOCAL_CONFIG, **SMALL_DATA_CONFIG})
