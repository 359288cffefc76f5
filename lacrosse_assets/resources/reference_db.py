"""The reference database `sidearmdb`: reads `teams` and `players`, replaces `teams2` and `players2`.

docs/contract.md, sections 2, 4, 6 and 10. `sql.py` creates the engine and classifies the drivers' errors, and
`reflection.py` reads the definitions of tables.

Any database with a SQLAlchemy dialect works. Differences that dialects do not hide are handled here: SQLite's
transactions and type names, SQL Server's locks and schemas.

`teams` and `players` belong to a school: they may have more columns than the original exercise, names in another case,
and may be views. Only the exercise's columns are read for the game. The final tables are copied from their originals
inside the database (`INSERT ... SELECT`), so no value passes through a driver or Spark. Then the columns that the game
changes are updated.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import ConfigurableResource, Failure, InitResourceContext
from pydantic import Field

from lacrosse_assets import addresses
from lacrosse_assets.game.tables import FINAL_TABLES, GAMES2, SOURCE_TABLES
from lacrosse_assets.resources import reflection, sql
from lacrosse_assets.resources.errors import translate_errors

if TYPE_CHECKING:
    from sqlalchemy import URL, ColumnElement, Connection, Engine, Table
    from sqlalchemy.types import TypeEngine

STORE = "reference database"
DATABASE = "sidearmdb"

Row = dict[str, Any]
# The order in which the simulator drops them: transactions that lock in the same order cannot deadlock.
LOCK_ORDER = ("players", "teams")


class Reference(NamedTuple):
    """The rows of both reference tables in one transaction, ordered by id, with the exercise's columns and names."""

    teams: list[Row]
    players: list[Row]


class Original(NamedTuple):
    """A reference table as it was copied: all rows and columns, as they are named and stored there."""

    rows: list[Row]
    columns: Mapping[str, str]  # the exercise's name of each column -> its name in the database
    key_of_a_view: bool  # the original is a view, which has no primary key: the copy's is `id`


class ReferenceDatabase(ConfigurableResource[Any], ABC):
    """`sidearmdb`, behind SQLAlchemy."""

    url: str = Field(description="SQLAlchemy URL, given by the name of its variable, as it may hold a password.")

    @abstractmethod
    def create_engine(self) -> "Engine":
        """The engine of the database."""

    @cached_property
    def _engine(self) -> "Engine":
        from sqlalchemy import event

        # `Exception`: a driver that cannot be loaded may raise any error.
        with translate_errors(STORE, self.address, Exception, message=sql.message, hint=_hint):
            engine = self.create_engine()
        # Once: all runs of a process share the in-memory engine.
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
        """The URL without user, password and query, which may hold a password as well."""
        return addresses.reference_database(self.url)

    def read(self) -> Reference:
        """All rows of `teams` and `players`, as a consistent snapshot, even while the simulator resets them.

        Rows have the exercise's columns, under the exercise's names, with the database's values.

        Raises:
            StoreError: the database is unreachable or refuses the query.
            Failure: a table lacks a column of the exercise.
        """
        with self._errors(), self._begin("SERIALIZABLE") as connection:
            rows = {name: self._known_rows(connection, name) for name in LOCK_ORDER}
        return Reference(**rows)

    def games(self) -> list[Row]:
        """All rows of `games`, the schedule of a game day, ordered by id, with the database's values.

        Raises:
            StoreError: the database is unreachable or refuses the query.
            Failure: the table lacks a column.
        """
        with self._errors(), self._begin("READ COMMITTED") as connection:
            return self._known_rows(connection, "games")

    def _known_rows(self, connection: "Connection", name: str) -> list[Row]:
        from sqlalchemy import column, select, table, text

        # The columns come from a SELECT, not from the catalogue. The catalogue hides what the login may not see, and
        # covers one schema. A refused SELECT gives a reason, and it finds a table of `dbo` from any schema.
        names = list(connection.execute(select(text("*")).select_from(table(name)).where(text("1 = 0"))).keys())
        stored_names = self._known_columns(name, names)
        columns: list[ColumnElement[Any]] = [
            column(stored) if stored == known else column(stored).label(known) for known, stored in stored_names.items()
        ]
        rows = connection.execute(select(*columns).select_from(table(name)).order_by(column(stored_names["id"])))
        return [dict(row) for row in rows.mappings()]

    def _known_columns(self, table: str, names: Sequence[str]) -> dict[str, str]:
        """Our name of each column of `table` (`wins`) -> its name in the database (`Wins`).

        Raises:
            Failure: a column is missing.
        """
        by_lower_case = {name.lower(): name for name in reversed(names)}
        known = {column.name: column for column in SOURCE_TABLES[table]}
        if missing := [name for name in known if name not in by_lower_case and not known[name].optional]:
            raise Failure(
                f"{STORE} at {self.address}: table {table} has no column {' and no column '.join(missing)}: "
                f"it has {', '.join(names)}",
                allow_retries=False,
            )
        return {name: name if name in names else by_lower_case[name] for name in known if name in by_lower_case}

    def replace(
        self,
        changes: Mapping[str, Sequence[Row]],
        precondition: Callable[[], None],
        made_from: Reference | None = None,
        games: Sequence[Row] | None = None,
    ) -> dict[str, Original]:
        """Replace final tables whole, all in one transaction: a reader sees the old rows or the new.

        Each becomes a copy of its original, with all columns, values, types, NOT NULL and the primary key. It has no
        foreign keys (the simulator drops and recreates the original), no defaults, and no identity or computed columns
        (their values are copied). A rowversion column becomes BINARY(8), which is writable.

        `changes` maps the name of a final table (a key of `FINAL_TABLES`) to the changed values: one row for each row,
        with its `id` and the new values by the exercise's column names. `precondition` is called once the tables are
        locked; an error that it raises rolls everything back. `made_from` are the tables from which `changes` were
        computed: if they have changed since, everything is rolled back, too. `games` are the rows of `games2`, if that
        table is to be replaced as well.

        Returns the originals, as of this transaction.

        Raises:
            StoreError: the database is unreachable or refuses a statement.
            Failure: a table lacks a column of the exercise, a final table is a view, or the originals have changed.
        """
        with self._errors():
            # In a transaction of its own: SQLite cannot turn a reading transaction into a writing one while it waits
            # for a lock, and SQL Server would keep its catalogue locked for the simulator.
            with self._begin("READ COMMITTED") as connection:
                copies = {name: self._copy_of(connection, name) for name in changes}
                games2 = None if games is None else _games2(reflection.schema_of(connection, "teams"))
                old_games2 = (
                    None if games2 is None else reflection.reflected_if_exists(connection, games2.name, games2.schema)
                )
            with self._begin("SERIALIZABLE") as connection:
                for copy in copies.values():
                    _empty(connection, copy.target, copy.existing)
                if games2 is not None:
                    _empty(connection, games2, old_games2)
                precondition()
                in_order = sorted(copies, key=lambda name: LOCK_ORDER.index(FINAL_TABLES[name]))
                rows = {name: copies[name].original_rows(connection) for name in in_order}
                for name, copy in copies.items():
                    if made_from is not None:
                        self._check_unchanged(copy, rows[name], getattr(made_from, FINAL_TABLES[name]))
                    copy.fill(connection, rows[name], changes[name])
                if games2 is not None and games:
                    connection.execute(games2.insert(), games)
        return {name: Original(rows[name], copy.columns, copy.is_of_a_view) for name, copy in copies.items()}

    def stored(self, *names: str) -> dict[str, list[Row]]:
        """All rows of final tables as they are stored, ordered by id, with all columns."""
        with self._errors(), self._begin("SERIALIZABLE") as connection:
            tables = {}
            for name in names:
                table = reflection.reflected(connection, name, reflection.schema_of(connection, FINAL_TABLES[name]))
                columns = self._known_columns(FINAL_TABLES[name], table.columns.keys())
                tables[name] = reflection.read_rows(connection, table, columns["id"])
            return tables

    def _check_unchanged(self, copy: "_Copy", rows: list[Row], before: list[Row]) -> None:
        now = [{known: row[stored] for known, stored in copy.columns.items()} for row in rows]
        if now != before:
            raise Failure(
                f"{STORE} at {self.address}: table {copy.original.name} changed while {copy.target.name} was computed "
                "from it: the retry reads it again"
            )

    def _copy_of(self, connection: "Connection", name: str) -> "_Copy":
        from sqlalchemy import BINARY, Column, MetaData, Table, inspect
        from sqlalchemy.dialects.mssql import TIMESTAMP

        schema = reflection.schema_of(connection, FINAL_TABLES[name])
        original = reflection.reflected(connection, FINAL_TABLES[name], schema)
        columns = self._known_columns(FINAL_TABLES[name], original.columns.keys())
        views = [view.lower() for view in inspect(connection).get_view_names(schema)]
        if name in views:
            # Deleting its rows would delete those of the tables behind it.
            raise Failure(
                f"{STORE} at {self.address}: {name} must be a table, but is a view: rename or drop the view",
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
        return _Copy(original, target, reflection.reflected_if_exists(connection, name, schema), columns, is_of_a_view)

    @contextmanager
    def _begin(self, isolation: str) -> "Iterator[Connection]":
        """A transaction with this isolation level; SQLite has one level, SERIALIZABLE."""
        with self._engine.connect() as connection:
            dialect = connection.dialect.name
            if dialect not in ("sqlite", "mssql"):
                connection = connection.execution_options(isolation_level=isolation)
            with connection.begin():
                if dialect == "mssql":
                    # By a statement: SQLAlchemy's option also resets the level after each use. That raises unwrapped
                    # errors of the driver, and fails where the user may not query the level.
                    connection.exec_driver_sql(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
                yield connection

    def _errors(self) -> AbstractContextManager[None]:
        from sqlalchemy.exc import SQLAlchemyError

        password = self._url.password
        secret = str(password) if password else None
        # The driver's errors as well: SQLAlchemy does not wrap those raised in its events and options.
        errors = SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error
        return translate_errors(STORE, self.address, *errors, message=_message, hint=_hint, secret=secret)


class _Copy(NamedTuple):
    """A final table: its original, its target definition, and its existing definition (None if it does not exist)."""

    original: "Table"
    target: "Table"
    existing: "Table | None"
    columns: Mapping[str, str]
    is_of_a_view: bool

    def original_rows(self, connection: "Connection") -> list[Row]:
        return reflection.read_rows(connection, self.original, self.columns["id"])

    def fill(self, connection: "Connection", rows: Sequence[Row], changes: Sequence[Row]) -> None:
        """Copy all rows inside the database, then apply the changes."""
        from sqlalchemy import bindparam, column, insert, select, table, update

        from lacrosse_assets.game.keys import integer

        source = table(self.original.name, schema=self.original.schema)
        names = self.target.columns.keys()
        connection.execute(insert(self.target).from_select(names, select(*map(column, names)).select_from(source)))
        # Rows are matched by the stored value of their id, whose type may be a text or a decimal.
        key = self.columns["id"]
        ids = {integer(row[key]): row[key] for row in rows}
        by_columns: dict[tuple[str, ...], list[Row]] = {}
        for change in changes:
            changed = tuple(name for name in change if name != "id")
            values = {f"new_{number}": change[name] for number, name in enumerate(changed)}
            if change["id"] in ids:
                by_columns.setdefault(changed, []).append({"row_id": ids[change["id"]], **values})
        for changed, parameters in by_columns.items():
            # With the columns that it needs, and no others: a column `row_id` would be taken for the parameter.
            known = {name: self.target.columns[self.columns[name]] for name in ("id", *changed)}
            target = table(
                self.target.name,
                *(column(each.name, each.type) for each in known.values()),
                schema=self.target.schema,
            )
            new: dict[str, Any] = {known[name].name: bindparam(f"new_{number}") for number, name in enumerate(changed)}
            is_row = target.c[key] == bindparam("row_id")
            connection.execute(update(target).where(is_row).values(new), parameters)


def _empty(connection: "Connection", target: "Table", existing: "Table | None") -> None:
    """Empty the table. Create it if it is missing, and recreate it if it differs from `target`."""
    from sqlalchemy import delete

    if existing is not None and reflection.shape(existing, like=target) == reflection.shape(target, like=target):
        # The table stays, and with it the permissions that others were granted. TABLOCKX: without it, a reader on SQL
        # Server could see old rows up to the first locked one, and new rows after it.
        connection.execute(delete(target).with_hint("WITH (TABLOCKX)", dialect_name="mssql"))
    else:
        if existing is not None:
            existing.drop(connection)
        target.create(connection)


def _games2(schema: str | None) -> "Table":
    from sqlalchemy import BigInteger, Column, Date, MetaData, String, Table

    types: dict[type, Callable[[int | None], TypeEngine[Any]]] = {
        int: lambda _: BigInteger(),
        str: String,
        date: lambda _: Date(),
    }
    return Table(
        "games2",
        MetaData(),
        *(
            Column(
                each.name,
                types[each.type](each.max_characters),
                primary_key=each.name == "id",
                autoincrement=False,
            )
            for each in GAMES2
        ),
        schema=schema,
    )


def _begin_in_sqlite(connection: "Connection") -> None:
    """Begin a transaction: SQLite's driver does so before INSERT, but not before SELECT, CREATE and DROP."""
    connection.exec_driver_sql("BEGIN")


def _message(error: Exception) -> str:
    from sqlalchemy.exc import NoSuchTableError

    if isinstance(error, NoSuchTableError):
        return f"the catalogue shows no table {error}"
    message = sql.message(error)
    if sql.classify(error) in (sql.Fault.NO_TABLE, sql.Fault.NO_SCHEDULE):
        return message.replace("no such table: ", "there is no table ")
    return message


def _hint(error: Exception) -> str | None:
    from sqlalchemy.exc import NoSuchTableError

    fault = sql.Fault.NO_OBJECT if isinstance(error, NoSuchTableError) else sql.classify(error)
    return fault and fault.hint


class SqlReferenceDatabase(ReferenceDatabase):
    """The database at a SQLAlchemy URL."""

    def create_engine(self) -> "Engine":
        return sql.create_engine_for(self._url)
