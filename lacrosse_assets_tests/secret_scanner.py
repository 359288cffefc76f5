"""Searches whatever a run leaves behind for secrets, in whichever form it may have taken.

    password = Secret("the password", "…")
    assert find_secrets([password], in_folder(dagster_home)) == []

A secret has two long words of letters and digits in it, with special characters in between. Those are written in
another way wherever it goes (`%40`, `&amp;`, `\\"`), the words are not: so it is the words that are looked for, and
half a secret is found as well.
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
LOOK_EVERY = 0.05  # seconds, at the command lines


class Secret(NamedTuple):
    """A secret, and what it is called in a report."""

    name: str
    value: str

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Each of its words as it may stand in bytes, and how that is called."""
        words = WORD.findall(self.value)
        assert len(words) == 2, f"{self.name}: two words of eight characters or more are wanted"
        for word in words:
            plain = word.encode()
            yield "plain", plain
            yield "UTF-16", word.encode("utf-16-le")
            yield "hexadecimal", plain.hex().encode()
            for shift in range(3):
                # What comes before and after it decides on the characters at its ends.
                encoded = base64.b64encode(bytes(shift) + plain).rstrip(b"=")
                yield "base64", encoded[4 if shift else 0 : -1 if (shift + len(plain)) % 3 else None]


class Piece(NamedTuple):
    """Some bytes, and where they were found."""

    where: str
    content: bytes


def find_secrets(secrets: Iterable[Secret], pieces: Iterable[Piece]) -> list[str]:
    """Where a secret was found, and in which form; an error if there was nothing to be searched."""
    forms = [(secret.name, form, needle.lower()) for secret in secrets for form, needle in secret.forms()]
    found, searched = set(), 0
    for where, content in pieces:
        searched += len(content)
        lower = content.lower()
        found |= {f"{name}, {form}: {where}" for name, form, needle in forms if needle in lower}
    assert searched, "nothing was searched"
    return sorted(found)


def in_folder(folder: Path) -> Iterator[Piece]:
    """Every file below it as it is, and what is in those that keep it in another form."""
    for file in folder.rglob("*"):
        # A server may be at work in there.
        with suppress(FileNotFoundError):
            if file.is_file():
                yield from in_file(file)
        yield Piece("the name of a file", str(file).encode())


def in_file(file: Path) -> Iterator[Piece]:
    """Its bytes, the values of a database (a long one lies in pieces), those of a table, and what is compressed."""
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
    """Every value of every table; Dagster's snapshots among them, which are compressed."""
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
    """What somebody answered, whatever that is made of."""
    yield Piece(where, json.dumps(answer, default=str, ensure_ascii=False).encode())


@contextmanager
def command_lines(of: psutil.Process) -> Iterator[list[Piece]]:
    """The command lines, which everybody on the machine may read, of a process and all that it starts meanwhile."""
    seen: set[bytes] = set()
    found: list[Piece] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_EVERY):
            with suppress(psutil.Error):
                for process in [of, *of.children(recursive=True)]:
                    with suppress(psutil.Error):
                        seen.add("\0".join(process.cmdline()).encode())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()
        found += [Piece("the command line of a process", line) for line in seen if line]
