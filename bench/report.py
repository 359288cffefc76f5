"""The tables of the benchmarks, as Markdown."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
import psutil

from bench.latency import BURST_INTERVAL_SECONDS, PHASES
from bench.spread import Spread

REST_SECONDS = 30  # duration of the measurement at rest


class OnPostgres(NamedTuple):
    """The measurements with Dagster's storage on Postgres."""

    spread: Spread
    connections_at_rest: float  # opened per second
    connections_in_game: float  # opened per second
    cpu_at_rest: float  # share of one core


class Report:
    """The tables, as Markdown."""

    def __init__(self, title: str = "Benchmark", command: str = "make bench", images: str = "") -> None:
        self._title, self._command, self._images = title, command, images
        self._lines: list[str] = []

    def compare(self, ours: Spread, stock: Spread, script: Spread) -> None:
        contenders = {
            "this project (`make dev`)": ours,
            "a PySpark script, started at each refresh": script,
            "the same assets under stock Dagster": stock,
        }
        rows = [
            (name, each.events, *(f"{value:.2f}" for value in each[:3]), f"{each.p50 / ours.p50:.1f}")
            for name, each in contenders.items()
        ]
        table = _table(("seconds from PUT to readable document", "events", "p50", "p95", "worst", "p50 ÷ ours"), rows)
        self._lines = [*table, "", *self._lines]

    def latency(self, name: str, latency: Spread) -> None:
        row = (name, latency.events, *(f"{value:.2f}" for value in latency[:3]))
        self._add(_table(("seconds from PUT to readable document", "events", "p50", "p95", "worst"), [row]))

    def phases(self, phases: list[list[float]]) -> None:
        medians = [1000 * statistics.median(phase) for phase in zip(*phases, strict=True)]
        rows = [(name, f"{median:.0f}") for (name, _, _), median in zip(PHASES, medians, strict=True)]
        self._add(_table(("phase", "ms (median)"), rows))

    def burst(self, latency: Spread) -> None:
        rows = [(f"{latency.events} events: p50", f"{latency.p50:.2f} s")]
        rows += [("p95", f"{latency.p95:.2f} s"), ("worst", f"{latency.worst:.2f} s")]
        self._add(_table((f"a burst: an event each {BURST_INTERVAL_SECONDS:g} s for a minute", ""), rows))

    def against(self, revision: str, ours: Spread, theirs: Spread) -> None:
        rows = [
            (name, each.events, *(f"{value:.2f}" for value in each[:3]), f"{each.p50 / ours.p50:.2f}")
            for name, each in {"this commit": ours, f"commit `{revision}`": theirs}.items()
        ]
        head = ("seconds from PUT to readable document, by turns", "events", "p50", "p95", "worst", "p50 ÷ ours")
        self._add(_table(head, rows))

    def game(self, delay: float, waited: Spread, final: float, size: int, runs: int) -> None:
        rows = [
            (f"newest state readable after a PUT, {waited.events} PUTs: p50", f"{waited.p50:.2f} s"),
            ("p95", f"{waited.p95:.2f} s"),
            ("worst", f"{waited.worst:.2f} s"),
            ("from the final PUT to both final tables", f"{final:.2f} s"),
            (f"what {runs} live runs added to Dagster's storage", f"{size / 2**20:.1f} MiB"),
            ("for each of them", f"{size / runs / 2**10:.0f} KiB"),
        ]
        self._add(_table((f"a whole game at `DELAY={delay:g}`", ""), rows))

    def rest(self, cost: Mapping[str, tuple[float, int]], memory: str = "memory (PSS)") -> None:
        rows = [
            (name, f"{100 * cpu / REST_SECONDS:.1f} %", f"{pss / 2**20:.0f} MiB") for name, (cpu, pss) in cost.items()
        ]
        total = [sum(values) for values in zip(*cost.values(), strict=True)]
        rows.append(("all", f"{100 * total[0] / REST_SECONDS:.1f} %", f"{total[1] / 2**20:.0f} MiB"))
        self._add(_table((f"at rest, over {REST_SECONDS} s", "of one core", memory), rows))

    def postgres(self, measured: Mapping[str, OnPostgres]) -> None:
        head = (
            "Dagster's storage on Postgres",
            "p50",
            "p95",
            "connections/s at rest",
            "in a game",
            "of one core at rest",
        )
        rows = [
            (
                name,
                *(f"{seconds:.2f} s" for seconds in each.spread[:2]),
                f"{each.connections_at_rest:.1f}",
                f"{each.connections_in_game:.1f}",
                f"{100 * each.cpu_at_rest:.1f} %",
            )
            for name, each in measured.items()
        ]
        self._add(_table(head, rows))

    def day(self, games: int, rows: Sequence[tuple[str, str]]) -> None:
        self._add(_table((f"a day of {games} games", ""), rows))

    def write(self, path: Path | None) -> None:
        machine = (
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
            f"{psutil.virtual_memory().total / 2**30:.0f} GiB, Python {platform.python_version()}"
        )
        head = [
            f"# {self._title}",
            "",
            f"Written by `{self._command}` on {datetime.now(UTC):%Y-%m-%d}: {machine}.{self._images} "
            "docs/performance.md explains it.",
            "",
        ]
        text = "\n".join([*head, *self._lines]).rstrip() + "\n"
        click.echo(text)
        if path:
            path.write_text(text)
            click.echo(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")

    def _add(self, table: list[str]) -> None:
        self._lines += [*table, ""]


def _table(head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
