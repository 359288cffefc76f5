"""What a game day of many games takes: latency under continuous change, the catch-up of all games, CPU and storage.

    python -m bench.gameday                 # about fifteen minutes; writes docs/benchmark-gameday.md

All games are in mid-game when it starts. The latency of a change is the time from its PUT until a document can be read
that has it, of this version of the stream or of a later one. One game by itself is measured on the same services, while
the others do not change.

On a day of a few games, all of them change at once: for this project, and for what a user would otherwise have, stock
Dagster with one run for each game that changed.
"""

import os
import random
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import click
from botocore.config import Config
from dagster import DagsterInstance, RunsFilter
from pymongo import MongoClient

from bench import PROJECT_ROOT
from bench.alternatives import stock_dagster
from bench.latency import SETTLE_SECONDS
from bench.processes import cpu, memory
from bench.report import Report
from bench.spread import Spread
from bench.warm import SPARK_WARM_UP_SECONDS
from lacrosse_assets.embedded.cli import environment
from lacrosse_assets.embedded.dagster_dev import DagsterDev, dagster_home
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.embedded.supervision import stop_on_signals
from lacrosse_assets.gamestream.day_simulator import stream_key, tables_of
from lacrosse_assets.gamestream.game_day import GameDay, ScheduledGame, game_day
from lacrosse_assets.gamestream.simulator import connect, reset
from lacrosse_assets.jobs import live_boxscore
from lacrosse_assets.settings import Settings, load_settings

REPORT = PROJECT_ROOT / "docs" / "benchmark-gameday.md"
PREFIX = "games/"
POLL_SECONDS = 0.02
TIMEOUT_SECONDS = 300
STOCK_TIMEOUT_SECONDS = 1800
WRITERS = 16
# The part of its events that a game has had when the measurement begins.
MID_GAME = 0.5


class Put(NamedTuple):
    """A version of a game's stream: when its PUT began, in seconds since the epoch, and its ETag."""

    game_id: int
    at: float
    etag: str


class Streams:
    """Writes the games' streams, event by event, and polls their documents."""

    def __init__(self, settings: Settings, day: GameDay) -> None:
        self._settings, self._games = settings, {game.game_id: game for game in day.games}
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.aws_region,
            config=Config(max_pool_connections=WRITERS),
        )
        self._documents = MongoClient[dict[str, Any]](settings.mongodb_uri.get_secret_value())["sidearm"]["games"]
        self._written = {game.game_id: int(len(game.events) * MID_GAME) for game in day.games}

    def put_all(self) -> list[Put]:
        with ThreadPoolExecutor(WRITERS) as threads:
            return list(threads.map(self.put, self._games))

    def put(self, game_id: int) -> Put:
        """Write the stream of a game with one event more. After its last event it starts again at its middle."""
        game: ScheduledGame = self._games[game_id]
        events = self._written[game_id] + 1
        self._written[game_id] = events if events < len(game.events) - 1 else int(len(game.events) * MID_GAME)
        at = time.time()
        response = self._s3.put_object(
            Bucket=self._settings.gamestream_bucket,
            Key=stream_key(self._settings, game_id),
            Body=game.stream(self._written[game_id]).encode(),
        )
        return Put(game_id, at, str(response["ETag"]).strip('"'))

    def latencies(
        self, puts: Callable[[], Sequence[Put]], is_done: Callable[[], bool], timeout: float = TIMEOUT_SECONDS
    ) -> list[float]:
        """The latency of each change, in seconds, polled until all of them can be read."""
        found: list[float] = []
        seen, pending = 0, dict[int, list[Put]]()
        deadline, done = None, False
        while not done or pending:
            done = is_done()  # before the puts are read: there are no more of them then
            if done:
                deadline = deadline or time.time() + timeout
                if time.time() > deadline:
                    raise TimeoutError(f"{len(pending)} games are not up to date after {timeout:g} s")
            for put in (new := puts()[seen:]):
                pending.setdefault(put.game_id, []).append(put)
            seen += len(new)
            stored = self._documents.find({"_id": {"$in": list(pending)}}, {"stream.etag": 1}) if pending else ()
            etags, now = {each["_id"]: each["stream"]["etag"] for each in stored}, time.time()
            for game_id, waiting in list(pending.items()):
                reached = [number for number, put in enumerate(waiting) if put.etag == etags.get(game_id)]
                if reached:
                    found += [now - put.at for put in waiting[: reached[-1] + 1]]
                    del waiting[: reached[-1] + 1]
                if not waiting:
                    del pending[game_id]
            time.sleep(POLL_SECONDS)
        return found


@click.command()
@click.option("--games", default=1000, show_default=True, help="Number of games.")
@click.option("--changes", default=13.0, show_default=True, help="Changes per second, of all games together.")
@click.option("--seconds", default=300.0, show_default=True, help="Duration of the continuous change.")
@click.option("--single", default=20, show_default=True, help="Number of events measured of one game by itself.")
@click.option("--stock", default=20, show_default=True, help="Number of games of the day with stock Dagster; 0: skip.")
def main(games: int, changes: float, seconds: float, single: int, stock: int) -> None:
    """Measure a game day, print a table and write it to docs/benchmark-gameday.md."""
    report = Report("Benchmark of a game day", shlex.join(["python", "-m", "bench.gameday", *sys.argv[1:]]))
    with _day(games) as (services, dagster, streams):
        began = time.time()
        _catch_up(streams)
        rows = [("catch-up of all games, from the first PUT", f"{time.time() - began:.1f} s")]
        time.sleep(SETTLE_SECONDS)
        rows += [("one game by itself", _in_words(_by_itself(streams, single)))]
        home = dagster_home(services.state_dir)
        with DagsterInstance.from_config(str(home)) as instance:
            groups = {server.name: server for server in (*services.servers, dagster)}
            runs, stored, began = _runs(instance), _bytes(home), time.time()
            used = {name: cpu(server) for name, server in groups.items()}
            spread = Spread.of(_continuous(streams, games, changes, seconds))
            took = time.time() - began
            made = _runs(instance) - runs
            rows += [
                (f"{changes:g} changes a second for {seconds:g} s", _in_words(spread)),
                ("runs, and changes per run", f"{made}, {spread.events / made:.1f}"),
                *(
                    (
                        f"{name}: share of one core, memory (PSS)",
                        f"{(cpu(server) - used[name]) / took:.0%}, {memory(server) / 2**20:.0f} MiB",
                    )
                    for name, server in groups.items()
                ),
                ("Dagster's storage per hour", f"{(_bytes(home) - stored) / took * 3600 / 2**20:.0f} MiB"),
            ]
    report.day(games, rows)
    report.write(REPORT)  # also now: stock Dagster takes long
    if stock:
        report.day(stock, _next_to_stock(stock))
        report.write(REPORT)


@contextmanager
def _day(games: int) -> "Iterator[tuple[EmbeddedServices, DagsterDev, Streams]]":
    """The environment of a game day, with its reference tables and without a stream."""
    os.environ["GAMESTREAM_KEY"] = PREFIX
    with stop_on_signals(), tempfile.TemporaryDirectory(prefix="lacrosse-bench-") as folder:
        os.environ["LACROSSE_STATE_DIR"] = folder
        with environment() as (services, dagster):
            settings, day = load_settings(), game_day(games)
            reset(connect(settings), settings, tables_of(day))
            time.sleep(SPARK_WARM_UP_SECONDS)
            yield services, dagster, Streams(settings, day)


def _catch_up(streams: Streams, timeout: float = TIMEOUT_SECONDS) -> list[float]:
    """The latencies when all games change at once."""
    puts: list[Put] = []
    writer = threading.Thread(target=lambda: puts.extend(streams.put_all()))
    writer.start()
    return streams.latencies(lambda: puts, lambda: not writer.is_alive(), timeout)


def _next_to_stock(games: int) -> list[tuple[str, str]]:
    """The latencies of a day of a few games that all change at once."""
    with _day(games) as (services, dagster, streams):
        _catch_up(streams)
        time.sleep(SETTLE_SECONDS)
        ours = Spread.of(_catch_up(streams))
        dagster.stop()
        with stock_dagster(services):
            stock = Spread.of(_catch_up(streams, STOCK_TIMEOUT_SECONDS))
    return [
        ("all games change at once", _in_words(ours)),
        ("the same, one stock Dagster run for each game", f"{_in_words(stock)}: {stock.p50 / ours.p50:.0f} times"),
    ]


def _by_itself(streams: Streams, events: int) -> Spread:
    found = []
    for _ in range(events):
        put = streams.put(1)
        found += streams.latencies(lambda put=put: [put], lambda: True)  # type: ignore[misc]
        time.sleep(2)
    return Spread.of(found)


def _continuous(streams: Streams, games: int, changes: float, seconds: float) -> list[float]:
    """The latencies while games change in a random order, at a steady rate."""
    puts: list[Put] = []
    dice = random.Random(games)  # noqa: S311 (not a secret)

    def produce() -> None:
        start = time.time()
        for number in range(int(changes * seconds)):
            time.sleep(max(0.0, start + number / changes - time.time()))
            puts.append(streams.put(dice.randrange(games) + 1))

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    return streams.latencies(lambda: puts, lambda: not producer.is_alive())


def _runs(instance: DagsterInstance) -> int:
    return instance.get_runs_count(RunsFilter(job_name=live_boxscore.name))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _in_words(spread: Spread) -> str:
    return f"p50 {spread.p50:.2f} s, p95 {spread.p95:.2f} s, worst {spread.worst:.2f} s ({spread.events} changes)"


if __name__ == "__main__":
    main()
