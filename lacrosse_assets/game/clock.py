"""The clock of each event, and whether the game is over with it (docs/contract.md, section 1)."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lacrosse_assets.game.stream import EVENTS, OVER, Verdict


class EventClock(NamedTuple):
    """An event of a game: its id, its clock (`mm:ss`), and whether the game is over with it."""

    event_id: int
    clock: str
    final: bool


def event_clocks(lines: Iterable[Mapping[str, Any]]) -> list[EventClock]:
    """The events of one game, in ascending order. `lines` are rows of a `LINES`, in any order.

    The game is over at an event in two cases:

    1. It is the latest event, and the stream has the terminator, whose clock then counts. At any other event the
       terminator does not count.
    2. Its clock is 00:00, and an event with a lower id has a clock above 00:00: the game has been under way. A row at
       00:00 before the first whistle is a placeholder and does not end the game.

    Later events change nothing: if the game continues after a clock of 00:00, the box score of that event stays final.
    """
    events, terminator_clock = [], None
    for line in lines:
        if line["verdict"] in EVENTS:
            events.append((line["event_id"], line["clock"]))
        elif line["verdict"] == Verdict.TERMINATOR:
            terminator_clock = line["clock"]
    clocks, is_under_way = [], False
    for event_id, clock in sorted(events):
        clocks.append(EventClock(event_id, clock, final=clock == OVER and is_under_way))
        is_under_way = is_under_way or clock != OVER
    if clocks and terminator_clock is not None:
        clocks[-1] = EventClock(clocks[-1].event_id, terminator_clock, final=True)
    return clocks
