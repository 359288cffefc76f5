"""What the connection pool of Dagster's SQLite storage is worth.

    python -m bench.sqlite                  # about five minutes; prints a table, writes no file

The same events with and without the pool, by turns, each time with a new Dagster home. The load of the machine is
printed with each measurement, because only ratios within one run of this command count.
"""

import os
import shutil
import statistics
import time
from typing import NamedTuple

import click
from dagster import DagsterInstance

from bench.processes import cpu
from bench.stores import GAME, Stores
from bench.warm import warm_services
from lacrosse_assets.embedded.dagster_dev import DagsterDev, dagster_home
from lacrosse_assets.embedded.services import EmbeddedServices

SETTLE_SECONDS = 5  # before a measurement
WARM_UP_EVENTS = 2  # not measured


class Measured(NamedTuple):
    """Medians over the events of one round."""

    latency_seconds: float  # from the PUT to the readable document
    run_seconds: float  # from the creation of the run to its end
    cpu_seconds: float  # of all of Dagster's processes, per run


@click.command()
@click.option("--events", default=6, show_default=True, help="Number of events measured in a round.")
@click.option("--interval", default=2.0, show_default=True, help="Seconds between two events.")
@click.option("--rounds", default=2, show_default=True, help="Rounds with the pool, and as many without.")
def main(events: int, interval: float, rounds: int) -> None:
    """Compare runs with pooled and unpooled SQLite connections."""
    with warm_services() as (services, stores):
        click.echo("| SQLite connections | load | PUT to document, p50 | run, p50 | CPU per run |")
        click.echo("|---|--:|--:|--:|--:|")
        for number in range(rounds):
            for pooled in (True, False) if number % 2 == 0 else (False, True):
                measured = _measure(stores, services, events, interval, pooled=pooled)
                name = "pooled" if pooled else "unpooled"
                cells = (f"{value:.2f} s" for value in measured)
                click.echo(f"| {name} | {os.getloadavg()[0]:.0f} | {' | '.join(cells)} |")


def _measure(stores: Stores, services: EmbeddedServices, events: int, interval: float, *, pooled: bool) -> Measured:
    shutil.rmtree(dagster_home(services.state_dir))
    dagster = DagsterDev(services.state_dir, lambda _: None, pooled_sqlite=pooled)
    try:
        dagster.start()
        dagster.wait_until_up()
        stores.clear()
        _latencies(stores, range(1, WARM_UP_EVENTS + 1), interval)
        time.sleep(SETTLE_SECONDS)
        with DagsterInstance.from_config(str(dagster_home(services.state_dir))) as instance:
            before, cpu_before = instance.get_runs_count(), cpu(dagster)
            measured = range(WARM_UP_EVENTS + 1, WARM_UP_EVENTS + events + 1)
            latencies = _latencies(stores, measured, interval)
            time.sleep(interval)
            cpu_seconds = cpu(dagster) - cpu_before
            records = instance.get_run_records(limit=instance.get_runs_count() - before)
    finally:
        dagster.stop()
    runs = [record.end_time - record.create_timestamp.timestamp() for record in records if record.end_time]
    return Measured(statistics.median(latencies), statistics.median(runs), cpu_seconds / len(records))


def _latencies(stores: Stores, events: range, interval: float) -> list[float]:
    latencies = []
    for event in events:
        time.sleep(interval)
        put_at = time.time()
        latencies.append(stores.wait_for(stores.put(GAME[:event])) - put_at)
    return latencies


if __name__ == "__main__":
    main()
