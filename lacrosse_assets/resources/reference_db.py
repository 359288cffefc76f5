"""The reference database `sidearmdb`: reads `teams` and `players`, replaces `teams2` and `players2`.

It works with any database that SQLAlchemy has a dialect for. Where a dialect does not hide a difference, the difference
is named here: SQLite's transactions and type names, SQL Server's locks and schemas. `sql.py` connects, and knows what
the drivers' errors mean.

`teams` and `players` are a school's own: they have more columns than the original exercise, names in another case, and
may be views. Only the columns of the exercise are read for the game. The final tables are copied from their originals
inside the database (`INSERT ... SELECT`), so that no value passes through a driver or through Spark; after that, the
columns that the game changes are updated.
"""

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import ConfigurableResource, Failure, InitResourceContext
from pydantic import Field

from lacrosse_assets import addresses
from lacrosse_assets.game.tables import FINAL_TABLES, REFERENCE_TABLES
from lacrosse_assets.resources import sql
from lacrosse_assets.resources.errors import translate_errors

if TYPE_CHECKING:
    from sqlalchemy import URL, ColumnElement, Connection, Engine, Table

STORE = "reference database"
DATABASE = "sidearmdb"

Row = dict[str, Any]
# The order in which the simulator drops them. Two transactions that lock in the same order never wait for each other.
LOCK_ORDER = ("players", "teams")


class Reference(NamedTuple):
    """The rows of both reference tables, read in one transaction, by id: the exercise's columns, named as there."""

    teams: list[Row]
    players: list[Row]


class Original(NamedTuple):
    """A reference table as the copy was made from it: all columns and rows, as they are named and stored there."""

    rows: list[Row]
    columns: Mapping[str, str]  # by the exercise's name of a column: its name here
    key_of_a_view: bool  # it is a view, which has no primary key: the copy's is `id`


class ReferenceDatabase(ConfigurableResource[Any], ABC):
    """`sidearmdb`, behind SQLAlchemy."""

    url: str = Field(description="SQLAlchemy URL; it may hold a password, so it is given by the name of its variable.")

    @abstractmethod
    def create_engine(self) -> "Engine":
        """The engine of the database."""

    @cached_property
    def _engine(self) -> "Engine":
        from sqlalchemy import event

        # A driver that cannot be loaded raises anything.
        with translate_errors(STORE, self.address, Exception, message=sql.message, hint=_hint):
            engine = self.create_engine()
        # Once: the engine in memory is that of all runs of the process.
        if engine.dialect.name == "sqlite" and not event.contains(engine, "begin", _begin_in_sqlite):
            event.listen(engine, "begin", _begin_in_sqlite)
        return engine

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        if "_engine" in self.__dict__:
            self._engine.dispose()

    @cached_property
    def _url(self) -> "URL":
        from sqlalchemy import make_url

        return make_url(self.url)

    @cached_property
    def address(self) -> str:
        """Where it is, without user and password (and so without the URL's query, which may hold them as well)."""
        return addresses.reference_database(self.url)

    def read(self) -> Reference:
        """All rows of `teams` and `players`, as of one moment, also while the simulator resets them.

        A row has the exercise's columns, by the exercise's names; values are as the database has them.

        Raises:
            StoreError: the database cannot be read.
            Failure: a table lacks a column of the exercise.
        """
        with self._errors(), self._begin("SERIALIZABLE") as connection:
            rows = {name: self._exercise_rows(connection, name) for name in LOCK_ORDER}
        return Reference(**rows)

    def _exercise_rows(self, connection: "Connection", name: str) -> list[Row]:
        from sqlalchemy import column, select, table, text

        # The columns are asked of the table, not of the catalogue. The catalogue hides what a login may not see, and
        # looks in one schema only; a SELECT is refused with the reason, and finds a table of `dbo` from any schema.
        names = list(connection.execute(select(text("*")).select_from(table(name)).where(text("1 = 0"))).keys())
        found = self._exercise_columns(name, names)
        columns: list[ColumnElement[Any]] = [
            column(here) if here == known else column(here).label(known) for known, here in found.items()
        ]
        rows = connection.execute(select(*columns).select_from(table(name)).order_by(column(found["id"])))
        return [dict(row) for row in rows.mappings()]

    def _exercise_columns(self, table: str, names: Sequence[str]) -> dict[str, str]:
        """By the exercise's name of each column of `table` (`wins`): its name in the database (`Wins`).

        Raises:
            Failure: one is missing.
        """
        by_lower_case = {name.lower(): name for name in reversed(names)}
        wanted = [column.name for column in REFERENCE_TABLES[table]]
        if missing := [name for name in wanted if name not in by_lower_case]:
            raise Failure(
                f"{STORE} at {self.address}: table {table} has no column {' and no column '.join(missing)}: "
                f"it has {', '.join(names)}",
                allow_retries=False,
            )
        return {name: name if name in names else by_lower_case[name] for name in wanted}

    def replace(
        self,
        changes: Mapping[str, Sequence[Row]],
        precondition: Callable[[], None],
        made_from: Reference | None = None,
    ) -> dict[str, Original]:
        """Replace final tables whole, all of them in one transaction: a reader sees the old rows or the new.

        Each becomes a copy of its original, with all columns, values and types, NOT NULL and the primary key, and
        without foreign keys (the simulator drops and recreates the original), defaults, identity and computed columns
        (the values are copied). A rowversion column becomes BINARY(8), which can be written.

        `changes` maps a final table's name (of `FINAL_TABLES`) to what the copy has that the original has not: for each
        row its `id` and the new values, by the exercise's names of the columns. `precondition` is called when no other
        writer can come in between any more; what it raises leaves everything as it was. `made_from` is what `changes`
        were computed from: if the tables say something else by now, nothing is changed either.

        Returns the originals, as of this transaction.
        """
        from sqlalchemy import delete

        with self._errors():
            # Looked up beforehand: SQLite does not let a transaction that began by reading wait for its turn to write,
            # and SQL Server would keep its catalogue locked for the simulator.
            with self._begin("READ COMMITTED") as connection:
                copies = {name: self._copy_of(connection, name) for name in changes}
            with self._begin("SERIALIZABLE") as connection:
                for copy in copies.values():
                    if copy.existing is not None and _shape(copy.existing) == _shape(copy.target):
                        # Rows go, the table stays, and with it what others were granted on it. SQL Server's readers
                        # would otherwise see the rows up to the first locked one as old, and the rest as new.
                        connection.execute(delete(copy.target).with_hint("WITH (TABLOCKX)", dialect_name="mssql"))
                    else:
                        if copy.existing is not None:
                            copy.existing.drop(connection)
                        copy.target.create(connection)
                precondition()
                in_order = sorted(copies, key=lambda name: LOCK_ORDER.index(FINAL_TABLES[name]))
                rows = {name: copies[name].original_rows(connection) for name in in_order}
                for name, copy in copies.items():
                    if made_from is not None:
                        self._see_that_nothing_changed(copy, rows[name], getattr(made_from, FINAL_TABLES[name]))
                    copy.fill(connection, rows[name], changes[name])
        return {name: Original(rows[name], copy.columns, copy.is_of_a_view) for name, copy in copies.items()}

    def stored(self, *names: str) -> dict[str, list[Row]]:
        """All rows of final tables, as they are stored now: by id, each with all columns."""
        with self._errors(), self._begin("SERIALIZABLE") as connection:
            found = {}
            for name in names:
                table = _reflected(connection, name, _schema_of(connection, FINAL_TABLES[name]))
                columns = self._exercise_columns(FINAL_TABLES[name], table.columns.keys())
                found[name] = _rows(connection, table, columns["id"])
            return found

    def _see_that_nothing_changed(self, copy: "_Copy", rows: list[Row], before: list[Row]) -> None:
        now = [{known: row[here] for known, here in copy.columns.items()} for row in rows]
        if now != before:
            raise Failure(
                f"{STORE} at {self.address}: table {copy.original.name} was changed while {copy.target.name} was "
                "computed from it: the next try reads it again"
            )

    def _copy_of(self, connection: "Connection", name: str) -> "_Copy":
        from sqlalchemy import BINARY, Column, MetaData, Table, inspect
        from sqlalchemy.dialects.mssql import TIMESTAMP

        schema = _schema_of(connection, FINAL_TABLES[name])
        original = _reflected(connection, FINAL_TABLES[name], schema)
        columns = self._exercise_columns(FINAL_TABLES[name], original.columns.keys())
        views = [view.lower() for view in inspect(connection).get_view_names(schema)]
        if name in views:
            # To delete its rows would delete those of the tables behind it.
            raise Failure(
                f"{STORE} at {self.address}: {name} is a view, and has to be a table: rename or drop the view",
                allow_retries=False,
            )
        is_of_a_view = FINAL_TABLES[name] in views
        keys = [columns["id"]] if is_of_a_view else original.primary_key.columns.keys()
        target = Table(
            name,
            MetaData(),
            *(
                Column(
                    column.name,
                    BINARY(8) if isinstance(column.type, TIMESTAMP) else column.type,
                    primary_key=column.name in keys,
                    nullable=column.nullable and not (is_of_a_view and column.name in keys),
                    autoincrement=False,
                )
                for column in original.columns
            ),
            schema=schema,
        )
        existing = _reflected(connection, name, schema) if inspect(connection).has_table(name, schema) else None
        return _Copy(original, target, existing, columns, is_of_a_view)

    @contextmanager
    def _begin(self, isolation: str) -> "Iterator[Connection]":
        """A transaction of this isolation level; SQLite has one level, which is SERIALIZABLE."""
        with self._engine.connect() as connection:
            dialect = connection.dialect.name
            if dialect not in ("sqlite", "mssql"):
                connection = connection.execution_options(isolation_level=isolation)
            with connection.begin():
                if dialect == "mssql":
                    # A statement of its own, where SQLAlchemy's option would set the level back after each use: errors
                    # of the driver come out of that as they are, and it fails where the level of before is not known.
                    connection.exec_driver_sql(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
                yield connection

    def _errors(self) -> Any:
        from sqlalchemy.exc import SQLAlchemyError

        password = self._url.password
        secret = str(password) if password else None
        # The driver's own errors: SQLAlchemy wraps most of them, and not those of its events and options.
        errors = SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error
        return translate_errors(STORE, self.address, *errors, message=_message, hint=_hint, secret=secret)


class _Copy(NamedTuple):
    """A final table: what it is a copy of, as it ought to be, and as it is (None where it is not)."""

    original: "Table"
    target: "Table"
    existing: "Table | None"
    columns: Mapping[str, str]
    is_of_a_view: bool

    def original_rows(self, connection: "Connection") -> list[Row]:
        return _rows(connection, self.original, self.columns["id"])

    def fill(self, connection: "Connection", rows: Sequence[Row], changes: Sequence[Row]) -> None:
        """Copy all rows inside the database, then set what has changed."""
        from sqlalchemy import bindparam, column, insert, select, table, update

        from lacrosse_assets.game.keys import integer

        source = table(self.original.name, schema=self.original.schema)
        names = self.target.columns.keys()
        connection.execute(insert(self.target).from_select(names, select(*map(column, names)).select_from(source)))
        # Found by the value that the row has, whatever its type is: an id may be a text or a decimal.
        key = self.columns["id"]
        ids = {integer(row[key]): row[key] for row in rows}
        by_columns: dict[tuple[str, ...], list[Row]] = {}
        for change in changes:
            changed = tuple(name for name in change if name != "id")
            values = {f"new_{number}": change[name] for number, name in enumerate(changed)}
            if change["id"] in ids:
                by_columns.setdefault(changed, []).append({"row_id": ids[change["id"]], **values})
        for changed, parameters in by_columns.items():
            new: dict[str, Any] = {
                self.columns[name]: bindparam(f"new_{number}") for number, name in enumerate(changed)
            }
            is_row = self.target.columns[key] == bindparam("row_id")
            connection.execute(update(self.target).where(is_row).values(new), parameters)


def _begin_in_sqlite(connection: "Connection") -> None:
    """Its driver begins a transaction before INSERT, but neither before SELECT nor before CREATE and DROP."""
    connection.exec_driver_sql("BEGIN")


def _message(error: Exception) -> str:
    from sqlalchemy.exc import NoSuchTableError

    if isinstance(error, NoSuchTableError):
        return f"the catalogue shows no table {error}"
    said = sql.message(error)
    if sql.classify(error) is sql.Fault.NO_TABLE:
        return said.replace("no such table: ", "there is no table ")
    return said


def _hint(error: Exception) -> str | None:
    from sqlalchemy.exc import NoSuchTableError

    fault = sql.Fault.NO_OBJECT if isinstance(error, NoSuchTableError) else sql.classify(error)
    return fault and fault.hint


def _schema_of(connection: "Connection", name: str) -> str | None:
    """The schema in which SQL Server finds a table that is named without one; None for the user's default schema."""
    from sqlalchemy import inspect

    if connection.dialect.name != "mssql" or connection.dialect.default_schema_name == "dbo":
        return None
    inspector = inspect(connection)
    return "dbo" if not inspector.has_table(name) and inspector.has_table(name, "dbo") else None


def _rows(connection: "Connection", table: "Table", key: str) -> list[Row]:
    """All rows, with the values as the driver yields them: SQLAlchemy's types would reject some of SQLite's."""
    from sqlalchemy import cast, column, select
    from sqlalchemy import table as named
    from sqlalchemy.dialects.mssql import VARBINARY

    columns = [
        # What ODBC cannot yield: SQL Server's geometry and the like.
        cast(column(each.name), VARBINARY("max")).label(each.name)
        if getattr(each.type, "is_opaque", False)
        else column(each.name)
        for each in table.columns
    ]
    found = connection.execute(
        select(*columns).select_from(named(table.name, schema=table.schema)).order_by(column(key))
    )
    return [dict(row) for row in found.mappings()]


@cache
def _declared() -> Any:
    """The class of types that are known by the name that the database has for them."""
    from sqlalchemy.types import UserDefinedType

    class Declared(UserDefinedType[Any]):
        cache_ok = True

        def __init__(self, name: str, is_opaque: bool = False):
            self.name, self.is_opaque = name, is_opaque

        def get_col_spec(self, **_: Any) -> str:
            return self.name

    return Declared


def _reflected(connection: "Connection", name: str, schema: str | None) -> "Table":
    """The table or view as the database describes it, with the types as they are declared."""
    from sqlalchemy import MetaData, Table
    from sqlalchemy.exc import SAWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Did not recognize type", SAWarning)
        table = Table(name, MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
    # SQLite keeps a type's name as it was written (`int` is not `INTEGER` to it), and SQLAlchemy does not.
    declared = {"sqlite": _declared_in_sqlite, "mssql": _declared_in_sql_server}.get(connection.dialect.name)
    for column, type_ in (declared(connection, table) if declared else {}).items():
        table.columns[column].type = type_
    return table


def _declared_in_sqlite(connection: "Connection", table: "Table") -> dict[str, Any]:
    found = connection.exec_driver_sql("SELECT name, type, hidden FROM pragma_table_xinfo(?)", (table.name,))
    # Of a generated column SQLite says so behind the type.
    return {
        each.name: _declared()(re.sub(r"(?i)\s*\bgenerated always$", "", each.type) if each.hidden else each.type)
        for each in found
        if each.name in table.columns
    }


def _declared_in_sql_server(connection: "Connection", table: "Table") -> dict[str, Any]:
    """What SQLAlchemy leaves out: the precision of times, and types that it does not know (geometry, hierarchyid)."""
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
    declared = {}
    for each in found:
        own = f"{preparer.quote(each.type_schema)}." if each.is_user_defined else ""
        if each.name in unknown:
            declared[each.name] = _declared()(own + preparer.quote(each.type_name), is_opaque=True)
        elif each.name in partly_known:
            declared[each.name] = type(table.columns[each.name].type)(precision=each.scale)
    return declared


def _shape(table: "Table") -> tuple[Any, ...]:
    columns = [
        (
            column.name,
            str(column.type).upper(),
            column.nullable,
            column.primary_key,
            column.identity is None and column.computed is None,
        )
        for column in table.columns
    ]
    return columns, len(table.foreign_key_constraints)


class SqlReferenceDatabase(ReferenceDatabase):
    """The database at an address."""

    def create_engine(self) -> "Engine":
        return sql.create_engine_for(self._url)
