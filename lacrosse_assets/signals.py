"""Signal handling of processes that a script starts in the background. It uses the standard library only.

A shell without job control starts `command &` with SIGINT ignored, and child processes inherit that. `dagster dev`
stops its child processes with SIGINT, and handles SIGTERM in the same way as SIGINT. Then neither stops anything.
"""

import signal
import threading


def end_on_interrupts() -> None:
    """Restore the default of SIGINT and SIGTERM where they are ignored, for this process and its child processes."""
    if threading.current_thread() is not threading.main_thread():
        return  # Python sets handlers in the main thread only
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def pass_interrupts_on() -> None:
    """Let SIGINT stop child processes that are started from now on. This process keeps ignoring it if it does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)  # a new program gets the default in the place of a handler
