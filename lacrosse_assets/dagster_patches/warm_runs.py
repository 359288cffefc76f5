"""Warm runs: run processes are forked from a process that has the libraries imported.

Dagster's code server starts each run with multiprocessing's `spawn` method. The new process imports all libraries,
which takes two seconds in which a live score waits. This patch sets the `forkserver` method instead: one process holds
the libraries (`warm_libraries.py`) and the definitions (`../warm_definitions.py`), and each run is forked from it.
Everything else is Dagster's own: the run launcher, cancellation, and reloading of code, which replaces the process.

The warm process must be safe to fork: no thread, no connection, no Spark session. docs/adr/0001-warm-runs.md compares
this with a custom run launcher. `LACROSSE_WARM_RUNS=false` turns it off.
"""

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from typing import Any

from lacrosse_assets.dagster_patches.guard import is_supported

LIBRARIES = "lacrosse_assets.dagster_patches.warm_libraries"
RELIES_ON = ("dagster._grpc.server:DagsterApiServer.StartRun", "dagster._grpc.server:DagsterApiServer()._mp_ctx")


def apply(preload: str | None = None) -> None:
    """Fork the runs of this code server, and start the warm process now, so that the first run is warm as well.

    `preload`: a module that the warm process imports after the libraries.
    """
    if not is_supported("the start of warm runs", "dagster", *RELIES_ON):
        return
    from dagster._grpc.server import DagsterApiServer

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([LIBRARIES, *([preload] if preload else [])])
    forkserver.ensure_running()
    DagsterApiServer.StartRun = _forking(context, DagsterApiServer.StartRun)  # type: ignore[method-assign]


def _forking(context: ForkServerContext, start_run: Any) -> Any:
    def start_forked_run(server: Any, *request: Any) -> Any:
        server._mp_ctx = context  # from which it takes the run's queue, event and process
        return start_run(server, *request)

    return start_forked_run
