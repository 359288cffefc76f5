"""Reading a box score document (docs/contract.md, section 3): its score line, and whether the game is over."""

from collections.abc import Mapping
from typing import Any

# A box score as MongoDB stores it.
Document = dict[str, Any]


def score_line(document: Mapping[str, Any]) -> str:
    """The game in one line, such as `syracuse 9 : 8 johns hopkins, 25:17, event 46`."""
    home, away = document["home"], document["away"]
    return (
        f"{home['name']} {home['score']} : {away['score']} {away['name']}, "
        f"{document['timestamp']}, event {document['_id']}"
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
