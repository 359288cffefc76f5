"""The `lacrosse` command: what `make services`, `make dev` and `make game` run."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from lacrosse_assets.embedded.boxscore_page import BoxscorePage
from lacrosse_assets.embedded.dagster_dev import Dagit
from lacrosse_assets.embedded.processes import Server, signals_end_the_process
from lacrosse_assets.embedded.services import EmbeddedServices, embedded_services
from lacrosse_assets.settings import embedded_settings

GAME_DELAY = "0.01"  # `lacrosse game` plays an hour in 36 seconds unless DELAY is set
WATCH_EVERY = 0.5  # seconds between two looks whether all servers are still up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A lacrosse game on this machine: the embedded services, Dagster, and the simulator."""


@main.command()
def services() -> None:
    """Start the services alone; they stay up until Ctrl-C."""
    with _unwinding(), embedded_services(embedded_settings(), _say) as up:
        _say("The services are up, until Ctrl-C. This project's commands find them by themselves; others by:")
        for name, value in up.addresses.items():
            _say(f"export {name}={shlex.quote(value)}")
        _watch(up.keep_up)


@main.command()
def dev() -> None:
    """Start the services, Dagster and the box score page; they stay up until Ctrl-C."""
    with _unwinding(), environment() as (up, dagit), boxscore_page(up) as page:
        for name, value in up.addresses.items():
            _say(f"{name}={shlex.quote(value)}")
        # Not sys.argv's words but what can be pasted: this Python, whichever environment it is in.
        python = os.path.relpath(sys.executable)
        state = os.environ.get("LACROSSE_STATE_DIR")
        setting = f"LACROSSE_STATE_DIR={shlex.quote(state)} " if state else ""
        _say(f"Logs are in {up.state_dir / 'logs'}")
        _say(f"Dagit is at {dagit.url}")
        _say(f"The box score page is at {page.url}")
        _say("Up until Ctrl-C. To play a game, in another terminal:")
        _say(f"  {setting}{shlex.quote(python)} -m lacrosse_assets.gamestream")

        _watch(up.keep_up, dagit.keep_up, page.keep_up)


@main.command()
def game() -> None:
    """Play one game to the final tables, with the score live; DELAY sets its pace (0.01 here unless set)."""
    # Imported here, as it brings Dagster: the other commands start sooner without.
    from lacrosse_assets.embedded.game import play

    os.environ["DELAY"] = os.environ.get("DELAY") or GAME_DELAY
    with _unwinding(), environment() as (up, dagit):
        _say(f"Dagit is at {dagit.url} until the game is over")
        play(up, dagit)


@contextmanager
def environment() -> Iterator[tuple[EmbeddedServices, Dagit]]:
    """The services and Dagster, up; Spark is still warming up."""
    _say("Starting the services and Dagster ...")
    with embedded_services(embedded_settings(), _say) as up:
        dagit = Dagit(up.state_dir, _say)
        warm_up = Server(
            "warm_spark",
            [sys.executable, "-m", "lacrosse_assets.warm_spark"],
            up.state_dir,
            answers=lambda: True,
            environ={"LACROSSE_DEPLOYMENT": "embedded", "LACROSSE_STATE_DIR": str(up.state_dir)},
            kill_timeout=0,  # it has nothing to lose, and Dagster ends no run in the process on SIGTERM
        )
        try:
            warm_up.start()
            dagit.start()
            dagit.wait_until_up()
            yield up, dagit
        finally:
            warm_up.end()
            dagit.end()


@contextmanager
def boxscore_page(up: EmbeddedServices) -> Iterator[BoxscorePage]:
    """The example page on these services, up."""
    page = BoxscorePage(up.state_dir, up.addresses["MONGODB_URI"], _say)
    try:
        page.start()
        page.wait_until_up()
        yield page
    finally:
        page.end()


@contextmanager
def _unwinding() -> Iterator[None]:
    with signals_end_the_process():
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(130) from None  # as a shell has it, and without click's `Aborted!`


def _watch(*keep_up: Callable[[Callable[[str], None]], None]) -> None:
    """Start again what ends, until a Ctrl-C or something that does not stay up."""
    while True:
        for each in keep_up:
            each(_say)
        time.sleep(WATCH_EVERY)


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()  # for who reads it through a pipe
