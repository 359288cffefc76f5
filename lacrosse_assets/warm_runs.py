"""Runs that start warm: forked from a process that has the libraries imported, in place of one started from nothing.

Dagster's code server starts a process for each run by multiprocessing's `spawn`, which imports everything anew: two
seconds, where a live score waits. Here the same server uses the `forkserver` method instead: one process with nothing
but the libraries in it, from which each run is forked. All the rest is Dagster's own, unchanged: the run launcher, how
a run is cancelled, how one that has crashed is noticed, how new code is picked up (each run imports this project's
modules itself). `LACROSSE_WARM_RUNS=false` switches back. docs/performance.md weighs it against a run launcher.

What is imported in advance must be safe to fork: libraries only, no thread, no connection, no Spark session.
"""

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from typing import Any

import click


def enable() -> None:
    """Let this process fork its runs, if it is a code server (`dagster api grpc`); any other is left as it is."""
    command = click.get_current_context(silent=True)
    if command is None or command.info_name != "grpc":
        return
    from dagster._grpc.server import DagsterApiServer

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lacrosse_assets.warm_libraries"])
    forkserver.ensure_running()  # now, so that the first run finds it warm as well
    DagsterApiServer.StartRun = _starting_from(context, DagsterApiServer.StartRun)  # type: ignore[method-assign]


def _starting_from(context: ForkServerContext, start_run: Any) -> Any:
    def start(server: Any, *request: Any) -> Any:
        server._mp_ctx = context  # what it takes its queue, its event and its process from
        return start_run(server, *request)

    return start
