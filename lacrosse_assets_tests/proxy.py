"""A TCP proxy that a test lays between a client and a server, to be what a bad line or a bad server is.

Each of its moods holds for every connection until the next one: `restore`, `cut`, `refuse`, `hang`, `slow`, `answer`,
`cut_after`, `break_answers`.
"""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import pack

LOOPBACK = "127.0.0.1"


class Proxy:
    """Forwards what it gets, until it is told otherwise; `port` is where it listens on loopback."""

    def __init__(self, host: str, port: int):
        self._server = (host, port)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port = 0
        self._is_cut = False
        self._hanging = threading.Event()
        self._seconds = 0.0
        self._message: bytes | None = None
        self._left: int | None = None  # bytes that the server may still say
        self._breaking: tuple[bytes, float, str] | None = None
        self._listener = self._listen()

    def cut(self) -> None:
        """Reset every connection, and each new one: the server is gone, in the eyes of its clients."""
        self._is_cut = True
        self._reset_all()

    def refuse(self) -> None:
        """Nobody listens any more: a connection is refused."""
        self._closed(self._listener)
        self._reset_all()

    def hang(self) -> None:
        """Whatever is said goes nowhere, and no answer comes: a server that is stuck, or a line that was cut off."""
        self._hanging.set()

    def slow(self, seconds: float) -> None:
        """Every piece that the server says comes this much later."""
        self._seconds = seconds

    def answer(self, message: bytes) -> None:
        """Somebody else answers in the server's place: one HTTP message to each request, and then good-bye."""
        self._message = message
        self._reset_all()

    def cut_after(self, size: int) -> None:
        """Cut when the server has said this many bytes more."""
        self._left = size

    def break_answers(self, request: bytes, *, part: float = 0.5, how: str = "reset") -> None:
        """Answers to what begins with `request` break off: that part of the body comes, then a reset or an end (`fin`).

        With part 0, the request itself does not reach the server.
        """
        self._breaking = (request, part, how)

    def restore(self) -> None:
        """Forward again. What was cut stays so; new connections come through."""
        if self._hanging.is_set():
            self._reset_all()  # what was said meanwhile is lost
        self._is_cut, self._seconds, self._message, self._left, self._breaking = False, 0.0, None, None, None
        self._hanging.clear()
        if self._listener.fileno() == -1:
            self._listener = self._listen()

    def close(self) -> None:
        self.cut()
        self._closed(self._listener)

    def _listen(self) -> socket.socket:
        listener = socket.create_server((LOOPBACK, self.port))
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _closed(self, listener: socket.socket) -> None:
        with suppress(OSError):  # its thread would wait on, and the port stay taken
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self._is_cut:
            return _reset(client)
        if self._message is not None:
            with suppress(OSError):
                client.recv(65536)
                client.sendall(self._message)
            return client.close()
        try:
            server = socket.create_connection(self._server, timeout=5)
        except OSError:
            return _reset(client)
        server.settimeout(None)
        for connection in (client, server):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open |= {client, server}
        broken: list[tuple[float, str]] = []  # how the next answer breaks off
        upwards = threading.Thread(target=self._say, args=(client, server, broken), daemon=True)
        upwards.start()
        self._answer(server, client, broken)
        upwards.join()
        with self._lock:
            self._open -= {client, server}
        server.close()
        return client.close()

    def _say(self, client: socket.socket, server: socket.socket, broken: list[tuple[float, str]]) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._hanging.is_set():
                    continue
                if self._breaking and self._breaking[0] in data:
                    _, part, how = self._breaking
                    if part == 0:
                        _reset(client)
                        break
                    broken.append((part, how))
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket, broken: list[tuple[float, str]]) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        return self.cut()
                if self._seconds:
                    time.sleep(self._seconds)
                if self._hanging.is_set():
                    continue
                if broken:
                    return self._break_off(server, client, data, *broken.pop())
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        return None

    def _break_off(self, server: socket.socket, client: socket.socket, data: bytes, part: float, how: str) -> None:
        """Send a part of the answer whose first piece is `data`, and end."""
        while not (head := re.match(rb".*?\r\n\r\n", data, re.DOTALL)):
            data += server.recv(65536)
        size = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head[0])
        length = int(size[1]) if size else 0
        while len(data) < head.end() + length:
            data += server.recv(65536)
        client.sendall(data[: head.end() + int(part * length)])
        if how == "reset":
            time.sleep(0.05)  # or what was sent is lost with the reset
            _reset(client)
        else:
            client.close()
        server.close()

    def _reset_all(self) -> None:
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            _reset(connection)


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
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()
