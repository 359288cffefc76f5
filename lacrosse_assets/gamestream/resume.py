"""Continues an interrupted game, and starts over after a stop on request. Only for `--resume`.

A crash, a kill or a reboot leaves an unfinished stream in the bucket, and so does a stop on request, such as
`docker compose restart`. To tell them apart, a stop on request writes a marker object next to the stream. It contains
the machine's boot id, because a clean shutdown of the machine stops the simulator on request, too.

1. The marker is of this boot: the game starts over.
2. Otherwise the game continues from the stream in the bucket. A finished game stays finished.
3. The stream is of another game: the game starts from the beginning.

A game day does the same with all its streams: each game continues after its own last event.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from lacrosse_assets.gamestream.day_simulator import WRITERS, stream_key
from lacrosse_assets.gamestream.game_day import GameDay
from lacrosse_assets.gamestream.simulator import call_store, read_game
from lacrosse_assets.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")  # in a container it is the host's


def stream_to_continue(store: "S3Client", settings: Settings) -> str:
    """The stream of the interrupted game; empty if the game must start from the beginning."""
    stream = _read(store, settings, settings.gamestream_key)
    game = "".join(f"{event.line}\n" for event in read_game())
    if not (stream.endswith("\n") and game.startswith(stream)):
        return ""
    return "" if _read(store, settings, _marker_key(settings)) == _boot_id() else stream


def events_to_continue(store: "S3Client", settings: Settings, day: GameDay) -> dict[int, int] | None:
    """The number of events of each game that are written; None if the day must start from the beginning."""
    with ThreadPoolExecutor(WRITERS) as pool:
        keys = [stream_key(settings, game.game_id) for game in day.games]
        streams = list(pool.map(lambda key: _read(store, settings, key), keys))
    written = {game.game_id: len(stream.splitlines()) for game, stream in zip(day.games, streams, strict=True)}
    of_this_day = all(
        game.stream(written[game.game_id]) == stream for game, stream in zip(day.games, streams, strict=True)
    )
    if not (any(written.values()) and of_this_day) or _read(store, settings, _marker_key(settings)) == _boot_id():
        return None
    return written


def record_stop(store: "S3Client", settings: Settings) -> None:
    """Write the marker of a stop on request, in one attempt: the simulator is about to exit."""
    with suppress(BotoCoreError, ClientError):
        store.put_object(Bucket=settings.gamestream_bucket, Key=_marker_key(settings), Body=_boot_id().encode())


def clear_stop(store: "S3Client", settings: Settings) -> None:
    """Delete the marker of a stop on request."""
    call_store(store, lambda: store.delete_object(Bucket=settings.gamestream_bucket, Key=_marker_key(settings)))


def _marker_key(settings: Settings) -> str:
    # Outside the prefix of a game day, whose objects are streams.
    return f"{settings.gamestream_key.rstrip('/')}.stopped"


def _read(store: "S3Client", settings: Settings, key: str) -> str:
    """The text of an object; empty if there is none."""
    content = b""

    def read() -> None:
        nonlocal content
        try:
            content = store.get_object(Bucket=settings.gamestream_bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise

    call_store(store, read)
    return content.decode(errors="replace")


def _boot_id() -> str:
    """The id of the machine's current boot; a constant where the machine has none."""
    try:
        return BOOT_ID_FILE.read_text().strip()
    except OSError:
        logging.debug("No %s: a clean shutdown of the machine counts as a stop on request.", BOOT_ID_FILE)
        return "this boot"
