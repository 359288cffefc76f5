"""Searches everything that a run stores, logs or prints for secrets, in any encoding.

    password = Secret("the password", "…")
    assert find_secrets([password], in_folder(dagster_home)) == []

A secret contains two long words of letters and digits, separated by special characters. Special characters are escaped
differently everywhere (`%40`, `&amp;`, `\\"`), words are not. So the scanner searches for the words, and finds half a
secret as well.
"""

import base64
import gzip
import json
import re
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.parquet as pq

WORD = re.compile(r"[A-Za-z0-9]{8,}")
SQLITE, PARQUET, GZIP = b"SQLite format 3\0", b"PAR1", b"\x1f\x8b"
POLL_SECONDS = 0.05  # of the command lines


class Secret(NamedTuple):
    """A secret, and its name in a report."""

    name: str
    value: str

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """The encodings of each of its words, with their names."""
        words = WORD.findall(self.value)
        assert len(words) == 2, f"{self.name} must contain two words of at least eight characters"
        for word in words:
            plain = word.encode()
            yield "plain", plain
            yield "UTF-16", word.encode("utf-16-le")
            yield "hexadecimal", plain.hex().encode()
            for shift in range(3):
                # The bytes before and after it change the characters at its ends.
                encoded = base64.b64encode(bytes(shift) + plain).rstrip(b"=")
                yield "base64", encoded[4 if shift else 0 : -1 if (shift + len(plain)) % 3 else None]


class Piece(NamedTuple):
    """Some bytes, and where they are from."""

    where: str
    content: bytes


def find_secrets(secrets: Iterable[Secret], pieces: Iterable[Piece]) -> list[str]:
    """Where a secret was found, and in which encoding. Fails if there was nothing to search."""
    forms = [(secret.name, form, needle.lower()) for secret in secrets for form, needle in secret.forms()]
    found, searched = set(), 0
    for where, content in pieces:
        searched += len(content)
        lower = content.lower()
        found |= {f"{name}, {form}: {where}" for name, form, needle in forms if needle in lower}
    assert searched, "nothing was searched"
    return sorted(found)


def in_folder(folder: Path) -> Iterator[Piece]:
    """Every file below the folder, and the decoded content of databases, tables and compressed files."""
    for file in folder.rglob("*"):
        # A server may be writing in the folder.
        with suppress(FileNotFoundError):
            if file.is_file():
                yield from in_file(file)
        yield Piece("the name of a file", str(file).encode())


def in_file(file: Path) -> Iterator[Piece]:
    """The file's bytes, and its decoded content: the values of a database or table, or the decompressed bytes."""
    content = file.read_bytes()
    yield Piece(str(file), content)
    if content.startswith(SQLITE):
        yield from in_database(file)
    elif content.startswith(PARQUET):
        table = pq.read_table(file)
        yield Piece(f"{file}, its metadata", str(table.schema.metadata).encode())
        yield Piece(f"{file}, its values", str(table.to_pylist()).encode())
    elif content.startswith(GZIP):
        yield Piece(f"{file}, unpacked", gzip.decompress(content))


def in_database(file: Path) -> Iterator[Piece]:
    """Every value of every table, including Dagster's compressed snapshots."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    content = value if isinstance(value, bytes) else str(value).encode()
                    yield Piece(f"{file}, table {table}", content)
                    if isinstance(value, bytes):
                        with suppress(zlib.error):
                            yield Piece(f"{file}, table {table}, unpacked", zlib.decompress(value))


def in_answer(where: str, answer: Any) -> Iterator[Piece]:
    """A response of any type."""
    yield Piece(where, json.dumps(answer, default=str, ensure_ascii=False).encode())


@contextmanager
def command_lines(of: psutil.Process) -> Iterator[list[Piece]]:
    """The command lines of a process and of all its children in the `with` block: every user can read them."""
    seen: set[bytes] = set()
    found: list[Piece] = []
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(POLL_SECONDS):
            with suppress(psutil.Error):
                for process in [of, *of.children(recursive=True)]:
                    with suppress(psutil.Error):
                        seen.add("\0".join(process.cmdline()).encode())

    watcher = threading.Thread(target=poll)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()
        found += [Piece("the command line of a process", line) for line in seen if line]
