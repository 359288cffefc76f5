"""The box score page as a process, a document store for it, and documents as the platform writes them."""

import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pymongo import MongoClient

from lacrosse_assets.embedded.boxscore_page import BoxscorePage
from lacrosse_assets.embedded.ports import ANY_PORT, LOOPBACK, free_ports
from lacrosse_assets.embedded.services import document_store
from lacrosse_assets.game.document import Document
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.waiting import wait_until
from lacrosse_assets_tests.support.world import PLAYERS, TEAMS, Rows

TIMEOUT_SECONDS = 60  # generous: it only stops what hangs

# Goals of both teams, a miss, and a goal of an unrostered jersey.
GAME = (
    "0 59:30 101 6 1",
    "1 48:00 205 8 0",
    "2 40:00 205 8 1",
    "3 31:10 205 44 1",
    "4 20:00 101 0 1",
    "5 02:15 101 00 1",
    "6 00:00 0 0 0",
    "-1 00:00 0 0 0",
)


class Scores:
    """The collection that the page reads."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._client = MongoClient[Document](uri)
        self.collection = self._client["sidearm"]["boxscores"]

    def clear(self) -> None:
        self.collection.delete_many({})

    def write(self, *lines: str, teams: Rows = TEAMS, players: Rows = PLAYERS) -> Document:
        """Write the box score of a stream of these lines, as a run does."""
        document = self.document(lines, teams, players)
        self.collection.replace_one({"_id": document["_id"]}, document, upsert=True)
        self.collection.delete_many({"_id": {"$gt": document["_id"]}})
        return document

    def play(self, *lines: str, **rows: Rows) -> None:
        """Write the box scores of all events, one after the other."""
        for end, line in enumerate(lines, 1):
            if not line.startswith("-1"):
                self.write(*(lines if end + 1 == len(lines) and lines[-1].startswith("-1") else lines[:end]), **rows)

    @staticmethod
    def document(lines: Sequence[str], teams: Rows = TEAMS, players: Rows = PLAYERS) -> Document:
        """The box score of the contract (docs/contract.md, section 3)."""
        body = "".join(f"{line}\n" for line in lines).encode()
        document = reference_model.game(body, 101, 205, list(map(dict, teams)), list(map(dict, players))).document
        assert document
        now = datetime.now(UTC)
        stamp = {"etag": str(hash(body)), "last_modified": now.replace(microsecond=0)}
        return {**document, "stream": {**stamp, "fetched_at": now.replace(microsecond=now.microsecond // 1000 * 1000)}}

    def close(self) -> None:
        self._client.close()


@contextmanager
def mongodb_server(folder: Path, *options: str) -> Iterator[str]:
    """A document store with MongoDB's protocol. Yields its URI."""
    (port,) = free_ports(ANY_PORT)
    server = document_store(folder, port, *options)
    try:
        server.start()
        server.wait_until_up()
        yield f"mongodb://{LOOPBACK}:{port}"
    finally:
        server.stop()


@contextmanager
def page_on(uri: str, folder: Path, port: int | None = None, gamestream_key: str = "") -> Iterator[BoxscorePage]:
    """A page process that reads from `uri`."""
    port = port or free_ports(ANY_PORT)[0]
    page = BoxscorePage(folder, uri, print, port, checkout=PROJECT_ROOT, gamestream_key=gamestream_key)
    try:
        page.start()
        page.wait_until_up()
        yield page
    finally:
        page.stop()


@pytest.fixture(scope="package")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The document store of these tests."""
    with mongodb_server(tmp_path_factory.mktemp("mongodb")) as uri:
        yield uri


@pytest.fixture(scope="package")
def page_process(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoxscorePage]:
    with page_on(mongodb, tmp_path_factory.mktemp("page")) as page:
        yield page


@pytest.fixture
def scores(mongodb: str) -> Iterator[Scores]:
    """The empty collection."""
    scores = Scores(mongodb)
    scores.clear()
    yield scores
    scores.close()


@pytest.fixture
def page(page_process: BoxscorePage, scores: Scores) -> BoxscorePage:
    """The page, once it shows that there is no box score."""

    def is_waiting() -> bool:
        with urllib.request.urlopen(page_process.url) as answer:
            return b"Waiting for the game" in answer.read()

    wait_until(is_waiting)
    return page_process
