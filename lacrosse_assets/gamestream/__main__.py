"""The command `python -m lacrosse_assets.gamestream`."""

import logging
import signal
import sys
from typing import TYPE_CHECKING

import click

from lacrosse_assets.gamestream.resume import clear_stop, record_stop, stream_to_continue
from lacrosse_assets.gamestream.simulator import connect, play, prepare, reset
from lacrosse_assets.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from botocore.client import BaseClient


@click.command()
@click.option(
    "--resume",
    is_flag=True,
    help="For a container with a restart policy: continue a game that a crash or a reboot interrupted, start over "
    "after a stop on request, and keep running when the game is over.",
)
def main(resume: bool) -> None:
    """Reset teams and players, and play one game from the start.

    DELAY sets the pace: the real seconds for each second of the game, 0.25 by default.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # how Compose stops it: not a failure
    # On stdout like the prints, so that the lines keep their order; by the root logger, as in the original exercise.
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format=logging.BASIC_FORMAT)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        settings = load_settings()
        if settings.deployment == "mock":
            raise SettingsError(
                "LACROSSE_DEPLOYMENT=mock has no stores to play a game on: unset it, or set it to services"
            )
        if resume:
            _play_as_a_service(connect(settings), settings)
        else:
            play(prepare(settings), settings)
    except KeyboardInterrupt:
        sys.exit(130)


def _play_as_a_service(store: "BaseClient", settings: Settings) -> None:
    try:
        stream = stream_to_continue(store, settings)
        if not stream:
            reset(store, settings)
        clear_stop(store, settings)
        play(store, settings, stream)
        logging.info("The game is over. A restart of the simulator plays it again.")
        while True:
            signal.pause()
    except (SystemExit, KeyboardInterrupt):
        record_stop(store, settings)
        raise


if __name__ == "__main__":
    main()
