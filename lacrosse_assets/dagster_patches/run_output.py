"""The captured output of a run is mirrored to the console by a thread instead of four processes.

Dagster redirects a run's output to files that its UI shows, and mirrors them to the output that the run inherited. For
each of the two files it starts `tail` and a Python interpreter that ends `tail` if the run is killed. The interpreters
start while the run fetches the stream. With this patch a thread of the run copies what is new in the files. The files
are written as before: a run that is killed loses nothing in them.

`mirror_output_in_process: false` in dagster.yaml turns it off.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from lacrosse_assets.dagster_patches.guard import is_supported

MANAGER = "dagster._core.storage.local_compute_log_manager"
RELIES_ON = (
    f"{MANAGER}:mirror_stream_to_file",
    "dagster._core.execution.compute_logs:redirect_to_file",
    "dagster._core.execution.compute_logs:_fileno",
    "dagster._utils:ensure_file",
)
INTERVAL_SECONDS = 0.25
CHUNK_BYTES = 65536


def apply(*, enabled: bool) -> None:
    """Patch Dagster's capture of output in this process, or restore it."""
    manager: Any = import_module(MANAGER)
    is_patched = getattr(manager, "mirror_stream_to_file", None) is mirror_stream_to_file
    if enabled == is_patched:
        return
    if is_patched:
        from dagster._core.execution import compute_logs

        manager.mirror_stream_to_file = compute_logs.mirror_stream_to_file
    elif is_supported("mirroring a run's output without further processes", "dagster", *RELIES_ON):
        manager.mirror_stream_to_file = mirror_stream_to_file


@contextmanager
def mirror_stream_to_file(stream: IO[Any], filepath: str) -> Iterator[tuple[None, None]]:
    """Redirect the stream to the file, and mirror the file to where the stream went before."""
    from dagster._core.execution.compute_logs import _fileno, redirect_to_file
    from dagster._utils import ensure_file

    ensure_file(filepath)
    console = _fileno(stream)
    if console is None:
        with redirect_to_file(stream, filepath):
            yield None, None
        return
    console, ended = os.dup(console), threading.Event()
    mirror = threading.Thread(target=_mirror, args=(Path(filepath), console, ended), daemon=True)
    try:
        mirror.start()
        with redirect_to_file(stream, filepath):
            yield None, None
    finally:
        ended.set()
        mirror.join()
        os.close(console)


def _mirror(file: Path, console: int, ended: threading.Event) -> None:
    """Copy the file, and what is added to it until `ended`."""
    with file.open("rb") as content:
        while True:
            is_last = ended.wait(INTERVAL_SECONDS)
            while chunk := content.read(CHUNK_BYTES):
                try:
                    while chunk:
                        chunk = chunk[os.write(console, chunk) :]
                except OSError:
                    return  # the console is gone; the file has everything
            if is_last:
                return
