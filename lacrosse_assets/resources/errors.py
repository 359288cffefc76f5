"""`StoreError`, and the translation of a client library's errors into it. See docs/contract.md, section 6."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import TypeVar

from dagster import Failure

T = TypeVar("T")


class StoreError(Failure):
    """A store is unreachable, refuses a request or lacks something. Assets retry it (`assets/common.py`)."""

    def __init__(self, store: str, address: str, problem: object):
        super().__init__(f"{store} at {address}: {problem}")


def unreachable_hint(variable: str) -> str:
    """The hint for a store that cannot be reached, and for no other failure; `variable` holds the store's address."""
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
    """Translate a client library's `errors` into a `StoreError` of one line.

    Errors of the type `unless` are not translated. `message` extracts the problem from an error. Occurrences of
    `secret` in it are masked.

    The hint follows in parentheses: the first of `hints` whose key is a part of the message, otherwise the result of
    `hint`, which depends on the error's type or code. An unknown error gets no hint: a wrong one would mislead.

    Raises:
        StoreError: one of `errors` was raised in the `with` block.
    """
    try:
        yield
    except unless:
        raise
    except errors as error:
        problem = " ".join(message(error).split()) or type(error).__name__
        matching = (hint_ for part, hint_ in (hints or {}).items() if part in problem)
        what_to_do = next(matching, None) or hint(error)
        if secret:
            problem = problem.replace(secret, "***")
        # Not `from error`: Dagster stores the whole chain, and the library's message may hold a secret.
        raise StoreError(store, address, f"{problem} ({what_to_do})" if what_to_do else problem) from None


def within(seconds: float, store: str, address: Callable[[], str], read: Callable[[], T]) -> T:
    """The result of `read`, within a timeout of `seconds`.

    The clients' own timeouts are those of each piece of a response: a server or a proxy that sends a few bytes every
    few seconds exceeds none of them. A sensor tick has to end before Dagster's timeout, whose error names no store.

    Raises:
        StoreError: there is no result in time.
    """
    result: Future[T] = Future()

    def complete() -> None:
        try:
            result.set_result(read())
        except BaseException as error:
            result.set_exception(error)

    # A daemon thread: it may hang for as long as the server likes, and must not keep the process from exiting.
    Thread(target=complete, daemon=True).start()
    try:
        return result.result(seconds)
    except TimeoutError:
        problem = (
            f"the response is not complete after {seconds:g} s: check the server, and the network or proxy in front of "
            "it; gamestream_sensor keeps retrying"
        )
        raise StoreError(store, address(), problem) from None
