"""What a store says when it cannot be worked with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dagster import Failure


class StoreError(Failure):
    """A store that is down, refuses or lacks something. A run that meets one is tried again (`assets/common.py`)."""

    def __init__(self, store: str, address: str, problem: object, *, allow_retries: bool = True):
        super().__init__(f"{store} at {address}: {problem}", allow_retries=allow_retries)


@contextmanager
def told_as_store_error(
    store: str,
    address: str,
    *errors: type[Exception],
    words: Callable[[Exception], str] = str,
    secret: str | None = None,
) -> Iterator[None]:
    """Turn `errors` of a client library into a `StoreError` of one line, without `secret` should they quote it.

    `words` says what an error means where the library's own words would not do.
    """
    try:
        yield
    except errors as error:
        problem = " ".join(words(error).split()) or type(error).__name__
        if secret:
            problem = problem.replace(secret, "***")
        # Not `from error`: Dagster stores the whole chain, and with it whatever the library put into its message.
        raise StoreError(store, address, problem) from None
