"""The games of a game day: their teams, players and streams, made up from the number of each game alone.

Game 3 is the same game in a day of four and in a day of a thousand, in every run and on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from lacrosse_assets.gamestream.names import FIRST_NAMES, LAST_NAMES, TEAM_NAMES
from lacrosse_assets.gamestream.simulator import GAME_SECONDS, Event

DAY = date(2026, 3, 7)
FIRST_TEAM_ID = 101
QUARTER_SECONDS = GAME_SECONDS // 4
MIN_SHOTS, MAX_SHOTS = 40, 100
MAX_START_SECONDS = 20 * 60  # of game time, between the starts of the first and the last game
# The real seconds of a game second, relative to DELAY.
MIN_PACE, MAX_PACE = 0.9, 1.2
KEPT_TIES = 0.2  # the part of the ties that are not played on
TERMINATOR = "-1 00:00 0 0 0"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ScheduledGame:
    """One game of the day."""

    game_id: int
    home: int
    away: int
    start: float  # seconds of game time after the beginning of the day
    pace: float
    events: tuple[Event, ...]

    def due(self, event: Event) -> float:
        """When the event is written: seconds of game time since the beginning of the day."""
        return self.start + event.at * self.pace

    def stream(self, events: int) -> str:
        """The stream after this number of events."""
        return "".join(f"{event.line}\n" for event in self.events[:events])


@dataclass
class _Shot:
    """A shot of one game: whose it is, and whether it scores (1 or 0)."""

    side: int  # 0: home, 1: away
    shooter: Row
    goal: int


@dataclass(frozen=True)
class GameDay:
    """The games of the day, and the rows of the reference tables."""

    games: tuple[ScheduledGame, ...]
    teams: list[Row]
    players: list[Row]

    @property
    def schedule(self) -> list[Row]:
        """The rows of the table `games`."""
        return [{"id": game.game_id, "day": DAY, "home": game.home, "away": game.away} for game in self.games]


def game_day(games: int) -> GameDay:
    """A day with this number of games, each between two teams of its own. There are names for 1,052 games."""
    played, teams, players = [], [], []
    for game_id in range(1, games + 1):
        dice = Random(f"game day {game_id}")  # noqa: S311 (not a secret)
        numbers = [2 * game_id - 2, 2 * game_id - 1]
        pair = [_team(dice, number) for number in numbers]
        rosters = [_roster(dice, team["id"]) for team in pair]
        teams += pair
        players += [player for roster in rosters for player in roster]
        if dice.random() < 0.5:
            pair.reverse()
            rosters.reverse()
        home, away = (team["id"] for team in pair)
        played.append(
            ScheduledGame(
                game_id,
                home,
                away,
                start=dice.random() * MAX_START_SECONDS,
                pace=MIN_PACE + dice.random() * (MAX_PACE - MIN_PACE),
                events=tuple(_events(dice, game_id, rosters)),
            )
        )
    return GameDay(tuple(played), teams, players)


def _team(dice: Random, number: int) -> Row:
    name, conference = TEAM_NAMES[number]
    games_before = dice.randrange(3, 11)
    wins = dice.randrange(games_before + 1)
    return {
        "id": FIRST_TEAM_ID + number,
        "name": name,
        "conference": conference,
        "wins": wins,
        "losses": games_before - wins,
    }


def _roster(dice: Random, team_id: int) -> list[Row]:
    jerseys = dice.sample(["0", "00", *map(str, range(1, 50))], dice.randrange(18, 23))
    roster = list[Row]()
    for number, jersey in enumerate(jerseys):
        shots = dice.randrange(61) if number < len(jerseys) // 2 else dice.randrange(8)
        roster.append(
            {
                "id": 100 * team_id + number,
                "name": f"{dice.choice(FIRST_NAMES)} {dice.choice(LAST_NAMES)}",
                "number": jersey,
                "shots": shots,
                "goals": int(shots * (0.2 + 0.3 * dice.random())),
                "teamid": team_id,
            }
        )
    return roster


def _events(dice: Random, game_id: int, rosters: list[list[Row]]) -> list[Event]:
    """The events of one game. `rosters`: home and away."""
    times = sorted(dice.sample(range(5, GAME_SECONDS - 5), dice.randrange(MIN_SHOTS, MAX_SHOTS + 1)))
    home_share = 0.4 + 0.2 * dice.random()
    scoring = [0.2 + 0.16 * dice.random() for _ in rosters]
    shots = list[_Shot]()
    for _ in times:
        side = 0 if dice.random() < home_share else 1
        # The square: the first players of the roster shoot more often than the last.
        shooter = rosters[side][int(len(rosters[side]) * dice.random() ** 2)]
        shots.append(_Shot(side, shooter, int(dice.random() < scoring[side])))
    if _is_tied(shots) and dice.random() >= KEPT_TIES:
        last_miss = next(shot for shot in reversed(shots) if not shot.goal)
        last_miss.goal = 1
    rows = [
        (at, shot.shooter["teamid"], shot.shooter["number"], shot.goal) for at, shot in zip(times, shots, strict=True)
    ]
    # Feeds differ: some have a clock row at the start and at the end of quarters, and some end without the terminator.
    has_quarters, end = game_id % 4 == 2, game_id % 3
    if has_quarters:
        rows += [(quarter * QUARTER_SECONDS, 0, "0", 0) for quarter in range(4)]
        rows.sort(key=lambda row: row[0])
    if end != 0:
        rows.append((GAME_SECONDS, 0, "0", 0))
    events = [
        Event(f"{number} {_clock(at)} {team} {jersey} {goal}", _clock(at), at)
        for number, (at, team, jersey, goal) in enumerate(rows)
    ]
    if end != 2:
        events.append(Event(TERMINATOR, "00:00", GAME_SECONDS))
    return events


def _is_tied(shots: list[_Shot]) -> bool:
    home, away = (sum(shot.goal for shot in shots if shot.side == side) for side in (0, 1))
    return home == away


def _clock(at: int) -> str:
    minutes, seconds = divmod(GAME_SECONDS - at, 60)
    return f"{minutes:02}:{seconds:02}"
