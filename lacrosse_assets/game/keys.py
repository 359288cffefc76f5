"""The keys that join the stream with the reference tables, in one spelling for both (docs/contract.md, section 1).

The stream is text. A school's tables are of any type: `players.number` may be `CHAR(3)`, which pads (`'8  '`), or an
integer; ids may be `DECIMAL` or text. Two systems' values are never compared as they come: each side passes through
the functions of this module first.
"""

import math
import re
import unicodedata
from decimal import Decimal
from typing import Any

# The Unicode categories of what is invisible at either end of a jersey, and so cannot tell two jerseys apart: control
# characters (a NUL pads fixed-width fields), format characters (a byte order mark is one) and separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


def jersey(text: str) -> str:
    """The jersey that a field of the stream names, without what is invisible around it; `0` and `00` stay two.

    A field that is invisible as a whole stays as it is. It must not become the jersey of a player whose `number` is
    blank.
    """
    return text if text.isalnum() else _stripped(text) or text


def jersey_of(value: Any) -> Any:
    """The jersey that a value from a database stands for, as the stream would write it: `'8  '` and 8 are `8`.

    A blank value is the empty text, which is no jersey of the stream. Any value that is neither a text nor an integer
    is returned as it is, for the caller to report.
    """
    if isinstance(value, str):
        return _stripped(value)
    number = integer(value)
    return str(number) if isinstance(number, int) and not isinstance(number, bool) else value


def integer(value: Any) -> Any:
    """The integer that a value from a database stands for: `Decimal('101')`, `101.0` and `'101  '` are 101.

    Any other value is returned as it is, for the caller to report.
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
