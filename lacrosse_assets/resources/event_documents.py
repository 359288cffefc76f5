"""One document per event of the one game, in the collection `boxscores` (docs/contract.md, sections 3 and 6).

Three invariants hold with any number of writers, late ones included:

1. The box score with the highest `_id` is the current one.
2. A box score from a newer version of the stream is neither overwritten nor removed by a writer of an older version.
3. Below the current box score there is none of an earlier play. An event's document may be missing until it is
   backfilled; its `fingerprint` shows whether it is up to date.
"""

from abc import ABC
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from lacrosse_assets.game.document import Document, event_document, from_event_document
from lacrosse_assets.game.schedule import SINGLE_GAME_ID
from lacrosse_assets.resources.documents import (
    BOX_SCORES,
    MAX_WRITE_ATTEMPTS,
    MISSING,
    READ_TIMEOUT_SECONDS,
    SUMMARY,
    DocumentStore,
    Latest,
    MongoServer,
    Stored,
    WriteResult,
    is_box_score,
    is_same,
    is_superseded,
    number_of,
)
from lacrosse_assets.resources.object_store import StreamVersion


class EventDocuments(DocumentStore, ABC):
    """The box score of each event. Which game they are of is not stored: there is one."""

    collection = "boxscores"
    entities = "events"

    def summaries(self, games: Collection[int] | None = None) -> list[Document]:
        current = self.current(SUMMARY)
        return [from_event_document(current, SINGLE_GAME_ID)] if current else []

    def final_box_scores(self) -> list[Document]:
        current = self.current()
        return [from_event_document(current, SINGLE_GAME_ID)] if current and current.get("final") else []

    def missing(self, timelines: Mapping[int, Mapping[int, str]]) -> dict[int, set[int]]:
        stored = self.fingerprints()
        return {
            game: {event for event, fingerprint in timeline.items() if stored.get(event) != fingerprint}
            - {max(timeline)}
            for game, timeline in timelines.items()
        }

    def save(
        self, boxes: Sequence[Document], timelines: Mapping[int, Mapping[int, str]], latest: Latest
    ) -> dict[int, WriteResult | None]:
        return {
            game: self.write(
                [event_document(box) for box in boxes if box["game_id"] == game],
                timeline,
                partial(_latest_of, game, latest),
            )
            for game, timeline in timelines.items()
        }

    def current(self, fields: Mapping[str, int] | None = None) -> Document | None:
        """The current box score: the document with the highest `_id`; None if there is none. `fields`: a projection.

        Raises:
            StoreError: the store is unreachable or refuses the request.
        """
        import pymongo

        with self._errors(), pymongo.timeout(READ_TIMEOUT_SECONDS):
            found = self._collection.find(BOX_SCORES, fields).sort("_id", -1)
            return next((document for document in found if isinstance(document["_id"], int)), None)

    def fingerprints(self) -> dict[int, str | None]:
        """The fingerprint of each box score, by `_id`; None for a box score without one."""
        with self._errors():
            return {event_id: stored.fingerprint for event_id, stored in self._stored()[0].items()}

    def write(
        self,
        documents: Sequence[Document],
        timeline: Mapping[int, str],
        latest: Callable[[], StreamVersion | None],
    ) -> WriteResult | None:
        """Write `documents`: the last becomes the current box score, the others are backfilled.

        All are of one version of the stream and have a `fingerprint`; the last is of the stream's latest event.
        `timeline` maps every event of the stream to its document's fingerprint. `latest` reads the stream's present
        version from the object store. Returns None if a box score of a newer version is stored: this write then leaves
        nothing behind.

        1. Remove the documents that differ from `timeline`, except the one that is current so far.
        2. Write the new current document.
        3. Remove the document spared in step 1 if it differs from `timeline`.
        4. Write the other documents.

        Before step 1 and after each write, all stored versions are compared. If a newer one has arrived, this writer
        removes its own documents again. A document is replaced or removed only if it is unchanged since it was read;
        otherwise the step is repeated. A crash leaves events without a document, and at most one outdated document
        below the current one; the next run repairs both.

        Raises:
            StoreError: the store is unreachable or refuses the request, or another writer keeps changing a document.
        """
        *earlier, current = documents
        event_id, mine = current["_id"], StreamVersion.from_document(current)

        def is_late(stored: Mapping[int, Stored]) -> bool:
            return mine is None or is_superseded(mine, (each.version for each in stored.values()), latest)

        def remove(event_ids: Iterable[int], stored: Mapping[int, Stored]) -> int:
            others = {each for each in event_ids if timeline.get(each) != stored[each].fingerprint}
            self._delete(stored[each].unchanged(each) for each in others)
            return len(others - timeline.keys())

        with self._errors():
            stored, foreign = self._stored()
            if is_late(stored):
                return None
            removed = remove(stored.keys() - {max(stored, default=event_id)}, stored)
            is_stored = event_id in stored and is_same(self._collection.find_one({"_id": event_id}), current)
            written: list[Document] = []
            for batch in ([] if is_stored else [current], earlier):
                missing = [each for each in batch if each["_id"] not in foreign]
                for _ in range(MAX_WRITE_ATTEMPTS):
                    self._replace((stored.get(each["_id"], MISSING).unchanged(each["_id"]), each) for each in missing)
                    written += missing
                    stored, foreign = self._stored()
                    if is_late(stored):
                        self._delete(Stored.of(each).unchanged(each["_id"]) for each in written)
                        return None
                    missing = [each for each in missing if stored.get(each["_id"]) != Stored.of(each)]
                    if not missing:
                        break
                else:
                    raise self._conflict(missing[0]["_id"])
                removed += remove(stored, stored)
                if not earlier:
                    break
        return WriteResult(
            current=not is_stored and event_id not in foreign,
            backfilled=sum(each["_id"] not in foreign for each in earlier),
            removed=removed,
            blocked=tuple(each["_id"] for each in documents if each["_id"] in foreign),
        )

    def _stored(self) -> tuple[dict[int, Stored], set[Any]]:
        """The box scores by event, and the `_id`s of other documents among the numbers."""
        fields = dict.fromkeys(("fingerprint", "stream", "home.teamid", "away.teamid"), 1)
        stored: dict[int, Stored] = {}
        foreign: set[Any] = set()
        for each in self._collection.find({"_id": {"$gte": 0}}, fields):
            if is_box_score(each):
                stored[each["_id"]] = Stored.of(each)
            else:
                foreign.add(number_of(each["_id"]))
        return stored, foreign


def _latest_of(game: int, latest: Latest) -> StreamVersion | None:
    return latest().get(game)


class MongoEventDocuments(MongoServer, EventDocuments):
    """On MongoDB."""
