"""A short game day: its league, schedule and streams, and what the contract requires of it (section 10).

Games of earlier days stay in the collection, and so in the final tables; their ids are lower.
"""

import hashlib
import random
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import Any, NamedTuple

from pymongo.errors import PyMongoError

from lacrosse_assets_tests.chaos.game import Producer, bodies, random_game
from lacrosse_assets_tests.chaos.verdict import BUCKET, Row, Stores, Watcher, differs
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.day import DAY, GAMES_TABLE, PREFIX
from lacrosse_assets_tests.support.world import SCHEMA

GAMES = 20
HELD_GAMES = 7  # that end last
TEAMS, PLAYERS_OF_A_TEAM = 24, 5
FIRST_TEAM_ID = 301
MIN_EVENTS, MAX_EVENTS = 4, 7
# The time from the first state to the last one that does not wait, and that between the starts of the games.
DAY_SECONDS, STARTS_SECONDS = 8.0, 4.0

Reference = tuple[list[Row], list[Row]]  # teams, players
# teams2, players2, games2
FinalTables = tuple[list[Row], list[Row], list[Row]]


def league() -> Reference:
    """The reference tables. They are the same on each day, as final games of earlier days are added to them."""
    rng = random.Random("league")
    teams: list[Row] = [
        {"id": FIRST_TEAM_ID + number, "name": f"team {number}", "conference": "acc", "wins": number, "losses": 3}
        for number in range(TEAMS)
    ]
    players: list[Row] = [
        {
            "id": 10 * team["id"] + number,
            "name": f"player {number}",
            "number": jersey,
            "shots": rng.randrange(60),
            "goals": rng.randrange(20),
            "teamid": team["id"],
        }
        for team in teams
        for number, jersey in enumerate(rng.sample(["0", "00", "1", "8", "23", "31", "47"], PLAYERS_OF_A_TEAM))
    ]
    return teams, players


class Day(NamedTuple):
    """The games of a day: their rows of table `games`, the states of their streams, and the order of these."""

    schedule: dict[int, Row]
    states: dict[int, list[bytes]]
    steps: list[tuple[int, bytes]]  # game and state; the last `HELD_GAMES` end the day


def random_day(rng: random.Random, reference: Reference, first_id: int) -> Day:
    """A day of `GAMES` games, which overlap. A team may play several of them."""
    teams, players = reference
    schedule, states = {}, {}
    for game_id in range(first_id, first_id + GAMES):
        home, away = rng.sample([team["id"] for team in teams], 2)
        schedule[game_id] = scheduled(game_id, home, away)
        states[game_id] = bodies(random_game(rng, (home, away), players, rng.randint(MIN_EVENTS, MAX_EVENTS)))
    held = rng.sample(list(states), HELD_GAMES)
    steps = []
    for game_id, of_game in states.items():
        start = rng.uniform(0, STARTS_SECONDS)
        for number, state in enumerate(of_game):
            is_held = game_id in held and number == len(of_game) - 1
            steps.append((is_held, start + STARTS_SECONDS * number / MAX_EVENTS, game_id, state))
    return Day(schedule, states, [(game_id, state) for _, _, game_id, state in sorted(steps)])


def scheduled(game_id: int, home: int, away: int, stream: str | None = None) -> Row:
    """A row of table `games`."""
    return {"id": game_id, "day": DAY, "home": home, "away": away, "stream": stream}


def key_of(row: Row) -> str:
    """The key of a game's stream."""
    return PREFIX + (row["stream"] or f"{row['id']}.txt")


def etag_of(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


class DayStores(Stores):
    """The stores on a game day."""

    def clear(self) -> None:
        """Remove the streams of all games."""
        self.remove(each["Key"] for each in self._listing())

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        if objects := [{"Key": key} for key in keys]:
            for start in range(0, len(objects), 1000):  # S3 takes no more at once
                self._s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects[start : start + 1000]})

    def reset_day(self, reference: Reference, schedule: Sequence[Row]) -> None:
        """Drop the reference tables and the schedule, and create them again."""
        teams, players = reference
        self.reset((*SCHEMA, GAMES_TABLE), {"teams": teams, "players": players, "games": schedule})

    def games(self) -> dict[int, Row] | None:
        """The documents of all games by id; None if the store is unreachable."""
        with suppress(PyMongoError):
            found = self._mongo["sidearm"]["games"].find({"_id": {"$gte": 0}}, sort=[("_id", 1)])
            return {document["_id"]: document for document in found}
        return None

    def final_tables(self) -> FinalTables | None:
        """The final tables, read in one transaction: empty if they are missing, None if they cannot be read."""
        rows = self.rows("teams2", "players2", "games2")
        return (rows[0], rows[1], rows[2]) if rows else None

    def _listing(self) -> list[dict[str, Any]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=PREFIX)
        return [entry for page in pages for entry in page.get("Contents", ())]


class DayTruth:
    """What may be seen of a day: each game's document by the ETag of its stream, and the final tables."""

    def __init__(self, history: Iterable[Row], reference: Reference):
        self.references = [reference]  # as they have been during the day; the last ones are those of now
        self.schedule: dict[int, Row] = {}
        self.history = {document["_id"]: document for document in history}  # of earlier days
        self._states: dict[int, dict[str, bytes]] = {}
        self._documents: dict[tuple[int, str, int], Row | None] = {}

    def know(self, game: Row, states: Iterable[bytes]) -> None:
        """Register states of a game's stream that may be written from now on."""
        self.schedule[game["id"]] = game
        self._states.setdefault(game["id"], {}).update({etag_of(state): state for state in states})

    def document(self, game_id: int, etag: str, reference: int = -1) -> Row | None:
        """The document of a game for this state of its stream, with these reference tables."""
        number = reference % len(self.references)
        key = game_id, etag, number
        if key not in self._documents:
            self._documents[key] = reference_model.document_of_a_day(
                self.schedule[game_id], self._states[game_id][etag], *self.references[number]
            )
        return self._documents[key]

    def difference(self, document: Row) -> str | None:
        """How a document differs from all that it may be; None if it does not."""
        game_id, etag = document["_id"], document.get("stream", {}).get("etag", "")
        if etag not in self._states.get(game_id, {}):
            return "it is of an unknown stream"
        found = [differs(document, self.document(game_id, etag, number)) for number in range(len(self.references))]
        return None if None in found else found[-1]

    def difference_of_tables(self, tables: FinalTables) -> str | None:
        """How final tables differ from those of the games that `games2` says are in them; None if they do not."""
        teams2, players2, games2 = tables
        played = [{name: value for name, value in row.items() if name != "fingerprint"} for row in games2]
        candidates = [self._finals(row) for row in played]
        if strange := [row for row, found in zip(played, candidates, strict=True) if not found]:
            return f"games2 has a result that no game ended with: {strange[0]}"
        for documents in product(*candidates):
            for reference in list(self.references):
                if reference_model.final_tables(*reference, list(documents)) == (teams2, players2, played):
                    return None
        return f"teams2 and players2 are not the sums of the {len(games2)} games of games2"

    def _finals(self, row: Row) -> list[Row]:
        """The final documents with the result of a row of games2."""
        game_id, scores = row["id"], (row["home_score"], row["away_score"])
        if game_id in self.history:
            possible = [self.history[game_id]]
        else:
            numbers = range(len(self.references))
            known = [
                self.document(game_id, etag, number)
                for etag in list(self._states.get(game_id, ()))
                for number in numbers
            ]
            possible = [document for document in known if document and document["final"]]
        found: list[Row] = []
        for document in possible:
            if (document["home"]["score"], document["away"]["score"]) == scores and document not in found:
                found.append(document)
        return found


class DayProducer(Producer):
    """Writes the states of all streams in turn. A fault may take a game out of its hands, and give it back."""

    def __init__(self, stores: DayStores, day: Day):
        super().__init__(len(day.steps), HELD_GAMES, DAY_SECONDS / (len(day.steps) - HELD_GAMES))
        self._stores, self._day = stores, day
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        self.current: dict[int, bytes] = {}  # what each stream is, but for those that a fault has taken

    def write(self, number: int) -> None:
        game_id, state = self._day.steps[number]
        self.put(self._day.schedule[game_id], state)

    def put(self, game: Row, state: bytes) -> None:
        """Write a state of a game's stream."""
        with self._lock:
            self.current[game["id"]] = state
            if game["id"] not in self._taken:
                self._stores.put_object(key_of(game), state)

    def take(self, game: Row) -> None:
        """Write nothing of this game until `give_back`."""
        with self._lock:
            self._taken.add(game["id"])

    def give_back(self, game: Row) -> None:
        """Write the state that the game has by now, and go on with it."""
        with self._lock:
            self._taken.remove(game["id"])
            self._stores.put_object(key_of(game), self.current[game["id"]])

    def states_of(self, game: Row) -> list[bytes]:
        """All states of a game's stream."""
        return self._day.states[game["id"]]

    def live(self) -> list[int]:
        """The games that have begun and still have states to be written."""
        return [game for game, state in self._streams().items() if state != self._day.states[game][-1]]

    def over(self) -> list[int]:
        """The games of which all states are written."""
        return [game for game, state in self._streams().items() if state == self._day.states[game][-1]]

    def _streams(self) -> Mapping[int, bytes]:
        with self._lock:
            return {game: state for game, state in self.current.items() if game in self._day.states}


class DayWatcher(Watcher):
    """Polls the documents of the day and the final tables."""

    def __init__(self, stores: DayStores, truth: DayTruth, before: FinalTables | None):
        super().__init__()
        self._stores, self._truth, self._before = stores, truth, before
        self._newest: dict[int, Any] = {}

    def poll(self) -> None:
        for game_id, document in (self._stores.games() or {}).items():
            if game_id not in self._truth.history:
                self._check(document)
        if (
            self.sees_tables
            and (tables := self._stores.final_tables())
            and tables != self._before
            and (difference := self._truth.difference_of_tables(tables))
        ):
            self.found(f"wrong final tables were seen: {difference}")

    def _check(self, document: Row) -> None:
        game_id = document["_id"]
        if difference := self._truth.difference(document):
            self.found(f"a wrong document of game {game_id} was seen: {difference}")
            return
        fetched_at = document["stream"]["fetched_at"]
        if fetched_at < self._newest.setdefault(game_id, fetched_at):
            self.found(f"the document of game {game_id} went back: event {document['event']} is of an older fetch")
        self._newest[game_id] = max(self._newest[game_id], fetched_at)
