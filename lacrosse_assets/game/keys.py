"""The keys that join the stream with the reference tables, normalized to one spelling (docs/contract.md, section 1).

The stream is text. A school's tables may have any column types: `players.number` may be `CHAR(3)`, which pads
(`'8  '`), or an integer; ids may be `DECIMAL` or text. So values of the two systems are never compared directly: both
sides are normalized by the functions of this module first.
"""

import math
import re
import unicodedata
from decimal import Decimal
from typing import Any

# The Unicode categories of invisible characters: control characters (a NUL pads fixed-width fields), format characters
# (such as a byte order mark) and separators. At either end of a jersey they do not count.
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


def jersey(text: str) -> str:
    """Normalize a jersey of the stream: without invisible characters at either end. `0` and `00` stay two jerseys.

    A field that is invisible as a whole stays as it is. It must not become the jersey of a player whose `number` is
    blank.
    """
    return text if text.isalnum() else _stripped(text) or text


def jersey_of(value: Any) -> Any:
    """Normalize a jersey from a database to the stream's spelling: `'8  '` and 8 become `'8'`.

    A blank value becomes the empty text, which is no jersey of the stream. A value that is neither text nor an integer
    is returned unchanged, for the caller to report.
    """
    if isinstance(value, str):
        return _stripped(value)
    number = integer(value)
    return str(number) if isinstance(number, int) and not isinstance(number, bool) else value


def integer(value: Any) -> Any:
    """Normalize an integer from a database: `Decimal('101')`, `101.0` and `'101  '` become 101.

    Any other value is returned unchanged, for the caller to report.
    """
    if isinstance(value, str) and _INTEGER.fullmatch(stripped := _stripped(value)):
        return int(stripped)
    if isinstance(value, Decimal | float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value


def _stripped(text: str) -> str:
    start, end = 0, len(text)
    while start < end and unicodedata.category(text[start]) in _INVISIBLE:
        start += 1
    while start < end and unicodedata.category(text[end - 1]) in _INVISIBLE:
        end -= 1
    return text[start:end]
