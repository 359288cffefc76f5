"""The command `python -m lacrosse_assets.gamestream`."""

import logging
import signal
import sys
from typing import TYPE_CHECKING

import click

from lacrosse_assets.gamestream.day_simulator import play_day, tables_of
from lacrosse_assets.gamestream.game_day import game_day
from lacrosse_assets.gamestream.resume import clear_stop, events_to_continue, record_stop, stream_to_continue
from lacrosse_assets.gamestream.simulator import connect, play, reset
from lacrosse_assets.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@click.command()
@click.option(
    "--resume",
    is_flag=True,
    help="For a container with a restart policy: continue a game that a crash or a reboot interrupted, start over "
    "after a stop on request, and keep running when the game is over. The same for a game day.",
)
def main(resume: bool) -> None:
    """Reset teams and players, and play one game from the start.

    With a GAMESTREAM_KEY that ends with `/`, it plays a game day: it also resets the table `games`, and plays GAMES
    different games at once (12 by default), each at its own pace.

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
        store = connect(settings)
        if resume:
            _play_as_a_service(store, settings)
        else:
            _play(store, settings)
    except KeyboardInterrupt:
        sys.exit(130)


def _play(store: "S3Client", settings: Settings, *, resume: bool = False) -> None:
    """Play from the start; with `resume`, continue what is unfinished."""
    if settings.is_game_day:
        day = game_day(settings.games)
        written = events_to_continue(store, settings, day) if resume else None
        if written is None:
            reset(store, settings, tables_of(day))
        if resume:
            clear_stop(store, settings)
        play_day(store, settings, day, written)
    else:
        stream = stream_to_continue(store, settings) if resume else ""
        if not stream:
            reset(store, settings)
        if resume:
            clear_stop(store, settings)
        play(store, settings, stream)


def _play_as_a_service(store: "S3Client", settings: Settings) -> None:
    try:
        _play(store, settings, resume=True)
        if settings.is_game_day:
            logging.info("The games are over. A restart of the simulator plays them again.")
        else:
            logging.info("The game is over. A restart of the simulator plays it again.")
        while True:
            signal.pause()
    except (SystemExit, KeyboardInterrupt):
        record_stop(store, settings)
        raise


if __name__ == "__main__":
    main()
