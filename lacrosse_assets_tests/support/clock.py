"""A simulated clock: time passes when somebody sleeps, and at no other time."""


class SimulatedClock:
    """Stands in for the module `time`, and for the `threading.Event` that one thread waits on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def wait(self, seconds: float) -> bool:
        """As of an event that nobody sets."""
        self.sleep(seconds)
        return False

    def set(self) -> None:
        """As of an event that nobody waits on any longer."""
