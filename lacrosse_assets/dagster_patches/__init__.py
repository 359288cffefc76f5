"""Changes to private parts of Dagster. No other package of this project touches `dagster._*`.

Each patch has a module of its own. It checks the Dagster version and the attributes that it relies on (`guard.py`).
If one of them differs, it logs one line and leaves Dagster as it is.

| module | what it changes | how to turn it off |
|---|---|---|
| `warm_runs` | run processes are forked from a process that has the libraries imported | `LACROSSE_WARM_RUNS=false` |
| `survive_cleanup_errors` | the code server keeps detecting crashed runs after an error | - |
| `sqlite_storage` | SQLite: connections pooled, events compressed (embedded) | `LACROSSE_POOLED_SQLITE=false` |
| `postgres_storage` | Postgres connections are pooled (Compose) | `pool_size: 0` in docker/postgres.yaml |
| `sensor_daemon` | no pause between two sensor rounds, a steady clock | `sensor_round_seconds: 5` in dagster.yaml |
| `run_output` | a run mirrors its output without four processes | `mirror_output_in_process: false` in dagster.yaml |
| `instance` | `dagster dev` in the background of a script stops on SIGTERM | `instance_class` in dagster.yaml |
"""

import click

from lacrosse_assets.dagster_patches import survive_cleanup_errors, warm_runs
from lacrosse_assets.signals import end_on_interrupts


def patch_code_server(*, warm: bool, preload: str | None = None) -> None:
    """Patch Dagster's code server if this process is one (`dagster api grpc`); otherwise do nothing.

    `warm`: fork the runs (`warm_runs.py`), from a process that has imported the module `preload` as well.
    """
    command = click.get_current_context(silent=True)
    if command is None or command.info_name != "grpc":
        return
    end_on_interrupts()
    survive_cleanup_errors.apply()
    if warm:
        warm_runs.apply(preload)
