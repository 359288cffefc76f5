"""Report words that the docs do not use: docs/style.md asks for plain English in the field's words.

    python .ci/banned_words.py README.md docs ...        files, or folders with all that is text in them

Prints each line that has such a word, with what to write instead, and ends with exit code 1 if there is one.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = {".md", ".py", ".yaml", ".yml", ".toml", ".ipynb", ".sql"}

# A regular expression, in any case, and what to write instead.
WORDS = {
    r"amiss|will not do\b|dirt\b|dirty\b": "invalid, malformed",
    r"anew": "again",
    r"whoever|whomever": "name the reader or the program",
    r"vouch(es|ed)?": "verify",
    r"comes? of it|came of it": "name the result",
    r"strangers?": "unrostered player",
    r"told|tells of": "reported, logged, recorded",
    r"mend(s|ed|ing)?": "repair, recover",
    r"ways? out": "hint",
    r"last words": "end of the log",
    r"lends? a hand|lent a hand": "intervene",
    r"nth try|tries\b": "attempt, attempts",
    r"(?-i:(?<!former name, )Dagit\b)": "Dagster UI",
}
PATTERNS = [(re.compile(rf"\b(?:{words})", re.IGNORECASE), instead) for words, instead in WORDS.items()]


def files(paths: list[str]) -> Iterator[Path]:
    """All text files among these paths and in these folders, in order."""
    for path in map(Path, paths):
        yield from sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES) if path.is_dir() else [path]


def banned(text: str) -> Iterator[str]:
    """One line for each banned word: its line number, the word, and what to write instead."""
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, instead in PATTERNS:
            for found in pattern.finditer(line):
                yield f"{number}: {found[0]!r} ({instead})"


def main(paths: list[str]) -> int:
    found = [f"{file}:{problem}" for file in files(paths) for problem in banned(file.read_text(encoding="utf-8"))]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
