"""The latency of this checkout next to that of another commit, measured by turns.

    python -m bench.against HEAD~1          # about five minutes; prints two lines, writes no file

Both are up at the same time, each with services and a Dagster of its own, and get their events alternately: whatever
else the machine does, it does to both. Only the ratio counts. The other commit runs from a git worktree, with the
packages of this environment.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from dotenv import dotenv_values

from bench import PROJECT_ROOT
from bench.spread import Spread
from bench.stores import GAME, Stores
from lacrosse_assets.embedded.supervision import Server, executable, stop_on_signals
from lacrosse_assets.settings import embedded_addresses_file, load_settings

STARTUP_TIMEOUT_SECONDS = 180
WARM_UP_SECONDS = 45  # of Spark, in both
WARM_UP_EVENTS = 3  # not measured


def latencies_against(revision: str, events: int, interval: float) -> tuple[Spread, Spread]:
    """The latencies of this checkout, and those of another commit."""
    with ExitStack() as stack:
        tree = stack.enter_context(_worktree(revision))
        both = [stack.enter_context(_environment(source)) for source in (PROJECT_ROOT, tree)]
        time.sleep(WARM_UP_SECONDS)
        for stores in both:
            stores.clear()
        seconds: tuple[list[float], list[float]] = ([], [])
        for count in range(1, WARM_UP_EVENTS + events + 1):
            # In each pair of events the other one comes first.
            for number in (0, 1) if count % 2 else (1, 0):
                put_at = time.time()
                readable_at = both[number].wait_for(both[number].put(GAME[:count]))
                if count > WARM_UP_EVENTS:
                    seconds[number].append(readable_at - put_at)
                time.sleep(max(0.0, put_at + interval / 2 - time.time()))
        ours, theirs = (Spread.of(each) for each in seconds)
        return ours, theirs


@contextmanager
def _worktree(revision: str) -> Iterator[Path]:
    def git(*arguments: object) -> None:
        command = ["git", "-C", str(PROJECT_ROOT), "worktree", *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True)

    with tempfile.TemporaryDirectory(prefix="lacrosse-against-") as folder:
        tree = Path(folder) / "tree"
        git("add", "--detach", tree, revision)
        try:
            yield tree
        finally:
            git("remove", "--force", tree)


@contextmanager
def _environment(source: Path) -> Iterator[Stores]:
    """`make dev` of a checkout, and its stores."""
    with tempfile.TemporaryDirectory(prefix="lacrosse-bench-") as folder:
        # Two folders: when `make dev` starts, it kills orphaned processes of its own.
        state_dir, outer = Path(folder) / "state", Path(folder) / "outer"
        outer.mkdir()
        server = Server(
            "dev",
            [executable("lacrosse"), "dev"],
            outer,
            lambda: "Up until" in server.log_file.read_text(),
            environ={"PYTHONPATH": str(source), "LACROSSE_STATE_DIR": str(state_dir), "LACROSSE_DEPLOYMENT": ""},
            startup_timeout=STARTUP_TIMEOUT_SECONDS,
        )
        try:
            server.start()
            server.wait_until_up()
            environ = {
                name: value for name, value in dotenv_values(embedded_addresses_file(state_dir)).items() if value
            }
            os.environ.update({name: value for name, value in environ.items() if name.startswith("AWS_")})
            yield Stores(load_settings({**environ, "LACROSSE_DEPLOYMENT": "services"}))
        finally:
            server.stop()


@click.command()
@click.argument("revision")
@click.option("--events", default=30, show_default=True, help="Number of events for each of the two.")
@click.option("--interval", default=6.0, show_default=True, help="Seconds between two events of one of them.")
def main(revision: str, events: int, interval: float) -> None:
    """Compare the latency of this checkout with that of the commit REVISION."""
    with stop_on_signals():
        ours, theirs = latencies_against(revision, events, interval)
    for name, each in (("this checkout", ours), (revision, theirs)):
        click.echo(f"{name}: p50 {each.p50:.2f} s, p95 {each.p95:.2f} s, worst {each.worst:.2f} s")
    click.echo(f"p50 of this checkout ÷ p50 of {revision}: {ours.p50 / theirs.p50:.2f}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
