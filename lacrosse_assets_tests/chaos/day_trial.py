"""A trial of a game day: about twenty games at once with one injected fault."""

import random
import time
from collections.abc import Iterable
from typing import Any

from dagster import AssetCheckEvaluation, AssetCheckKey, AssetCheckSeverity, AssetKey, DagsterEventType

from lacrosse_assets_tests.chaos.day import (
    DayProducer,
    DayStores,
    DayTruth,
    DayWatcher,
    FinalTables,
    etag_of,
    league,
    random_day,
    scheduled,
)
from lacrosse_assets_tests.chaos.game import bodies, random_game
from lacrosse_assets_tests.chaos.harness import Platform
from lacrosse_assets_tests.chaos.trial import REMOVE_SLOW_WRITES, Fault, Outcome, Trial
from lacrosse_assets_tests.chaos.verdict import Row, differs, has_active_run

SENSOR = "gamestream_sensor"
MAX_EVALUATIONS = 50  # of a check that are read


class DayTrial(Trial):
    """A game day with an injected fault."""

    stores: DayStores
    producer: DayProducer

    def __init__(self, platform: Platform, stores: DayStores, rng: random.Random):
        super().__init__(platform, stores, rng)
        self.began = time.time()
        history = stores.games() or {}
        self.truth = DayTruth(history.values(), league())
        day = random_day(rng, league(), first_id=max(history, default=0) + 1)
        for game_id, row in day.schedule.items():
            self.truth.know(row, day.states[game_id])
        self.producer = DayProducer(stores, day)
        self.watcher = DayWatcher(stores, self.truth, None)

    def _prepare(self) -> None:
        self.until("no run is active", lambda: not has_active_run(self.instance))
        self.stores.clear()
        self.stores.reset_day(league(), list(self.truth.schedule.values()))
        self.stores.sql(*REMOVE_SLOW_WRITES)
        self.watcher = DayWatcher(self.stores, self.truth, self.stores.final_tables())
        self.watcher.start()

    def _final_is_stored(self) -> bool:
        return self._stale_game() is None

    def _is_recovered(self, restored_at: float) -> bool:
        documents, tables = self.stores.games(), self.stores.final_tables()
        if documents is None or tables is None or self._stale_game(restored_at) is not None:
            return False
        return self._difference_of_tables(documents, tables) is None

    def _stale_game(self, since: float | None = None, *, without: Iterable[int] = ()) -> int | None:
        """A game whose document is not of its stream as it is now, nor of a fetch after `since`; None if all are."""
        documents = self.stores.games() or {}
        for game_id, state in dict(self.producer.current).items():
            if game_id in without:
                continue
            stream = documents.get(game_id, {}).get("stream")
            if not stream or (
                stream["etag"] != etag_of(state) and (since is None or stream["fetched_at"].timestamp() < since)
            ):
                return game_id
        return None

    def difference(self) -> str | None:
        documents, tables = self.stores.games(), self.stores.final_tables()
        if documents is None or tables is None:
            return "a store cannot be read"
        if more := documents.keys() - self.truth.schedule.keys() - self.truth.history.keys():
            return f"there are documents of games that are not scheduled: {sorted(more)}"
        for game_id, state in dict(self.producer.current).items():
            document = documents.get(game_id)
            if document is None:
                return f"game {game_id} has no document"
            if document["stream"]["etag"] != etag_of(state):
                return f"the document of game {game_id} (event {document['event']}) is not of its current stream"
            if difference := differs(document, self.truth.document(game_id, etag_of(state))):
                return f"the document of game {game_id} is wrong: {difference}"
        return self._difference_of_tables(documents, tables)

    def _difference_of_tables(self, documents: dict[int, Row], tables: FinalTables) -> str | None:
        """How the final tables differ from the final documents that are stored; None if they do not."""
        final = {document["_id"]: document["fingerprint"] for document in documents.values() if document["final"]}
        in_tables = {row["id"]: row["fingerprint"] for row in tables[2]}
        if in_tables != final:
            return f"of the games {sorted(final)}, games2 has {sorted(in_tables)}, or other results of them"
        return self.truth.difference_of_tables(tables) if final else None

    def _judge(self, outcome: Outcome, known: dict[str, str | None], fault: Fault) -> None:
        super()._judge(outcome, known, fault)
        if fault.of_one_game and not outcome.problems and (problem := self._wrong_row()):
            outcome.problems.append(problem)

    def _wrong_row(self) -> str | None:
        """How the day at a glance, in the Dagster UI, differs from the documents; None if it does not."""
        evaluation = next(iter(self._evaluations("boxscore_doc", "game_over")), None)
        shown: Any = evaluation.metadata["games"] if evaluation else None
        rows = {record.data["game"]: record.data for record in shown.records} if shown else {}
        for game_id, state in self.producer.current.items():
            document, row = self.truth.document(game_id, etag_of(state)), rows.get(game_id)
            assert document
            expected = {
                "home": document["home"]["name"],
                "score": f"{document['home']['score']} : {document['away']['score']}",
                "away": document["away"]["name"],
                "status": "final",
                "seconds behind": 0,
            }
            if row is None or any(row[name] != value for name, value in expected.items()):
                return f"the Dagster UI shows {row} of game {game_id}, of {expected}"
        return None

    # What the faults of one game need.

    def add_game(self, home: int, away: int, players: list[Row], stream: str | None = None) -> tuple[Row, bytes]:
        """A further game and its whole stream, which are known to the truth and not written yet."""
        row = scheduled(max(self.truth.schedule) + 1, home, away, stream)
        state = bodies(random_game(self.rng, (home, away), players))[-1]
        self.truth.know(row, [state])
        return row, state

    def live_game(self) -> Row:
        """A game that has begun and is not over."""
        self.until("a game is live", lambda: bool(self.producer.live()))
        return self.truth.schedule[self.rng.choice(self.producer.live())]

    def game_in_the_tables(self) -> Row:
        """A game that is over, and in the final tables."""

        def found() -> list[int]:
            tables = self.stores.final_tables()
            return sorted({row["id"] for row in tables[2]} & set(self.producer.over())) if tables else []

        self.until("a game is in the final tables", lambda: bool(found()))
        return self.truth.schedule[self.rng.choice(found())]

    def until_reported(self, asset: str, check: str, text: str) -> None:
        """Wait until a check has failed as a warning whose metadata has this text."""

        def is_reported() -> bool:
            return any(
                not evaluation.passed
                and evaluation.severity == AssetCheckSeverity.WARN
                and any(text in str(value.value) for value in evaluation.metadata.values())
                for evaluation in self._evaluations(asset, check)
            )

        self.until(f"the check {check} reports {text!r}", is_reported)

    def until_skipped(self, reason: str) -> None:
        """Wait until a tick of the sensor is skipped for a reason that has this text."""
        since = time.time()

        def is_skipped() -> bool:
            return any(
                reason in (tick.skip_reason or "")
                for state in self.instance.all_instigator_state()
                if state.name == SENSOR
                for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, after=since)
            )

        self.until(f"{SENSOR} skips: {reason}", is_skipped)

    def until_others_are_current(self, game: Row) -> None:
        """Wait until the documents of all other games are of what their streams are now, or of a newer state."""
        since = time.time()
        self.until(
            lambda: f"game {self._stale_game(since, without=[game['id']])} is not held up",
            lambda: self._stale_game(since, without=[game["id"]]) is None,
        )

    def _evaluations(self, asset: str, check: str) -> list[AssetCheckEvaluation]:
        """The results of a check in this trial, newest first."""
        records = self.instance.event_log_storage.get_asset_check_execution_history(
            AssetCheckKey(AssetKey(asset), check), limit=MAX_EVALUATIONS
        )
        return [
            event.asset_check_evaluation_data
            for record in records
            if record.event
            and record.event.timestamp >= self.began
            and (event := record.event.dagster_event)
            and event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION
        ]
