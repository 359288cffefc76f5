"""The fingerprint of each event's box score (docs/contract.md, sections 3 and 6).

The box score of an event is a function of the events up to that one, of the roster and of the day; later events do
not change it. Its fingerprint is made of two hashes: of roster and day, and of all inputs. So a stored document is up
to date if its fingerprint is equal, and whether roster or day have changed is known from the first half alone. Nothing
has to be computed to know that.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from lacrosse_assets.game.stream import EVENTS, Verdict

# Increase it when the same events and roster make another document than before. Then all documents are written again.
FINGERPRINT_VERSION = 3

# The columns of `LINES` that a box score depends on.
FINGERPRINT_COLUMNS = ("verdict", "event_id", "clock", "team_id", "number", "goal")

_DIGEST_BYTES = 8  # of each half

_event_content = itemgetter(*FINGERPRINT_COLUMNS[1:])


def fingerprints(
    lines: Iterable[Mapping[str, Any]], roster: Iterable[Mapping[str, Any]], day: str | None = None
) -> dict[int, str]:
    """The fingerprint of each event's box score in one game, by event id, in ascending order.

    `lines` are rows with the `FINGERPRINT_COLUMNS` of a `LINES`, `roster` rows of a `ROSTER`; both in any order. `day`
    is that of a `Game`. One hash is updated event by event, so the time is proportional to the number of events.
    """
    lines = list(lines)
    events = sorted(_event_content(line) for line in lines if line["verdict"] in EVENTS)
    terminators = [_event_content(line) for line in lines if line["verdict"] == Verdict.TERMINATOR]
    roster_part = roster_fingerprint(roster, day)
    digest = hashlib.blake2b(_encoded([FINGERPRINT_VERSION, roster_part]), digest_size=_DIGEST_BYTES)
    found = {}
    for event in events:
        digest.update(_encoded(event))
        found[event[0]] = roster_part + digest.hexdigest()
    if events and terminators:  # the terminator is a part of the latest event's box score only
        digest.update(_encoded(terminators))
        found[events[-1][0]] = roster_part + digest.hexdigest()
    return found


def roster_fingerprint(roster: Iterable[Mapping[str, Any]], day: str | None = None) -> str:
    """The fingerprint of the roster and the day of one game, from rows of a `ROSTER` in any order."""
    encoded = [*sorted(json.dumps(row, sort_keys=True) for row in roster), *([day] if day else [])]
    return hashlib.blake2b(_encoded(encoded), digest_size=_DIGEST_BYTES).hexdigest()


def made_with(fingerprint: str) -> str:
    """The fingerprint of the roster and the day that a box score was made with, from the box score's fingerprint."""
    return fingerprint[: 2 * _DIGEST_BYTES]


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()
