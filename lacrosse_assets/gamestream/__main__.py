"""`python -m lacrosse_assets.gamestream`: play the game once, from the start, at `DELAY` seconds for a game second."""

import logging
import signal
import sys
from typing import TYPE_CHECKING

import click

from lacrosse_assets.gamestream.resume import mark_stopped, stream_to_continue, unmark_stopped
from lacrosse_assets.gamestream.simulator import connect, play, prepare, reset
from lacrosse_assets.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from botocore.client import BaseClient


@click.command()
@click.option(
    "--resume",
    is_flag=True,
    help="For a container that is started again by its engine: continue a game that a crash or a reboot has "
    "interrupted, start over after a stop on request, and stay up when the game is over.",
)
def main(resume: bool) -> None:
    """Reset teams and players, and play the game once; DELAY sets the real seconds for a game second."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # how Compose stops it: nothing went wrong
    # All on one stream, so that the lines keep their order; by the root logger, as people know them.
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format=logging.BASIC_FORMAT)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        settings = load_settings()
        if settings.deployment == "mock":
            raise SettingsError(
                "LACROSSE_DEPLOYMENT=mock has no services to play a game on: unset it, or set it to services"
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
        unmark_stopped(store, settings)
        play(store, settings, stream)
        logging.info("The game is over. A restart of the simulator plays it again.")
        while True:
            signal.pause()
    except (SystemExit, KeyboardInterrupt):
        mark_stopped(store, settings)
        raise


if __name__ == "__main__":
    main()
