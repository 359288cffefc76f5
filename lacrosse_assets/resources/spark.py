"""The Spark session: dagster-pyspark's, in the process or attached to a Spark Connect server."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster import EnvVar, InitResourceContext
from dagster_pyspark import LazyPySparkResource
from dagster_pyspark.resources import spark_session_from_config
from pydantic import Field

from lacrosse_assets import addresses
from lacrosse_assets.java import JavaError, check_java
from lacrosse_assets.resources.errors import translate_errors, unreachable_hint
from lacrosse_assets.settings import SettingsError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STORE = "Spark Connect server"
ANSWER_TIMEOUT = 5  # seconds
# How often the client asks a server again that has gone, within a second or so. By itself it does for ten minutes, and
# then finds its session gone with the server; a new run finds another as soon as the server is back.
RETRIES = 3
HINTS = {
    "Hostname Verification Check failed": "the server's certificate is for another host name: use that name in "
    "SPARK_REMOTE",
    "CERTIFICATE_VERIFY_FAILED": "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names the file of whoever vouches for the server's "
    "certificate",
    "Socket closed": "if it wants TLS: /;use_ssl=true behind its address in SPARK_REMOTE",
    "authentication token": "token= in SPARK_REMOTE has to be the server's",
}

# Frames of a game are small, and each run asks its few questions once: one partition, no planning anew on the way, and
# nothing compiled that takes longer to compile than to run. It halves the time of a live run's Spark jobs.
SMALL_FRAMES = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.session.timeZone": "UTC",
}
IN_THE_PROCESS = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # An expression does not note where in the code it stands: a walk up the stack (and for IPython) each time.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}


class SparkSessions(LazyPySparkResource):
    """A Spark session in the process, made at the first use and ended with the process."""

    @contextmanager
    def computing(self) -> "Iterator[SparkSession]":
        """The session, for the time in which something is asked of it: what goes wrong meanwhile is told here."""
        yield self.spark_session


class ConnectSessions(SparkSessions):
    """A session of a Spark Connect server, made at the first use and ended with the run.

    One that anything went wrong with is not used again: the server may be another by now, or the client have closed it.
    """

    remote: str = Field(description="sc://host:port; it may hold a token, so it is given by the name of its variable.")

    @property
    def address(self) -> str:
        """Where the server is, without the parameters, which may hold a token."""
        return addresses.spark_server(self.remote)

    @contextmanager
    def computing(self) -> "Iterator[SparkSession]":
        with self._errors():
            session = self.spark_session
            try:
                yield session
            except Exception:
                session.client.close()  # or `stop` would ask the server, which may be gone, to release it
                self._end()
                raise

    def _init_session(self) -> None:
        if self._spark_session is None:
            from pyspark.sql.connect.client.retries import DefaultPolicy

            _see_that_it_answers(self.remote)
            session = spark_session_from_config({**self.spark_config, "spark.remote": self.remote})
            session.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES)])
            self._spark_session = session

    def _errors(self) -> Any:
        import grpc
        from pyspark.errors import AnalysisException, PySparkAssertionError
        from pyspark.errors.exceptions.connect import SparkConnectException

        # The assertion: the session is of another server. An `AnalysisException` is no fault of the server's.
        errors = grpc.RpcError, SparkConnectException, PySparkAssertionError
        return translate_errors(
            STORE, self.address, *errors, hints=HINTS, hint=_hint, message=_message, unless=AnalysisException
        )

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        # Otherwise it stays on the server, with what it holds, for an hour.
        self._end()

    def _end(self) -> None:
        if self._spark_session is not None:
            self._spark_session.stop()
            self._spark_session = None


def _see_that_it_answers(remote: str) -> None:
    """Ask the server for anything: PySpark's own client tries one that is down, or not trusted, for ten minutes."""
    import grpc
    from pyspark.sql.connect.client import DefaultChannelBuilder

    # A connection of its own: gRPC shares them, and would not try again for a second what has failed before.
    with DefaultChannelBuilder(remote, [("grpc.use_local_subchannel_pool", 1)]).toChannel() as channel:
        try:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=ANSWER_TIMEOUT)
        except grpc.RpcError as error:
            # Any other is an answer: Spark's server knows no such method.
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise


def _hint(error: Exception) -> str | None:
    """What to do where no server answers. One that answers with an error is up, and says itself what is wrong."""
    import grpc

    lost = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
    code = error.code() if isinstance(error, grpc.Call) else None
    # The client wraps some of gRPC's errors, and leaves the status in the text.
    is_unreachable = code in lost or (code is None and any(f"StatusCode.{each.name}" in str(error) for each in lost))
    return unreachable_hint("SPARK_REMOTE") if is_unreachable else None


def _message(error: Exception) -> str:
    """What went wrong, which is one among the many lines of gRPC's own words."""
    details = re.search(r'details = "(.*?)"\s+debug_error_string', str(error), re.DOTALL)
    return details[1] if details else str(error)


def spark_sessions(connect: bool) -> SparkSessions:
    """Sessions of the Spark Connect server that `SPARK_REMOTE` names, or of the process.

    Raises `SettingsError` if the process has no Java for Spark: definitions that cannot compute anything do not load,
    or every step would fail in PySpark's hundred lines, and be tried again.
    """
    if connect:
        return ConnectSessions(spark_config=SMALL_FRAMES, remote=EnvVar("SPARK_REMOTE"))
    try:
        check_java()
    except JavaError as error:
        raise SettingsError(f"without SPARK_REMOTE, Spark runs in the process, and {error}") from None
    return SparkSessions(spark_config={**IN_THE_PROCESS, **SMALL_FRAMES})
