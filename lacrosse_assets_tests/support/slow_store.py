"""An object store in memory with slow writes, for the simulators' pace."""

import time
from threading import Lock
from types import SimpleNamespace
from typing import Any


class SlowStore:
    """Stands in for the S3 client. Records when each object was written, by `clock`, and its content."""

    meta = SimpleNamespace(endpoint_url="http://127.0.0.1:1")

    def __init__(self, seconds: float = 0, clock: Any = time) -> None:
        self.seconds = seconds
        self.clock = clock
        self.writes: dict[str, list[tuple[float, str]]] = {}
        self._lock = Lock()

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803 (boto3's names)
        assert Bucket == "gamestreams"
        with self._lock:
            self.writes.setdefault(Key, []).append((self.clock.monotonic(), Body.decode()))
        self.clock.sleep(self.seconds)
