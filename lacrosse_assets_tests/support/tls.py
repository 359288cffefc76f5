"""A TLS proxy for servers without TLS, with a certificate of the tests' own authority."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme

LOOPBACK = "127.0.0.1"


class Authority:
    """A certificate authority, and a certificate for loopback or the given names; `file` is the CA certificate."""

    def __init__(self, folder: Path, *names: str):
        self.file = folder / "authority.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.file))
        self._certificate = authority.issue_cert(*names or ("localhost", LOOPBACK))

    def context(self, *protocols: str) -> ssl.SSLContext:
        """A server's context; `protocols` are those of its ALPN, which HTTP/2 requires (`h2`)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate.configure_cert(context)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context


@contextmanager
def tls_in_front_of(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Yields the port of a TLS proxy that forwards to `port`."""
    loop = asyncio.new_event_loop()
    writers: set[asyncio.StreamWriter] = set()

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        writers.add(to_client)
        with suppress(OSError):
            server, to_server = await asyncio.open_connection(LOOPBACK, port)
            writers.add(to_server)
            await asyncio.gather(_forward(client, to_server), _forward(server, to_client))
            writers.remove(to_server)
        to_client.close()
        writers.remove(to_client)

    async def end() -> None:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        loop.call_later(0.1, loop.stop)

    listener = loop.run_until_complete(asyncio.start_server(serve, LOOPBACK, 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop)
        thread.join()
        loop.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # one of them has closed the connection
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
