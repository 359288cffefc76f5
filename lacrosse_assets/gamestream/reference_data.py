"""The tables `teams` and `players` with their original rows, and the table `games` of a game day."""

import csv
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Date,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError

from lacrosse_assets.game.tables import REFERENCE_TABLES
from lacrosse_assets.resources.sql import create_engine_for, is_unknown_collation

UTF8_COLLATION = "Latin1_General_100_CI_AS_SC_UTF8"

LOCK_TIMEOUT_SECONDS = 5  # then the open transaction is reported, and the reset retried

METADATA = MetaData()


def _table(name: str) -> Table:
    """A reference table as the original exercise declares it: every column NOT NULL, with its keys."""
    return Table(
        name,
        METADATA,
        *(
            Column(
                column.name,
                Integer if column.type is int else String(column.max_characters),
                *([ForeignKey(f"{column.references}.id")] if column.references else []),
                primary_key=column.name == "id",
                autoincrement=False,
                nullable=False,
            )
            for column in REFERENCE_TABLES[name]
        ),
    )


TEAMS = _table("teams")
PLAYERS = _table("players")
# Not a part of METADATA: the single game leaves this table alone. No foreign keys: others drop and recreate `teams`.
GAMES = Table(
    "games",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("day", Date, nullable=False),
    Column("home", Integer, nullable=False),
    Column("away", Integer, nullable=False),
)

# The tables to reset with their rows: a table comes after those that it references.
Tables = Mapping[Table, Sequence[Mapping[str, Any]]]


def create_database(url: str) -> None:
    """Create what `url` names where it is missing: on SQL Server the database, for SQLite the file's folder."""
    parsed = make_url(url)
    name = parsed.database
    if not name:
        return
    if parsed.get_backend_name() == "sqlite":
        if name != ":memory:":
            Path(name).parent.mkdir(parents=True, exist_ok=True)
    elif parsed.get_backend_name() == "mssql":
        # CREATE DATABASE is not allowed inside a transaction.
        server = create_engine_for(parsed.set(database="master"), LOCK_TIMEOUT_SECONDS, isolation_level="AUTOCOMMIT")
        try:
            with server.connect() as connection:
                existing = connection.execute(text("SELECT 1 FROM sys.databases WHERE name = :name"), {"name": name})
                if existing.first() is None:
                    _create_on_sql_server(connection, server.dialect.identifier_preparer.quote(name))
        finally:
            server.dispose()


def _create_on_sql_server(connection: Connection, quoted_name: str) -> None:
    try:
        # Names are any text, and the columns are VARCHAR, which in the default collation holds one code page.
        connection.execute(text(f"CREATE DATABASE {quoted_name} COLLATE {UTF8_COLLATION}"))
    except DBAPIError as error:
        # SQL Server before 2019 has no such collation. Other errors may be temporary, but a collation is permanent.
        if not is_unknown_collation(error, UTF8_COLLATION):
            raise
        logging.warning(
            "The server has no collation %s: using its default collation, whose VARCHAR may not hold all names",
            UTF8_COLLATION,
        )
        connection.execute(text(f"CREATE DATABASE {quoted_name}"))
    with suppress(DBAPIError):  # on a server without it, readers wait for locks
        # Readers see the old rows while the final tables are replaced.
        connection.execute(text(f"ALTER DATABASE {quoted_name} SET READ_COMMITTED_SNAPSHOT ON"))


def reset_tables_at(url: str, tables: Tables | None = None) -> None:
    """Reset the tables in the database of `url`."""
    engine = create_engine_for(url, LOCK_TIMEOUT_SECONDS)
    try:
        reset_tables(engine, tables)
    finally:
        engine.dispose()


def reset_tables(engine: Engine, tables: Tables | None = None) -> None:
    """Drop the tables and recreate them with these rows. Nothing else is touched.

    By default, these are `teams` and `players` with their original rows. In one transaction: a reader always sees all
    tables, the old or the new ones.
    """
    tables = original_tables() if tables is None else tables
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # Python's sqlite3 begins a transaction before INSERT, but not before DROP.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        for table in reversed([*tables]):
            table.drop(connection, checkfirst=True)
        for table in tables:
            table.create(connection)
        for table, rows in tables.items():
            connection.execute(table.insert(), rows)


def original_tables() -> Tables:
    """`teams` and `players` with their original rows."""
    return {table: original_rows(table) for table in METADATA.sorted_tables}


def original_rows(table: Table) -> list[dict[str, Any]]:
    """The original rows of `teams` or `players`, from the CSV file of that name."""
    with (files(__package__) / f"{table.name}.csv").open(encoding="utf-8") as file:
        return [
            {column.name: column.type.python_type(row[column.name]) for column in table.columns}
            for row in csv.DictReader(file)
        ]
