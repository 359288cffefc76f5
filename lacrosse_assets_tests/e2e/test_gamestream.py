"""The simulator as a process, on SQLite and on another S3 server than the embedded one (moto)."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lacrosse_assets.embedded.ports import free_ports
from lacrosse_assets.gamestream.game_day import GameDay, game_day
from lacrosse_assets.gamestream.simulator import read_game
from lacrosse_assets_tests.support.waiting import TIMEOUT_SECONDS

BEFORE_THE_GAME = [
    "Added `s3` successfully.",
    "Bucket created successfully `s3/gamestreams`.",
    "Bucket created successfully `s3/boxscores`.",
    "Commands completed successfully.",
    "Commands completed successfully.",
    "INFO:root:Waiting for services...",
    "INFO:root:Bucket exists...ok",
]


@pytest.fixture
def port() -> int:
    return free_ports(0)[0]


@pytest.fixture
def store(port: int) -> Iterator[ThreadedMotoServer]:
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    # All moto servers of a process share their content.
    urlopen(Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")).close()
    yield server
    server.stop()


@pytest.fixture
def environ(port: int, tmp_path: Path) -> dict[str, str]:
    """Settings for real services; the database's folder does not exist yet."""
    return {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "HOME")},
        "LACROSSE_DEPLOYMENT": "services",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t",
        "MONGODB_URI": "mongodb://127.0.0.1:1",
        "SIDEARMDB_URL": f"sqlite:///{tmp_path}/new/sidearmdb.db",
        "DELAY": "0",
    }


@contextmanager
def simulator(environ: dict[str, str], *options: str) -> Iterator["subprocess.Popen[str]"]:
    """The simulator as a process, which is killed in the end."""
    command = [sys.executable, "-m", "lacrosse_assets.gamestream", *options]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def play(environ: dict[str, str]) -> list[str]:
    """Play a whole game. Returns the lines of its output."""
    with simulator(environ) as process:
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, output
    return output.splitlines()


def read_until(process: "subprocess.Popen[str]", part: str) -> list[str]:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if part in line:
            return lines
    raise AssertionError(f"the process ended without {part!r}: {lines}")


def s3(environ: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=environ["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id="somebody",
        aws_secret_access_key="s3cr3t",
        region_name="us-east-1",
    )


def stream(environ: dict[str, str]) -> str:
    return str(s3(environ).get_object(Bucket="gamestreams", Key="gamestream.txt")["Body"].read(), "utf-8")


def rows(environ: dict[str, str], query: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(environ["SIDEARMDB_URL"].removeprefix("sqlite:///"))
    with database:
        found = database.execute(query).fetchall()
    database.close()
    return found


def test_the_game_is_a_lacrosse_game() -> None:
    lines = [event.line.split() for event in read_game()]
    assert [" ".join(line) for line in lines[:4]] == [
        "0 59:51 101 2 0",
        "1 57:06 101 6 0",
        "2 56:13 205 8 1",
        "3 55:25 101 4 0",
    ]
    assert lines[-2][1:] == ["00:00", "0", "0", "0"]
    assert lines[-1] == ["-1", "00:00", "0", "0", "0"]
    shots = lines[:-2]
    assert len(shots) == 70
    assert [int(line[0]) for line in lines[:-1]] == list(range(71))
    clocks = [event.at for event in read_game()]
    assert clocks == sorted(clocks)
    goals = {team: sum(int(line[4]) for line in shots if line[2] == team) for team in ("101", "205")}
    assert goals == {"101": 11, "205": 9}


@pytest.mark.usefixtures("store")
def test_it_plays_the_whole_game(environ: dict[str, str]) -> None:
    log = play(environ)
    events = read_game()
    assert log == [
        *BEFORE_THE_GAME,
        "INFO:root:Starting Game Data Stream. Delay: 1 second == 0 seconds.",
        *(f"INFO:root:Wrote gamestream.txt to bucket gamestreams at {event.clock}" for event in events),
    ]
    assert stream(environ) == "".join(f"{event.line}\n" for event in events)
    assert {bucket["Name"] for bucket in s3(environ).list_buckets()["Buckets"]} == {"boxscores", "gamestreams"}

    assert rows(environ, "SELECT * FROM teams ORDER BY id") == [
        (101, "syracuse", "acc", 11, 2),
        (205, "johns hopkins", "big ten", 9, 4),
    ]
    assert rows(environ, "SELECT teamid, count(*) FROM players GROUP BY teamid") == [(101, 10), (205, 10)]
    rostered = {(str(team), number) for team, number in rows(environ, "SELECT teamid, number FROM players")}
    assert {("101", "0"), ("101", "00")} <= rostered
    shooters = {(line[2], line[3]) for line in (event.line.split() for event in events) if line[2] != "0"}
    assert shooters <= rostered


@pytest.mark.usefixtures("store")
def test_a_new_start_resets_the_two_tables_and_nothing_else(environ: dict[str, str]) -> None:
    play(environ)
    original = rows(environ, "SELECT * FROM players ORDER BY id")
    rows(environ, "UPDATE players SET goals = 99")
    rows(environ, "DELETE FROM teams WHERE id = 205")
    rows(environ, "CREATE TABLE teams2 AS SELECT * FROM teams")
    s3(environ).put_object(Bucket="gamestreams", Key="another.txt", Body=b"kept")
    play(environ)
    assert rows(environ, "SELECT * FROM players ORDER BY id") == original
    assert rows(environ, "SELECT id FROM teams ORDER BY id") == [(101,), (205,)]
    assert rows(environ, "SELECT id FROM teams2") == [(101,)]
    assert s3(environ).get_object(Bucket="gamestreams", Key="another.txt")["Body"].read() == b"kept"


@pytest.mark.usefixtures("store")
def test_a_reader_always_sees_both_tables(environ: dict[str, str]) -> None:
    play(environ)
    counts = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counts.update(rows(environ, "SELECT count(*), (SELECT count(*) FROM teams) FROM players"))

    reader = threading.Thread(target=read)
    reader.start()
    play(environ)
    done.set()
    reader.join()
    assert counts == {(20, 2)}


def test_the_tables_have_the_schema_of_the_original_exercise(
    environ: dict[str, str], store: ThreadedMotoServer
) -> None:
    play(environ)
    (schema,) = rows(environ, "SELECT sql FROM sqlite_master WHERE name = 'players'")[0]
    assert re.sub(r"\s+", " ", schema) == (
        "CREATE TABLE players ( id INTEGER NOT NULL, name VARCHAR(50) NOT NULL, number VARCHAR(3) NOT NULL, "
        "shots INTEGER NOT NULL, goals INTEGER NOT NULL, teamid INTEGER NOT NULL, PRIMARY KEY (id), "
        "FOREIGN KEY(teamid) REFERENCES teams (id) )"
    )


def test_it_waits_for_a_store_that_is_starting(environ: dict[str, str], port: int) -> None:
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    with simulator(environ) as process:
        (line,) = read_until(process, "Waiting for")
        assert line.startswith(f"INFO:root:Waiting for the object store at http://127.0.0.1:{port} (")
        server.start()
        try:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            server.stop()
    assert process.returncode == 0
    assert output.splitlines()[: len(BEFORE_THE_GAME)] == BEFORE_THE_GAME


@pytest.mark.usefixtures("store")
def test_it_reports_a_locked_table_and_retries(environ: dict[str, str]) -> None:
    play(environ)
    path = environ["SIDEARMDB_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as holder, simulator(environ) as process:
        holder.execute("BEGIN IMMEDIATE")
        holder.execute("UPDATE teams SET wins = 99")
        line = read_until(process, "Waiting for the reference database")[-1]
        assert "(database is locked: another program's open transaction holds the lock" in line
        holder.execute("ROLLBACK")
        process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0
    assert rows(environ, "SELECT wins FROM teams ORDER BY id") == [(11,), (9,)]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_stops_without_output_on_a_signal(environ: dict[str, str], number: signal.Signals, code: int) -> None:
    with simulator({**environ, "DELAY": "1"}) as process:
        read_until(process, "Starting Game Data Stream")
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, output) == (code, "")


GAME = [event.line for event in read_game()]
OVER = "The game is over"
ANOTHER_BOOT = b"4c3ab6d5-0000-4000-8000-000000000000"


def interrupt(environ: dict[str, str], number: signal.Signals, *options: str) -> list[str]:
    """Play a part of the game and stop the simulator with a signal. Returns the lines of the stream."""
    with simulator({**environ, "DELAY": "0.002"}, *options) as process:
        read_until(process, "at 45:")
        process.send_signal(number)
        process.wait(TIMEOUT_SECONDS)
    lines = stream(environ).splitlines()
    assert GAME[: len(lines)] == lines
    assert 0 < len(lines) < len(GAME)
    rows(environ, "UPDATE players SET goals = 99")  # to detect a reset of the tables
    return lines


def play_as_a_service(environ: dict[str, str]) -> list[str]:
    """Run the simulator with `--resume` until the game is over. Returns the lines of its log."""
    with simulator(environ, "--resume") as process:
        log = read_until(process, OVER)
        process.terminate()
        assert process.wait(TIMEOUT_SECONDS) == 0
    assert stream(environ).splitlines() == GAME
    return log


def count_writes(log: list[str]) -> int:
    return sum("Wrote gamestream.txt" in line for line in log)


def was_reset(environ: dict[str, str]) -> bool:
    return rows(environ, "SELECT count(*) FROM players WHERE goals = 99") == [(0,)]


@pytest.mark.usefixtures("store")
def test_resume_continues_a_game_whose_simulator_was_killed(environ: dict[str, str]) -> None:
    left = interrupt(environ, signal.SIGKILL, "--resume")
    log = play_as_a_service(environ)
    assert any("Resuming Game Data Stream after 4" in line for line in log)
    assert count_writes(log) == len(GAME) - len(left)
    assert not was_reset(environ)


@pytest.mark.usefixtures("store")
def test_resume_continues_a_game_after_a_reboot(environ: dict[str, str]) -> None:
    """A clean reboot, which stops the simulator on request, as `docker compose restart` does."""
    left = interrupt(environ, signal.SIGTERM, "--resume")
    s3(environ).put_object(Bucket="gamestreams", Key="gamestream.txt.stopped", Body=ANOTHER_BOOT)
    log = play_as_a_service(environ)
    assert count_writes(log) == len(GAME) - len(left)
    assert not was_reset(environ)


@pytest.mark.usefixtures("store")
def test_resume_starts_over_after_a_stop_on_request(environ: dict[str, str]) -> None:
    interrupt(environ, signal.SIGTERM, "--resume")
    assert count_writes(play_as_a_service(environ)) == len(GAME)
    assert was_reset(environ)
    assert count_writes(play_as_a_service(environ)) == len(GAME), "also after the end of the game"


@pytest.mark.usefixtures("store")
def test_resume_does_not_play_a_finished_game_again_after_a_crash(environ: dict[str, str]) -> None:
    with simulator(environ, "--resume") as process:
        read_until(process, OVER)
    rows(environ, "UPDATE players SET goals = 99")
    assert count_writes(play_as_a_service(environ)) == 0
    assert not was_reset(environ)


@pytest.mark.usefixtures("store")
def test_resume_starts_over_on_the_stream_of_another_game(environ: dict[str, str]) -> None:
    interrupt(environ, signal.SIGKILL)
    s3(environ).put_object(Bucket="gamestreams", Key="gamestream.txt", Body=b"0 59:59 101 6 1\n")
    assert count_writes(play_as_a_service(environ)) == len(GAME)
    assert was_reset(environ)


@pytest.mark.usefixtures("store")
def test_without_resume_an_interrupted_game_starts_over(environ: dict[str, str]) -> None:
    interrupt(environ, signal.SIGKILL)
    assert count_writes(play(environ)) == len(GAME)
    assert was_reset(environ)


# A game day.


@pytest.fixture
def day() -> GameDay:
    return game_day(4)


@pytest.fixture
def day_environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "GAMESTREAM_KEY": "games/", "GAMES": "4"}


def streams(environ: dict[str, str]) -> dict[str, str]:
    store = s3(environ)
    keys = [entry["Key"] for entry in store.list_objects_v2(Bucket="gamestreams").get("Contents", [])]
    return {key: store.get_object(Bucket="gamestreams", Key=key)["Body"].read().decode() for key in keys}


def whole_streams(day: GameDay) -> dict[str, str]:
    return {f"games/{game.game_id}.txt": game.stream(len(game.events)) for game in day.games}


def table(environ: dict[str, str], name: str) -> list[tuple[Any, ...]]:
    return rows(environ, f"SELECT * FROM {name} ORDER BY id")


@pytest.mark.usefixtures("store")
def test_it_plays_a_whole_game_day(day_environ: dict[str, str], day: GameDay) -> None:
    log = play(day_environ)
    before = len(BEFORE_THE_GAME) + 1
    assert log[:before] == [
        *BEFORE_THE_GAME[:-2],
        "Commands completed successfully.",
        *BEFORE_THE_GAME[-2:],
    ]
    assert log[before] == "INFO:root:Starting 4 Game Data Streams. Delay: 1 second == 0 seconds."
    assert sorted(log[before + 1 :]) == sorted(
        f"INFO:root:Wrote games/{game.game_id}.txt to bucket gamestreams at {event.clock}"
        for game in day.games
        for event in game.events
    )
    assert streams(day_environ) == whole_streams(day)
    assert table(day_environ, "teams") == [tuple(row.values()) for row in day.teams]
    assert table(day_environ, "players") == sorted(tuple(row.values()) for row in day.players)
    assert table(day_environ, "games") == [
        (game.game_id, "2026-03-07", game.home, game.away) for game in sorted(day.games, key=lambda game: game.game_id)
    ]


@pytest.mark.usefixtures("store")
def test_a_game_day_resets_its_three_tables_and_nothing_else(day_environ: dict[str, str]) -> None:
    play(day_environ)
    before = {name: table(day_environ, name) for name in ("teams", "players", "games")}
    rows(day_environ, "UPDATE games SET home = 1")
    rows(day_environ, "UPDATE players SET goals = 99")
    rows(day_environ, "CREATE TABLE games2 AS SELECT * FROM games")
    play(day_environ)
    assert {name: table(day_environ, name) for name in before} == before
    assert rows(day_environ, "SELECT DISTINCT home FROM games2") == [(1,)]


@pytest.mark.usefixtures("store")
def test_the_single_game_leaves_the_schedule_alone(environ: dict[str, str], day_environ: dict[str, str]) -> None:
    play(day_environ)
    schedule = table(day_environ, "games")
    play(environ)
    assert table(environ, "games") == schedule
    assert len(table(environ, "teams")) == 2


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_game_day_stops_on_a_signal(day_environ: dict[str, str], number: signal.Signals, code: int) -> None:
    with simulator({**day_environ, "DELAY": "100"}) as process:
        read_until(process, "Starting 4 Game Data Streams")
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, output) == (code, "")


def interrupt_day(environ: dict[str, str], number: signal.Signals) -> int:
    """Play a part of a game day and stop the simulator with a signal. Returns the number of events written."""
    with simulator({**environ, "DELAY": "0.002"}, "--resume") as process:
        read_until(process, "at 30:")
        process.send_signal(number)
        process.wait(TIMEOUT_SECONDS)
    rows(environ, "UPDATE players SET goals = 99")  # to detect a reset of the tables
    return sum(len(text.splitlines()) for key, text in streams(environ).items() if key.startswith("games/"))


def play_day_as_a_service(environ: dict[str, str], day: GameDay) -> int:
    """Run the simulator with `--resume` until the games are over. Returns the number of events it has written."""
    with simulator(environ, "--resume") as process:
        log = read_until(process, "The games are over")
        process.terminate()
        assert process.wait(TIMEOUT_SECONDS) == 0
    assert streams(environ).items() >= whole_streams(day).items()
    return sum("Wrote games/" in line for line in log)


@pytest.mark.usefixtures("store")
def test_resume_continues_a_game_day_whose_simulator_was_killed(day_environ: dict[str, str], day: GameDay) -> None:
    events = sum(len(game.events) for game in day.games)
    written = interrupt_day(day_environ, signal.SIGKILL)
    assert 0 < written < events
    assert play_day_as_a_service(day_environ, day) == events - written
    assert not was_reset(day_environ)


@pytest.mark.usefixtures("store")
def test_resume_starts_a_game_day_over_after_a_stop_on_request(day_environ: dict[str, str], day: GameDay) -> None:
    """The marker of the stop is no stream: it is not under the prefix."""
    events = sum(len(game.events) for game in day.games)
    assert interrupt_day(day_environ, signal.SIGTERM) < events
    assert set(streams(day_environ)) - set(whole_streams(day)) == {"games.stopped"}
    assert play_day_as_a_service(day_environ, day) == events
    assert was_reset(day_environ)


@pytest.mark.usefixtures("store")
def test_resume_starts_over_on_the_streams_of_another_day(day_environ: dict[str, str], day: GameDay) -> None:
    interrupt_day(day_environ, signal.SIGKILL)
    s3(day_environ).put_object(Bucket="gamestreams", Key="games/2.txt", Body=b"0 59:59 101 6 1\n")
    assert play_day_as_a_service(day_environ, day) == sum(len(game.events) for game in day.games)
    assert was_reset(day_environ)


def test_mock_is_refused(environ: dict[str, str]) -> None:
    with simulator({**environ, "LACROSSE_DEPLOYMENT": "mock"}) as process:
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 1
    assert output == (
        "Error: LACROSSE_DEPLOYMENT=mock has no stores to play a game on: unset it, or set it to services\n"
    )
