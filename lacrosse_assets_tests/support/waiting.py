"""Waiting for another process: the one polling loop of the tests."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

TIMEOUT_SECONDS = 90  # generous: it only ends a test that hangs


def wait_until(
    condition: Callable[[], Answer | None],
    what: str | Callable[[], str] = "the condition",
    *,
    timeout: float = TIMEOUT_SECONDS,
    every: float = 0.05,
    check: Callable[[], object] = lambda: None,
) -> Answer:
    """Poll until the condition is true. Returns what it returned.

    `what`: what is waited for, for the error; a function is called when the time is up. `check` is called before each
    poll but the first; it raises where waiting longer is in vain, because a process has ended.

    Raises:
        TimeoutError: `timeout` seconds are over.
    """
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what if isinstance(what, str) else what()}: not met after {timeout:g} s")
        check()
        time.sleep(every)
    return answer
