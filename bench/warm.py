"""The embedded services with Spark warmed up, for a measurement that starts Dagster by itself."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.stores import Stores
from lacrosse_assets.embedded.cli import environment
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.embedded.supervision import stop_on_signals
from lacrosse_assets.settings import load_settings

SPARK_WARM_UP_SECONDS = 30


@contextmanager
def warm_services() -> Iterator[tuple[EmbeddedServices, Stores]]:
    """The services and their stores, in a state folder of their own. Dagster has been stopped."""
    with stop_on_signals(), tempfile.TemporaryDirectory(prefix="lacrosse-bench-") as folder:
        os.environ["LACROSSE_STATE_DIR"] = folder
        with environment() as (services, dagster):
            stores = Stores(load_settings())
            time.sleep(SPARK_WARM_UP_SECONDS)
            dagster.stop()
            yield services, stores
