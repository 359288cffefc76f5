"""A TCP proxy that injects network faults between a client and a server.

Each fault ("toxic") holds for all connections until `restore`: `cut`, `refuse`, `hang`, `slow`, `answer`, `cut_after`,
`break_answers`.
"""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import pack
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


class Proxy:
    """Forwards connections to host and port; `port` is its own on loopback."""

    def __init__(self, host: str, port: int):
        self._server = (host, port)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port = 0
        self._is_cut = False
        self._hanging = threading.Event()
        self._seconds = 0.0
        self._message: bytes | None = None
        self._answered = b""  # a part of the requests that get the message; empty: all
        self._left: int | None = None  # bytes that the server may still send
        self._breaking: tuple[bytes, float, str] | None = None
        self._listener = self._listen()

    def cut(self) -> None:
        """Reset every connection, and each new one."""
        self._is_cut = True
        self._reset_all()

    def refuse(self) -> None:
        """Stop listening: new connections are refused."""
        self._closed(self._listener)
        self._reset_all()

    def hang(self) -> None:
        """Discard all data in both directions, with the connections open: a server that hangs."""
        self._hanging.set()

    def slow(self, seconds: float) -> None:
        """Delay each piece of the server's data."""
        self._seconds = seconds

    def answer(self, message: bytes, request: bytes = b"") -> None:
        """Send this HTTP response instead of the server's, then close the connection.

        To each request, or to those that contain `request`.
        """
        self._answered, self._message = request, message
        if not request:
            self._reset_all()

    def cut_after(self, size: int) -> None:
        """Cut after this many more bytes of the server."""
        self._left = size

    def break_answers(self, request: bytes, *, part: float = 0.5, how: str = "reset") -> None:
        """Truncate the responses to requests that contain `request`: send `part` of the body, then a reset or a `fin`.

        With part 0 the request does not reach the server.
        """
        self._breaking = (request, part, how)

    def restore(self) -> None:
        """Remove all faults. Connections that were cut stay closed; new ones are forwarded."""
        if self._hanging.is_set():
            self._reset_all()  # the discarded data is lost
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
        with suppress(OSError):  # otherwise its thread waits on, and the port stays in use
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
        if self._message is not None and not self._answered:
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
        broken: list[tuple[float, str]] = []  # how to truncate the next response
        upwards = threading.Thread(target=self._forward_requests, args=(client, server, broken), daemon=True)
        upwards.start()
        self._forward_responses(server, client, broken)
        upwards.join()
        with self._lock:
            self._open -= {client, server}
        server.close()
        return client.close()

    def _forward_requests(self, client: socket.socket, server: socket.socket, broken: list[tuple[float, str]]) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._hanging.is_set():
                    continue
                if self._message is not None and self._answered in data:
                    client.sendall(self._message)
                    break
                if self._breaking and self._breaking[0] in data:
                    _, part, how = self._breaking
                    if part == 0:
                        _reset(client)
                        break
                    broken.append((part, how))
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _forward_responses(self, server: socket.socket, client: socket.socket, broken: list[tuple[float, str]]) -> None:
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
                    return self._truncate(server, client, data, *broken.pop())
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        return None

    def _truncate(self, server: socket.socket, client: socket.socket, data: bytes, part: float, how: str) -> None:
        """Send a part of the response whose first piece is `data`, and end the connection."""
        while not (head := re.match(rb".*?\r\n\r\n", data, re.DOTALL)):
            data += server.recv(65536)
        size = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head[0])
        length = int(size[1]) if size else 0
        while len(data) < head.end() + length:
            data += server.recv(65536)
        client.sendall(data[: head.end() + int(part * length)])
        if how == "reset":
            time.sleep(0.05)  # otherwise the reset discards the data sent
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
    """A proxy for the duration of a `with` block."""
    proxy = Proxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()


def _reset(connection: socket.socket) -> None:
    # With a linger time of 0, closing sends RST instead of FIN. The shutdown wakes the reading thread.
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()


def uri_through(uri: str, port: int) -> str:
    """A MongoDB URI with another port on loopback, and the same user and options."""
    parts = urlsplit(uri)
    user, at, _ = parts.netloc.rpartition("@")
    options = "&".join(filter(None, [parts.query, "directConnection=true"]))
    return f"mongodb://{user}{at}127.0.0.1:{port}{parts.path or '/'}?{options}"
