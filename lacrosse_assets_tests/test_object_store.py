"""What the platform asks of an S3 server, whichever it is (CONTRACT.md, sections 1 and 5)."""

import hashlib
import threading

import pytest

from lacrosse_assets.resources.object_store import LiveS3, S3ObjectStore
from lacrosse_assets_tests.world import ENDED, MIDDLE, World


@pytest.fixture
def store(world: World) -> S3ObjectStore:
    return world.object_store()


def test_there_is_no_object_yet(store: S3ObjectStore) -> None:
    assert (store.head(), store.get()) == (None, None)


def test_there_is_no_bucket_yet(world: World) -> None:
    store = S3ObjectStore(s3=LiveS3(**world.s3), bucket=f"{world.environ['GAMESTREAM_BUCKET']}-2", key="gamestream.txt")

    assert (store.head(), store.get()) == (None, None)


def test_an_object_that_was_removed_is_no_object(world: World, store: S3ObjectStore) -> None:
    world.put(*MIDDLE)
    world.remove_stream()

    assert (store.head(), store.get()) == (None, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"0 59:30 101 6 1\r\n\xff\x00", bytes(range(256)) * 20_000],
    ids=["empty", "bytes that are no text", "5 MB"],
)
def test_the_bytes_come_back_as_they_were_put(world: World, store: S3ObjectStore, body: bytes) -> None:
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


def test_the_same_stream_played_again_has_the_same_etag_and_another_version(world: World, store: S3ObjectStore) -> None:
    world.put(*ENDED)
    first = store.head()
    world.replay(*ENDED)
    second = store.head()

    assert first is not None
    assert second is not None
    assert first.etag == second.etag
    assert first.key != second.key
    assert first.last_modified < second.last_modified


def test_body_and_version_belong_together_while_others_write(world: World, store: S3ObjectStore) -> None:
    bodies = [bytes([number]) * 300_000 for number in (1, 2)]
    etags = {world.put(body=body): body for body in bodies}
    done = threading.Event()

    def write_on() -> None:
        while not done.is_set():
            for body in bodies:
                world.put(body=body)

    writer = threading.Thread(target=write_on)
    writer.start()
    seen = [store.get() for _ in range(40)]
    done.set()
    writer.join()

    assert all(found and found.body == etags[found.version.etag] for found in seen)
    assert len({hashlib.sha256(found.body).digest() for found in seen if found}) == 2, "one of them was never seen"


@pytest.mark.parametrize("key", ["2026/home game/gamestream.txt", "étoile+%20#?.txt"])
def test_a_key_of_any_name(world: World, key: str) -> None:
    world.environ["GAMESTREAM_KEY"] = key
    etag = world.put(*MIDDLE)

    version = world.object_store().head()

    assert version is not None
    assert version.etag == etag
