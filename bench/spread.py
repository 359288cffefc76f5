"""The distribution of latencies."""

import statistics
from typing import NamedTuple


class Spread(NamedTuple):
    """The distribution of latencies, in seconds."""

    p50: float
    p95: float
    worst: float
    events: int

    @classmethod
    def of(cls, seconds: list[float]) -> "Spread":
        ordered = sorted(seconds)
        return cls(statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1) + 0.5)], ordered[-1], len(ordered))
