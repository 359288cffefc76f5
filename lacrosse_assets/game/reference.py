"""What the reference tables have to hold to be counted with, where their database does not see to it, and whether the
final tables are those plus the game (docs/contract.md, section 4)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pyspark.sql.types import DataType, IntegerType, StructType

from lacrosse_assets.game.keys import integer
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


class Difference(NamedTuple):
    """A place where a final table is not what it has to be; `column` is None where the whole row is concerned."""

    row: Any
    column: str | None
    expected: Any
    stored: Any


def differences(
    original: Sequence[Mapping[str, Any]],
    stored: Sequence[Mapping[str, Any]],
    key: str,
    game: Mapping[int, Mapping[str, int]],
) -> Iterator[Difference]:
    """Where `stored` is not `original` plus `game`, row by row (found by the column `key`) and column by column.

    `game` has, by the integer that a row's key stands for, what is added to which columns. Everything else has to be
    equal, in value and in type.
    """
    before, after = {row[key]: row for row in original}, _by_key(stored, key)
    for id_ in [*before, *(id_ for id_ in after if id_ not in before)]:
        rows, count = after.get(id_, []), int(id_ in before)
        if len(rows) != count:
            yield Difference(id_, None, f"{count} row", f"{len(rows)} rows")
            continue
        old, new, added = before[id_], rows[0], game.get(integer(id_), {})
        for column in [*old, *(column for column in new if column not in old)]:
            if column not in old or column not in new:
                yield Difference(id_, column, f"{int(column in old)} column", f"{int(column in new)} columns")
            elif not _is_sum(old[column], added.get(column, 0), new[column]):
                expected = integer(old[column]) + added[column] if added.get(column) else old[column]
                yield Difference(id_, column, expected, new[column])
    for id_ in sorted(game.keys() - set(map(integer, before))):
        yield Difference(id_, None, "a row for one who played", "0 rows, and none in the original")


def _by_key(rows: Sequence[Mapping[str, Any]], key: str) -> dict[Any, list[Mapping[str, Any]]]:
    found: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.get(key), []).append(row)
    return found


def _is_sum(old: Any, added: int, new: Any) -> bool:
    """Whether `new` is `old` plus `added`; of the same type as well, as a database has one for both columns."""
    if type(old) is not type(new):
        return False
    if added:
        return bool(integer(new) == integer(old) + added)
    return bool(old == new or repr(old) == repr(new))  # a NaN is not equal to itself
