"""A Spark session of this process."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pyspark.sql import SparkSession

from lacrosse_assets.resources.spark import LOCAL_CONFIG, SMALL_DATA_CONFIG

# Nothing of a test is large.
TEST_CONFIG = {"spark.master": "local[1]", "spark.driver.extraJavaOptions": "-XX:+UseSerialGC"}


@contextmanager
def local_spark() -> Iterator[SparkSession]:
    """The session, ended afterwards. Its JVM goes on, for the next one."""
    with pytest.MonkeyPatch.context() as patch:
        # Left in the environment by tests before, which were attached to a server.
        for name in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED"):
            patch.delenv(name, raising=False)
        builder = SparkSession.builder.appName("lacrosse_assets_tests")
        for name, value in {**SMALL_DATA_CONFIG, **LOCAL_CONFIG, **TEST_CONFIG}.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield session
        session.stop()
