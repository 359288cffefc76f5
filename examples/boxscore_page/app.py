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
ALIVE_EVERY = 10  # seconds between two signs of life to a visitor; page.js waits for three
GONE_AFTER = 20  # seconds that a visitor may take to accept an event
GRACE = 2  # seconds for the last words to a visitor when the server ends
# Nothing but our own files, and no script or style within the page: a name that looks like one stays a name.
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
    """What visitors are sent of one reading: made once, for all of them."""

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
    raise TypeError(f"{type(value).__name__} has no place in a box score")


async def page(request: Request) -> Response:
    """The page as it is now; it needs no script to be read."""
    return _cached(request, request.state.latest.value.page, "text/html")


async def events(request: Request) -> Response:
    """The page's content as server-sent events: now, and at every change."""

    async def stream() -> AsyncIterator[bytes]:
        async for newest in request.state.latest.values():
            yield newest.event

    return EventSourceResponse(
        stream(),
        ping=ALIVE_EVERY,
        ping_message_factory=lambda: ServerSentEvent(event="alive", data=""),
        send_timeout=GONE_AFTER,
        shutdown_event=request.state.ending,
        shutdown_grace_period=GRACE,
    )


async def document(request: Request) -> Response:
    """The current box score as JSON: the document as it is in MongoDB, dates as ISO 8601."""
    newest: View = request.state.latest.value
    if newest.document is not None:
        return _cached(request, newest.document, "application/json")
    if newest.reading.at is None:
        return JSONResponse({"error": "MongoDB has not answered yet"}, 503, {"Retry-After": "1"})
    return JSONResponse({"error": "there is no box score yet"}, 404, {"Cache-Control": "no-store"})


async def health(request: Request) -> Response:
    """200 while this process does its work; whether MongoDB does its own is in the body, and no reason to restart."""
    reading: Reading = request.state.latest.value.reading
    watching = not request.state.watcher.done()
    return JSONResponse(
        {
            "watching": watching,
            "mongodb": "lost" if reading.lost else "not reached yet" if reading.at is None else "up",
            "event": reading.documents[0]["_id"] if reading.documents else None,
        },
        200 if watching else 503,
        {"Cache-Control": "no-store"},
    )


def _cached(request: Request, body: bytes, media_type: str) -> Response:
    """A response that a browser or a proxy may keep for a second, and then has to ask about; 304 if it is the same."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "public, max-age=1"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


class WithHeaders:
    """Adds `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def create_app() -> Starlette:
    """The application, reading from `MONGODB_URI`; one line and exit code 1 if that will not do."""
    uri = os.environ.get("MONGODB_URI")
    if not uri:
        raise SystemExit("Error: MONGODB_URI is not set: the page reads from there, such as mongodb://127.0.0.1:27017")

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
    """Let the visitors go when the first of their streams hears that the server is about to end."""
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
        # Not its words: an address with a slip in it may still hold a password.
        raise SystemExit(
            f"Error: MONGODB_URI is no address of MongoDB, such as mongodb://127.0.0.1:27017 ({type(error).__name__})"
        ) from None
