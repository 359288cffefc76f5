"""The reference database `sidearmdb`: reads `teams` and `players`, replaces `teams2` and `players2`.

Whatever SQLAlchemy speaks. What its dialects cannot hide is named where it is dealt with: SQLite's transactions and
type names, SQL Server's locks. pyodbc is imported by SQLAlchemy alone, and only where the address says `+pyodbc`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from lacrosse_assets.resources.errors import StoreError, told_as_store_error

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Table

STORE = "reference database"
DATABASE = "sidearmdb"

Row = dict[str, Any]
# The final tables, by the reference table that each is a copy of.
ORIGINALS = {"teams2": "teams", "players2": "players"}


class Reference(NamedTuple):
    """The rows of both reference tables, read in one transaction, by id."""

    teams: list[Row]
    players: list[Row]


class ReferenceDatabase(ConfigurableResource[Any], ABC):
    """`sidearmdb`, behind SQLAlchemy."""

    url: str = Field(description="SQLAlchemy URL; it may hold a password, so it is given by the name of its variable.")

    @abstractmethod
    def create_engine(self) -> "Engine":
        """The engine of the database."""

    @cached_property
    def _engine(self) -> "Engine":
        from sqlalchemy import event

        with told_as_store_error(STORE, self.address, Exception):  # a driver that cannot be loaded raises anything
            engine = self.create_engine()
        if engine.dialect.name == "sqlite":
            # Its driver begins a transaction before INSERT, but neither before SELECT nor before CREATE and DROP.
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
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
        url = self._url
        host = url.host or ""
        if "odbc_connect" in url.query:
            server = re.search(r"(?i)\bserver=\{?([^;}]+)", str(url.query["odbc_connect"]))
            host = server[1] if server else ""
        port = f":{url.port}" if url.port else ""
        return f"{url.get_backend_name()}://{host}{port}/{url.database or ''}"

    def read(self) -> Reference:
        """All rows of `teams` and `players`, as of one moment, also while the simulator resets them."""
        from sqlalchemy import column, select, table

        from lacrosse_assets.game.finals import PLAYERS, TEAMS

        with self._errors(), self._begin() as connection:
            rows = [
                [
                    dict(row)
                    for row in connection.execute(
                        select(*map(column, schema.fieldNames())).select_from(table(name)).order_by(column("id"))
                    ).mappings()
                ]
                for name, schema in (("teams", TEAMS), ("players", PLAYERS))
            ]
        return Reference(*rows)

    def replace(self, tables: Mapping[str, Sequence[Row]], still_true: Callable[[], None]) -> None:
        """Replace final tables whole, all of them in one transaction: a reader sees the old rows or the new.

        `tables` maps a final table's name (of `ORIGINALS`) to its rows. Each is created with the columns, types and
        primary key of its original, without foreign keys: the simulator drops and recreates those. `still_true` is
        called when no other writer can come in between any more; what it raises leaves everything as it was.
        """
        from sqlalchemy import delete, insert

        with self._errors():
            # Looked up beforehand: SQLite does not let a transaction that began by reading wait for its turn to write.
            with self._begin() as connection:
                plans = [(*_copy_of(connection, ORIGINALS[name], name), rows) for name, rows in tables.items()]
            with self._begin() as connection:
                for target, existing, _ in plans:
                    if existing is not None and _shape(existing) == _shape(target):
                        # Rows go, the table stays, and with it what others were granted on it. SQL Server's readers
                        # would otherwise see the rows up to the first locked one as old, and the rest as new.
                        connection.execute(delete(target).with_hint("WITH (TABLOCKX)", dialect_name="mssql"))
                    else:
                        if existing is not None:
                            existing.drop(connection)
                        target.create(connection)
                still_true()
                for target, _, rows in plans:
                    if rows:
                        connection.execute(insert(target), list(rows))

    @contextmanager
    def _begin(self) -> "Iterator[Connection]":
        with self._engine.connect() as connection:
            if (
                connection.dialect.name != "sqlite"
            ):  # where it is so anyway, and the option would change its driver's mode
                connection = connection.execution_options(isolation_level="SERIALIZABLE")
            with connection.begin():
                yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

        password = self._url.password
        with told_as_store_error(STORE, self.address, SQLAlchemyError, secret=str(password) if password else None):
            try:
                yield
            except NoSuchTableError as error:
                problem = f"there is no table {error}: the simulator creates it"
                raise StoreError(STORE, self.address, problem) from None
            except DBAPIError as error:
                if error.orig is None:
                    raise
                # The driver's words: SQLAlchemy's own add the statement and a link.
                problem = " ".join(str(part) for part in error.orig.args) or type(error.orig).__name__
                problem = problem.replace(str(password), "***") if password else problem
                raise StoreError(STORE, self.address, " ".join(problem.split())) from None


def _copy_of(connection: "Connection", original: str, name: str) -> "tuple[Table, Table | None]":
    """The table `name` as a copy of `original` ought to be, and as it is (None where it is not)."""
    from sqlalchemy import Column, MetaData, Table, inspect

    source = _reflected(connection, original)
    columns = [
        Column(column.name, column.type, primary_key=column.primary_key, nullable=column.nullable, autoincrement=False)
        for column in source.columns
    ]
    existing = _reflected(connection, name) if inspect(connection).has_table(name) else None
    return Table(name, MetaData(), *columns), existing


def _reflected(connection: "Connection", name: str) -> "Table":
    from sqlalchemy import MetaData, Table
    from sqlalchemy.types import UserDefinedType

    table = Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
    if connection.dialect.name == "sqlite":
        # SQLite keeps a type's name as it was written (`int` is not `INTEGER` to it), and SQLAlchemy does not.
        columns = connection.exec_driver_sql("SELECT name, type FROM pragma_table_info(?)", (name,))
        declared = {column.name: column.type for column in columns}

        class Declared(UserDefinedType[Any]):
            cache_ok = True

            def __init__(self, name: str):
                self.name = name

            def get_col_spec(self, **_: Any) -> str:
                return self.name

        for column in table.columns:
            column.type = Declared(declared[column.name])
    return table


def _shape(table: "Table") -> list[tuple[Any, ...]]:
    return [(column.name, str(column.type).upper(), column.nullable, column.primary_key) for column in table.columns]


class SqlReferenceDatabase(ReferenceDatabase):
    """The database at an address."""

    def create_engine(self) -> "Engine":
        from sqlalchemy import create_engine

        # How long to wait for another writer: SQLite's own default is five seconds, the others have theirs.
        options = {"connect_args": {"timeout": 15}} if self._url.get_backend_name() == "sqlite" else {}
        return create_engine(self._url, **options)
