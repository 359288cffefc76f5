"""When in a game a fault is injected."""

from enum import Enum


class Phase(Enum):
    """A phase of the game, as the result table names it."""

    BEFORE = "before the first event"
    MIDDLE = "mid-game"
    END = "at the final event"
    DOCUMENT = "between document and tables"
    TABLES = "between teams2 and players2"


EVERY = tuple(Phase)
# All but the transaction that writes both tables.
NOT_IN_TRANSACTION = EVERY[:-1]
# While every part of the platform is busy.
BUSY = (Phase.MIDDLE, Phase.END, Phase.DOCUMENT)
