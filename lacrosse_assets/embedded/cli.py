"""The `lacrosse` command, which `make services`, `make dev`, `make game` and `make gameday` run."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from lacrosse_assets.embedded.boxscore_page import BoxscorePage
from lacrosse_assets.embedded.dagster_dev import DagsterDev
from lacrosse_assets.embedded.services import EmbeddedServices, embedded_services
from lacrosse_assets.embedded.supervision import Report, Server, stop_on_signals
from lacrosse_assets.settings import SettingsError, embedded_settings

GAME_DELAY = "0.01"  # `lacrosse game` plays an hour in 36 seconds unless DELAY is set
GAME_DAY_PREFIX = "games/"
CHECK_INTERVAL_SECONDS = 0.5  # between two checks that all servers are running
INTERRUPTED = 130  # the exit code that a shell gives a command stopped by Ctrl-C


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Play a lacrosse game on this machine: embedded services, Dagster and the simulator."""


@main.command()
def services() -> None:
    """Run the services alone, until Ctrl-C."""
    with _stopping(), embedded_services(embedded_settings(), _print) as up:
        _print("The services are up until Ctrl-C. This project's commands find them; for other programs:")
        for name, value in up.addresses.items():
            _print(f"export {name}={shlex.quote(value)}")
        _supervise(up.ensure_running)


@main.command()
@click.option(
    "--page",
    "checkout",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Also run the example box score page of this checkout of the project.",
)
def dev(checkout: Path | None) -> None:
    """Run the services and Dagster, until Ctrl-C."""
    with _stopping(), environment() as (up, dagster), ExitStack() as stack:
        page = stack.enter_context(boxscore_page(up, checkout)) if checkout else None
        for name, value in up.addresses.items():
            _print(f"{name}={shlex.quote(value)}")
        _print(f"Logs: {up.state_dir / 'logs'}")
        _print(f"Dagster UI: {dagster.url}")
        if page:
            _print(f"Box score page: {page.url}")
        _print("Up until Ctrl-C. To play a game, run in another terminal:")
        # A command that can be pasted: with this Python, whichever environment it is in.
        names = [name for name in ("LACROSSE_STATE_DIR", "GAMESTREAM_KEY", "GAMES") if os.environ.get(name)]
        settings = "".join(f"{name}={shlex.quote(os.environ[name])} " for name in names)
        _print(f"  {settings}{shlex.quote(os.path.relpath(sys.executable))} -m lacrosse_assets.gamestream")

        _supervise(up.ensure_running, dagster.ensure_running, *([page.ensure_running] if page else []))


@main.command()
def game() -> None:
    """Play one game with the live score, until the final tables are written. DELAY sets the pace (here 0.01)."""
    # Imported here because it imports Dagster: the other commands start faster without.
    from lacrosse_assets.embedded.game import play

    os.environ["DELAY"] = os.environ.get("DELAY") or GAME_DELAY
    if embedded_settings().is_game_day:
        raise SettingsError("GAMESTREAM_KEY names a game day: unset it to play one game, or use `lacrosse gameday`")
    with _stopping(), environment() as (up, dagster):
        _print(f"Dagster UI: {dagster.url} (until the game is over)")
        play(up, dagster)


@main.command()
def gameday() -> None:
    """Play GAMES games at once (12 by default) with the live scoreboard, until the final tables have all of them.

    DELAY sets the pace (here 0.01). GAMESTREAM_KEY is the prefix of the streams (here games/) and must end with `/`.
    """
    from lacrosse_assets.embedded.gameday import play_day

    os.environ["DELAY"] = os.environ.get("DELAY") or GAME_DELAY
    os.environ["GAMESTREAM_KEY"] = os.environ.get("GAMESTREAM_KEY") or GAME_DAY_PREFIX
    settings = embedded_settings()
    if not settings.is_game_day:
        raise SettingsError(f"GAMESTREAM_KEY must end with / on a game day (got {settings.gamestream_key!r}): unset it")
    with _stopping(), environment() as (up, dagster):
        _print(f"Dagster UI: {dagster.url} (until the games are over)")
        play_day(up, dagster)


@contextmanager
def environment() -> Iterator[tuple[EmbeddedServices, DagsterDev]]:
    """The running services and Dagster. The Spark server may still be warming up."""
    _print("Starting the services and Dagster ...")
    settings = embedded_settings()
    with embedded_services(settings, _print) as up:
        dagster = DagsterDev(up.state_dir, _print, pooled_sqlite=settings.pooled_sqlite)
        warm_up = Server(
            "warm_spark",
            [sys.executable, "-m", "lacrosse_assets.warm_spark"],
            up.state_dir,
            environ={"LACROSSE_DEPLOYMENT": "embedded", "LACROSSE_STATE_DIR": str(up.state_dir)},
            kill_timeout=0,  # it has no state, and Dagster does not stop a run in the process on SIGTERM
        )
        try:
            warm_up.start()
            dagster.start()
            dagster.wait_until_up()
            yield up, dagster
        finally:
            warm_up.stop()
            dagster.stop()


@contextmanager
def boxscore_page(up: EmbeddedServices, checkout: Path) -> Iterator[BoxscorePage]:
    """The running example page of this checkout of the project."""
    page = BoxscorePage(
        up.state_dir,
        up.addresses["MONGODB_URI"],
        _print,
        checkout=checkout,
        gamestream_key=embedded_settings().gamestream_key,
    )
    try:
        page.start()
        page.wait_until_up()
        yield page
    finally:
        page.stop()


@contextmanager
def _stopping() -> Iterator[None]:
    """Stop all servers on SIGTERM, SIGHUP and Ctrl-C."""
    with stop_on_signals():
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None  # without click's `Aborted!`


def _supervise(*ensure_running: Callable[[Report], None]) -> None:
    """Restart servers that exit, until Ctrl-C or until one does not stay up."""
    while True:
        for each in ensure_running:
            each(_print)
        time.sleep(CHECK_INTERVAL_SECONDS)


def _print(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()  # for a reader at the other end of a pipe
