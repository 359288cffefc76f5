"""The game day that the simulator plays: real-looking, and always the same (docs/contract.md, section 10)."""

import hashlib
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, cast

import pytest
from botocore.exceptions import ClientError
from click import ClickException

from lacrosse_assets.gamestream import day_simulator
from lacrosse_assets.gamestream.day_simulator import WRITERS, play_day
from lacrosse_assets.gamestream.game_day import GameDay, ScheduledGame, game_day
from lacrosse_assets.settings import Settings, load_settings
from lacrosse_assets_tests.support.clock import SimulatedClock
from lacrosse_assets_tests.support.slow_store import SlowStore

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ALL = 1000
DIGEST_OF_TWELVE_GAMES = "6182b145297c288331da1dbfb6e3412ecb515a4baa732c3bbe3290c432365df6"


@pytest.fixture(scope="module")
def day() -> GameDay:
    return game_day(ALL)


def settings(delay: float = 0) -> Settings:
    environ = {"LACROSSE_DEPLOYMENT": "mock", "GAMESTREAM_KEY": "games/", "DELAY": str(delay)}
    return load_settings(environ)


def score(game: ScheduledGame) -> tuple[int, int]:
    goals = Counter[int]()
    for event in game.events:
        _, _, team, _, goal = event.line.split()
        goals[int(team)] += int(goal)
    return goals[game.home], goals[game.away]


def digest(day: GameDay) -> str:
    streams = "".join(game.stream(len(game.events)) for game in day.games)
    return hashlib.sha256(f"{streams}{day.schedule}{day.teams}{day.players}".encode()).hexdigest()


def test_the_day_is_the_same_in_every_process() -> None:
    """Whatever the hash seed is, and the machine."""
    script = (
        "from lacrosse_assets.gamestream.game_day import game_day; from lacrosse_assets_tests.unit.test_game_day "
        "import digest; print(digest(game_day(12)))"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert digest(game_day(12)) == other.stdout.strip() == DIGEST_OF_TWELVE_GAMES


def test_a_game_is_the_same_however_many_there_are(day: GameDay) -> None:
    few = game_day(4)
    assert few.games == day.games[:4]
    assert few.teams == day.teams[:8]
    assert few.players == day.players[: len(few.players)]


def test_every_game_has_two_teams_of_its_own(day: GameDay) -> None:
    playing = [team for game in day.games for team in (game.home, game.away)]
    assert sorted(playing) == [team["id"] for team in day.teams]
    assert len({team["name"] for team in day.teams}) == 2 * ALL
    assert [row["id"] for row in day.schedule] == list(range(1, ALL + 1))
    assert 0.4 < sum(game.home < game.away for game in day.games) / ALL < 0.6


def test_rosters_look_real(day: GameDay) -> None:
    rosters = {
        team["id"]: [player for player in day.players if player["teamid"] == team["id"]] for team in day.teams[:99]
    }
    for roster in rosters.values():
        jerseys = {player["number"] for player in roster}
        assert 18 <= len(jerseys) == len(roster) <= 22
        assert all(0 <= player["goals"] <= player["shots"] for player in roster)
    assert any({"0", "00"} <= {player["number"] for player in roster} for roster in rosters.values())
    assert len({player["id"] for player in day.players}) == len(day.players)
    names = {row["name"] for row in (*day.players, *day.teams)}
    assert any("'" in name for name in names)
    assert any(not name.isascii() for name in names)
    # In UTF-8, SQL Server counts bytes.
    assert max(len(name.encode()) for name in names) <= 50


def test_games_look_real(day: GameDay) -> None:
    """Shots of rostered players in the order of the clock, and scores as in lacrosse."""
    jerseys = {(player["teamid"], player["number"]) for player in day.players}
    for game in day.games:
        rows = [event.line.split() for event in game.events if not event.line.startswith("-1")]
        assert [int(row[0]) for row in rows] == list(range(len(rows)))
        clocks = [row[1] for row in rows]
        assert clocks == sorted(clocks, reverse=True)
        shots = [(int(team), jersey) for _, _, team, jersey, _ in rows if team != "0"]
        assert 40 <= len(shots) <= 100
        assert set(shots) <= jerseys
        assert {team for team, _ in shots} == {game.home, game.away}
        assert 3 <= sum(score(game)) <= 50
    ties = sum(len(set(score(game))) == 1 for game in day.games)
    assert 0 < ties < ALL / 20


def test_games_end_in_three_ways(day: GameDay) -> None:
    """With the terminator, with the clock at 00:00, and with both: each alone ends a game (section 1)."""
    ends = set()
    for game in day.games[:12]:
        terminator = game.events[-1].line.startswith("-1")
        last = game.events[-2 if terminator else -1].line.split()
        ends.add((terminator, last[1] == "00:00"))
    assert ends == {(True, True), (True, False), (False, True)}


def test_games_have_their_own_start_and_pace(day: GameDay) -> None:
    assert len({game.start for game in day.games}) == len({game.pace for game in day.games}) == ALL
    begins = max(game.due(game.events[0]) for game in day.games)
    ends = min(game.due(game.events[-1]) for game in day.games)
    assert begins < ends, "there is a time at which all games are live"


@pytest.mark.parametrize("games", [1, WRITERS - 1, 3 * WRITERS])
def test_every_stream_grows_line_by_line(games: int) -> None:
    """In order, although several threads write."""
    store, day = SlowStore(seconds=0.0002), game_day(games)
    play_day(cast("S3Client", store), settings(), day)
    assert {key: [body for _, body in writes] for key, writes in store.writes.items()} == {
        f"games/{game.game_id}.txt": [game.stream(count + 1) for count in range(len(game.events))] for game in day.games
    }


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    """The clock of the simulator, which has one thread."""
    clock = SimulatedClock()
    monkeypatch.setattr(day_simulator, "WRITERS", 1)
    monkeypatch.setattr(day_simulator, "monotonic", clock.monotonic)
    monkeypatch.setattr(day_simulator, "Event", lambda: clock)
    return clock


def test_every_game_keeps_its_pace(clock: SimulatedClock) -> None:
    """The durations of the writes do not add up."""
    store, day, delay = SlowStore(seconds=0.5, clock=clock), game_day(20), 1.0
    began = clock.monotonic()
    play_day(cast("S3Client", store), settings(delay), day)
    late = [
        at - began - game.due(event) * delay
        for game in day.games
        for event, (at, _) in zip(game.events, store.writes[f"games/{game.game_id}.txt"], strict=True)
    ]
    assert min(late) == pytest.approx(0)
    assert max(late) < 20 * store.seconds


def test_an_interrupted_day_keeps_its_pace(clock: SimulatedClock) -> None:
    """It goes on from the last event that was written; a game that is over is left alone."""
    store, day, delay = SlowStore(clock=clock), game_day(6), 1.0
    half = 40 * 60
    written = {game.game_id: sum(game.due(event) <= half for event in game.events) for game in day.games}
    written[1] = len(day.games[0].events)
    position = max(game.due(game.events[written[game.game_id] - 1]) for game in day.games[1:])
    began = clock.monotonic() - position * delay
    play_day(cast("S3Client", store), settings(delay), day, written)
    assert sorted(store.writes) == [f"games/{number}.txt" for number in range(2, 7)]
    for game in day.games[1:]:
        writes = store.writes[f"games/{game.game_id}.txt"]
        events = game.events[written[game.game_id] :]
        assert writes[0][1] == game.stream(written[game.game_id] + 1)
        due = [began + game.due(event) * delay for event in events]
        assert [at for at, _ in writes] == pytest.approx(due)


def test_the_first_refusal_ends_the_day() -> None:
    class Refusing(SlowStore):
        def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
            if Key == "games/3.txt":
                response = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
                raise ClientError(response, "PutObject")
            super().put_object(Bucket, Key, Body)

    store, before = Refusing(), set(threading.enumerate())
    with pytest.raises(ClickException, match=r"the object store at http://127.0.0.1:1 cannot be used: .*AccessDenied"):
        play_day(cast("S3Client", store), settings(delay=0.001), game_day(12))
    assert set(threading.enumerate()) <= before, "the other games' threads have ended, too"
    assert sum(map(len, store.writes.values())) < sum(len(game.events) for game in game_day(12).games)
