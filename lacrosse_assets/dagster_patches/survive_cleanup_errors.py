"""The code server keeps detecting crashed runs after an error.

Twice a second a thread of Dagster's code server checks whether the process of a run has crashed, and reports such a run
as failed. An error in that check, as on a full disk, ends the thread. From then on crashed runs are not detected. If
one of them is cancelled later, as run monitoring does in the end, the server waits for its process forever and starts
no further run. With this patch the error is logged, and the next check follows.
"""

import logging
from typing import Any

from lacrosse_assets.dagster_patches.guard import is_supported

RELIES_ON = ("dagster._grpc.server:DagsterApiServer._check_for_orphaned_runs",)

log = logging.getLogger("dagster.code_server")


def apply() -> None:
    """Catch errors in the check for crashed runs of this code server."""
    if not is_supported("detection of crashed runs after an error", "dagster", *RELIES_ON):
        return
    from dagster._grpc.server import DagsterApiServer

    DagsterApiServer._check_for_orphaned_runs = _surviving(DagsterApiServer._check_for_orphaned_runs)  # type: ignore[method-assign]


def _surviving(check: Any) -> Any:
    logged = ""

    def check_and_survive(server: Any) -> None:
        nonlocal logged
        try:
            check(server)
            logged = ""
        except Exception as error:
            if str(error) != logged:  # once, not twice a second
                logged = str(error)
                log.error("The check for crashed runs failed, and is retried: %s", logged)

    return check_and_survive
