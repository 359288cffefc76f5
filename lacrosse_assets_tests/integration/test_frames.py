"""Frames between Spark Connect and Arrow."""

from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.connect.client import SparkConnectClient
from pyspark.sql.types import BooleanType, DoubleType, IntegerType, LongType, StringType, StructField, StructType

from lacrosse_assets.resources.frames import arrow_table, collected, spark_frame
from lacrosse_assets.resources.spark import ConnectSparkResource
from lacrosse_assets_tests.support.world import Stores

SCHEMA = StructType(
    [
        StructField("id", IntegerType(), nullable=False),
        StructField("name", StringType()),
        StructField("pct", DoubleType()),
        StructField("final", BooleanType()),
        StructField("event_id", LongType()),
    ]
)
ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": "renée", "pct": 0.33, "final": True, "event_id": 2**40},
    {"id": 2, "name": None, "pct": None, "final": None, "event_id": None},
]


@pytest.fixture
def connected(stores: Stores) -> Iterator[SparkSession]:
    resource = ConnectSparkResource(spark_config={}, remote=stores.addresses["SPARK_REMOTE"])
    with resource.session() as session:
        yield session
    session.stop()


def test_a_frame_is_collected_with_the_values_that_were_sent(connected: SparkSession) -> None:
    frame = spark_frame(connected, arrow_table(ROWS, SCHEMA))
    assert collected(frame) == ROWS
    assert collected(frame.where("id = 3")) == []


def test_a_frame_is_collected_in_one_request(connected: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for the schema has Spark analyze the query twice."""
    frame = spark_frame(connected, arrow_table(ROWS, SCHEMA))
    requests: list[str] = []

    def recorded(name: str, method: Any) -> Any:
        def record(*arguments: Any, **options: Any) -> Any:
            requests.append(name)
            return method(*arguments, **options)

        return record

    for name in ("_analyze", "_execute_and_fetch_as_iterator"):
        monkeypatch.setattr(SparkConnectClient, name, recorded(name, getattr(SparkConnectClient, name)))
    collected(frame.groupBy("id").count())
    assert requests == ["_execute_and_fetch_as_iterator"]
