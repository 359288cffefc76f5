"""What each run imports of others' code: the one module that the process has in it from which runs are forked
(code_server.py).

Only what can be forked: importing this starts no thread and opens no connection.
"""

import gc
import os
from contextlib import suppress

# numpy would start a thread for each core, and pyarrow one for its own allocator.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")

import boto3
import boto3.s3.inject
import dagster._cli.api
import dagster._core.definitions.repository_definition.repository_data_builder
import dagster._core.execution.plan.active
import dagster._core.executor.in_process
import dagster._core.storage.sqlite_storage
import dagster._grpc.impl
import dagster._grpc.server
import dagster_aws.s3
import dagster_pyspark
import mongomock
import pandas
import pyarrow.dataset
import pyarrow.pandas_compat
import pyarrow.parquet
import pymongo
import pyspark.sql.connect.functions
import pyspark.sql.connect.session
import pyspark.sql.connect.window
import pyspark.sql.pandas.types
import sqlalchemy.dialects.sqlite
import upath.implementations.local

with suppress(ImportError):  # Dagster's storage on Compose
    import dagster_postgres
    import psycopg2
    import sqlalchemy.dialects.postgresql.psycopg2

# The definition of S3's API is 40,000 lines of JSON, which boto3's default session reads once; no request is made.
boto3.client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106

# Or each run would look through all of this for garbage: a third of a second in some.
gc.freeze()
