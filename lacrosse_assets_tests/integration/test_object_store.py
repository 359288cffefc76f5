"""The platform's requirements of any S3 server (docs/contract.md, sections 1 and 5)."""

import gzip
import re
import threading
from collections.abc import Callable, MutableMapping
from itertools import count
from typing import Any

import boto3
import pytest

from lacrosse_assets.resources.object_store import LiveS3, S3ObjectStore
from lacrosse_assets_tests.support.world import ENDED, MIDDLE, OPENING, World


@pytest.fixture
def store(world: World) -> S3ObjectStore:
    return world.object_store()


def test_a_missing_object(store: S3ObjectStore) -> None:
    assert (store.head(), store.get()) == (None, None)


def test_a_missing_bucket(world: World) -> None:
    store = S3ObjectStore(s3=LiveS3(**world.s3), bucket=f"{world.environ['GAMESTREAM_BUCKET']}-2", key="gamestream.txt")

    assert (store.head(), store.get()) == (None, None)


def test_a_removed_object(world: World, store: S3ObjectStore) -> None:
    world.put(*MIDDLE)
    world.remove_stream()

    assert (store.head(), store.get()) == (None, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"0 59:30 101 6 1\r\n\xff\x00", bytes(range(256)) * 20_000],
    ids=["empty", "binary", "5 MB"],
)
def test_bytes_are_read_as_they_were_written(world: World, store: S3ObjectStore, body: bytes) -> None:
    etag = world.put(body=body)

    found = store.get()

    assert found is not None
    assert found.body == body
    assert found.version == store.head()
    assert (found.version.etag, found.version.size) == (etag, len(body))


def test_a_put_is_seen_by_the_next_head_and_the_next_get(world: World, store: S3ObjectStore) -> None:
    for number in range(30):
        body = f"{number} 59:30 101 6 1\n".encode()
        etag = world.put(body=body)

        version, found = store.head(), store.get()

        assert version is not None
        assert found is not None
        assert (version.etag, found.version.etag, found.body) == (etag, etag, body)


def test_a_replay_has_the_same_etags_and_other_versions(world: World, store: S3ObjectStore) -> None:
    world.put(*ENDED)
    first = store.head()
    world.replay(*ENDED)
    second = store.head()

    assert first is not None
    assert second is not None
    assert first.etag == second.etag
    assert first.key != second.key
    assert first.last_modified < second.last_modified


def put(client: Any, where: dict[str, str]) -> None:
    client.put_object(**where, Body=b"0 59:30 101 6 1\n")


def put_twice(client: Any, where: dict[str, str]) -> None:
    put(client, where)
    client.put_object(**where, Body=b"0 59:30 101 6 1\n1 40:00 205 8 1\n")


def put_in_parts(client: Any, where: dict[str, str]) -> None:
    """As a client writes a large object. Its ETag is not the MD5 of the body."""
    upload = {**where, "UploadId": client.create_multipart_upload(**where)["UploadId"]}
    parts = [
        {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=body)["ETag"]}
        for number, body in ((1, b"0 59:30 101 6 1\n" * 400_000), (2, b"1 40:00 205 8 1\n"))
    ]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


@pytest.mark.parametrize("write", [put, put_twice, put_in_parts], ids=lambda write: write.__name__)
def test_a_listing_reports_the_version_that_head_and_get_report(
    world: World, write: Callable[[Any, dict[str, str]], None]
) -> None:
    """On a game day, one listing finds the games that have changed, and a GET reads each of them.

    A listing has milliseconds, where an HTTP header has whole seconds.
    """
    client, bucket = boto3.client("s3", **world.s3), world.environ["GAMESTREAM_BUCKET"]
    for key in ("games/1.txt", "games/2.txt"):
        write(client, {"Bucket": bucket, "Key": key})

    for entry in client.list_objects_v2(Bucket=bucket, Prefix="games/")["Contents"]:
        where = {"Bucket": bucket, "Key": entry["Key"]}
        for response in (client.head_object(**where), client.get_object(**where)):
            assert entry["ETag"] == response["ETag"]
            assert entry["LastModified"].replace(microsecond=0) == response["LastModified"]
            assert entry["Size"] == response["ContentLength"]


def test_a_listing_of_several_pages_has_each_object_once(world: World) -> None:
    client, bucket = boto3.client("s3", **world.s3), world.environ["GAMESTREAM_BUCKET"]
    keys = [f"games/{number}.txt" for number in range(1, 12)]
    for key in (*keys, "games.txt", "gamestream.txt", "games2/1.txt"):
        put(client, {"Bucket": bucket, "Key": key})

    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix="games/", PaginationConfig={"PageSize": 2}
    )

    assert [entry["Key"] for page in pages for entry in page["Contents"]] == sorted(keys)


def test_body_and_version_match_during_concurrent_writes(world: World, store: S3ObjectStore) -> None:
    """No content is written twice, as in a game: within a second it would be the same version."""
    done = threading.Event()
    written: dict[str, int] = {}

    def content(number: int) -> bytes:
        return number.to_bytes(2, "big") * 150_000

    def write_on() -> None:
        for number in count(1):
            written[world.put(body=content(number))] = number
            if done.is_set():
                return

    written[world.put(body=content(0))] = 0
    writer = threading.Thread(target=write_on)
    writer.start()
    seen = [store.get() for _ in range(40)]
    done.set()
    writer.join()

    assert all(found and found.body == content(written[found.version.etag]) for found in seen)
    assert len({found.version.etag for found in seen if found}) > 1, "several contents were read"


@pytest.mark.parametrize("key", ["2026/home game/gamestream.txt", "étoile+%20#?.txt"])
def test_a_key_with_special_characters(world: World, key: str) -> None:
    world.environ["GAMESTREAM_KEY"] = key
    etag = world.put(*MIDDLE)

    version = world.object_store().head()

    assert version is not None
    assert version.etag == etag


# Headers as servers, gateways and proxies change them.

Headers = MutableMapping[str, str]


def changing_headers(change: Callable[[str, Headers], None]) -> type[LiveS3]:
    """A real client; `change` modifies the headers of each response, given the operation's name."""

    class Changed(LiveS3):
        def get_client(self) -> Any:
            client = super().get_client()
            client.meta.events.register(
                "before-parse.s3",
                lambda operation_model, response_dict, **_: change(operation_model.name, response_dict["headers"]),
            )
            return client

    return Changed


def weak_in_head(operation: str, headers: Headers) -> None:
    if operation == "HeadObject" and "ETag" in headers:
        headers["ETag"] = f"W/{headers['ETag']}"


def weak_in_get(operation: str, headers: Headers) -> None:
    if operation == "GetObject" and "ETag" in headers:
        headers["ETag"] = f"W/{headers['ETag']}"


def another_in_get(operation: str, headers: Headers) -> None:
    if operation == "GetObject" and "ETag" in headers:
        headers["ETag"] = f'"{headers["ETag"][1:-1]}-gzip"'


def without(name: str, *operations: str) -> Callable[[str, Headers], None]:
    def change(operation: str, headers: Headers) -> None:
        if operation in operations and name in headers:
            del headers[name]

    return change


def of_many_parts(_: str, headers: Headers) -> None:
    if "ETag" in headers:
        headers["ETag"] = f'"{headers["ETag"][1:-1]}-17"'


def without_quotes(_: str, headers: Headers) -> None:
    if "ETag" in headers:
        headers["ETag"] = f"{headers['ETag'][1:-1]} of the gateway"


def empty_etag(_: str, headers: Headers) -> None:
    if "ETag" in headers:
        headers["ETag"] = '""'


CHANGES = {
    "weak in HEAD": weak_in_head,
    "weak in GET": weak_in_get,
    "another in GET": another_in_get,
    "of many parts": of_many_parts,
    "without quotes": without_quotes,
    "no ETag in HEAD": without("ETag", "HeadObject"),
    "no ETag in GET": without("ETag", "GetObject"),
    "no ETag": without("ETag", "HeadObject", "GetObject"),
    "an empty ETag": empty_etag,
    "no length in HEAD": without("Content-Length", "HeadObject"),
    "no date": without("Date", "HeadObject", "GetObject"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_etag_is_opaque(world: World, change: Callable[[str, Headers], None]) -> None:
    """Each version is processed exactly once, up to the end of the game."""
    s3 = changing_headers(change)
    store = world.object_store(s3=s3)
    for lines in (OPENING, MIDDLE):
        world.put(*lines)
        fetched = store.get()
        assert fetched is not None
        assert fetched.version == store.head()

        run = world.tick_and_run(object_store=store)

        assert run.success
        assert "waiting for the next event" in str(world.tick(object_store=store))
        assert run.checks["boxscore_doc.is_fresh"].passed
    world.put(*ENDED)
    assert world.tick_and_run(object_store=store).success
    assert world.tick_and_run(object_store=store).success
    assert "waiting for a new game" in str(world.tick(object_store=store))
    assert world.table("teams2")


@pytest.mark.parametrize("change", ["no ETag", "an empty ETag"])
def test_without_an_etag_two_changes_in_a_second_are_two_versions(world: World, change: str) -> None:
    store = world.object_store(s3=changing_headers(CHANGES[change]))
    seen = set()
    for number in range(5):
        world.put(f"0 59:3{number} 101 6 1")
        version = store.head()
        assert version is not None
        seen.add(version.key)

    assert len(seen) == 5


def test_an_etag_that_changes_at_every_request_does_not_launch_endless_runs(world: World) -> None:
    numbers = count()

    def another(_: str, headers: Headers) -> None:
        if "ETag" in headers:
            headers["ETag"] = f'"{next(numbers)}"'

    store = world.object_store(s3=changing_headers(another))
    world.put(*OPENING)
    for _ in range(6):
        decision = world.tick(object_store=store)
        if isinstance(decision, str):
            break
        assert world.launch(decision, object_store=store).success

    assert re.search(
        r"succeeded, but its result is not what is stored: attempt \d for ETag \d+ in \d+ s", str(decision)
    )
    assert world.document()["home"]["score"] == 1


def test_a_missing_last_modified_header_is_an_error(world: World) -> None:
    store = world.object_store(s3=changing_headers(without("Last-Modified", "HeadObject", "GetObject")))
    world.put(*OPENING)

    assert "responses have no Last-Modified header" in str(world.tick(object_store=store))


# Compressed streams.


@pytest.mark.parametrize("headers", [{"ContentEncoding": "gzip"}, {}], ids=["with the header", "without it"])
def test_a_gzip_stream_is_read(world: World, headers: dict[str, str]) -> None:
    world.put(body=gzip.compress("".join(f"{line}\n" for line in ENDED).encode()), **headers)

    assert world.tick_and_run().success

    assert (world.document()["_id"], world.document()["final"]) == (4, True)


def test_a_wrong_content_encoding_is_ignored(world: World) -> None:
    """Some stores keep the `aws-chunked` of an upload; some producers put their character set into the header."""
    for encoding in ("gzip", "aws-chunked", "utf-8"):
        world.put(*OPENING, ContentEncoding=encoding)
        fetched = world.object_store().get()
        assert fetched is not None
        assert fetched.body == b"0 59:30 101 6 1\n"


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (gzip.compress(b"0 59:30 101 6 1\n" * 99)[:-20], "gzip", "gzip that cannot be decompressed"),
        (b"\x1f\x8b no gzip", "", "gzip that cannot be decompressed"),
        (b"\x0b\x02\x80text\x03", "br", "Content-Encoding br:"),
    ],
    ids=["truncated", "not gzip", "brotli"],
)
def test_a_stream_that_cannot_be_decompressed_is_an_error(
    world: World, body: bytes, encoding: str, reason: str
) -> None:
    world.put(body=body, ContentEncoding=encoding)

    run = world.materialize("raw_gamestream")

    assert reason in run.failure
    assert run.failure.endswith("store it as plain text or as gzip")
    assert not run.retries
