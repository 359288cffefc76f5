"""The fingerprint of each event's box score (docs/contract.md, sections 3 and 6).

The box score of an event is a function of the events up to that one and of the roster; later events do not change it.
Its fingerprint is a hash of these inputs. So a stored document is up to date if its fingerprint is equal, and nothing
has to be computed to know that.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from lacrosse_assets.game.stream import EVENTS, Verdict

# Increase it when the same events and roster make another document than before. Then all documents are written again.
FINGERPRINT_VERSION = 2

# The columns of `LINES` that a box score depends on.
FINGERPRINT_COLUMNS = ("verdict", "event_id", "clock", "team_id", "number", "goal")

_event_content = itemgetter(*FINGERPRINT_COLUMNS[1:])


def fingerprints(lines: Iterable[Mapping[str, Any]], roster: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """The fingerprint of each event's box score, by event id, in ascending order.

    `lines` are rows with the `FINGERPRINT_COLUMNS` of a `LINES`, `roster` rows of a `ROSTER`; both in any order. One
    hash is updated event by event, so the time is proportional to the number of events.
    """
    lines = list(lines)
    events = sorted(_event_content(line) for line in lines if line["verdict"] in EVENTS)
    terminators = [_event_content(line) for line in lines if line["verdict"] == Verdict.TERMINATOR]
    digest = hashlib.blake2b(_encoded([FINGERPRINT_VERSION, *_encoded_roster(roster)]), digest_size=16)
    found = {}
    for event in events:
        digest.update(_encoded(event))
        found[event[0]] = digest.hexdigest()
    if events and terminators:  # the terminator is a part of the latest event's box score only
        digest.update(_encoded(terminators))
        found[events[-1][0]] = digest.hexdigest()
    return found


def roster_fingerprint(roster: Iterable[Mapping[str, Any]]) -> str:
    """The fingerprint of a roster, from rows of a `ROSTER` in any order."""
    return hashlib.blake2b(_encoded(_encoded_roster(roster)), digest_size=16).hexdigest()


def _encoded_roster(roster: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in roster)


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()
