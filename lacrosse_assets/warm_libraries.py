"""What each run imports of others' code, and nothing else: the one module that runs are forked after (warm_runs.py).

Libraries only, and of these only what can be forked: importing them starts no thread and opens no connection.
"""

import gc

import boto3
import botocore.handlers
import dagster._cli.api
import dagster._core.executor.in_process
import dagster._grpc.impl
import dagster._grpc.server
import dagster_aws.s3
import dagster_pyspark
import pandas
import pyarrow.parquet
import pymongo
import pyspark.sql.connect.functions
import pyspark.sql.connect.session
import pyspark.sql.pandas.types
import sqlalchemy.dialects.sqlite

# A run would otherwise look through all of this for garbage, which took a third of a second of some runs.
gc.freeze()
