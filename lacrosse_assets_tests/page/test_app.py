"""The page's HTTP interface: document, ETag, events, health, headers; many visitors and slow ones."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from examples.boxscore_page import bench
from examples.boxscore_page.watcher import Latest
from lacrosse_assets.embedded.boxscore_page import APP, BoxscorePage
from lacrosse_assets.embedded.ports import LOOPBACK
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.page.conftest import GAME, TIMEOUT_SECONDS, Scores, mongodb_server, page_on
from lacrosse_assets_tests.support.waiting import wait_until
from lacrosse_assets_tests.support.world import LIVE, MIDDLE, World, closed_port, new_embedded_world

world = pytest.fixture(new_embedded_world)


@pytest.fixture
def http(page: BoxscorePage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        yield client


def shows(http: httpx.Client, event: int | None) -> bool:
    return bool(http.get("healthz").json()["event"] == event)


@contextmanager
def listening(http: httpx.Client, path: str = "events") -> Iterator[Iterator[str]]:
    """An iterator over the `data` of the page's events."""

    def events(lines: Iterator[str]) -> Iterator[str]:
        data: list[str] = []
        for line in lines:
            if line.startswith("data: "):
                data.append(line.removeprefix("data: "))
            elif not line and any(data):
                yield "\n".join(data)
                data = []

    with http.stream("GET", path) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response.iter_lines())


def next_with(events: Iterator[str], *words: str) -> str:
    """The next event that contains all these words."""
    return next(event for event in events if all(word in event for word in words))


# The document


def test_the_document_is_what_mongodb_has_with_dates_in_iso_8601(http: httpx.Client, scores: Scores) -> None:
    written = scores.write(*GAME[:3])
    wait_until(lambda: shows(http, 2))

    response = http.get("boxscore.json")

    assert response.headers["content-type"] == "application/json"
    dates = {
        name: written["stream"][name].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for name in ("last_modified", "fetched_at")
    }
    assert response.json() == {**written, "stream": {**written["stream"], **dates}}


OTHERS: list[dict[str, Any]] = [
    {"_id": "45", "timestamp": "25:17", "final": False, "home": {"players": []}, "away": {"players": []}},
    {"_id": 45.5, "timestamp": "25:17"},
    {"_id": 99, "note": "an integer id, but no box score"},
    {"_id": 98, "timestamp": "25:17", "final": False, "home": {"players": []}, "away": {"players": []}},
    {"_id": 97, "home": {"players": "all"}, "away": {"players": None}},
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: str(other["_id"]))
def test_documents_of_others_are_not_read(http: httpx.Client, scores: Scores, other: dict[str, Any]) -> None:
    scores.collection.insert_one({**other})
    scores.collection.insert_many([scores.document(GAME[:end]) for end in (1, 2, 3)])
    wait_until(lambda: shows(http, 2))

    assert http.get("boxscore.json").json()["_id"] == 2
    assert http.get("healthz").json()["mongodb"] == "up"


@pytest.mark.parametrize("path", ["/", "/boxscore.json"])
def test_a_known_etag_gives_304(http: httpx.Client, scores: Scores, path: str) -> None:
    scores.write(*GAME[:1])
    wait_until(lambda: shows(http, 0))
    first = http.get(path)
    etag = first.headers["etag"]

    assert first.headers["cache-control"] == "public, max-age=1"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = http.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert http.head(path).headers["etag"] == etag

    scores.write(*GAME[:2])
    wait_until(lambda: shows(http, 1))
    changed = http.get(path, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


def test_no_box_score_yet(http: httpx.Client) -> None:
    response = http.get("boxscore.json")
    assert (response.status_code, response.json()) == (404, {"error": "no box score yet"})
    assert http.get("/").status_code == 200


def test_every_response_has_the_security_headers(http: httpx.Client) -> None:
    for path in ("/", "boxscore.json", "healthz", "static/page.js", "nowhere"):
        policy = http.get(path).headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert http.get(path).headers["x-content-type-options"] == "nosniff"
    assert http.post("/").status_code == 405


# Events


@pytest.mark.parametrize("options", [(), ("--standalone",)], ids=["change streams", "polling"])
def test_every_change_is_sent_as_an_event(tmp_path: Path, options: tuple[str, ...]) -> None:
    with (
        mongodb_server(tmp_path, *options) as uri,
        page_on(uri, tmp_path) as page,
        httpx.Client(base_url=page.url, timeout=TIMEOUT_SECONDS) as http,
        listening(http) as events,
    ):
        scores = Scores(uri)
        next_with(events, "Waiting for the game")
        for end in range(1, len(GAME) - 2):
            written = scores.write(*GAME[:end])
            points = [f">{written[side]['score']}</p>" for side in ("home", "away")]
            next_with(events, written["timestamp"], *points)
        scores.write(*GAME)
        next_with(events, "Final")

        # A replay: the documents above the new one are gone, and the new one is of another play.
        scores.write("0 58:00 205 6 0")
        assert "Goal" not in next_with(events, "58:00", "Live", '">0</p>').partition('id="goals"')[0]
        scores.clear()
        next_with(events, "Waiting for the game")

        # An earlier document is rewritten, and the current one is unchanged.
        scores.play(*GAME[:3])
        next_with(events, "40:00")
        below = scores.collection.find_one_and_delete({"_id": 1})
        next_with(events, "since 59:30")
        scores.collection.insert_one(below or {})
        assert "since 59:30" not in next_with(events, "40:00")
        sam = {"home.players.0.name": "samuel", "stream.fetched_at": datetime(2020, 1, 1, tzinfo=UTC)}
        scores.collection.update_one({"_id": 0}, {"$set": sam})
        next_with(events, "40:00")
        scores.close()


def test_a_late_visitor_gets_the_current_state(http: httpx.Client, scores: Scores) -> None:
    scores.play(*GAME)
    wait_until(lambda: shows(http, 6))
    with listening(http) as events:
        assert "Final" in next(events)


def test_a_document_that_is_no_box_score_is_ignored(http: httpx.Client, scores: Scores) -> None:
    scores.write(*GAME[:3])
    with listening(http) as events:
        next_with(events, "40:00")
        scores.collection.insert_one({"_id": 99, "hello": "<b>world"})
        scores.collection.insert_one(scores.document(GAME[:4]))
        next_with(events, "31:10")
    assert http.get("boxscore.json").json()["_id"] == 3
    assert http.get("healthz").json() == {"watching": True, "mongodb": "up", "event": 3}


def test_the_page_shows_the_documents_of_the_platform(world: World, tmp_path: Path) -> None:
    with page_on(world.environ["MONGODB_URI"], tmp_path) as page, httpx.Client(base_url=page.url) as http:
        world.put(*MIDDLE)
        assert world.materialize(*LIVE).success
        wait_until(lambda: shows(http, 2))
        shown = http.get("boxscore.json").json()
        assert shown["home"]["players"] == world.document()["home"]["players"]
        assert "o&#39;neil; DROP TABLE teams" in http.get("/").text


# Visitors


def test_two_hundred_viewers_all_get_the_newest_state() -> None:
    received = bench.measure((), viewers=200, events=4, pace=0.2)
    assert len(received) == 200
    assert all(3 in viewer for viewer in received)


def test_a_slow_reader_skips_values() -> None:
    async def read() -> list[int]:
        latest = Latest(0)
        slow = latest.values()
        got = [await anext(slow)]
        for value in range(1, 100):
            latest.set(value)
        got.append(await anext(slow))
        latest.set(100)
        got.append(await anext(slow))
        return got

    assert asyncio.run(read()) == [0, 99, 100]


def test_a_blocked_visitor_does_not_delay_the_others(page: BoxscorePage, http: httpx.Client, scores: Scores) -> None:
    blocked = []
    for _ in range(20):
        visitor = socket.socket()
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        visitor.connect((LOOPBACK, urlsplit(page.url).port or 0))
        visitor.sendall(b"GET /events HTTP/1.1\r\nHost: page\r\n\r\n")
        blocked.append(visitor)
    with listening(http) as events:
        for minute in range(59, 29, -1):
            scores.write(f"0 {minute}:00 101 6 1")
            next_with(events, f"{minute}:00")
    for visitor in blocked:
        visitor.close()
    assert http.get("healthz").json()["watching"] is True


# The process


def test_it_stops_on_sigterm_with_open_event_streams(tmp_path: Path) -> None:
    with page_on(f"mongodb://{LOOPBACK}:{closed_port()}", tmp_path) as page, httpx.Client(base_url=page.url) as http:
        with listening(http) as events:
            next(events)
            assert page.process
            page.process.send_signal(signal.SIGTERM)
            assert list(events) == [], "the stream ends cleanly"
        page.process.wait(TIMEOUT_SECONDS)
        log = page.log_file.read_text()
    assert "Application shutdown complete" in log
    assert "ERROR" not in log


def test_without_mongodb_it_starts_and_logs_no_password(tmp_path: Path) -> None:
    password = "s3cr3t-0f-m0ng0db"
    uri = f"mongodb://somebody:{password}@{LOOPBACK}:{closed_port()}/?authSource=admin"
    with page_on(uri, tmp_path) as page, httpx.Client(base_url=page.url) as http:
        with listening(http) as events:
            next_with(events, "The database is unreachable")
        answers = [http.get(path) for path in ("/", "boxscore.json", "healthz")]
        assert [answer.status_code for answer in answers] == [200, 503, 200]
        assert answers[-1].json() == {"watching": True, "mongodb": "unreachable", "event": None}
        output = page.log_file.read_text() + "".join(answer.text for answer in answers)
    assert output.count("Cannot read the box scores; retrying: ServerSelectionTimeoutError") == 1
    assert password not in output
    assert "somebody" not in output


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "mongodb//u:s3cr3t@host",
        "mongodb://u:s3cr3t@host:port",
        "mongodb://u:s3@cr3t@h",
        "mongodb://h/?tlsCAFile=/none",
    ],
)
def test_an_invalid_address_is_an_error_of_one_line(uri: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [Path(sys.executable).parent / "uvicorn", "--app-dir", PROJECT_ROOT, "--port", "0", "--factory", APP],
        env={"PATH": os.environ["PATH"], "MONGODB_URI": uri},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("Error: MONGODB_URI is ")
    assert "s3cr3t" not in line
    assert "cr3t" not in line


def test_a_taken_port_is_reported(tmp_path: Path) -> None:
    log: list[str] = []
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        page = BoxscorePage(tmp_path, "mongodb://localhost", log.append, port, checkout=PROJECT_ROOT)
    assert log == [f"Port {port} is in use: the box score page listens on {urlsplit(page.url).port} instead."]


def test_the_readme_has_the_command_that_starts_it() -> None:
    readme = (PROJECT_ROOT / "examples" / "boxscore_page" / "README.md").read_text()
    assert f"uvicorn --factory {APP}" in readme
