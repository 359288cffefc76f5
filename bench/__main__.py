"""`make bench`: the latency from a PUT of the stream to the readable box score, measured from outside.

One run measures, one after the other on the same stores:

1. This project as `make dev` starts it; its CPU at rest, its memory and its disk space.
2. The same assets under stock Dagster (stock.py).
3. A plain script, started at each refresh (script.py).
4. This project with Dagster's storage on Postgres, as Docker Compose has it, with and without the connection pool
   (postgres.py).
5. With `--against REV`: this project next to another commit of it, event by event (against.py).

`--deployment compose` measures the running Compose stack instead (compose.py).
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable

import click
from dagster import DagsterInstance, RunsFilter

from bench import PROJECT_ROOT, compose
from bench.against import latencies_against
from bench.alternatives import run_script, stock_dagster
from bench.latency import BURST_EVENTS, BURST_INTERVAL_SECONDS, SETTLE_SECONDS, burst, each_event, whole_game
from bench.postgres import postgres, storage_yaml
from bench.processes import cpu, memory
from bench.report import REST_SECONDS, OnPostgres, Report
from bench.spread import Spread
from bench.stores import GAME, Stores
from bench.warm import SPARK_WARM_UP_SECONDS
from lacrosse_assets.embedded.cli import environment
from lacrosse_assets.embedded.dagster_dev import INSTANCE_SETTINGS, DagsterDev, dagster_home
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.embedded.supervision import stop_on_signals
from lacrosse_assets.settings import load_settings

REPORTS = {
    "embedded": PROJECT_ROOT / "docs" / "benchmark.md",
    "compose": PROJECT_ROOT / "docs" / "benchmark-compose.md",
}
# Sizes of the connection pool of Dagster's storage on Postgres; None: as in docker/postgres.yaml.
POOLS: dict[str, int | None] = {"pooled (docker/postgres.yaml)": None, "unpooled (dagster-postgres)": 0}


@click.command()
@click.option("--deployment", type=click.Choice(list(REPORTS)), default="embedded", show_default=True)
@click.option("--events", default=30, show_default=True, help="Number of events measured for this project.")
@click.option("--interval", default=6.0, show_default=True, help="Seconds between two events.")
@click.option("--others", default=5, show_default=True, help="Number of events measured for the alternatives.")
@click.option("--delay", default=0.25, show_default=True, help="Pace of the whole game: real seconds per game second.")
@click.option("--on-postgres", default=15, show_default=True, help="Number of events measured with Postgres; 0: skip.")
@click.option("--only-postgres", is_flag=True, help="Measure with Postgres only; print the table, write no file.")
@click.option("--game/--no-game", default=True, show_default=True, help="Measure a whole game (15 minutes).")
@click.option("--against", metavar="REV", help="Also measure another commit of this project, by turns with this one.")
def main(
    deployment: str,
    events: int,
    interval: float,
    others: int,
    delay: float,
    on_postgres: int,
    only_postgres: bool,
    game: bool,
    against: str | None,
) -> None:
    """Measure latency and cost, print the tables and write them to docs/benchmark.md (benchmark-compose.md)."""
    if deployment == "compose":
        report = Report("Benchmark of Docker Compose", "python -m bench --deployment compose", _images())
        _compose(report, events, interval, delay if game else None)
        report.write(REPORTS[deployment])
        return
    report = Report()
    with stop_on_signals(), tempfile.TemporaryDirectory(prefix="lacrosse-bench-") as folder:
        os.environ["LACROSSE_STATE_DIR"] = folder
        with environment() as (services, dagster):
            stores = Stores(load_settings())
            time.sleep(SPARK_WARM_UP_SECONDS)
            if not only_postgres:
                _log(f"this project: {events} events, {interval:g} s apart")
                ours = _ours(stores, services, report, events, interval)
                _log(f"this project: a burst of {BURST_EVENTS} events, {BURST_INTERVAL_SECONDS:g} s apart")
                report.burst(Spread.of(burst(stores)))
                if game:
                    _log(f"this project: a whole game at DELAY={delay:g}")
                    _whole_game(stores, services, report, delay)
                _log("this project at rest")
                _at_rest(services, dagster, report)
            dagster.stop()
            if not only_postgres:
                _log(f"stock Dagster: {others} events")
                stock = _stock(stores, services, others)
                _log(f"a script at each refresh: {others} events")
                script = _script(stores, services, others)
                report.compare(ours, stock, script)
            if on_postgres:
                _log(f"Dagster's storage on Postgres, pooled and unpooled: {on_postgres} events each")
                pools = POOLS.items()
                report.postgres(
                    {name: _on_postgres(stores, services, on_postgres, interval, size) for name, size in pools}
                )
    if against:
        _log(f"this project and its commit {against}: {events} events each")
        report.against(against, *latencies_against(against, events, interval))
    report.write(None if only_postgres else REPORTS[deployment])


def _ours(stores: Stores, services: EmbeddedServices, report: Report, events: int, interval: float) -> Spread:
    stores.clear()
    with DagsterInstance.from_config(str(dagster_home(services.state_dir))) as instance:
        seconds, phases = each_event(stores, instance, events, interval)
    report.phases(phases)
    return Spread.of(seconds)


def _compose(report: Report, events: int, interval: float, delay: float | None) -> None:
    _log(
        f"Docker Compose: {events} events, {interval:g} s apart, and a burst" + (", and a whole game" if delay else "")
    )
    measured = compose.measure(events, interval, delay)
    report.latency("this project (Docker Compose)", Spread.of(measured.seconds))
    report.phases(measured.phases)
    report.burst(Spread.of(measured.burst))
    if delay is not None and measured.game:
        readable, final, size, runs = measured.game
        report.game(delay, Spread.of(readable), final, size, runs)
    _log("Docker Compose at rest")
    report.rest(compose.at_rest(SETTLE_SECONDS, REST_SECONDS), "memory (as Docker counts it)")


def _images() -> str:
    """Which images the running stack has."""
    return " Stand-ins for the published images (docker/standins/README.md)." if os.environ.get("STANDINS") else ""


def _whole_game(stores: Stores, services: EmbeddedServices, report: Report, delay: float) -> None:
    stores.clear()
    time.sleep(SETTLE_SECONDS)
    size, runs = _storage(services)
    game = whole_game(stores, delay)
    size_after, runs_after = _storage(services)
    report.game(delay, Spread.of(game.readable), game.final, size_after - size, runs_after - runs)


def _storage(services: EmbeddedServices) -> tuple[int, int]:
    """The bytes of Dagster's storage, and the number of live runs in it."""
    home = dagster_home(services.state_dir)
    with DagsterInstance.from_config(str(home)) as instance:
        runs = instance.get_runs_count(RunsFilter(job_name="live_boxscore"))
    return sum(file.stat().st_size for file in home.rglob("*") if file.is_file()), runs


def _at_rest(services: EmbeddedServices, dagster: DagsterDev, report: Report) -> None:
    time.sleep(SETTLE_SECONDS)
    groups = {server.name: server for server in (*services.servers, dagster)}
    before = {name: cpu(server) for name, server in groups.items()}
    time.sleep(REST_SECONDS)
    report.rest({name: (cpu(server) - before[name], memory(server)) for name, server in groups.items()})


def _on_postgres(
    stores: Stores, services: EmbeddedServices, events: int, interval: float, pool_size: int | None
) -> OnPostgres:
    with postgres() as server:
        dagster = DagsterDev(services.state_dir, _log)
        instance = INSTANCE_SETTINGS.read_text() + storage_yaml(server, pool_size)
        (dagster_home(services.state_dir) / "dagster.yaml").write_text(instance)

        def used_now() -> float:
            return cpu(dagster) + server.cpu()

        try:
            dagster.start()
            dagster.wait_until_up()
            stores.clear()
            _timed(stores, 1, lambda: time.sleep(SETTLE_SECONDS))
            time.sleep(SETTLE_SECONDS)
            connections, used = server.connections(), used_now()
            time.sleep(REST_SECONDS)
            at_rest, used_at_rest = server.connections() - connections, used_now() - used
            stores.clear()
            time.sleep(SETTLE_SECONDS)
            connections, started = server.connections(), time.time()
            spread = Spread.of(_timed(stores, events, lambda: time.sleep(interval)))
            in_game = (server.connections() - connections) / (time.time() - started)
        finally:
            dagster.stop()
    return OnPostgres(spread, at_rest / REST_SECONDS, in_game, used_at_rest / REST_SECONDS)


def _stock(stores: Stores, services: EmbeddedServices, events: int) -> Spread:
    stores.clear()
    with stock_dagster(services):
        # At a random time within the sensor's interval.
        return Spread.of(_timed(stores, events, lambda: time.sleep(random.uniform(0, 30))))  # noqa: S311


def _script(stores: Stores, services: EmbeddedServices, events: int) -> Spread:
    stores.clear()
    return Spread.of(_timed(stores, events, lambda: None, lambda: run_script(services)))


def _timed(
    stores: Stores, events: int, pause: Callable[[], None], refresh: Callable[[], None] = lambda: None
) -> list[float]:
    seconds = []
    for count in range(1, events + 1):
        pause()
        put_at = time.time()
        etag = stores.put(GAME[:count])
        refresh()
        seconds.append(stores.wait_for(etag) - put_at)
    return seconds


def _log(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
