"""When in a game a fault strikes."""

from enum import Enum


class Moment(Enum):
    """A moment of a game, in the words of the result table."""

    BEFORE = "before the first event"
    MIDDLE = "mid-game"
    END = "at the final event"
    DOCUMENT = "between document and tables"
    TABLES = "between teams2 and players2"


EVERY = tuple(Moment)
# All but the inside of the one transaction that writes both tables.
OUTSIDE = EVERY[:-1]
# While there is work for every part of the platform.
BUSY = (Moment.MIDDLE, Moment.END, Moment.DOCUMENT)
