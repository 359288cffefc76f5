"""Warm up the Spark Connect server: `python -m lacrosse_assets.warm_spark`.

A new JVM loads and compiles the code that it runs: its first box score takes five seconds, its tenth one second. This
computes the canned game of the mock deployment, all assets, several times before the game. It writes nothing outside
this process. `make dev`, `make game` and Docker Compose run it when they start.
"""

import os
import sys
import time

from dagster import DagsterInstance

from lacrosse_assets import addresses
from lacrosse_assets.definitions import build_definitions
from lacrosse_assets.settings import load_settings

ROUNDS = 10
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}  # no log of each run


def main() -> None:
    os.nice(10)  # the services and Dagster start at the same time
    settings = load_settings()
    remote = settings.spark_remote.get_secret_value()
    spark = f"Spark at {addresses.spark_server(remote)}" if remote else "Spark"
    print(f"Warming up {spark}", flush=True)
    started = time.monotonic()
    try:
        # The stores are in memory; the Spark server is the configured one.
        canned = build_definitions(settings.model_copy(update={"deployment": "mock"}))
        everything = canned.resolve_implicit_global_asset_job_def()
        for _ in range(ROUNDS):
            with DagsterInstance.ephemeral() as instance:
                everything.execute_in_process(instance=instance, run_config=QUIET)
    except Exception as error:
        sys.exit(f"{spark} could not be warmed up, so the first box scores take longer: {str(error).splitlines()[0]}")
    print(f"{spark} is warm after {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
