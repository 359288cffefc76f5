"""The definitions, loaded in the process from which runs are forked (`dagster_patches/warm_runs.py`).

Loading them would take most of the time until a run's first step. The process reads them once; reloading the code
location replaces it. A run that finds a changed source file forgets them and reads the code again, so that it runs what
is on disk, as in stock Dagster.
"""

import gc
import logging
import os
import sys
from pathlib import Path

PACKAGE = __package__
# They stay, changed or not: the process itself runs on them.
KEPT = (f"{PACKAGE}.dagster_patches.warm_libraries", __name__)


def _versions() -> dict[str, int]:
    """The time of the last change of each source file of this package that is loaded, by module."""
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items() if _is_ours(name)}
    return {name: Path(file).stat().st_mtime_ns for name, file in files.items() if file}


def _is_ours(name: str) -> bool:
    return (name == PACKAGE or name.startswith(f"{PACKAGE}.")) and name not in KEPT


def _forget_changed_code() -> None:
    try:
        is_unchanged = _versions() == _loaded
    except OSError:
        is_unchanged = False
    if not is_unchanged:
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]


try:
    from botocore.config import Config

    from lacrosse_assets.definitions import defs
    from lacrosse_assets.jobs import live_boxscore
    from lacrosse_assets.s3 import s3_client

    defs.resolve_job_def(live_boxscore.name)
    # The definition of S3's API is 40,000 lines of JSON. The session of all clients reads it once; no request is made.
    s3_client(Config(), region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106
except Exception as error:
    # Each run then loads them itself, and reports the reason.
    logging.getLogger(__name__).warning("the definitions are not loaded in advance: %s", error)
_loaded = _versions()
os.register_at_fork(after_in_child=_forget_changed_code)
# Otherwise the garbage collector of each run traverses all of these objects.
gc.freeze()
