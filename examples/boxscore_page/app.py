"""The web application: `MONGODB_URI=mongodb://… uvicorn --factory examples.boxscore_page.app:create_app`."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .game import plays, plot, timeline
from .watcher import Latest, Reading, listen, watch

HERE = Path(__file__).parent
HEARTBEAT_SECONDS = 10  # page.js reconnects after three missing heartbeats
SEND_TIMEOUT_SECONDS = 20  # for a visitor to accept an event
SHUTDOWN_GRACE_SECONDS = 2
# Only our own files, and no inline script or style: a name that contains HTML stays text.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class View:
    """The responses for one reading, rendered once for all visitors."""

    reading: Reading
    page: bytes
    event: bytes
    document: bytes | None


def view(reading: Reading) -> View:
    game = timeline(reading.documents)
    newest = game[-1] if game else None
    content = {"reading": reading, "game": newest, "plays": plays(game), "plot": plot(game) if game else None}
    return View(
        reading,
        page=templates.get_template("page.html").render(content).encode(),
        event=ServerSentEvent(
            templates.get_template("game.html").render(content), id=str(newest["_id"]) if newest else None
        ).encode(),
        document=json.dumps(newest, default=_json, ensure_ascii=False).encode() if newest else None,
    )


def _json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    raise TypeError(f"a box score must not contain a {type(value).__name__}")


async def page(request: Request) -> Response:
    """The current page, which works without JavaScript."""
    return _cached(request, request.state.latest.value.page, "text/html")


async def events(request: Request) -> Response:
    """The page's content as server-sent events: once immediately, then at every change."""

    async def stream() -> AsyncIterator[bytes]:
        async for newest in request.state.latest.values():
            yield newest.event

    return EventSourceResponse(
        stream(),
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(event="alive", data=""),
        send_timeout=SEND_TIMEOUT_SECONDS,
        shutdown_event=request.state.ending,
        shutdown_grace_period=SHUTDOWN_GRACE_SECONDS,
    )


async def document(request: Request) -> Response:
    """The current box score document as JSON, with dates in ISO 8601."""
    newest: View = request.state.latest.value
    if newest.document is not None:
        return _cached(request, newest.document, "application/json")
    if newest.reading.at is None:
        return JSONResponse({"error": "no response from MongoDB yet"}, 503, {"Retry-After": "1"})
    return JSONResponse({"error": "no box score yet"}, 404, {"Cache-Control": "no-store"})


async def health(request: Request) -> Response:
    """200 while this process works. The body reports MongoDB's state, which is no reason for a restart."""
    reading: Reading = request.state.latest.value.reading
    watching = not request.state.watcher.done()
    return JSONResponse(
        {
            "watching": watching,
            "mongodb": "unreachable" if reading.is_stale else "not connected yet" if reading.at is None else "up",
            "event": reading.documents[0]["_id"] if reading.documents else None,
        },
        200 if watching else 503,
        {"Cache-Control": "no-store"},
    )


def _cached(request: Request, body: bytes, media_type: str) -> Response:
    """A response that may be cached for one second and is then revalidated; 304 if it is unchanged."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "public, max-age=1"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


class WithHeaders:
    """Middleware that adds `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def create_app() -> Starlette:
    """The application, which reads from `MONGODB_URI`.

    Raises:
        SystemExit: the variable is missing or invalid; the message is one line.
    """
    uri = os.environ.get("MONGODB_URI")
    if not uri:
        raise SystemExit("Error: MONGODB_URI is not set: it must name the MongoDB, such as mongodb://127.0.0.1:27017")

    client = _client(uri)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        boxscores = client["sidearm"]["boxscores"]
        latest, changed, ending = Latest(view(Reading())), asyncio.Event(), anyio.Event()
        watcher = asyncio.create_task(watch(boxscores, changed, lambda reading: latest.set(view(reading))))
        tasks = watcher, asyncio.create_task(listen(boxscores, changed)), asyncio.create_task(_end(latest, ending))
        async with client:
            yield {"latest": latest, "watcher": watcher, "ending": ending}
            for task in tasks:
                task.cancel()

    return Starlette(
        routes=[
            Route("/", page),
            Route("/events", events),
            Route("/boxscore.json", document),
            Route("/healthz", health),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(WithHeaders)],
        lifespan=lifespan,
    )


async def _end(latest: Latest[View], ending: anyio.Event) -> None:
    """End the visitors' streams when the server begins to shut down."""
    await ending.wait()
    latest.end()


def _client(uri: str) -> AsyncMongoClient[dict[str, Any]]:
    try:
        return AsyncMongoClient(
            uri,
            tz_aware=True,
            appname="boxscore_page",
            connect=False,
            serverSelectionTimeoutMS=2_000,
            connectTimeoutMS=2_000,
            socketTimeoutMS=5_000,
        )
    except (PyMongoError, ValueError, OSError) as error:
        # Not the message: it may quote an invalid address, and a password with it.
        raise SystemExit(
            f"Error: MONGODB_URI is not a valid address, such as mongodb://127.0.0.1:27017 ({type(error).__name__})"
        ) from None
