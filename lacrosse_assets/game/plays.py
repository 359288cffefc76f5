"""The plays of a game: one small entry per event (docs/contract.md, section 10)."""

from collections import deque
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from lacrosse_assets.game.stream import EVENTS, truncate

# A game has a few hundred plays. A stream has no limit, but a document has one (16 MB), and one that exceeds it would
# keep the box scores of all games of its run from being written.
MAX_PLAYS = 50_000
MAX_JERSEY_CHARACTERS = 20


def plays(lines: Iterable[Mapping[str, Any]], home: int) -> list[dict[str, Any]]:
    """The plays of one game in the order of its events, each with both scores after it; the latest `MAX_PLAYS`.

    `lines` are rows of a `LINES` in any order; those that are no event are skipped. `home` is the id of the home team.
    """
    scores = {True: 0, False: 0}
    found: deque[dict[str, Any]] = deque(maxlen=MAX_PLAYS)
    for line in sorted((line for line in lines if line["verdict"] in EVENTS), key=itemgetter("event_id")):
        scores[line["team_id"] == home] += line["goal"] if line["team_id"] else 0
        found.append(
            {
                "event": line["event_id"],
                "clock": line["clock"],
                "team": line["team_id"],
                "jersey": truncate(line["number"], MAX_JERSEY_CHARACTERS),
                "goal": line["goal"],
                "home": scores[True],
                "away": scores[False],
            }
        )
    return list(found)
