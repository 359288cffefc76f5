"""Warm up the Spark Connect server: `python -m lacrosse_assets.warm_spark`.

A JVM that has just started loads and compiles what it runs: its first box score takes five seconds, its tenth a fifth
of that. So before the game the mock deployment's canned one is computed on it, all assets, a few times over. Nothing
is written outside this process.
"""

import os

from dagster import DagsterInstance

from lacrosse_assets.definitions import build_definitions
from lacrosse_assets.settings import load_settings

ROUNDS = 10


def main() -> None:
    os.nice(10)  # whatever else starts meanwhile comes first
    # Its stores are in memory; the Spark server is the one that is set.
    canned = load_settings().model_copy(update={"deployment": "mock"})
    everything = build_definitions(canned).resolve_implicit_global_asset_job_def()
    for _ in range(ROUNDS):
        with DagsterInstance.ephemeral() as instance:
            everything.execute_in_process(instance=instance)


if __name__ == "__main__":
    main()
