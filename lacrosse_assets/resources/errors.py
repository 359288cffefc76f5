"""What a store says when it cannot be worked with."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from dagster import Failure

ANYTHING = ""  # a part of whatever is said


class StoreError(Failure):
    """A store that is down, refuses or lacks something. A run that meets one is tried again (`assets/common.py`)."""

    def __init__(self, store: str, address: str, problem: object):
        super().__init__(f"{store} at {address}: {problem}")


def is_it_up(variable: str) -> str:
    """The way out where nothing else is known to be amiss; `variable` has the store's address."""
    return f"is it up, and {variable} its address? gamestream_sensor tries again until it answers"


@contextmanager
def told_as_store_error(
    store: str,
    address: str,
    *errors: type[Exception],
    ways_out: Mapping[str, str],
    words: Callable[[Exception], str] = str,
    secret: str | None = None,
    unless: type[Exception] | tuple[()] = (),
) -> Iterator[None]:
    """Turn `errors` of a client library, `unless` they are of that kind, into a `StoreError` of one line; without
    `secret`, should they quote it.

    `words` says what an error means where the library's own words would not do; `ways_out` has what to do, by a part
    of what is said, the first that fits (`ANYTHING` does).
    """
    try:
        yield
    except unless:
        raise
    except errors as error:
        problem = " ".join(words(error).split()) or type(error).__name__
        way_out = next(way_out for said, way_out in ways_out.items() if said in problem)
        if secret:
            problem = problem.replace(secret, "***")
        # Not `from error`: Dagster stores the whole chain, and with it whatever the library put into its message.
        raise StoreError(store, address, f"{problem} ({way_out})") from None
