"""Continuing a game that was interrupted, and starting over after a stop on request. Used with `--resume` alone.

A crash, a kill or a reboot leaves the stream in the bucket unfinished. So does a stop on request, as by
`docker compose restart`. The difference is a small object beside the stream, written at a stop on request. It holds the
id of the machine's boot, as a clean shutdown of the machine stops the simulator on request, too:

1. The object is of this boot: the game starts over.
2. Otherwise it goes on where the stream in the bucket stands. A finished game stays finished.
3. A stream that is not of this game counts as none: the game starts.
"""

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from lacrosse_assets.gamestream.simulator import call_store, read_game
from lacrosse_assets.settings import Settings

if TYPE_CHECKING:
    from botocore.client import BaseClient

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")  # the host's, in containers as well


def stream_to_continue(store: "BaseClient", settings: Settings) -> str:
    """The stream as it was when the game was interrupted; empty where the game has to start from its beginning."""
    stream = _read(store, settings, settings.gamestream_key)
    game = "".join(f"{event.line}\n" for event in read_game())
    if not (stream.endswith("\n") and game.startswith(stream)):
        return ""
    return "" if _read(store, settings, _stopped(settings)) == _boot_id() else stream


def mark_stopped(store: "BaseClient", settings: Settings) -> None:
    """Note that the simulator was stopped on request. A store that does not answer is not waited for."""
    with suppress(BotoCoreError, ClientError):
        store.put_object(Bucket=settings.gamestream_bucket, Key=_stopped(settings), Body=_boot_id().encode())


def unmark_stopped(store: "BaseClient", settings: Settings) -> None:
    """Note that the simulator runs."""
    call_store(store, lambda: store.delete_object(Bucket=settings.gamestream_bucket, Key=_stopped(settings)))


def _stopped(settings: Settings) -> str:
    return f"{settings.gamestream_key}.stopped"


def _read(store: "BaseClient", settings: Settings, key: str) -> str:
    found = [b""]

    def read() -> None:
        try:
            found[0] = store.get_object(Bucket=settings.gamestream_bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise

    call_store(store, read)
    return found[0].decode(errors="replace")


def _boot_id() -> str:
    """Which start of the machine this is; the same text where that cannot be known."""
    try:
        return BOOT_ID_FILE.read_text().strip()
    except OSError:
        logging.debug("No %s: a clean shutdown of the machine counts as a stop on request.", BOOT_ID_FILE)
        return "this boot"
