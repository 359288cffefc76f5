"""The keys that join the stream with the reference tables, in one spelling for both sides (CONTRACT.md, section 1).

The stream is text. A school's tables are of any type: `players.number` may be `CHAR(3)`, which pads (`'8  '`), or an
integer; ids may be `DECIMAL` or text. Two systems' values are never compared as they come: each side passes through
the functions of this module first.
"""

import math
import re
from decimal import Decimal
from typing import Any

# What is invisible at either end of a jersey, and so cannot tell two jerseys apart: the blanks of any alphabet, control
# characters (a NUL pads fixed-width fields), and the format characters that have no width (a byte order mark is one).
_INVISIBLE = "".join(
    map(
        chr,
        (
            *(*range(0x21), *range(0x7F, 0xA1), 0xAD, 0x61C, 0x1680, 0x180E, *range(0x2000, 0x2010)),
            *(*range(0x2028, 0x2030), *range(0x205F, 0x2070), 0x3000, 0xFEFF, *range(0xFFF9, 0xFFFC)),
        ),
    )
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


def jersey(text: str) -> str:
    """The jersey that a field of the stream names, without what is invisible around it; `0` and `00` stay two.

    A field that is invisible as a whole stays as it is. It must not become the jersey of a player whose `number` is
    blank.
    """
    return text if text.isalnum() else text.strip(_INVISIBLE) or text


def jersey_of(value: Any) -> Any:
    """The jersey that a value from a database stands for, as the stream would write it: `'8  '` and 8 are `8`.

    A blank value is the empty text, which is no jersey of the stream. Any value that is neither a text nor an integer
    is returned as it is, for the caller to report.
    """
    if isinstance(value, str):
        return value.strip(_INVISIBLE)
    number = integer(value)
    return str(number) if isinstance(number, int) and not isinstance(number, bool) else value


def integer(value: Any) -> Any:
    """The integer that a value from a database stands for: `Decimal('101')`, `101.0` and `'101  '` are 101.

    Any other value is returned as it is, for the caller to report.
    """
    if isinstance(value, str) and _INTEGER.fullmatch(stripped := value.strip(_INVISIBLE)):
        return int(stripped)
    if isinstance(value, Decimal | float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value
