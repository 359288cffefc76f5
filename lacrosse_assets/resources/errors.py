"""What a store says when it cannot be worked with, and what to do about it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from dagster import Failure


class StoreError(Failure):
    """A store that is down, refuses or lacks something. A run that meets one is tried again (`assets/common.py`)."""

    def __init__(self, store: str, address: str, problem: object):
        super().__init__(f"{store} at {address}: {problem}")


def unreachable_hint(variable: str) -> str:
    """The hint for a store that cannot be reached, and for no other failure; `variable` has the store's address."""
    return f"check that it is running and that {variable} points to it; gamestream_sensor keeps retrying"


@contextmanager
def translate_errors(
    store: str,
    address: str,
    *errors: type[Exception],
    hints: Mapping[str, str] | None = None,
    hint: Callable[[Exception], str | None] = lambda _: None,
    message: Callable[[Exception], str] = str,
    secret: str | None = None,
    unless: type[Exception] | tuple[()] = (),
) -> Iterator[None]:
    """Turn `errors` of a client library, `unless` they are of that kind, into a `StoreError` of one line; without
    `secret`, should they quote it.

    `message` says what went wrong where the library's own words would not do. What to do follows in parentheses:
    `hints` has it by a part of the words, the first that fits; otherwise `hint` may know it by the error's type or
    code. Neither guesses. An error that is not known has no hint: a wrong one sends people the wrong way.
    """
    try:
        yield
    except unless:
        raise
    except errors as error:
        problem = " ".join(message(error).split()) or type(error).__name__
        known = (way_out for said, way_out in (hints or {}).items() if said in problem)
        what_to_do = next(known, None) or hint(error)
        if secret:
            problem = problem.replace(secret, "***")
        # Not `from error`: Dagster stores the whole chain, and with it whatever the library put into its message.
        raise StoreError(store, address, f"{problem} ({what_to_do})" if what_to_do else problem) from None
