"""Free ports on loopback, reserved until a server listens on them."""

import socket
import sys
from collections.abc import Callable
from random import SystemRandom

LOOPBACK = "127.0.0.1"
ANY_PORT = 0  # no preference
# Below the range that systems use for outgoing connections. One of those could occupy the port of a server that is
# being restarted.
PORT_RANGE = range(10_000, 32_768)

_RANDOM = SystemRandom()
_reserved: set[int] = set()


def free_ports(*preferred: int) -> list[int]:
    """For each preferred port: that port if it is free on loopback, otherwise any free one (`ANY_PORT`: any).

    The ports are reserved for this process. A server takes some seconds to listen, and until then another environment
    that starts on this machine would take the same port for free.
    """
    chosen: list[int] = []
    for port in preferred:
        while not port or port in chosen or not _is_free(port) or not _reserve(port):
            port = _RANDOM.choice([each for each in PORT_RANGE if each not in _reserved])
        chosen.append(port)
    return chosen


def choose_port(name: str, port: int, report: Callable[[str], None]) -> int:
    """The well-known port of the server `name`, or a free one if it is in use, which is reported."""
    (chosen,) = free_ports(port)
    if chosen != port:
        report(f"Port {port} is in use: {name} listens on {chosen} instead.")
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            attempt.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Reserve a port for this process; False if another process has reserved it."""
    if port in _reserved:
        return True
    if sys.platform == "linux":  # abstract socket names: no file, and gone with the process
        with socket.socket(socket.AF_UNIX) as reservation:
            try:
                reservation.bind(f"\0lacrosse-port-{port}")
            except OSError:
                return False
            reservation.detach()  # open until this process ends
    _reserved.add(port)
    return True
