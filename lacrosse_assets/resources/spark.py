"""The Spark session: dagster-pyspark's, in the process or attached to a Spark Connect server."""

import socket
from urllib.parse import urlsplit

from dagster import InitResourceContext
from dagster_pyspark import LazyPySparkResource

from lacrosse_assets.resources.errors import told_as_store_error

# Frames of a game are small: one partition, and nothing that pays off only for large ones.
SMALL_FRAMES = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.session.timeZone": "UTC",
}
LOCAL = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}


class SparkSessions(LazyPySparkResource):
    """A Spark session, made at the first use."""

    def _init_session(self) -> None:
        remote = self.spark_config.get("spark.remote")
        if self._spark_session is None and remote:
            # PySpark's client tries a server that is down for ten minutes before it says so.
            with told_as_store_error("Spark Connect server", remote, OSError):
                address = urlsplit(remote)
                socket.create_connection((address.hostname, address.port or 15002), timeout=5).close()
        super()._init_session()

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        # A session on a server stays there, with what it holds, until it is ended. One of this process ends with it,
        # and the process's next run goes on with it.
        if self._spark_session is not None and "spark.remote" in self.spark_config:
            self._spark_session.stop()
            self._spark_session = None


def spark_sessions(remote: str) -> SparkSessions:
    """Sessions of the Spark Connect server at `remote` (`sc://host:port`), or of this process where it is empty."""
    place = {"spark.remote": remote} if remote else LOCAL
    return SparkSessions(spark_config={**place, **SMALL_FRAMES})
