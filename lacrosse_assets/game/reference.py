"""Validating rows of the reference tables, and comparing final tables with them (docs/contract.md, section 4)."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pyspark.sql.types import DataType, LongType, StructType

from lacrosse_assets.game.keys import integer
from lacrosse_assets.game.stream import truncate


def invalid_rows(
    table: str, rows: Iterable[Mapping[str, Any]], schema: StructType, required: Collection[str]
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The rows that have an invalid value, each with an error message for its first one.

    Every value has to be of its column's type. NULL is valid except in the columns of `required`.
    """
    for row in rows:
        for field in schema.fields:
            value = row[field.name]
            if value is None and field.name not in required:
                continue
            if not _fits(value, field.dataType):
                found = "NULL" if value is None else truncate(repr(value))
                expected = "a 64-bit integer" if isinstance(field.dataType, LongType) else "text"
                where = ", ".join(truncate(f"{column} {row[column]!r}") for column in ("id", "name"))
                yield row, f"table {table} has an invalid row ({where}): {field.name} must be {expected} (got {found})"
                break


def first_invalid(
    table: str, rows: Iterable[Mapping[str, Any]], schema: StructType, required: Collection[str]
) -> str | None:
    """The error message of the first of the `invalid_rows`; None if all rows are valid."""
    return next((message for _, message in invalid_rows(table, rows, schema, required)), None)


def repeated_id(table: str, rows: Iterable[Mapping[str, Any]]) -> str | None:
    """An error message for the first `id` that two rows have; None if each has its own."""
    seen = set()
    for row in rows:
        if row["id"] in seen:
            return f"table {table} has two rows with id {row['id']}: id must be unique"
        seen.add(row["id"])
    return None


def _fits(value: Any, data_type: DataType) -> bool:
    if isinstance(data_type, LongType):
        return isinstance(value, int) and -(2**63) <= value < 2**63
    return isinstance(value, str)


class Difference(NamedTuple):
    """A difference between a final table and its expected content; `column` is None where it is the whole row."""

    row: Any
    column: str | None
    expected: Any
    stored: Any


def differences(
    original: Sequence[Mapping[str, Any]],
    stored: Sequence[Mapping[str, Any]],
    key: str,
    added: Mapping[int, Mapping[str, int]],
) -> Iterator[Difference]:
    """The differences between `stored` and `original` plus `added`, by row (matched on the column `key`) and column.

    `added` maps a row's key, as an integer, to what is added to which columns. Everything else has to be equal, in
    value and in type.
    """
    before, after = {row[key]: row for row in original}, _by_key(stored, key)
    for id_ in [*before, *(id_ for id_ in after if id_ not in before)]:
        rows, count = after.get(id_, []), int(id_ in before)
        if len(rows) != count:
            yield Difference(id_, None, f"{count} row", f"{len(rows)} rows")
            continue
        old, new, sums = before[id_], rows[0], added.get(integer(id_), {})
        for column in [*old, *(column for column in new if column not in old)]:
            if column not in old or column not in new:
                yield Difference(id_, column, f"{int(column in old)} column", f"{int(column in new)} columns")
            elif not _is_sum(old[column], sums.get(column, 0), new[column]):
                expected = integer(old[column]) + sums[column] if sums.get(column) else old[column]
                yield Difference(id_, column, expected, new[column])
    for id_ in sorted(added.keys() - set(map(integer, before))):
        yield Difference(id_, None, "1 row, as in the box score", "0 rows, and none in the original")


def _by_key(rows: Sequence[Mapping[str, Any]], key: str) -> dict[Any, list[Mapping[str, Any]]]:
    found: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.get(key), []).append(row)
    return found


def _is_sum(old: Any, added: int, new: Any) -> bool:
    """Whether `new` is `old` plus `added`, and of the same type."""
    if type(old) is not type(new):
        return False
    if added:
        return bool(integer(new) == integer(old) + added)
    return bool(old == new or repr(old) == repr(new))  # a NaN is not equal to itself
