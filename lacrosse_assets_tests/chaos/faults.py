"""The faults: each is injected and removed again. The names are those of the result table."""

import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

import psutil
from dagster import DagsterEventType, RunsFilter

from lacrosse_assets.gamestream.simulator import read_game
from lacrosse_assets_tests.chaos import day_faults
from lacrosse_assets_tests.chaos.game import GameProducer, bodies
from lacrosse_assets_tests.chaos.harness import kill
from lacrosse_assets_tests.chaos.phases import BUSY, NOT_IN_TRANSACTION, Phase
from lacrosse_assets_tests.chaos.trial import ConditionNotMet, Fault, GameTrial, Trial
from lacrosse_assets_tests.support.proxy import Proxy

Injected = Callable[[Trial], AbstractContextManager[None]]

OUTAGE_SECONDS = (3.0, 6.0)  # from, to
LONG_OUTAGE_SECONDS = (18.0, 20.0)  # longer than the timeout of any single attempt
RUN_SECONDS = 0.4  # what a run takes at least


@contextmanager
def nothing(trial: Trial) -> Iterator[None]:
    """The control, without a fault."""
    yield


# Processes.


@contextmanager
def run_killed(trial: Trial) -> Iterator[None]:
    """SIGKILL to a run at a random point of its half second."""

    def is_killed() -> bool:
        runs = trial.platform.runs()
        if runs:
            time.sleep(trial.rng.uniform(0, RUN_SECONDS))
        return bool(kill(runs))

    trial.until("a run is killed", is_killed, every=0.01)
    yield


@contextmanager
def runs_killed(trial: Trial) -> Iterator[None]:
    """SIGKILL to four runs in a row."""
    for _ in range(4):
        with run_killed(trial):
            pass
    yield


@contextmanager
def final_run_killed(trial: Trial) -> Iterator[None]:
    """SIGKILL to the run that is active now: the caller has waited for the right phase."""
    if not kill(trial.platform.runs()):
        raise ConditionNotMet("there was no run to kill")
    yield


def killed(kind: str) -> Injected:
    """SIGKILL to Dagster's process of this kind."""

    @contextmanager
    def inject(trial: Trial) -> Iterator[None]:
        trial.until(f"a {kind} is killed", lambda: bool(kill(trial.platform.processes(kind))))
        yield

    return inject


def server_killed(name: str) -> Injected:
    """SIGKILL to one of the embedded servers and its child processes."""

    @contextmanager
    def inject(trial: Trial) -> Iterator[None]:
        process = trial.platform.servers[name].process
        assert process
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        kill(family)
        yield

    return inject


@contextmanager
def everything_killed(trial: Trial) -> Iterator[None]:
    trial.platform.kill_everything()
    yield


# Stores, by the proxies in front of them.


def line(name: str, toxic: Callable[[Proxy, random.Random], None]) -> Injected:
    """Apply a toxic to the connections of a store, and remove it again."""

    @contextmanager
    def inject(trial: Trial) -> Iterator[None]:
        toxic(trial.platform.lines[name], trial.rng)
        yield
        trial.platform.lines[name].restore()

    return inject


def s3_error(status: str, code: str) -> bytes:
    """An HTTP response of S3 with this error."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}"
    ).encode()


def _random_part(proxy: Proxy, rng: random.Random) -> None:
    proxy.cut_after(rng.randrange(200, 4000))


def _down(proxy: Proxy, _: random.Random) -> None:
    proxy.refuse()


def _stuck(proxy: Proxy, _: random.Random) -> None:
    proxy.hang()


def _reset(proxy: Proxy, _: random.Random) -> None:
    proxy.cut()


def _slow(proxy: Proxy, _: random.Random) -> None:
    proxy.slow(0.5)


_gone_in_mid_write = line("mongodb", lambda proxy, _: proxy.break_answers(b"\x02update\x00", part=0))

STORES = {"s3": "object store", "mongodb": "document store", "spark": "Spark server"}


def _store_faults() -> Iterator[Fault]:
    toxics = {
        "down": (_down, NOT_IN_TRANSACTION, OUTAGE_SECONDS),
        "resets every connection": (_reset, (Phase.MIDDLE, Phase.END), OUTAGE_SECONDS),
        "stuck (no answer)": (_stuck, (Phase.MIDDLE, Phase.DOCUMENT), OUTAGE_SECONDS),
        "slow (0.5 s an answer)": (_slow, (Phase.MIDDLE, Phase.END), (6.0, 8.0)),
        "breaks off in mid-answer": (_random_part, (Phase.MIDDLE, Phase.END), OUTAGE_SECONDS),
    }
    for name, shown in STORES.items():
        for toxic, (act, phases, hold) in toxics.items():
            yield Fault(f"{shown} {toxic}", line(name, act), phases, hold)


# The reference database: a file.


def locked(begin: str) -> Injected:
    """Another program locks the file, to write (`EXCLUSIVE`) or in a long read transaction (`DEFERRED`)."""

    @contextmanager
    def inject(trial: Trial) -> Iterator[None]:
        # It waits for the lock, as every client does.
        held = sqlite3.connect(trial.stores.database, timeout=20, isolation_level=None)
        try:
            held.execute(f"BEGIN {begin}")
            held.execute("SELECT count(*) FROM teams").fetchall()
            yield
        finally:
            held.close()

    return inject


@contextmanager
def file_away(trial: Trial) -> Iterator[None]:
    file = trial.stores.database
    away = file.with_name("away.db")
    trial.watcher.sees_tables = False
    trial.until("no transaction is open", lambda: not trial.stores.is_being_written())
    file.rename(away)
    try:
        yield
    finally:
        away.rename(file)
        trial.watcher.sees_tables = True


# Producers of the stream.


@contextmanager
def object_deleted(trial: GameTrial) -> Iterator[None]:
    trial.producer.pause()
    trial.stores.remove_stream()
    yield
    trial.producer.resume()


@contextmanager
def older_version(trial: GameTrial) -> Iterator[None]:
    trial.producer.pause()
    trial.stores.put(trial.producer.states[trial.rng.randrange(max(1, trial.producer.written - 1))])
    yield
    trial.producer.resume()


@contextmanager
def two_producers(trial: GameTrial) -> Iterator[None]:
    """A second producer writes another game between the events of this one."""
    other = GameProducer(trial.stores, trial.game()[:-1], pace=0.45)
    other.finish()
    other.start()
    yield
    other.stop()
    trial.producer.resume()


def simulator_restarted(times: int, at_the_end: bool) -> Callable[[GameTrial], AbstractContextManager[None]]:
    """The real simulator is killed and restarted, after the first part of another game."""

    @contextmanager
    def inject(trial: GameTrial) -> Iterator[None]:
        trial.producer.stop()
        states = trial.know(bodies([event.line for event in read_game()]))
        etags = [trial.truth(state).etag for state in states]

        def is_at(least: int) -> bool:
            return trial.stores.etag() in etags[least:]

        for _ in range(times):
            with trial.simulator(0.002) as process:
                if at_the_end:
                    process.wait()
                    time.sleep(trial.rng.uniform(0, 1.5))
                else:
                    at = trial.rng.randrange(10, 60)
                    trial.until("the simulator has begun", lambda: not is_at(0) or not is_at(9))
                    trial.until("the simulator is in mid-game", partial(is_at, at), every=0.02)
        with trial.simulator(0.002) as process:
            process.wait()
        yield

    return inject


# People.


@contextmanager
def runs_by_hand(trial: Trial) -> Iterator[None]:
    """'Materialize all' twice at the same time, next to the sensor's own run."""
    processes = [trial.by_hand("*") for _ in range(2)]
    yield
    for process in processes:
        process.wait()


@contextmanager
def old_run_ends_last(trial: Trial) -> Iterator[None]:
    """A manual run is suspended after it has fetched the stream, and continues after newer runs have finished."""
    process = trial.by_hand("raw_gamestream,roster,player_game_stats,boxscore_doc")

    def has_fetched() -> bool:
        runs = trial.instance.get_runs(RunsFilter(job_name="__ASSET_JOB"), limit=1)
        return bool(runs) and any(
            entry.get_dagster_event().step_key == "raw_gamestream"
            for entry in trial.instance.all_logs(runs[0].run_id, of_type=DagsterEventType.STEP_SUCCESS)
        )

    before = trial.instance.get_runs_count(RunsFilter(job_name="__ASSET_JOB"))
    trial.until("it has begun", lambda: trial.instance.get_runs_count(RunsFilter(job_name="__ASSET_JOB")) > before)
    trial.until("it has fetched the stream", has_fetched, every=0.02)
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)
    process.wait()


# The machine.


@contextmanager
def disk_full(trial: Trial) -> Iterator[None]:
    """A file fills the file system of the state folder."""
    file = trial.platform.state_dir / "filler"
    with file.open("wb") as out:
        piece = b"\0" * 1_000_000
        with suppress(OSError):
            while True:
                out.write(piece)
                out.flush()
    yield
    file.unlink()


SMALL_DISK = "a small disk"
EARLIER_VERSION = "the state of an earlier version"
GAME_DAY = "a game day"


def _day_faults() -> Iterator[Fault]:
    """The faults of a game day, with these names in the table."""
    middle, end, document = (Phase.MIDDLE,), (Phase.MIDDLE, Phase.END), (Phase.MIDDLE, Phase.DOCUMENT)
    second_page = day_faults.second_page_fails(s3_error("503 Slow Down", "SlowDown"))
    for fault in (
        Fault("none (control)", nothing, middle, of_one_game=True),
        Fault("unknown team", day_faults.unknown_team, middle, of_one_game=True),
        Fault("unreadable stream", day_faults.unreadable_stream, middle, of_one_game=True),
        Fault("invalid lines", day_faults.invalid_lines, middle, of_one_game=True),
        Fault("two players in one jersey", day_faults.two_in_one_jersey, middle, of_one_game=True),
        Fault("stream without a game", day_faults.stream_without_a_game, middle, of_one_game=True),
        Fault("stream object deleted", day_faults.stream_deleted, middle, of_one_game=True),
        Fault("replay of one game", day_faults.replay, document, of_one_game=True),
        Fault("correction after the end", day_faults.correction, document, of_one_game=True),
        Fault("listing fails on its second page", second_page, end, OUTAGE_SECONDS),
        Fault("run killed in mid-batch", day_faults.run_killed_in_mid_batch, middle, of_a_run=True, weight=3),
        Fault("run killed (SIGKILL)", run_killed, end, of_a_run=True, weight=2),
        Fault("run killed (SIGKILL)", final_run_killed, (Phase.TABLES,), weight=2),
        Fault("daemon killed", killed("daemon"), middle),
        Fault("code server killed", killed("code server"), middle),
        Fault("Spark server killed", server_killed("spark"), end),
        Fault("object store killed", server_killed("s3"), middle),
        Fault("document store killed", server_killed("mongodb"), end),
        Fault("everything killed, started again", everything_killed, middle),
        Fault("document store down", line("mongodb", _down), document, OUTAGE_SECONDS),
        Fault("document store gone in mid-write", _gone_in_mid_write, end, OUTAGE_SECONDS),
        Fault("database locked by a writer", locked("EXCLUSIVE"), document, LONG_OUTAGE_SECONDS),
        Fault("database file away", file_away, document, OUTAGE_SECONDS),
        Fault("two runs by hand at once", runs_by_hand, middle),
        Fault("an old run ends last", old_run_ends_last, middle, OUTAGE_SECONDS),
    ):
        yield fault._replace(name=f"game day: {fault.name}", needs=GAME_DAY)


FAULTS = [
    Fault("none (control)", nothing, (Phase.MIDDLE,)),
    Fault("run killed (SIGKILL)", run_killed, NOT_IN_TRANSACTION[:3], of_a_run=True, weight=6),
    Fault("run killed (SIGKILL), four in a row", runs_killed, (Phase.MIDDLE, Phase.END), of_a_run=True),
    Fault("run killed (SIGKILL)", final_run_killed, (Phase.TABLES,), weight=6),
    Fault("daemon killed", killed("daemon"), NOT_IN_TRANSACTION),
    Fault("code server killed", killed("code server"), NOT_IN_TRANSACTION),
    Fault("code server's proxy killed", killed("code server's proxy"), (Phase.MIDDLE, Phase.DOCUMENT)),
    Fault("warm process killed", killed("warm process"), (Phase.MIDDLE, Phase.DOCUMENT)),
    Fault("webserver killed", killed("webserver"), (Phase.MIDDLE,)),
    Fault("Spark server killed", server_killed("spark"), NOT_IN_TRANSACTION),
    Fault("object store killed", server_killed("s3"), NOT_IN_TRANSACTION),
    Fault("document store killed", server_killed("mongodb"), NOT_IN_TRANSACTION),
    Fault("everything killed, started again", everything_killed, tuple(Phase)),
    *_store_faults(),
    Fault(
        "object store answers 503",
        line("s3", lambda proxy, _: proxy.answer(s3_error("503 Slow Down", "SlowDown"))),
        BUSY,
        OUTAGE_SECONDS,
    ),
    Fault(
        "object store answers 403",
        line("s3", lambda proxy, _: proxy.answer(s3_error("403 Forbidden", "AccessDenied"))),
        BUSY,
        OUTAGE_SECONDS,
    ),
    Fault(
        "object store resets in mid-body",
        line("s3", lambda proxy, rng: proxy.break_answers(b"GET /", part=rng.random())),
        (Phase.MIDDLE, Phase.END),
        OUTAGE_SECONDS,
    ),
    Fault(
        "object store truncates the body",
        line("s3", lambda proxy, rng: proxy.break_answers(b"GET /", part=rng.uniform(0.1, 0.9), how="fin")),
        (Phase.MIDDLE, Phase.END),
        OUTAGE_SECONDS,
    ),
    Fault(
        "document store gone in mid-write",
        _gone_in_mid_write,
        (Phase.MIDDLE, Phase.END),
        OUTAGE_SECONDS,
    ),
    Fault("database locked by a writer", locked("EXCLUSIVE"), (Phase.MIDDLE, Phase.DOCUMENT), LONG_OUTAGE_SECONDS),
    Fault("database held by a reader in mid-transaction", locked("DEFERRED"), (Phase.TABLES,), LONG_OUTAGE_SECONDS),
    Fault("database file away", file_away, (Phase.MIDDLE, Phase.DOCUMENT), OUTAGE_SECONDS),
    Fault("stream object deleted", object_deleted, BUSY, OUTAGE_SECONDS),
    Fault("older version put back", older_version, BUSY, OUTAGE_SECONDS),
    Fault("two producers by turns", two_producers, (Phase.MIDDLE, Phase.END), OUTAGE_SECONDS),
    Fault("simulator restarted", simulator_restarted(1, at_the_end=False), (Phase.MIDDLE,)),
    Fault("simulator restarted twice in a row", simulator_restarted(2, at_the_end=False), (Phase.MIDDLE,)),
    Fault("simulator restarted after the end", simulator_restarted(1, at_the_end=True), (Phase.END,)),
    Fault("two runs by hand at once", runs_by_hand, (Phase.MIDDLE, Phase.END)),
    Fault("an old run ends last", old_run_ends_last, (Phase.MIDDLE, Phase.END), OUTAGE_SECONDS),
    Fault("disk full (local state)", disk_full, BUSY, OUTAGE_SECONDS, needs=SMALL_DISK),
    Fault("state of an earlier version", nothing, (Phase.BEFORE, Phase.MIDDLE), needs=EARLIER_VERSION),
    *_day_faults(),
]
