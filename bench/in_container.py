"""The measurements in a container of the running Compose stack: compose.py starts it, in the platform's image.

Prints its results as one line of JSON, the last one.
"""

import json
import os
import sys
import time
from contextlib import redirect_stdout

import click
from dagster import DagsterInstance, RunsFilter
from sqlalchemy import URL, create_engine, text

from bench.latency import SETTLE_SECONDS, burst, each_event, whole_game
from bench.stores import Stores
from lacrosse_assets.settings import load_settings

WARM_UP_EVENTS = 3  # not measured


@click.command()
@click.option("--events", type=int, required=True)
@click.option("--interval", type=float, required=True)
@click.option("--delay", type=float, help="The pace of a whole game; none is played without it.")
def main(events: int, interval: float, delay: float | None) -> None:
    """Measure the events, a burst and a whole game."""
    with redirect_stdout(sys.stderr):  # the simulator prints what it creates
        measured = _measure(events, interval, delay)
    click.echo(json.dumps(measured))


def _measure(events: int, interval: float, delay: float | None) -> dict[str, object]:
    stores = Stores(load_settings())
    with DagsterInstance.get() as instance:
        stores.clear()
        each_event(stores, instance, WARM_UP_EVENTS, interval)
        stores.clear()
        time.sleep(SETTLE_SECONDS)
        seconds, phases = each_event(stores, instance, events, interval)
        measured: dict[str, object] = {"seconds": seconds, "phases": phases, "burst": burst(stores)}
        if delay is not None:
            stores.clear()
            time.sleep(SETTLE_SECONDS)
            size, runs = _storage(instance)
            game = whole_game(stores, delay)
            size_after, runs_after = _storage(instance)
            measured["game"] = [game.readable, game.final, size_after - size, runs_after - runs]
    return measured


def _storage(instance: DagsterInstance) -> tuple[int, int]:
    """The bytes of Dagster's database, and the number of live runs in it."""
    user, password = os.environ["POSTGRES_USER"], os.environ["POSTGRES_PASSWORD"]
    engine = create_engine(URL.create("postgresql+psycopg2", user, password, "postgres", database=user))
    with engine.connect() as connection:
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    return int(size), instance.get_runs_count(RunsFilter(job_name="live_boxscore"))


if __name__ == "__main__":
    main()
