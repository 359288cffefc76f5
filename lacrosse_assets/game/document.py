"""A box score, and the two documents that are made from it (docs/contract.md, sections 3 and 10)."""

from collections.abc import Mapping
from typing import Any

# A box score: the fields of docs/contract.md, section 3, with `game_id` and `event` in the place of `_id`, and the
# game's `day` and `plays`. Each document layout has a part of these fields, so a box score that was read may lack some.
Document = dict[str, Any]

# All fields but the lists (players and plays), without which a box score is small.
SUMMARY_FIELDS = (
    *("event", "day", "timestamp", "final", "stream", "fingerprint"),
    *(
        f"{side}.{field}"
        for side in ("home", "away")
        for field in ("teamid", "name", "conference", "wins", "losses", "score", "status")
    ),
)


def event_document(box: Mapping[str, Any]) -> Document:
    """A box score as the document of its event, in the collection `boxscores`, which holds one game."""
    others = ("game_id", "event", "day", "plays")
    return {"_id": box["event"], **{name: value for name, value in box.items() if name not in others}}


def from_event_document(document: Mapping[str, Any], game_id: int) -> Document:
    """The box score of a document of the collection `boxscores`."""
    return {"game_id": game_id, "event": document["_id"], **_without_id(document)}


def game_document(box: Mapping[str, Any]) -> Document:
    """A box score as the one document of its game, in the collection `games`."""
    return {"_id": box["game_id"], **{name: value for name, value in box.items() if name != "game_id"}}


def from_game_document(document: Mapping[str, Any]) -> Document:
    """The box score of a document of the collection `games`."""
    return {"game_id": document["_id"], **_without_id(document)}


def _without_id(document: Mapping[str, Any]) -> Document:
    return {name: value for name, value in document.items() if name != "_id"}


def score_line(document: Mapping[str, Any]) -> str:
    """The game in one line, such as `syracuse 9 : 8 johns hopkins, 25:17, event 46`."""
    home, away = document["home"], document["away"]
    return (
        f"{home['name']} {home['score']} : {away['score']} {away['name']}, "
        f"{document['timestamp']}, event {document['event']}"
    )


def why_not_over(document: Mapping[str, Any] | None, etag: str | None) -> str | None:
    """Why the final tables may not be written from this document; None if they may (docs/contract.md, section 5).

    `document` is the current box score, `etag` that of the stream as it is now, None if there is no stream. A final box
    score that was made from another version of the stream does not open the gate.
    """
    if document is None:
        return "there is no box score yet: materialize boxscore_doc first"
    if etag is None:
        return f"the stream object is missing, so the box score cannot be verified ({score_line(document)})"
    if document.get("stream", {}).get("etag") != etag:
        return f"the box score is not of the current stream ({score_line(document)}): materialize boxscore_doc first"
    if not document["final"]:
        return f"the game is not over yet ({score_line(document)})"
    return None
