"""The plays and the score plot of a game, derived from its documents. Plain Python; knows nothing of the web."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

SIDES = ("home", "away")
GAME_SECONDS = 60 * 60  # on the clock when a game begins

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Shots:
    """One player's shots between two documents."""

    side: str
    player: Mapping[str, Any] | None  # None: unrostered players, of whom only goals are known
    shots: int
    goals: int


@dataclass(frozen=True)
class Play:
    """The shots from one document to the next: usually one, several if documents are missing in between."""

    event: int
    clock: str
    since: str | None  # the previous document's clock, if there are several shots
    home: int  # the score after the play
    away: int
    shots: tuple[Shots, ...]

    @property
    def goals(self) -> int:
        return sum(shots.goals for shots in self.shots)


TEAM_FIELDS = {"teamid", "name", "conference", "wins", "losses", "score", "status", "players"}
PLAYER_FIELDS = {"id", "name", "number", "shots", "goals", "pct"}


def is_box_score(document: Document) -> bool:
    """Whether a document has all fields that the page shows. The collection may contain other documents."""
    try:
        seconds(document["timestamp"])
        sides = [document[side] for side in SIDES]
        players = [player for side in sides for player in side["players"]]
        return (
            isinstance(document["_id"], int)
            and isinstance(document["final"], bool)
            and all(side.keys() >= TEAM_FIELDS for side in sides)
            and all(player.keys() >= PLAYER_FIELDS for player in players)
            and all(isinstance(player[number], int) for player in players for number in ("shots", "goals"))
            and all(isinstance(side["score"], int) for side in sides)
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def seconds(clock: str) -> int:
    """The seconds left to play at the clock `mm:ss`."""
    minutes, rest = clock.split(":")
    return int(minutes) * 60 + int(rest)


def timeline(documents: Sequence[Document]) -> list[Document]:
    """The documents of the current game, oldest first; `documents` are all of the collection's, newest first.

    During a replay, documents of the earlier play may remain. A document that cannot have preceded the next one is of
    another play.
    """
    game: list[Document] = []
    for document in documents:
        if game and not _leads_to(document, game[-1]):
            break
        game.append(document)
    return game[::-1]


def _leads_to(earlier: Document, later: Document) -> bool:
    # The clock does not tell: it starts again in overtime.
    return all(
        earlier[side]["teamid"] == later[side]["teamid"]
        and earlier[side]["score"] <= later[side]["score"]
        and all(shots.shots >= shots.goals >= 0 for shots in _players_shots(side, earlier, later))
        for side in SIDES
    )


def plays(game: Sequence[Document]) -> list[Play]:
    """The plays of a `timeline`, oldest first. A document without a shot, such as a clock row's, is no play."""
    found = []
    before: Document | None = None
    for document in game:
        shots = tuple(done for side in SIDES for done in _shots(side, before, document))
        if shots:
            several = sum(done.shots for done in shots) > 1
            found.append(
                Play(
                    event=document["_id"],
                    clock=document["timestamp"],
                    since=(before["timestamp"] if before else "the start") if several else None,
                    home=document["home"]["score"],
                    away=document["away"]["score"],
                    shots=shots,
                )
            )
        before = document
    return found


def _shots(side: str, before: Document | None, after: Document) -> list[Shots]:
    listed = [done for done in _players_shots(side, before, after) if done.shots or done.goals]
    scored = after[side]["score"] - (before[side]["score"] if before else 0)
    unrostered = scored - sum(done.goals for done in listed)
    return [*listed, Shots(side, None, unrostered, unrostered)] if unrostered > 0 else listed


def _players_shots(side: str, before: Document | None, after: Document) -> list[Shots]:
    had = {player["id"]: player for player in before[side]["players"]} if before else {}
    nothing = {"shots": 0, "goals": 0}
    return [
        Shots(side, player, *(player[what] - had.get(player["id"], nothing)[what] for what in ("shots", "goals")))
        for player in after[side]["players"]
    ]


def is_game(document: Document) -> bool:
    """Whether a document of a game day has all fields that the page of a game shows."""
    try:
        return is_box_score(document) and all(
            seconds(play["clock"]) >= 0
            and all(isinstance(play[number], int) for number in ("event", "team", "goal", *SIDES))
            and isinstance(play["jersey"], str)
            for play in document["plays"]
        )
    except (KeyError, TypeError, ValueError):
        return False


def recorded_plays(document: Document) -> list[Play]:
    """The plays that a document of a game day lists, oldest first. A clock row is no play."""
    sides = {document[side]["teamid"]: side for side in SIDES}
    wearers = [
        ((side, str(player["number"]).strip()), player) for side in SIDES for player in document[side]["players"]
    ]
    worn = Counter(jersey for jersey, _ in wearers)
    players = {jersey: player for jersey, player in wearers if worn[jersey] == 1}
    return [
        Play(
            event=play["event"],
            clock=play["clock"],
            since=None,
            home=play["home"],
            away=play["away"],
            shots=(Shots(side, players.get((side, play["jersey"])), 1, play["goal"]),),
        )
        for play in document["plays"]
        if (side := sides.get(play["team"]))
    ]


def recorded_timeline(document: Document) -> list[Document]:
    """What `plot` needs of the documents of each event, from a document of a game day, oldest first."""
    return [
        {
            "_id": play["event"],
            "timestamp": play["clock"],
            **{side: {"score": play[side], "players": []} for side in SIDES},
        }
        for play in document["plays"]
    ]


@dataclass(frozen=True)
class Plot:
    """The score over the game clock, in SVG units: 0 to 100 from left to right and from top to bottom."""

    lines: Mapping[str, str]  # by side: the `d` of a path
    goals: Mapping[str, str]  # by side: a path of dots, one at each goal
    now: float
    scores: Sequence[int]  # labels of the vertical axis, from the top
    clocks: Sequence[str]  # labels of the horizontal axis


def plot(game: Sequence[Document]) -> Plot:
    """The plot of a `timeline` of at least one document.

    The score rises in steps. Between two documents with several shots the times are unknown, so the line slopes.
    Overtime, in which the clock starts again, is drawn at the end.
    """
    length: int = max(GAME_SECONDS, *(seconds(document["timestamp"]) for document in game))
    highest: int = max(4, *(document[side]["score"] for document in game for side in SIDES))
    step = next(step for step in (1, 2, 5, 10, 20, 50, highest) if highest <= 6 * step)
    top = -(-highest // step) * step

    def x(document: Document) -> float:
        return round(100 * (1 - seconds(document["timestamp"]) / length), 2)

    def y(score: int) -> float:
        return round(100 * (1 - score / top), 2)

    times = [*accumulate(map(x, game), max)]
    several = {play.event for play in plays(game) if play.since}
    lines, goals = {}, {}
    for side in SIDES:
        line, dots, score = "M0 100", "", 0
        for document, time in zip(game, times, strict=True):
            here = f"{time} {y(document[side]['score'])}"
            line += f"L{here}" if document["_id"] in several else f"H{time}L{here}"
            dots += f"M{here}h0" if document[side]["score"] > score else ""
            score = document[side]["score"]
        lines[side], goals[side] = line, dots
    clocks = [f"{left // 60:02}:{left % 60:02}" for left in (length * quarter // 4 for quarter in (4, 3, 2, 1, 0))]
    return Plot(lines, goals, times[-1], range(top, -1, -step), clocks)
