"""The game event by event: which box scores a stream makes, and what tells two of one event apart.

The box score of an event is made of the events up to that one and of the roster, whatever is played afterwards. Its
fingerprint stands for these: where both an event's document and its fingerprint are kept, it is known without any
computing that the document is still true.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from lacrosse_assets.game.stream import EVENTS, Verdict

# To be raised when a document is made otherwise of the same events and the same roster: all of them are written anew.
EDITION = 2

# What of a line counts in a box score; of `LINES`.
COUNTED = ("verdict", "event_id", "clock", "team_id", "number", "goal")

_said = itemgetter(*COUNTED[1:])


def fingerprints(lines: Iterable[Mapping[str, Any]], roster: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Of each event, by id and in their order, the fingerprint of its box score.

    `lines` are rows of a `LINES`, of which `COUNTED` is enough, and `roster` those of a `ROSTER`, both in any order.
    Each event adds itself to what the events before it have come to, so the time is that of reading the stream once.
    """
    lines = list(lines)
    events = sorted(_said(line) for line in lines if line["verdict"] in EVENTS)
    ends = [_said(line) for line in lines if line["verdict"] == Verdict.TERMINATOR]
    made_of = hashlib.blake2b(_written([EDITION, *sorted(map(_written_row, roster))]), digest_size=16)
    found = {}
    for event in events:
        made_of.update(_written(event))
        found[event[0]] = made_of.hexdigest()
    if events and ends:  # the terminator is a part of the latest event's box score alone
        made_of.update(_written(ends))
        found[events[-1][0]] = made_of.hexdigest()
    return found


def roster_fingerprint(roster: Iterable[Mapping[str, Any]]) -> str:
    """What identifies a roster, of rows of a `ROSTER` in any order: with another one, every box score is another."""
    return hashlib.blake2b(_written(sorted(map(_written_row, roster))), digest_size=16).hexdigest()


def _written_row(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def _written(value: Any) -> bytes:
    return json.dumps(value).encode()
