"""How old the box score gets while the stream changes all the time, with and without Dagster's pause between rounds.

    python -m bench.burst                   # about five minutes; prints a table, writes no file

An event each 1.3 s for a minute. The latency of an event is the time from its PUT until a box score can be read that
has it, of this event or of a later one. docs/adr/0006-sensor-rounds.md has what the pause is.
"""

import io
import os
from contextlib import redirect_stdout

import click
import yaml

from bench.latency import BURST_EVENTS, BURST_INTERVAL_SECONDS, burst
from bench.spread import Spread
from bench.stores import Stores
from bench.warm import warm_services
from lacrosse_assets.dagster_patches.sensor_daemon import ROUND_SECONDS
from lacrosse_assets.embedded.dagster_dev import DagsterDev, dagster_home
from lacrosse_assets.embedded.services import EmbeddedServices

DAGSTER_ROUND_SECONDS = 5  # Dagster's own


@click.command()
@click.option("--events", default=BURST_EVENTS, show_default=True, help="Number of events.")
@click.option("--interval", default=BURST_INTERVAL_SECONDS, show_default=True, help="Seconds between two events.")
def main(events: int, interval: float) -> None:
    """Measure a burst of events with this project's sensor rounds and with Dagster's own."""
    with warm_services() as (services, stores):
        click.echo("| pause between two sensor rounds | load | events | p50 | p95 | worst |")
        click.echo("|---|--:|--:|--:|--:|--:|")
        for seconds in (ROUND_SECONDS, DAGSTER_ROUND_SECONDS):
            spread = _measure(stores, services, seconds, events, interval)
            cells = " | ".join(f"{value:.2f} s" for value in (spread.p50, spread.p95, spread.worst))
            click.echo(f"| {seconds:g} s | {os.getloadavg()[0]:.1f} | {spread.events} | {cells} |")


def _measure(stores: Stores, services: EmbeddedServices, seconds: float, events: int, interval: float) -> Spread:
    dagster = DagsterDev(services.state_dir, lambda _: None)
    settings = dagster_home(services.state_dir) / "dagster.yaml"
    settings.write_text(yaml.safe_dump({**yaml.safe_load(settings.read_text()), "sensor_round_seconds": seconds}))
    try:
        dagster.start()
        dagster.wait_until_up()
        with redirect_stdout(io.StringIO()):  # the simulator prints what it creates
            return Spread.of(burst(stores, events, interval))
    finally:
        dagster.stop()


if __name__ == "__main__":
    main()
