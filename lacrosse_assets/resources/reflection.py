"""Tables and views as the database describes them: their schema, columns, types and rows.

What belongs here: what SQLAlchemy's reflection lacks for copying a table of SQLite or SQL Server. What does not: the
names of tables, and the columns of the original exercise.

SQLAlchemy is imported lazily, as in all resources.
"""

import re
import warnings
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Table
    from sqlalchemy.types import TypeEngine


def schema_of(connection: "Connection", name: str) -> str | None:
    """The schema in which SQL Server finds an unqualified table; None for the user's default schema."""
    from sqlalchemy import inspect

    if connection.dialect.name != "mssql" or connection.dialect.default_schema_name == "dbo":
        return None
    inspector = inspect(connection)
    return "dbo" if not inspector.has_table(name) and inspector.has_table(name, "dbo") else None


def reflected_if_exists(connection: "Connection", name: str, schema: str | None) -> "Table | None":
    """The same as `reflected`; None if there is no such table or view."""
    from sqlalchemy import inspect

    return reflected(connection, name, schema) if inspect(connection).has_table(name, schema) else None


def reflected(connection: "Connection", name: str, schema: str | None) -> "Table":
    """The table or view as the database describes it, with its declared types."""
    from sqlalchemy import MetaData, Table
    from sqlalchemy.exc import SAWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Did not recognize type", SAWarning)
        table = Table(name, MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
    # SQLite keeps a type's name as it was written (`int` is not `INTEGER`); SQLAlchemy does not.
    declared = {"sqlite": _declared_in_sqlite, "mssql": _declared_in_sql_server}.get(connection.dialect.name)
    for column, type_ in (declared(connection, table) if declared else {}).items():
        table.columns[column].type = type_
    return table


def read_rows(connection: "Connection", table: "Table", key: str) -> list[dict[str, Any]]:
    """All rows by the column `key`, with the driver's values: SQLAlchemy's types would reject some of SQLite's."""
    from sqlalchemy import cast, column, select
    from sqlalchemy import table as named
    from sqlalchemy.dialects.mssql import VARBINARY

    columns = [
        # ODBC cannot read SQL Server's geometry and the like.
        cast(column(each.name), VARBINARY("max")).label(each.name)
        if getattr(each.type, "is_opaque", False)
        else column(each.name)
        for each in table.columns
    ]
    found = connection.execute(
        select(*columns).select_from(named(table.name, schema=table.schema)).order_by(column(key))
    )
    return [dict(row) for row in found.mappings()]


def shape(table: "Table", like: "Table") -> tuple[Any, ...]:
    """What must be equal for an existing final table to be refilled instead of recreated.

    Without the collation of a column that has none in `like`: the database then chooses it.
    """
    columns = [
        (
            column.name,
            _type_of(column, with_collation=bool(_collation_of(like.columns.get(column.name)))),
            column.nullable,
            column.primary_key,
            column.identity is None and column.computed is None,
        )
        for column in table.columns
    ]
    return columns, len(table.foreign_key_constraints)


@cache
def _declared() -> "Callable[..., TypeEngine[Any]]":
    """A class of column types that are defined by their name in the database."""
    from sqlalchemy.types import UserDefinedType

    class Declared(UserDefinedType[Any]):
        cache_ok = True

        def __init__(self, name: str, is_opaque: bool = False):
            self.name, self.is_opaque = name, is_opaque

        def get_col_spec(self, **_: Any) -> str:
            return self.name

    return Declared


def _declared_in_sqlite(connection: "Connection", table: "Table") -> "dict[str, TypeEngine[Any]]":
    found = connection.exec_driver_sql("SELECT name, type, hidden FROM pragma_table_xinfo(?)", (table.name,))
    # SQLite appends "generated always" to the type of a generated column.
    return {
        each.name: _declared()(re.sub(r"(?i)\s*\bgenerated always$", "", each.type) if each.hidden else each.type)
        for each in found
        if each.name in table.columns
    }


def _declared_in_sql_server(connection: "Connection", table: "Table") -> "dict[str, TypeEngine[Any]]":
    """The types that SQLAlchemy does not reflect: times with their precision, geometry, hierarchyid."""
    from sqlalchemy import text
    from sqlalchemy.dialects.mssql import DATETIME2, DATETIMEOFFSET, TIME
    from sqlalchemy.types import NullType

    partly_known = {each.name for each in table.columns if isinstance(each.type, DATETIME2 | DATETIMEOFFSET | TIME)}
    unknown = {each.name for each in table.columns if isinstance(each.type, NullType)}
    if not partly_known | unknown:
        return {}
    preparer = connection.dialect.identifier_preparer
    found = connection.execute(
        text(
            "SELECT c.name, c.scale, t.name AS type_name, s.name AS type_schema, t.is_user_defined"
            " FROM sys.columns AS c JOIN sys.types AS t ON t.user_type_id = c.user_type_id"
            " JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE c.object_id = OBJECT_ID(:table_name)"
        ),
        {"table_name": preparer.format_table(table)},
    )
    declared: dict[str, TypeEngine[Any]] = {}
    for each in found:
        own = f"{preparer.quote(each.type_schema)}." if each.is_user_defined else ""
        if each.name in unknown:
            declared[each.name] = _declared()(own + preparer.quote(each.type_name), is_opaque=True)
        elif each.name in partly_known:
            declared[each.name] = type(table.columns[each.name].type)(precision=each.scale)
    return declared


def _type_of(column: "Column[Any]", with_collation: bool) -> str:
    name, collation = str(column.type), _collation_of(column)
    return (name if with_collation or not collation else name.partition(" COLLATE ")[0]).upper()


def _collation_of(column: "Column[Any] | None") -> str | None:
    return getattr(column.type, "collation", None) if column is not None else None
