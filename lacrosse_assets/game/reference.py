"""What the reference tables have to hold to be counted with, where their database does not see to it (CONTRACT.md,
section 4)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pyspark.sql.types import DataType, IntegerType, StructType

from lacrosse_assets.game.stream import SHOWN_CHARACTERS


def amiss(
    table: str, rows: Sequence[Mapping[str, Any]], schema: StructType, needed: Collection[str], unique: bool = False
) -> str | None:
    """The first thing in these rows that nothing can be counted with, for a person; None if all is well.

    Every value is of its column's type. NULL may be anywhere but in the columns that are `needed`. With `unique`, no id
    stands twice.
    """
    seen = set()
    for row in rows:
        for field in schema.fields:
            value = row[field.name]
            if value is None and field.name not in needed:
                continue
            if not _fits(value, field.dataType):
                shown = "NULL" if value is None else repr(value)[:SHOWN_CHARACTERS]
                kind = "an integer of 32 bits" if isinstance(field.dataType, IntegerType) else "a text"
                where = ", ".join(f"{column} {row[column]!r}"[:SHOWN_CHARACTERS] for column in ("id", "name"))
                return f"in table {table}, {field.name} is {shown} and has to be {kind} (the row with {where})"
        if unique and row["id"] in seen:
            return f"in table {table}, two rows have the id {row['id']}"
        seen.add(row["id"])
    return None


def _fits(value: Any, kind: DataType) -> bool:
    if isinstance(kind, IntegerType):
        return isinstance(value, int) and -(2**31) <= value < 2**31
    return isinstance(value, str)
