"""The libraries that each run imports: the only module in the process from which runs are forked (`warm_runs.py`).

Everything in here must be safe to fork: the imports start no thread and open no connection. A module that is not there
is skipped: the run imports what it needs itself.
"""

import gc
import os
from contextlib import suppress
from importlib import import_module

LIBRARIES = (
    "boto3.s3.inject",
    "dagster._cli.api",
    "dagster._core.definitions.repository_definition.repository_data_builder",
    "dagster._core.execution.plan.active",
    "dagster._core.executor.in_process",
    "dagster._core.storage.sqlite_storage",
    "dagster._grpc.impl",
    "dagster._grpc.server",
    "dagster_aws.s3",
    "dagster_postgres",  # Dagster's storage on Compose
    "dagster_pyspark",
    "mongomock",
    "pandas",
    "psycopg2",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "pyarrow.parquet",
    "pymongo",
    "pyspark.sql.connect.functions",
    "pyspark.sql.connect.session",
    "pyspark.sql.connect.window",
    "pyspark.sql.pandas.types",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "sqlalchemy.dialects.sqlite",
    "upath.implementations.local",
)

# numpy would start a thread for each core, and pyarrow one for its memory allocator.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")

for library in LIBRARIES:
    with suppress(ImportError):
        import_module(library)

# Otherwise the garbage collector of each run traverses all of these objects, which takes up to a third of a second.
gc.freeze()
