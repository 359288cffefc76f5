"""The responses of a SQL Server with `sidearmdb` to this project's statements, for the stand-in in `tds.py`."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from platform import machine
from typing import Any

import sqlglot
from sqlalchemy import URL, Column, MetaData, String, Table
from sqlglot.expressions import Query

from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets.gamestream.reference_data import METADATA
from lacrosse_assets.gamestream.reference_data import UTF8_COLLATION as COLLATION
from lacrosse_assets_tests.support.tds import Done, Response, Rows
from lacrosse_assets_tests.support.world import PLAYERS, TEAMS

EXERCISE_TABLES = METADATA.sorted_tables

# The queries of SQLAlchemy at the first connection, and the responses of SQL Server 2022.
GREETING = {
    "SERVERPROPERTY('ProductVersion')": "16.0.4175.1",
    "schema_name()": "dbo",
    "FROM sys.system_views": "dm_exec_sessions",
    "FROM sys.dm_exec_sessions": "READ COMMITTED",
    "test max support": "test max support",
    "fn_listextendedproperty": "1",
}


class Script:
    """The responses of a server that has these tables. `exceptions`: parts of statements -> their responses.

    All tables are in `schema`; the user's default schema is `default_schema`. `rows` are those of final tables, and of
    teams and players if they differ from those in `world.py`.
    """

    def __init__(
        self,
        *tables: Table,
        exceptions: Mapping[str, Response] | None = None,
        rows: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        schema: str = "dbo",
        default_schema: str = "dbo",
    ):
        self.tables = {table.name: table for table in tables}
        self._known = dict(self.tables)
        self.exceptions = exceptions or {}
        # Nothing is stored: a final table has the rows of its original.
        self.rows = {"players": PLAYERS, "teams": TEAMS, "players2": PLAYERS, "teams2": TEAMS, **(rows or {})}
        self.schema, self.default_schema = schema, default_schema

    def __call__(self, sql: str, parameters: Sequence[Any]) -> Response:
        sql = sql.replace("[sys]", "sys")
        for part, answer in self.exceptions.items():
            if part in sql:
                return answer
        for part, value in GREETING.items():
            if part in sql:
                return Rows([""], [[self.default_schema if part == "schema_name()" else value]])
        if "INFORMATION_SCHEMA" in sql:  # the names of views
            return Rows(["TABLE_NAME"])
        if match := re.match(rf"SELECT \* FROM (?:{self.schema}\.)?(\w+) WHERE 1 = 0", " ".join(sql.split())):
            return Rows(list(self.rows[match[1]][0]))
        if (match := re.search(rf"FROM (?:{self.schema}\.)?(\w+) ORDER BY", sql)) and match[1] in self.rows:
            selected = [each.unalias().name for each in sqlglot.parse_one(sql, read="tsql").assert_is(Query).selects]
            names = sqlglot.parse_one(sql, read="tsql").assert_is(Query).named_selects
            return Rows(names, [[varchar(row[name]) for name in selected] for row in self.rows[match[1]]])
        if match := re.search(r"DROP TABLE (\w+)", sql):
            del self.tables[match[1]]
        if match := re.search(r"CREATE TABLE (\w+)", sql):
            original = self._known.get(FINAL_TABLES.get(match[1], ""))
            if match[1] in self._known:
                self.tables[match[1]] = self._known[match[1]]
            elif original is not None:
                self.tables[match[1]] = copy_of(original, match[1])
        if "OBJECT_ID" in sql:  # the types that SQLAlchemy does not reflect
            names = ["name", "scale", "type_name", "type_schema", "is_user_defined"]
            unusual = [each for each in self.tables["teams"].columns if "type_name" in each.info]
            return Rows(
                names, [[each.name, each.info.get("scale"), each.info["type_name"], "sys", 0] for each in unusual]
            )
        if "sys.objects" not in sql:
            return Done(1)
        # The catalogue. The parameters name the tables; most of the selected columns are NULL.
        columns = sqlglot.parse_one(sql, read="tsql").assert_is(Query).named_selects
        matching = [table for name, table in self.tables.items() if name in parameters and self.schema in parameters]
        found = [row for table in matching for row in catalogue(sql, table)]
        return Rows(columns, [[row.get(column) for column in columns] for row in found])


def copy_of(original: Table, name: str) -> Table:
    """A final table: its original's columns, without foreign keys."""
    columns = [
        Column(each.name, each.type, primary_key=each.primary_key, nullable=each.nullable, info=each.info)
        for each in original.columns
    ]
    return Table(name, MetaData(), *columns)


def varchar(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def catalogue(sql: str, table: Table) -> list[dict[str, Any]]:
    """The rows of the catalogue views in this query, for the table."""
    found: list[dict[str, Any]]
    if "fk_info" in sql:
        found = [
            {
                "constraint_name": "fk",
                "constrained_column": key.parent.name,
                "referred_table_schema": "dbo",
                "referred_table_name": key.column.table.name,
                "referred_column": key.column.name,
            }
            for key in table.foreign_keys
        ]
    elif "sys.key_constraints" in sql:
        found = [{"constraint_name": "pk", "column_name": column.name} for column in table.primary_key]
    elif "sys.index" in sql:
        found = []
    elif "sys.columns" in sql:
        found = [
            {"column_name": column.name, "is_nullable": int(bool(column.nullable)), **type_of(column)}
            for column in table.columns
        ]
    else:
        found = [{"name": table.name}]
    return [{"table_name": table.name, **row} for row in found]


def type_of(column: Column[Any]) -> dict[str, Any]:
    """A column's type as in `sys.columns`. `column.info` overrides it."""
    if "type_name" in column.info:
        return dict(column.info)
    if isinstance(column.type, String):
        return {"type_name": "varchar", "max_length": column.type.length, "collation_name": COLLATION}
    return {"type_name": "int"}


def url(port: int, password: str = "secret", database: str = "sidearmdb", host: str = "127.0.0.1", **query: str) -> str:
    """A SQLAlchemy URL as in SIDEARMDB_URL, percent-encoded."""
    libraries = Path(str(files("mssql_python_odbc"))) / "libs/linux/debian_ubuntu" / machine() / "lib"
    (driver,) = libraries.glob("libmsodbcsql-*")
    parts = URL.create("mssql+pyodbc", "sa", password, host, port, database, {"driver": str(driver), **query})
    return parts.render_as_string(hide_password=False)
