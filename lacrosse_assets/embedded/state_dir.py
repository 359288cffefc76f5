"""The state folder: locked by one supervisor at a time, and the place where the services publish their addresses."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lacrosse_assets.embedded.supervision import ServerError


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Lock the state folder for this process. Raises `ServerError` with the pid of the process that holds the lock."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip()
            raise ServerError(
                f"the services in {state_dir} are already running (process {pid}): stop that process "
                f"(Ctrl-C, or `kill {pid}`), or set LACROSSE_STATE_DIR to another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextmanager
def published(file: Path, addresses: Mapping[str, str]) -> Iterator[None]:
    """Write the addresses to `file`, atomically and readable by this user only; remove it afterwards."""
    draft = file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        for name, value in addresses.items():
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            out.write(f"{name}='{quoted}'\n")
    draft.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
