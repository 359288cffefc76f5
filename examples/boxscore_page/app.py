"""The web application: `MONGODB_URI=mongodb://… uvicorn --factory examples.boxscore_page.app:create_app`."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import anyio
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
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

from .game import Document, Play, is_game, plays, plot, recorded_plays, recorded_timeline, timeline
from .scoreboard import behind, board
from .watcher import BoxScores, Changes, Documents, Latest, Reading, Scoreboard, listen, watch

HERE = Path(__file__).parent
HEARTBEAT_SECONDS = 10  # page.js reconnects after three missing heartbeats
SEND_TIMEOUT_SECONDS = 20  # for a visitor to accept an event
SHUTDOWN_GRACE_SECONDS = 2
DAY_EVENT_SECONDS = 0.5  # between two events of the scoreboard: of a thousand games, dozens change in a second
UNCHANGED_ROW = Markup('<tr id="game-{}" data-unchanged></tr>')  # page.js keeps the row that it has
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
    finalize=lambda value: "" if value is None else value,  # a school's tables may have NULL for a name or a record
)


@dataclass(frozen=True)
class Place:
    """The relative URLs of a page."""

    root: str = ""
    events: str = "events"
    document: str = "boxscore.json"
    in_game_day: bool = False


@dataclass(frozen=True)
class View:
    """The responses for one state of a game, rendered once for all visitors."""

    reading: Reading
    page: bytes
    event: bytes
    document: bytes | None

    @property
    def health(self) -> dict[str, object]:
        return {"event": self.reading.documents[0]["_id"] if self.reading.documents else None}


def view(reading: Reading) -> View:
    """The view of a single game: `reading` has a document per event."""
    game = timeline(reading.documents)
    newest = game[-1] if game else None
    return _render(reading, Place(), newest, newest, plays(game), game)


def view_of_game(game_id: int, reading: Reading) -> View:
    """The view of one game of a game day: `reading` has its document, or none."""
    place = Place("../", f"{game_id}/events", f"{game_id}/boxscore.json", in_game_day=True)
    if not reading.documents:
        return _render(reading, place, None, None, [], [])
    (document,) = reading.documents
    as_of_event = {**document, "_id": document["event"]}
    snapshots = recorded_timeline(document) or [as_of_event]
    return _render(reading, place, document, as_of_event, recorded_plays(document), snapshots)


def _render(
    reading: Reading,
    place: Place,
    document: Document | None,
    game: Document | None,
    done: Sequence[Play],
    snapshots: Sequence[Document],
) -> View:
    drawn = plot(snapshots) if snapshots else None
    content = {"content": "game.html", "place": place, "reading": reading, "game": game, "plays": done, "plot": drawn}
    return View(
        reading,
        page=templates.get_template("page.html").render(content).encode(),
        event=ServerSentEvent(
            templates.get_template("game.html").render(content), id=str(game["_id"]) if game else None
        ).encode(),
        document=_as_json(document) if document else None,
    )


def _as_json(value: object) -> bytes:
    return json.dumps(value, default=_json, ensure_ascii=False).encode()


def _json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    raise TypeError(f"a box score must not contain a {type(value).__name__}")


class DayView:
    """The responses for one state of a game day, rendered once for all visitors, and each game's row once."""

    def __init__(self, reading: Reading, before: "DayView | None" = None) -> None:
        self.reading = reading
        self.board = board(reading.documents)
        self.lines: dict[int, Document] = {}
        self.rows: dict[int, Markup] = {}
        same_format = before is not None and (len(before.board.days) > 1) == (len(self.board.days) > 1)
        for line in reading.documents:
            game_id = line["_id"]
            if before and same_format and before.lines.get(game_id) == line:
                self.lines[game_id], self.rows[game_id] = before.lines[game_id], before.rows[game_id]
            else:
                self.lines[game_id], self.rows[game_id] = line, Markup(self._row(line))  # noqa: S704 (a template's)
        self.page = self._render("page.html", {}).encode()

    def event(self, known: Mapping[int, Markup]) -> bytes:
        """The event for a visitor who has the rows `known`: those that have not changed are not sent again."""
        return ServerSentEvent(self._render("day.html", known)).encode()

    @cached_property
    def document(self) -> bytes:
        return _as_json([*self.board.live, *self.board.final])

    @property
    def health(self) -> dict[str, object]:
        return {"live": len(self.board.live), "final": len(self.board.final)}

    def _row(self, line: Document) -> str:
        late = None if line["final"] else behind(line)
        return templates.get_template("row.html").render(line=line, behind=late, with_day=len(self.board.days) > 1)

    def _render(self, template: str, known: Mapping[int, Markup]) -> str:
        def rows(lines: Sequence[Document]) -> Markup:
            return Markup("").join(
                UNCHANGED_ROW.format(line["_id"])
                if known.get(line["_id"]) is self.rows[line["_id"]]
                else self.rows[line["_id"]]
                for line in lines
            )

        place = Place(document="games.json")
        tables = [("live", "Live", rows(self.board.live)), ("final", "Final", rows(self.board.final))]
        return templates.get_template(template).render(
            content="day.html", place=place, reading=self.reading, board=self.board, tables=tables
        )


class Games:
    """The views of the games of a game day. One query for all visitors of a game, when it has changed."""

    def __init__(self, games: Documents, latest: Latest[DayView]) -> None:
        self._games = games
        self._latest = latest
        self._views: dict[int, tuple[Document, View]] = {}  # each with the line that it is of
        self._locks: dict[int, asyncio.Lock] = {}

    async def view(self, game_id: int) -> View:
        """The current view of the game."""
        reading = self._latest.value.reading
        line = self._latest.value.lines.get(game_id)
        if line is None:
            return view_of_game(game_id, Reading((), reading.at, reading.is_stale))
        async with self._locks.setdefault(game_id, asyncio.Lock()):
            of_line, known = self._views.get(game_id, (None, None))
            if known and of_line == line and known.reading.is_stale == reading.is_stale:
                return known
            documents = known.reading.documents if known and of_line == line else await self._read(game_id)
            if documents is None:
                return known or view_of_game(game_id, Reading((), reading.at, is_stale=True))
            fresh = view_of_game(game_id, Reading(documents, reading.at, reading.is_stale))
            self._views[game_id] = line, fresh
            return fresh

    async def _read(self, game_id: int) -> tuple[Document, ...] | None:
        """None if MongoDB does not respond: the watcher reports that."""
        try:
            document = await self._games.find_one({"_id": game_id})
        except PyMongoError:
            return None
        return (document,) if document and is_game(document) else ()


async def page(request: Request) -> Response:
    """The current page, which works without JavaScript."""
    return _cached(request, request.state.latest.value.page, "text/html")


async def events(request: Request) -> Response:
    """The page's content as server-sent events: once immediately, then at every change."""

    async def stream() -> AsyncIterator[bytes]:
        async for newest in request.state.latest.values():
            yield newest.event

    return _event_stream(request, stream())


async def day_events(request: Request) -> Response:
    """The scoreboard as server-sent events: once immediately, then at changes, with the rows that have changed."""

    async def stream() -> AsyncIterator[bytes]:
        known: Mapping[int, Markup] = {}
        async for newest in request.state.latest.values():
            yield newest.event(known)
            known = newest.rows
            await asyncio.sleep(DAY_EVENT_SECONDS)

    return _event_stream(request, stream())


async def game_events(request: Request) -> Response:
    """The content of a game's page as server-sent events: once immediately, then at every change."""

    async def stream() -> AsyncIterator[bytes]:
        sent = None
        async for _ in request.state.latest.values():
            newest = await request.state.games.view(request.path_params["game_id"])
            if newest.event != sent:
                yield newest.event
                sent = newest.event

    return _event_stream(request, stream())


def _event_stream(request: Request, stream: AsyncIterator[bytes]) -> Response:
    return EventSourceResponse(
        stream,
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(event="alive", data=""),
        send_timeout=SEND_TIMEOUT_SECONDS,
        shutdown_event=request.state.ending,
        shutdown_grace_period=SHUTDOWN_GRACE_SECONDS,
    )


async def document(request: Request) -> Response:
    """The current box score document, or the scoreboard's lines, as JSON with dates in ISO 8601."""
    return _document(request, request.state.latest.value)


async def game_page(request: Request) -> Response:
    """The current page of one game of a game day."""
    newest = await request.state.games.view(request.path_params["game_id"])
    return _cached(request, newest.page, "text/html")


async def game_document(request: Request) -> Response:
    """The document of one game of a game day as JSON."""
    return _document(request, await request.state.games.view(request.path_params["game_id"]))


def _document(request: Request, newest: View | DayView) -> Response:
    if newest.reading.at is None:
        return JSONResponse({"error": "no response from MongoDB yet"}, 503, {"Retry-After": "1"})
    if newest.document is None:
        return JSONResponse({"error": "no box score yet"}, 404, {"Cache-Control": "no-store"})
    return _cached(request, newest.document, "application/json")


async def health(request: Request) -> Response:
    """200 while this process works. The body reports MongoDB's state, which is no reason for a restart."""
    newest = request.state.latest.value
    reading: Reading = newest.reading
    watching = not request.state.watcher.done()
    return JSONResponse(
        {
            "watching": watching,
            "mongodb": "unreachable" if reading.is_stale else "not connected yet" if reading.at is None else "up",
            **newest.health,
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
    """The application, which reads from `MONGODB_URI`: a single game, or the games of a game day.

    `GAMESTREAM_KEY` decides, as in the platform: one that ends with `/` is a game day.

    Raises:
        SystemExit: the address is missing or invalid; the message is one line.
    """
    uri = os.environ.get("MONGODB_URI")
    if not uri:
        raise SystemExit("Error: MONGODB_URI is not set: it must name the MongoDB, such as mongodb://127.0.0.1:27017")
    is_game_day = os.environ.get("GAMESTREAM_KEY", "").endswith("/")
    client = _client(uri)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        changes, ending = Changes(), anyio.Event()
        latest: Latest[Any]
        if is_game_day:
            collection = client["sidearm"]["games"]
            source: BoxScores | Scoreboard = Scoreboard(collection)
            latest = Latest(DayView(Reading()))

            def show(reading: Reading) -> None:
                latest.set(DayView(reading, latest.value))
        else:
            collection = client["sidearm"]["boxscores"]
            source = BoxScores(collection)
            latest = Latest(view(Reading()))

            def show(reading: Reading) -> None:
                latest.set(view(reading))

        watcher = asyncio.create_task(watch(source, changes, show))
        tasks = watcher, asyncio.create_task(listen(collection, changes)), asyncio.create_task(_end(latest, ending))
        async with client:
            yield {"latest": latest, "watcher": watcher, "ending": ending, "games": Games(collection, latest)}
            for task in tasks:
                task.cancel()

    return Starlette(
        routes=[
            *(DAY_ROUTES if is_game_day else GAME_ROUTES),
            Route("/healthz", health),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(WithHeaders)],
        lifespan=lifespan,
    )


GAME_ROUTES = [Route("/", page), Route("/events", events), Route("/boxscore.json", document)]
DAY_ROUTES = [
    Route("/", page),
    Route("/events", day_events),
    Route("/games.json", document),
    Route("/games/{game_id:int}", game_page),
    Route("/games/{game_id:int}/events", game_events),
    Route("/games/{game_id:int}/boxscore.json", game_document),
]


async def _end(latest: Latest[Any], ending: anyio.Event) -> None:
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
