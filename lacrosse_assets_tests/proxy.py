"""A TCP proxy that a test lays between a client and a server, to take the line away in the middle of a sentence."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import pack


class Proxy:
    """Forwards what it gets, until it is cut; `port` is where it listens on loopback."""

    def __init__(self, host: str, port: int):
        self._server = (host, port)
        self._open: list[socket.socket] = []
        self._is_cut = threading.Event()
        self._left: int | None = None  # bytes that the server may still say
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, and each new one: the server is gone, in the eyes of its clients."""
        self._is_cut.set()
        for connection in self._open:
            _reset(connection)
        self._open.clear()

    def cut_after(self, size: int) -> None:
        """Cut when the server has said this many bytes more."""
        self._left = size

    def restore(self) -> None:
        """Forward again."""
        self._left = None
        self._is_cut.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                if self._is_cut.is_set():
                    _reset(client)
                    continue
                server = socket.create_connection(self._server)
                self._open += (client, server)
                for source, target, count in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._forward, args=(source, target, count), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, count: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if count and self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        return self.cut()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        return None


@contextmanager
def proxy_to(host: str, port: int) -> Iterator[Proxy]:
    """A proxy for the time of a `with`."""
    proxy = Proxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()


def _reset(connection: socket.socket) -> None:
    # Closed with no time to linger, a connection ends in RST, not in a farewell. The shutdown wakes its reader.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    connection.close()
