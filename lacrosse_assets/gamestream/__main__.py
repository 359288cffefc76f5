"""`python -m lacrosse_assets.gamestream`: play the game once, from the start, at `DELAY` seconds for a game second."""

import logging
import signal
import sys

import click

from lacrosse_assets.gamestream.simulator import play, prepare
from lacrosse_assets.settings import SettingsError, load_settings


@click.command()
def main() -> None:
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
        play(prepare(settings), settings)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
