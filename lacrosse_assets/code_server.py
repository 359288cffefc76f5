"""What this project changes in Dagster's code server: runs start warm, and those that crash are noticed come what may.

**Warm runs.** The code server starts a process for each run by multiprocessing's `spawn`, which imports everything
anew: two seconds, where a live score waits. Here the same server uses the `forkserver` method instead: one process with
nothing but the libraries in it, from which each run is forked. All the rest is Dagster's own, unchanged: the run
launcher, how a run is cancelled, how new code is picked up (each run imports this project's modules itself).
`LACROSSE_WARM_RUNS=false` switches back. docs/performance.md weighs it against a run launcher. What is imported in
advance must be safe to fork: libraries only, no thread, no connection, no Spark session.

**Crashed runs.** Twice a second the code server looks whether the process of a run has ended without a word, and
reports that run as failed. An error in doing so, as on a full disk, ends the thread that looks. From then on nobody
notices a crash any more; and once such a run is cancelled, as run monitoring does in the end, the server waits for its
process for ever, and starts no other run. So here the look goes on after an error.
"""

import logging
import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from typing import TYPE_CHECKING, Any

import click

from lacrosse_assets.signals import end_on_interrupts

if TYPE_CHECKING:
    from dagster._grpc.server import DagsterApiServer

log = logging.getLogger("dagster.code_server")


def adapt(*, warm_runs: bool) -> None:
    """Change it, if this process is one (`dagster api grpc`); any other is left as it is."""
    command = click.get_current_context(silent=True)
    if command is None or command.info_name != "grpc":
        return
    from dagster._grpc.server import DagsterApiServer

    end_on_interrupts()
    _keep_looking(DagsterApiServer)
    if warm_runs:
        _start_warm(DagsterApiServer)


def _start_warm(server: "type[DagsterApiServer]") -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lacrosse_assets.warm_libraries"])
    forkserver.ensure_running()  # now, so that the first run finds it warm as well
    server.StartRun = _starting_from(context, server.StartRun)  # type: ignore[method-assign]


def _starting_from(context: ForkServerContext, start_run: Any) -> Any:
    def start(server: Any, *request: Any) -> Any:
        server._mp_ctx = context  # what it takes its queue, its event and its process from
        return start_run(server, *request)

    return start


def _keep_looking(server: "type[DagsterApiServer]") -> None:
    look = server._check_for_orphaned_runs
    said = ""

    def look_whatever_comes(self: Any) -> None:
        nonlocal said
        try:
            look(self)
            said = ""
        except Exception as error:
            if str(error) != said:  # once, and not twice a second
                said = str(error)
                log.error("A run that may have crashed cannot be reported, and is looked at again: %s", said)

    server._check_for_orphaned_runs = look_whatever_comes  # type: ignore[method-assign]
