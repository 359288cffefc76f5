"""The tables `teams` and `players`, and their original rows."""

import csv
import logging
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
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

from lacrosse_assets.resources.sql import create_engine_for, is_unknown_collation

UTF8_COLLATION = "Latin1_General_100_CI_AS_SC_UTF8"

METADATA = MetaData()
TEAMS = Table(
    "teams",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(50), nullable=False),
    Column("conference", String(50), nullable=False),
    Column("wins", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
)
PLAYERS = Table(
    "players",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(50), nullable=False),
    Column("number", String(3), nullable=False),  # text: 0 and 00 are two players
    Column("shots", Integer, nullable=False),
    Column("goals", Integer, nullable=False),
    Column("teamid", Integer, ForeignKey("teams.id"), nullable=False),
)


# Somebody's open transaction on `teams` is reported after so many seconds, and waited for by trying again.
LOCK_TIMEOUT_SECONDS = 5


def create_database(url: str) -> None:
    """Create the database that `url` names where it is missing and its kind can be created from here."""
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
                there = connection.execute(text("SELECT 1 FROM sys.databases WHERE name = :name"), {"name": name})
                if there.first() is None:
                    _create_on_sql_server(connection, server.dialect.identifier_preparer.quote(name))
        finally:
            server.dispose()


def _create_on_sql_server(connection: Connection, quoted_name: str) -> None:
    try:
        # Names are any text, and the exercise's columns are VARCHAR: in the default collation those hold one alphabet.
        connection.execute(text(f"CREATE DATABASE {quoted_name} COLLATE {UTF8_COLLATION}"))
    except DBAPIError as error:
        # SQL Server before 2019 has no such collation. Any other reason passes, and a collation stays.
        if not is_unknown_collation(error, UTF8_COLLATION):
            raise
        logging.warning(
            "The server has no collation %s: the database gets the server's own, whose VARCHAR may not hold all names",
            UTF8_COLLATION,
        )
        connection.execute(text(f"CREATE DATABASE {quoted_name}"))
    with suppress(DBAPIError):  # a server without it has readers wait instead
        # While the final tables are replaced, readers see the rows of before.
        connection.execute(text(f"ALTER DATABASE {quoted_name} SET READ_COMMITTED_SNAPSHOT ON"))


def reset_tables_at(url: str) -> None:
    """`reset_tables` in the database that `url` names."""
    engine = create_engine_for(url, LOCK_TIMEOUT_SECONDS)
    try:
        reset_tables(engine)
    finally:
        engine.dispose()


def reset_tables(engine: Engine) -> None:
    """Drop `teams` and `players`, and create them anew with their original rows; nothing else is touched.

    In one transaction: a reader sees the tables of before or the original ones, never none.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # Python's sqlite3 begins by itself only before INSERT and the like: the DROPs would stand alone.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        METADATA.drop_all(connection)
        METADATA.create_all(connection)
        for table in METADATA.sorted_tables:
            connection.execute(table.insert(), original_rows(table))


def original_rows(table: Table) -> list[dict[str, Any]]:
    """The rows of `teams` or `players` before any game, from the CSV file of that name."""
    with (files(__package__) / f"{table.name}.csv").open(encoding="utf-8") as file:
        return [
            {column.name: column.type.python_type(row[column.name]) for column in table.columns}
            for row in csv.DictReader(file)
        ]
