"""The frames between the assets, stored as Parquet files in the storage folder of the Dagster instance.

An asset returns an Arrow table that it has read from a store or collected from Spark. A downstream asset loads it, and
sends to Spark (`spark_frame`) what it computes with. Therefore each asset can be materialized by itself
(docs/contract.md, section 5).
"""

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from dagster import (
    DagsterInstance,
    Failure,
    InitResourceContext,
    InputContext,
    OutputContext,
    UPathIOManager,
    io_manager,
)
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import StructType
from upath import UPath

BATCH_ROWS = 10_000  # rows that are Python objects at a time; those take ten times the memory of Arrow's


def arrow_table(rows: Iterable[Mapping[str, Any]], schema: StructType) -> pa.Table:
    """Rows as an Arrow table of the given Spark schema. Raises `ArrowInvalid` if a value does not fit its type."""
    arrow_schema, rows = to_arrow_schema(schema), iter(rows)
    batches = iter(lambda: list(islice(rows, BATCH_ROWS)), [])
    return pa.Table.from_batches((pa.RecordBatch.from_pylist(batch, arrow_schema) for batch in batches), arrow_schema)


def spark_frame(session: SparkSession, table: pa.Table) -> DataFrame:
    """An Arrow table as a Spark frame with the same columns."""
    return session.createDataFrame(table, schema=from_arrow_schema(table.schema))


def collected(frame: DataFrame) -> list[dict[str, Any]]:
    """The rows of a Spark frame, in one request.

    Spark Connect's own `toArrow` makes two: it has the whole query analyzed for its schema before it is executed.
    """
    return [row.asDict() for row in frame.collect()]


class ParquetFrames(UPathIOManager):
    """One Parquet file per asset, replaced atomically: a reader sees the old frame or the new one."""

    extension = ".parquet"

    def dump_to_path(self, context: OutputContext, obj: pa.Table, path: UPath) -> None:
        unfinished = path.with_name(f".{path.name}.{context.run_id}")
        try:
            pq.write_table(obj, str(unfinished))
            os.replace(str(unfinished), str(path))
        finally:
            unfinished.unlink(missing_ok=True)
        context.add_output_metadata({"dagster/row_count": obj.num_rows})

    def load_from_path(self, context: InputContext, path: UPath) -> pa.Table:
        try:
            return pq.read_table(str(path))
        except FileNotFoundError:
            name = context.asset_key.to_user_string()
            raise Failure(f"{name} is not stored yet ({path}): materialize {name} first", allow_retries=False) from None


@io_manager
def parquet_frames(context: InitResourceContext) -> ParquetFrames:
    """The IO manager of all assets: frames in the storage folder of the Dagster instance."""
    return ParquetFrames(UPath(cast(DagsterInstance, context.instance).storage_directory()))
