"""Listings and responses as servers, gateways and proxies change them (docs/contract.md, sections 5 and 10)."""

import re
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest

from lacrosse_assets import state_reader
from lacrosse_assets.resources import object_store
from lacrosse_assets.resources.object_store import LiveS3
from lacrosse_assets_tests.support import sql_server
from lacrosse_assets_tests.support.day import Day
from lacrosse_assets_tests.support.proxy import proxy_to
from lacrosse_assets_tests.support.sql_server import EXERCISE_TABLES, Script
from lacrosse_assets_tests.support.tds import NoResponse, TdsServer
from lacrosse_assets_tests.support.world import ENDED, OPENING

# Changes the body and the headers of a response to the operation of this name.
Change = Callable[[str, dict[str, Any]], None]


def changing_responses(change: Change) -> type[LiveS3]:
    """A real client whose responses are changed."""

    class Changed(LiveS3):
        def get_client(self) -> Any:
            client = super().get_client()
            client.meta.events.register(
                "before-parse.s3",
                lambda operation_model, response_dict, **_: change(operation_model.name, response_dict),
            )
            return client

    return Changed


def in_listing(*patterns: str, by: str = "") -> Change:
    def change(operation: str, response: dict[str, Any]) -> None:
        if operation == "ListObjectsV2":
            for pattern in patterns:
                response["body"] = re.sub(pattern.encode(), by.encode(), response["body"])

    return change


def in_others(name: str, value: str | None) -> Change:
    def change(operation: str, response: dict[str, Any]) -> None:
        if operation != "ListObjectsV2" and name in response["headers"]:
            del response["headers"][name]
            if value is not None:
                response["headers"][name] = value

    return change


def both(*changes: Change) -> Change:
    def change(operation: str, response: dict[str, Any]) -> None:
        for each in changes:
            each(operation, response)

    return change


ETAG, SIZE, LAST_MODIFIED = "<ETag>.*?</ETag>", "<Size>.*?</Size>", "<LastModified>.*?</LastModified>"
EMPTY_ETAG = "<ETag>&quot;&quot;</ETag>"
CHANGES = {
    "weak": in_listing('(<ETag>)("|&#34;|&quot;)', by=r"\1W/\2"),
    "no ETag": in_listing(ETAG),
    "an empty ETag": in_listing(ETAG, by=EMPTY_ETAG),
    "no Size": in_listing(SIZE),
    "no ETag and no Size": in_listing(ETAG, SIZE),
    "no ETag and no Size, and none in HEAD and GET": both(in_listing(ETAG, SIZE), in_others("ETag", None)),
    "no LastModified": in_listing(LAST_MODIFIED),
    "an empty ETag everywhere": both(in_listing(ETAG, by=EMPTY_ETAG), in_others("ETag", '""')),
    "another ETag in GET": in_others("ETag", '"always the same"'),
    "no ETag in GET": in_others("ETag", None),
    "no Date": in_others("Date", None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_version_in_a_listing_is_processed_exactly_once(day: Day, change: Change) -> None:
    store = day.object_store(s3=changing_responses(change))
    day.put(18, "0 59:30 205 6 1")
    for lines in (OPENING, ENDED):
        day.put(17, *lines)
        run = day.world.tick_and_run(object_store=store)
        assert run.success
        assert run.checks["boxscore_doc.is_fresh"].passed
    assert day.world.tick_and_run(object_store=store).success
    assert "1 live and 1 final games are up to date" in str(day.world.tick(object_store=store))
    assert day.scores() == {17: (4, 2, 1, True), 18: (0, 1, 0, False)}


def test_an_etag_that_changes_in_every_listing_holds_up_no_other_game(day: Day) -> None:
    numbers = count()

    def another(operation: str, response: dict[str, Any]) -> None:
        if operation == "ListObjectsV2":
            key = rb"(<Key>games/17.txt</Key>.*?<ETag>).*?(</ETag>)"
            response["body"] = re.sub(key, rb'\g<1>"%d"\2' % next(numbers), response["body"])

    store = day.object_store(s3=changing_responses(another))
    day.put(17, *OPENING)
    for _ in range(6):
        decision = day.world.tick(object_store=store)
        if isinstance(decision, str):
            break
        assert day.world.launch(decision, object_store=store).success
    assert re.search(r"succeeded, but its result is not what is stored: attempt \d for ETag \d+ in", str(decision))
    assert day.scores() == {17: (0, 1, 0, False)}

    day.put(18, "0 59:30 205 6 1")
    assert day.world.tick_and_run(object_store=store).success
    assert set(day.scores()) == {17, 18}


def test_a_game_day_on_sql_server(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the schedule, whose dates are text here, to games2. The stand-in stores nothing, so no check can pass."""
    game = {"id": 17, "day": "2026-03-07", "home": 101, "away": 205}
    with TdsServer(Script(*EXERCISE_TABLES, rows={"games": [game]})) as server:
        monkeypatch.setenv("SIDEARMDB_URL", sql_server.url(server.port, Encrypt="no"))
        day.put(17, *ENDED)

        live, finish = day.run_until_idle()

    assert live.success, live.failures
    assert finish.success, finish.failures
    (insert,) = (each for each in server.statements if each.sql.startswith("INSERT INTO games2 "))
    fingerprint = day.documents()[17]["fingerprint"]
    assert insert.parameters == [17, datetime(2026, 3, 7), 101, 205, 2, 1, fingerprint]
    assert insert.in_transaction


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (in_listing("<NextContinuationToken>.*?</NextContinuationToken>"), "a listing ends after 2 objects, although"),
        (in_listing("(?s)^.*$", by="<html><body>Log in</body></html>"), "the response is not that to a listing"),
    ],
    ids=["no token of the next page", "a login page"],
)
def test_a_listing_that_is_none_or_not_all_is_a_skip_that_names_the_store(
    day: Day, monkeypatch: pytest.MonkeyPatch, change: Change, problem: str
) -> None:
    """The games that it did not have seemed to have no stream."""
    monkeypatch.setattr(object_store, "LISTING_PAGE_SIZE", 2)
    for game in (17, 18, 19):
        day.put(game, *OPENING)

    decision = str(day.world.tick(object_store=day.object_store(s3=changing_responses(change))))

    assert decision.startswith("object store at ")
    assert problem in decision


def test_a_schedule_that_never_arrives_is_a_skip_that_names_the_database(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_reader, "REFERENCE_TIMEOUT_SECONDS", 2)
    with TdsServer(Script(exceptions={"FROM games": NoResponse.HANG})) as server:
        monkeypatch.setenv("SIDEARMDB_URL", sql_server.url(server.port, Encrypt="no"))

        decision = str(day.world.tick())

        assert decision.startswith(f"reference database at mssql://127.0.0.1:{server.port}/sidearmdb: ")
        assert "the response is not complete after 2 s" in decision


@pytest.mark.parametrize("how", ["reset", "fin"])
def test_a_listing_that_breaks_off_is_a_skip_that_names_the_store(
    day: Day, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    day.put(17, *OPENING)
    server = urlsplit(day.world.environ["AWS_ENDPOINT_URL_S3"])
    with proxy_to(str(server.hostname), int(server.port or 0)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server._replace(netloc=f"127.0.0.1:{proxy.port}").geturl())
        proxy.break_answers(b"list-type=2", how=how)

        assert str(day.world.tick()).startswith(f"object store at http://127.0.0.1:{proxy.port} (s3://")

        proxy.restore()
        assert day.world.tick_and_run().success


def test_a_listing_that_arrives_piece_by_piece_is_a_skip_that_names_the_store(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No piece takes longer than a timeout of the client, but all of them longer than a sensor tick may."""
    monkeypatch.setattr(object_store, "VERSIONS_TIMEOUT_SECONDS", 2)
    monkeypatch.setattr(object_store, "LISTING_PAGE_SIZE", 1)
    for number in range(1, 9):
        day.put(number, *OPENING)
    server = urlsplit(day.world.environ["AWS_ENDPOINT_URL_S3"])
    with proxy_to(str(server.hostname), int(server.port or 0)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server._replace(netloc=f"127.0.0.1:{proxy.port}").geturl())
        proxy.slow(1)

        decision = str(day.world.tick())

        assert decision.startswith(f"object store at http://127.0.0.1:{proxy.port} (s3://")
        assert "the response is not complete after 2 s" in decision
