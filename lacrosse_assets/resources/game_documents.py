"""One document per game, in the collection `games`: the layout of a game day (docs/contract.md, section 10).

Two invariants hold with any number of writers, late ones included:

1. A document is replaced whole: a reader sees the old box score or the new one.
2. A box score from a newer version of the game's stream is never replaced by one of an older version.

The write protocol, for any number of games at once:

1. Read which version each stored document is of. Leave out the games whose stored version is newer, and those whose
   document is the same already.
2. Replace the other documents, each only if it still is what step 1 has read.
3. Repeat from step 1 with those that were not replaced.
"""

from abc import ABC
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from lacrosse_assets.game.document import Document, from_game_document, game_document
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

# A filter for the box scores of games, among the other documents of the collection.
GAMES = {**BOX_SCORES, "event": {"$exists": True}}


class GameDocuments(DocumentStore, ABC):
    """The current box score of each game, with its plays."""

    collection = "games"
    entities = "games"

    def summaries(self, games: Collection[int] | None = None) -> list[Document]:
        return self._find(GAMES if games is None else {**GAMES, "_id": {"$in": list(games)}}, SUMMARY)

    def final_box_scores(self) -> list[Document]:
        return self._find({**GAMES, "final": True}, {"plays": 0})

    def _find(self, filter_: Mapping[str, Any], fields: Mapping[str, int]) -> list[Document]:
        import pymongo

        with self._errors(), pymongo.timeout(READ_TIMEOUT_SECONDS):
            found = self._collection.find(filter_, fields).sort("_id", 1)
            return [from_game_document(document) for document in found if isinstance(document["_id"], int)]

    def missing(self, timelines: Mapping[int, Mapping[int, str]]) -> dict[int, set[int]]:
        """None: earlier events have no documents."""
        return {game: set() for game in timelines}

    def save(
        self, boxes: Sequence[Document], timelines: Mapping[int, Mapping[int, str]], latest: Latest
    ) -> dict[int, WriteResult | None]:
        results: dict[int, WriteResult | None] = {}
        pending = {box["game_id"]: game_document(box) for box in boxes}
        with self._errors():
            for _ in range(MAX_WRITE_ATTEMPTS):
                replaced = []
                stored = {
                    number_of(each["_id"]): each for each in self._collection.find({"_id": {"$in": list(pending)}})
                }
                now = cache(latest)  # all streams are read once, after the documents
                for game, document in list(pending.items()):
                    there = stored.get(game)
                    if there is not None and not is_box_score(there):
                        results[game] = WriteResult(False, 0, 0, blocked=(game,))
                    elif _is_late(document, there, now):
                        results[game] = None
                    elif is_same(there, document):
                        results.setdefault(game, WriteResult(False, 0, 0))
                    else:
                        replaced.append(((Stored.of(there) if there else MISSING).unchanged(game), document))
                        results[game] = WriteResult(True, 0, 0)
                        continue
                    del pending[game]
                if not replaced:
                    return results
                self._replace(replaced)
        raise self._conflict(next(iter(pending)))


def _is_late(document: Document, stored: Mapping[str, Any] | None, latest: Latest) -> bool:
    mine = StreamVersion.from_document(document)
    theirs = StreamVersion.from_document(stored or {})
    return mine is None or is_superseded(mine, [theirs], lambda: latest().get(document["_id"]))


class MongoGameDocuments(MongoServer, GameDocuments):
    """On MongoDB."""
