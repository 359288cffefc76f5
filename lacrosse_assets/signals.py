"""Signals of processes that a script starts in the background. The standard library only.

A shell without job control starts `command &` with SIGINT ignored, and a process passes that on to its children.
Dagster's `dagster dev` stops its children by SIGINT, and gives SIGTERM whatever SIGINT has: then neither ends anything.
"""

import signal
import threading


def end_on_interrupts() -> None:
    """Let SIGINT and SIGTERM end this process, and those that it starts, where they are ignored."""
    if threading.current_thread() is not threading.main_thread():
        return  # Python sets handlers in no other
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def pass_interrupts_on() -> None:
    """Let SIGINT end the processes that this one starts; where this one ignores it, it goes on doing so."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)  # a new program gets the default in the place of a handler
