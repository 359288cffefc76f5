"""The reference database `sidearmdb`: reads `teams` and `players`, replaces `teams2` and `players2`.

Whatever SQLAlchemy speaks. What its dialects cannot hide is named where it is dealt with: SQLite's transactions and
type names, SQL Server's locks and time-outs. pyodbc is imported by SQLAlchemy alone, and only where the address says
`+pyodbc`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from lacrosse_assets import addresses
from lacrosse_assets.resources.errors import ANYTHING, is_it_up, told_as_store_error

if TYPE_CHECKING:
    from sqlalchemy import URL, ColumnClause, Connection, Engine, Table

STORE = "reference database"
DATABASE = "sidearmdb"

# How long to wait, in seconds: for a server to answer a login, for another writer, and for any one statement.
LOGIN_TIMEOUT, LOCK_TIMEOUT, STATEMENT_TIMEOUT = 5, 15, 30

# What a driver says when the fault is in the address or on this machine, and the way out.
NAME_A_DRIVER = "driver= in SIDEARMDB_URL has to name a driver that is installed: `odbcinst -q -d` lists them"
WAYS_OUT = {
    "libodbc": "pyodbc needs unixODBC: `apt-get install unixodbc`",
    "Can't open lib": NAME_A_DRIVER,
    "no default driver": NAME_A_DRIVER,
    "certificate verify failed": "SSL_CERT_FILE names the file of whoever vouches for the server's certificate; "
    "TrustServerCertificate=yes in SIDEARMDB_URL takes any",
    "Login failed": "the user and the password in SIDEARMDB_URL have to be those of one who may read and write there",
    "there is no table": "the simulator creates it",
    "Cannot open database": "the simulator creates it, or SIDEARMDB_URL has to name another",
    "database is locked": "another program has held it for too long; gamestream_sensor tries again until it lets go",
    ANYTHING: is_it_up("SIDEARMDB_URL"),
}

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

        # A driver that cannot be loaded raises anything.
        with told_as_store_error(STORE, self.address, Exception, words=_words, ways_out=WAYS_OUT):
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
        """All rows of `teams` and `players`, as of one moment, also while the simulator resets them."""
        from sqlalchemy import column, inspect, select, table
        from sqlalchemy.exc import DBAPIError, NoSuchTableError

        from lacrosse_assets.game.finals import PLAYERS, TEAMS

        rows: dict[str, list[Row]] = {}
        with self._errors(), self._begin() as connection:
            # In the order in which the simulator drops them: two that lock in the same order never wait for each other.
            for name, schema in (("players", PLAYERS), ("teams", TEAMS)):
                columns: list[ColumnClause[Any]] = [column(field) for field in schema.fieldNames()]
                try:
                    found = connection.execute(select(*columns).select_from(table(name)).order_by(column("id")))
                    rows[name] = [dict(row) for row in found.mappings()]
                except DBAPIError as error:
                    if error.connection_invalidated or inspect(connection).has_table(name):
                        raise
                    raise NoSuchTableError(name) from None
        return Reference(**rows)

    def replace(self, tables: Mapping[str, Sequence[Row]], still_true: Callable[[], None]) -> None:
        """Replace final tables whole, all of them in one transaction: a reader sees the old rows or the new.

        `tables` maps a final table's name (of `ORIGINALS`) to its rows. Each is created with the columns, types and
        primary key of its original, without foreign keys: the simulator drops and recreates those. `still_true` is
        called when no other writer can come in between any more; what it raises leaves everything as it was.
        """
        from sqlalchemy import delete, insert

        with self._errors():
            # Looked up beforehand: SQLite does not let a transaction that began by reading wait for its turn to write,
            # and SQL Server would keep its catalogue locked for the simulator.
            with self._engine.begin() as connection:
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
            # SQLite is so anyway, and the option would change its driver's mode.
            if connection.dialect.name != "sqlite":
                connection = connection.execution_options(isolation_level="SERIALIZABLE")
            with connection.begin():
                yield connection

    def _errors(self) -> Any:
        from sqlalchemy.exc import SQLAlchemyError

        password = self._url.password
        secret = str(password) if password else None
        return told_as_store_error(STORE, self.address, SQLAlchemyError, words=_words, ways_out=WAYS_OUT, secret=secret)


def _begin_in_sqlite(connection: "Connection") -> None:
    """Its driver begins a transaction before INSERT, but neither before SELECT nor before CREATE and DROP."""
    connection.exec_driver_sql("BEGIN")


def _words(error: Exception) -> str:
    """What went wrong, in the driver's words: SQLAlchemy's own add the statement and a link."""
    from sqlalchemy.exc import DBAPIError, NoSuchTableError

    if isinstance(error, NoSuchTableError):
        return f"there is no table {error}"
    driver_error = error.orig if isinstance(error, DBAPIError) else None
    # pyodbc's first word is the SQLSTATE, which its second begins with as well.
    return str(driver_error.args[-1] if driver_error and driver_error.args else error)


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


def _shape(table: "Table") -> tuple[Any, ...]:
    columns = [(column.name, str(column.type).upper(), column.nullable, column.primary_key) for column in table.columns]
    return columns, len(table.foreign_key_constraints)


class SqlReferenceDatabase(ReferenceDatabase):
    """The database at an address."""

    def create_engine(self) -> "Engine":
        from sqlalchemy import create_engine, event

        if self._url.get_backend_name() == "sqlite":
            return create_engine(self._url, connect_args={"timeout": LOCK_TIMEOUT})
        if self._url.drivername != "mssql+pyodbc":
            return create_engine(self._url)

        # Left to itself, pyodbc sends texts as NVARCHAR, which holds any. As VARCHAR, SQLAlchemy's choice, the driver
        # puts them into the code page of the database, and cuts them to two bytes a character.
        engine = create_engine(self._url, use_setinputsizes=False, connect_args={"timeout": LOGIN_TIMEOUT})

        # All three are endless by default. Before SQLAlchemy's own listener, which asks the server this and that.
        @event.listens_for(engine, "connect", insert=True)
        def limit(connection: Any, _: object) -> None:
            connection.timeout = STATEMENT_TIMEOUT
            connection.execute(f"SET LOCK_TIMEOUT {1000 * LOCK_TIMEOUT}").close()

        return engine
