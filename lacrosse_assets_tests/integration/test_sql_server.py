"""What is sent to SQL Server, and how its responses are handled: Microsoft's driver against a stand-in (tds.py)."""

import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyodbc
import pytest
import sqlglot
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlglot.expressions import Command

from lacrosse_assets.gamestream.day_simulator import tables_of
from lacrosse_assets.gamestream.game_day import DAY, game_day
from lacrosse_assets.gamestream.reference_data import GAMES, create_database, original_rows, reset_tables
from lacrosse_assets.gamestream.reference_data import UTF8_COLLATION as COLLATION
from lacrosse_assets.gamestream.simulator import _reset_reference_data as reset_reference_data
from lacrosse_assets.resources import sql as sql_module
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.reference_db import SqlReferenceDatabase
from lacrosse_assets.resources.sql import Fault
from lacrosse_assets.settings import load_settings
from lacrosse_assets_tests.support.sql_server import EXERCISE_TABLES, GREETING, Script, url
from lacrosse_assets_tests.support.tds import (
    LATIN1_COLLATION,
    UTF8_COLLATION,
    NoResponse,
    Response,
    Rows,
    SqlError,
    TdsServer,
)
from lacrosse_assets_tests.support.tls import Authority
from lacrosse_assets_tests.support.world import PLAYERS, TEAMS, closed_port

# The simulator's other settings.
ENVIRON = {
    "LACROSSE_DEPLOYMENT": "services",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t",
    "MONGODB_URI": "mongodb://127.0.0.1:1",
}
PASSWORD = "p@ss;w}rd"
GAMES2_ROW = {
    **{"id": 17, "day": DAY, "home": 101, "away": 205, "home_score": 2, "away_score": 1},
    "fingerprint": "f" * 32,
}
NO_SUCH_OBJECT, INVALID_COLLATION, LOCK_TIMEOUT_EXCEEDED = 208, 448, 1222


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """An untrusted certificate, like the self-signed one of a new SQL Server."""
    return Authority(tmp_path_factory.mktemp("certificate")).context()


def reference(server: TdsServer) -> SqlReferenceDatabase:
    return SqlReferenceDatabase(url=url(server.port, Encrypt="no"))


def copy_of(table: Table, name: str, *wrong: Column[Any]) -> Table:
    """The table without foreign keys, like the final tables; with `wrong` columns, it differs from them."""
    columns = [Column(each.name, each.type, primary_key=each.primary_key, nullable=each.nullable) for each in table.c]
    return Table(name, MetaData(), *columns, *wrong)


def transactions(server: TdsServer) -> list[list[str]]:
    """The statements of each transaction, its end included, without the lookups of SQLAlchemy and the driver."""
    found: list[list[str]] = []
    for statement in server.statements:
        sql = " ".join(statement.sql.split())
        if sql == "BEGIN":
            found.append([])
        elif not ("sys." in sql or "sp_" in sql or any(part in sql for part in GREETING)):
            found[-1].append(sql)
    return [
        transaction for transaction in found if any(not sql.startswith(("SET ", "ROLLBACK")) for sql in transaction)
    ]


def no_precondition() -> None: ...


@pytest.fixture(autouse=True)
def no_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in is Python in this process: on a busy machine a garbage collection keeps it from responding.

    In the whole suite one takes seconds. So a timeout is short only where it must expire.
    """
    monkeypatch.setattr(sql_module, "LOGIN_TIMEOUT_SECONDS", 60)
    monkeypatch.setattr(sql_module, "STATEMENT_TIMEOUT_SECONDS", 60)


@pytest.fixture
def short_timeouts(no_timeouts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_module, "LOGIN_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(sql_module, "STATEMENT_TIMEOUT_SECONDS", 1)


@pytest.fixture(params=NoResponse)
def end(request: pytest.FixtureRequest) -> NoResponse:
    """How a connection is lost; by the client's timeout or by the server."""
    if request.param is NoResponse.HANG:
        request.getfixturevalue("short_timeouts")
    return NoResponse(request.param)


def refusal(address: str) -> str:
    """The error of a read: one line that names the database and contains no password."""
    parsed = make_url(address)
    with pytest.raises(StoreError) as raised:
        SqlReferenceDatabase(url=address).read()
    problem = str(raised.value.description)
    beginning = f"reference database at mssql://127.0.0.1:{parsed.port}/{parsed.database}: "
    assert problem.startswith(beginning)
    assert "\n" not in problem
    assert parsed.password
    for secret in (parsed.password, quote_plus(parsed.password), parsed.password.replace("}", "}}")):
        assert secret not in problem
    return problem.removeprefix(beginning)


# The login.


@pytest.mark.usefixtures("short_timeouts")
def test_a_closed_port() -> None:
    assert "Login timeout expired" in refusal(url(closed_port(), PASSWORD))


@pytest.mark.usefixtures("short_timeouts")
def test_a_server_that_does_not_respond(monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts: list[int] = []
    connect = pyodbc.connect

    def recording(*arguments: Any, timeout: int, **options: Any) -> Any:
        timeouts.append(timeout)
        return connect(*arguments, timeout=timeout, **options)

    monkeypatch.setattr(pyodbc, "connect", recording)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "Login timeout expired" in refusal(url(silent.getsockname()[1], PASSWORD))
    assert timeouts == [1], "the driver's own timeout is 15 s"


@pytest.mark.parametrize("password", ["p@ss;w}rd", "{}", "a b%20=+'\"ü"])
def test_a_password_of_any_characters(password: str) -> None:
    with TdsServer(Script(*EXERCISE_TABLES), password=password) as server:
        address = url(server.port, password, Encrypt="no")
        assert SqlReferenceDatabase(url=address).read() == (TEAMS, PLAYERS)
    assert server.logins == [("sa", password, "sidearmdb", False)]


@pytest.mark.parametrize("password", ["secret5", "p@ss;w}rd"])
def test_a_wrong_password(password: str) -> None:
    with TdsServer(Script(*EXERCISE_TABLES), password="another") as server:
        problem = refusal(url(server.port, password, Encrypt="no"))
    assert "Login failed for user 'sa'." in problem
    assert problem.endswith(f"({Fault.LOGIN.hint})")
    assert server.logins[0].password == password
    assert server.statements == []


def test_no_such_database() -> None:
    with TdsServer(Script(*EXERCISE_TABLES), password=PASSWORD, databases=["master"]) as server:
        problem = refusal(url(server.port, PASSWORD, Encrypt="no"))
    assert 'Cannot open database "sidearmdb" requested by the login.' in problem
    assert problem.endswith(f"({Fault.DATABASE.hint})"), "not the simulator, which would drop the real tables"


# Encryption.


def test_an_untrusted_certificate_is_refused(certificate: ssl.SSLContext) -> None:
    with TdsServer(Script(*EXERCISE_TABLES), tls=certificate) as server:
        problem = refusal(url(server.port))
    assert "certificate verify failed" in problem
    assert problem.endswith(f"({Fault.UNTRUSTED.hint})")
    assert server.logins == [], "the password is not sent"


def test_trust_server_certificate_accepts_it(certificate: ssl.SSLContext) -> None:
    with TdsServer(Script(*EXERCISE_TABLES), tls=certificate) as server:
        found = SqlReferenceDatabase(url=url(server.port, TrustServerCertificate="yes")).read()
    assert found == (TEAMS, PLAYERS)
    assert [login.encrypted for login in server.logins] == [True]


@pytest.mark.parametrize("with_certificate", [True, False])
def test_encryption_can_be_turned_off(certificate: ssl.SSLContext, with_certificate: bool) -> None:
    with TdsServer(Script(*EXERCISE_TABLES), tls=certificate if with_certificate else None) as server:
        assert reference(server).read() == (TEAMS, PLAYERS)
    assert [login.encrypted for login in server.logins] == [False]


def test_a_server_that_cannot_encrypt() -> None:
    with TdsServer(Script(*EXERCISE_TABLES)) as server:
        assert "Encryption not supported" in refusal(url(server.port, PASSWORD))
    assert server.logins == [], "the password is not sent"


# Reading.


def test_both_tables_are_read_in_one_transaction() -> None:
    with TdsServer(Script(*EXERCISE_TABLES)) as server:
        assert reference(server).read() == (TEAMS, PLAYERS)
    (transaction,) = transactions(server)
    assert transaction == [
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SELECT * FROM players WHERE 1 = 0",
        "SELECT id, name, number, shots, goals, teamid FROM players ORDER BY id",
        "SELECT * FROM teams WHERE 1 = 0",
        "SELECT id, name, conference, wins, losses FROM teams ORDER BY id",
        "COMMIT",
    ]


@pytest.mark.parametrize("scheme", ["mssql+pyodbc", "mssql"])
def test_the_timeouts_are_set_before_the_first_query(scheme: str) -> None:
    """`mssql://` is SQLAlchemy's short form of the same address. It had no timeouts."""
    with TdsServer(Script(*EXERCISE_TABLES)) as server:
        SqlReferenceDatabase(url=url(server.port, Encrypt="no").replace("mssql+pyodbc", scheme)).read()
    of_the_driver = ("BEGIN", "[sys].sp_datatype_info_100")
    assert (
        next(statement.sql for statement in server.statements if statement.sql not in of_the_driver)
        == "SET LOCK_TIMEOUT 15000"
    )


@pytest.mark.parametrize("table", ["teams", "players"])
def test_a_table_is_missing(table: str) -> None:
    invalid = SqlError(NO_SUCH_OBJECT, f"Invalid object name '{table}'.")
    there = [each for each in EXERCISE_TABLES if each.name != table]
    with TdsServer(Script(*there, exceptions={f"FROM {table}": invalid})) as server:
        problem = refusal(url(server.port, Encrypt="no"))
    assert f"Invalid object name '{table}'. (208)" in problem
    assert problem.endswith(f"({Fault.NO_OBJECT.hint})"), (
        "it may exist and be invisible: no hint may lead to its creation"
    )
    assert transactions(server)[-1][-1] == "ROLLBACK"


def test_a_table_is_locked_for_too_long() -> None:
    locked = SqlError(LOCK_TIMEOUT_EXCEEDED, "Lock request time out period exceeded.")
    with TdsServer(Script(*EXERCISE_TABLES, exceptions={"FROM teams": locked})) as server:
        assert "Lock request time out period exceeded." in refusal(url(server.port, Encrypt="no"))
    assert transactions(server)[-1][-1] == "ROLLBACK"


LOST = {NoResponse.DISCONNECT: "Communication link failure|TCP Provider", NoResponse.HANG: "Query timeout expired"}


def test_a_connection_that_is_lost_while_rows_are_read(end: NoResponse) -> None:
    with TdsServer(Script(*EXERCISE_TABLES, exceptions={"FROM teams": end})) as server:
        assert re.search(LOST[end], refusal(url(server.port, Encrypt="no")))


# Hints for the server's errors.

KNOWN = [
    (229, "The SELECT permission was denied on the object 'players'.", Fault.PERMISSION),
    (230, "The SELECT permission was denied on the column 'shots'.", Fault.PERMISSION),
    (911, "Database 'sidearmdb' does not exist.", Fault.DATABASE),
    (1205, "Transaction (Process ID 52) was deadlocked on lock resources.", Fault.DEADLOCK),
    (1222, "Lock request time out period exceeded.", Fault.LOCKED),
    (921, "Database 'sidearmdb' has not been recovered yet.", Fault.STARTING),
    (262, "CREATE TABLE permission denied in database 'sidearmdb'.", Fault.PERMISSION),
    (300, "VIEW SERVER STATE permission was denied.", Fault.PERMISSION),
    (515, "Cannot insert the value NULL into column 'name'.", Fault.CONSTRAINT),
    (547, "The INSERT statement conflicted with the CHECK constraint.", Fault.CONSTRAINT),
    (2627, "Violation of PRIMARY KEY constraint. The duplicate key value is (208).", Fault.CONSTRAINT),
    (2628, "String or binary data would be truncated.", Fault.CONSTRAINT),
    (8152, "String or binary data would be truncated.", Fault.CONSTRAINT),
    (8115, "Arithmetic overflow error converting expression to data type tinyint.", Fault.CONSTRAINT),
    (4708, "Could not truncate object 'teams2' because it is not a table.", Fault.NOT_A_TABLE),
    (3705, "Cannot use DROP TABLE with 'teams2' because 'teams2' is a view.", Fault.NOT_A_TABLE),
    (3726, "Could not drop object 'teams2' because it is referenced by a FOREIGN KEY.", Fault.REFERENCED),
    (1105, "Could not allocate space for object.", Fault.FULL),
    (3906, "Failed to update database because the database is read-only.", Fault.READ_ONLY),
    (102, "Incorrect syntax near 'players'. Login failed, permission, timeout (1222).", None),
    (50000, "somebody's trigger says no (229)", None),
]


@pytest.mark.parametrize("statement", ["SELECT", "INSERT", "SET TRANSACTION"])
@pytest.mark.parametrize(("number", "message", "fault"), KNOWN, ids=[str(number) for number, *_ in KNOWN])
def test_an_error_has_the_hint_of_its_number_or_none(
    statement: str, number: int, message: str, fault: Fault | None
) -> None:
    """For any statement: SQLAlchemy does not wrap the errors of setting the isolation level."""
    part = {"SELECT": "FROM players", "INSERT": "INSERT INTO teams2"}.get(statement, statement)
    with TdsServer(Script(*EXERCISE_TABLES, exceptions={part: SqlError(number, message)})) as server:
        database = reference(server)
        fail = partial(database.replace, FINAL, no_precondition) if statement == "INSERT" else database.read
        with pytest.raises(StoreError) as raised:
            fail()
    problem = str(raised.value.description)
    assert f"{message} ({number})" in problem
    if fault:
        assert problem.endswith(f" ({fault.hint})")
    else:
        assert re.search(r"\((SQL\w+|8180)\)$", problem), "the server's message without a hint"


def test_a_connection_that_is_lost_while_the_isolation_level_is_set(end: NoResponse) -> None:
    with TdsServer(Script(*EXERCISE_TABLES, exceptions={"SET TRANSACTION": end})) as server:
        problem = refusal(url(server.port, Encrypt="no"))
    assert re.search(LOST[end], problem)
    assert problem.endswith(f"({(Fault.SLOW if end is NoResponse.HANG else Fault.UNREACHABLE).hint})")


def test_a_user_who_may_not_query_the_isolation_level() -> None:
    """Without VIEW SERVER STATE it is unknown. Resetting it was a bare AssertionError."""
    denied = SqlError(300, "VIEW SERVER STATE permission was denied on object 'server'.")
    with TdsServer(Script(*EXERCISE_TABLES, exceptions={"FROM sys.dm_exec_sessions": denied})) as server:
        database = reference(server)
        assert database.read() == (TEAMS, PLAYERS)
        database.replace(FINAL, no_precondition)
        assert database.read() == (TEAMS, PLAYERS)


def test_an_error_while_the_timeouts_are_set() -> None:
    with TdsServer(Script(*EXERCISE_TABLES, exceptions={"SET LOCK_TIMEOUT": SqlError(229, "denied")})) as server:
        assert refusal(url(server.port, Encrypt="no")).endswith(f"({Fault.PERMISSION.hint})")


def test_a_certificate_of_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint was to check that the server runs. To trust any certificate would be a wrong hint, too."""
    authority = Authority(tmp_path, "db.example.edu")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with TdsServer(Script(*EXERCISE_TABLES), tls=authority.context()) as server:
        problem = refusal(url(server.port))
        assert problem.endswith(f"({Fault.OTHER_HOST.hint})"), problem
        named = url(server.port, HostNameInCertificate="db.example.edu")
        assert SqlReferenceDatabase(url=named).read() == (TEAMS, PLAYERS)


def test_a_missing_driver() -> None:
    problem = refusal(url(closed_port()).replace("libmsodbcsql", "libnosuch"))
    assert problem.endswith(f"({Fault.NO_DRIVER.hint})"), problem


# Schemas and columns of a school's own.


@pytest.mark.parametrize("default_schema", ["dbo", "coach"])
def test_the_final_tables_are_written_beside_their_originals(default_schema: str) -> None:
    """A SELECT finds a table of dbo from any default schema, but the catalogue was queried for that schema only."""
    with TdsServer(Script(*EXERCISE_TABLES, default_schema=default_schema)) as server:
        database = reference(server)
        assert database.read() == (TEAMS, PLAYERS)
        database.replace({"teams2": TEAMS}, no_precondition, games=[GAMES2_ROW])
    own = "" if default_schema == "dbo" else "dbo."
    written = [
        re.sub(r" \(.*\) ", " ", sql) for sql in transactions(server)[-1] if sql.startswith(("CREATE", "INSERT"))
    ]
    assert written[0].startswith(f"CREATE TABLE {own}teams2 ")
    assert written[1].startswith(f"CREATE TABLE {own}games2 ")
    assert written[2].startswith(f"INSERT INTO {own}teams2 ")
    assert written[2].endswith(f" FROM {own}teams")
    assert written[3].startswith(f"INSERT INTO {own}games2 ")


def test_tables_of_the_user_s_own_schema() -> None:
    with TdsServer(Script(*EXERCISE_TABLES, schema="coach", default_schema="coach")) as server:
        reference(server).replace({"teams2": TEAMS}, no_precondition)
    assert any(sql.startswith("CREATE TABLE teams2 ") for sql in transactions(server)[-1])


def test_columns_that_cannot_be_written_become_writable() -> None:
    def column(name: str, nullable: bool = True, **info: Any) -> Column[Any]:
        return Column(name, Integer, nullable=nullable, info=info)

    teams = copy_of(
        EXERCISE_TABLES[0],
        "teams",
        column("Serial no", type_name="bigint", nullable=False, is_identity=1, seed_value=1, increment_value=1),
        column("games", type_name="int", computed_definition="([wins]+[losses])", is_persisted=False),
        column("version", type_name="timestamp", nullable=False, max_length=8),
        column("seen", type_name="datetime2", scale=3),
        column("budget", type_name="decimal", precision=12, scale=2, default_value="((0))"),
        column("place", type_name="geography"),
        column("key", type_name="uniqueidentifier", nullable=False),
        column("is]active", type_name="bit"),
        column("notes", type_name="nvarchar", max_length=-1),
    )
    names = [each.name for each in teams.columns]
    rows = [{**dict.fromkeys(names), **team} for team in TEAMS]
    with TdsServer(Script(teams, EXERCISE_TABLES[1], rows={"teams": rows})) as server:
        reference(server).replace({"teams2": [{"id": 101, "wins": 12}]}, no_precondition)
    statements = transactions(server)[-1]
    (create,) = (sql for sql in statements if "CREATE" in sql)
    assert (
        "[Serial no] BIGINT NOT NULL, games INTEGER NULL, version BINARY(8) NOT NULL, seen DATETIME2(3) NULL," in create
    )
    assert "budget DECIMAL(12, 2) NULL, place geography NULL, [key] UNIQUEIDENTIFIER NOT NULL," in create
    assert "[is]]active] BIT NULL, notes NVARCHAR(max)" in create
    for unwanted in ("IDENTITY", "AS (", "DEFAULT", "TIMESTAMP"):
        assert unwanted not in create
    copied = ", ".join(f"[{name.replace(']', ']]')}]" if re.search(r"\W|key", name) else name for name in names)
    assert f"INSERT INTO teams2 ({copied}) SELECT {copied} FROM teams" in statements
    assert any("CAST(place AS VARBINARY(max))" in sql for sql in statements), "ODBC cannot read the type"


# Replacing.

FINAL = {"teams2": TEAMS, "players2": PLAYERS}
COLUMNS = {name: ", ".join(rows[0]) for name, rows in FINAL.items()}
READS = [f"SELECT {COLUMNS[name]} FROM {name[:-1]} ORDER BY id" for name in ("players2", "teams2")]
FILLS = [
    statement
    for name, rows in FINAL.items()
    for statement in (
        f"INSERT INTO {name} ({COLUMNS[name]}) SELECT {COLUMNS[name]} FROM {name[:-1]}",
        *[f"UPDATE {name} SET" for _ in rows],
    )
]
CREATES = [
    f"CREATE TABLE teams2 ( id INTEGER NOT NULL, name VARCHAR(50) COLLATE {COLLATION} NOT NULL,"
    f" conference VARCHAR(50) COLLATE {COLLATION} NOT NULL, wins INTEGER NOT NULL, losses INTEGER NOT NULL,"
    " PRIMARY KEY (id) )",
    f"CREATE TABLE players2 ( id INTEGER NOT NULL, name VARCHAR(50) COLLATE {COLLATION} NOT NULL,"
    f" number VARCHAR(3) COLLATE {COLLATION} NOT NULL, shots INTEGER NOT NULL, goals INTEGER NOT NULL,"
    " teamid INTEGER NOT NULL, PRIMARY KEY (id) )",
]
DELETES = ["DELETE FROM teams2 WITH (TABLOCKX)", "DELETE FROM players2 WITH (TABLOCKX)"]
WITH_EXTRA_COLUMN = [copy_of(table, f"{table.name}2", Column("extra", Integer)) for table in EXERCISE_TABLES]
UP_TO_DATE = [copy_of(table, f"{table.name}2") for table in EXERCISE_TABLES]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], CREATES),
        (UP_TO_DATE, DELETES),
        (WITH_EXTRA_COLUMN, ["DROP TABLE teams2", CREATES[0], "DROP TABLE players2", CREATES[1]]),
    ],
    ids=["missing", "up to date", "outdated"],
)
def test_the_final_tables_are_replaced_in_one_transaction(there: list[Table], expected: list[str]) -> None:
    seen: list[list[str]] = []
    with TdsServer(Script(*EXERCISE_TABLES, *there)) as server:
        reference(server).replace(FINAL, lambda: seen.append(transactions(server)[-1]))
    transaction = transactions(server)[-1]
    assert [re.sub(r"(?<= SET).*", "", sql) if "UPDATE" in sql else sql for sql in transaction] == [
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        *expected,
        *READS,
        *FILLS,
        "COMMIT",
    ]
    assert seen == [transaction[: 1 + len(expected)]], (
        "precondition is called after the tables are locked and before they are filled"
    )


def test_games2_is_replaced_with_the_others_and_keeps_its_permissions() -> None:
    """The collation of its text is the database's, which made it look outdated each time."""
    bigint = {"type_name": "bigint"}
    games2 = Table(
        "games2",
        MetaData(),
        Column("id", Integer, primary_key=True, nullable=False, info=bigint),
        Column("day", Integer, info={"type_name": "date"}),
        *(Column(name, Integer, info=bigint) for name in ("home", "away", "home_score", "away_score")),
        Column("fingerprint", String(32)),
    )
    with TdsServer(Script(*EXERCISE_TABLES, *UP_TO_DATE, games2)) as server:
        reference(server).replace(FINAL, no_precondition, games=[GAMES2_ROW])
    transaction = transactions(server)[-1]
    assert [sql for sql in transaction if "games2" in sql and "INSERT" not in sql] == [
        "DELETE FROM games2 WITH (TABLOCKX)"
    ]
    assert any(sql.startswith("INSERT INTO games2 ") for sql in transaction)


def test_updates_pass_values_as_parameters() -> None:
    with TdsServer(Script(*EXERCISE_TABLES)) as server:
        reference(server).replace(FINAL, no_precondition)
    for name, rows in FINAL.items():
        updates = [statement for statement in server.statements if f"UPDATE {name}" in statement.sql]
        assert [list(statement.parameters) for statement in updates] == [
            [*list(row.values())[1:], row["id"]] for row in rows
        ]
        for update in updates:
            assert re.fullmatch(rf"UPDATE {name} SET (\w+=@P\d, )*\w+=@P\d WHERE {name}.id = @P\d", update.sql)


@pytest.mark.parametrize("collation", [UTF8_COLLATION, LATIN1_COLLATION], ids=["utf-8", "latin 1"])
def test_names_of_any_alphabet_are_sent_whole(collation: bytes) -> None:
    names = ["Łukasz", "佐藤太郎", "🥍"]
    rows = [{"id": row["id"], "name": name} for row, name in zip(PLAYERS, names, strict=False)]
    with TdsServer(Script(*EXERCISE_TABLES), collation=collation) as server:
        reference(server).replace({"players2": rows}, no_precondition)
    updates = [statement for statement in server.statements if "UPDATE" in statement.sql]
    for update, name in zip(updates, names, strict=True):
        place = update.parameters.index(name)
        declared = re.fullmatch(r"@P\d+ (nvarchar|varchar)\((\d+)\)", update.declared.split(",")[place])
        assert declared, update.declared
        size = len(name.encode("utf-16-le")) // 2 if declared[1] == "nvarchar" else len(name.encode())
        assert size <= int(declared[2]), "SQL Server silently truncates what is longer"


def test_a_failed_precondition_rolls_back() -> None:
    class PreconditionError(Exception): ...

    def precondition() -> None:
        raise PreconditionError

    with TdsServer(Script(*EXERCISE_TABLES, *UP_TO_DATE)) as server, pytest.raises(PreconditionError):
        reference(server).replace(FINAL, precondition)
    assert transactions(server)[-1][-3:] == [*DELETES, "ROLLBACK"]


def test_a_connection_that_is_lost_while_rows_are_written(end: NoResponse) -> None:
    with (
        TdsServer(Script(*EXERCISE_TABLES, exceptions={"INSERT INTO players2": end})) as server,
        pytest.raises(StoreError, match=LOST[end]),
    ):
        reference(server).replace(FINAL, no_precondition)
    assert "COMMIT" not in transactions(server)[-1]


# The simulator.


def reset(server: TdsServer) -> None:
    engine = create_engine(url(server.port, Encrypt="no"))
    reset_tables(engine)
    engine.dispose()


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("old", [True, False], ids=["2017", "2022"])
def test_the_database_is_created_where_it_is_missing(there: bool, old: bool) -> None:
    exceptions: dict[str, Response] = {"FROM sys.databases": Rows([""], [[1]] if there else [])}
    if old:
        exceptions["COLLATE"] = SqlError(INVALID_COLLATION, f"Invalid collation '{COLLATION}'.")
    with TdsServer(Script(exceptions=exceptions), databases=["master"]) as server:
        create_database(url(server.port, Encrypt="no"))
    statements = [statement for statement in server.statements if "DATABASE " in statement.sql]
    assert {(login.database) for login in server.logins} == {"master"}
    assert not any(each.in_transaction for each in statements)
    assert [each.sql for each in statements] == [
        *[f"CREATE DATABASE sidearmdb COLLATE {COLLATION}" for _ in range(not there)],
        *["CREATE DATABASE sidearmdb" for _ in range(old and not there)],
        *["ALTER DATABASE sidearmdb SET READ_COMMITTED_SNAPSHOT ON" for _ in range(not there)],
    ]


TEMPORARY = [
    (1807, "Could not obtain exclusive lock on database 'model'. Retry the operation later."),
    (1222, "Lock request time out period exceeded."),
    (262, "CREATE DATABASE permission denied in database 'master'."),
    (1802, "CREATE DATABASE failed. Some file names listed could not be created."),
]


@pytest.mark.parametrize(("number", "message"), TEMPORARY, ids=[str(number) for number, _ in TEMPORARY])
def test_a_database_is_not_made_in_another_collation_for_a_temporary_error(number: int, message: str) -> None:
    exceptions: dict[str, Response] = {"FROM sys.databases": Rows([""]), "COLLATE": SqlError(number, message)}
    with (
        TdsServer(Script(exceptions=exceptions), databases=["master"]) as server,
        pytest.raises(DBAPIError, match=str(number)),
    ):
        create_database(url(server.port, Encrypt="no"))
    created = [statement.sql for statement in server.statements if "CREATE DATABASE" in statement.sql]
    assert created == [f"CREATE DATABASE sidearmdb COLLATE {COLLATION}"]


def test_a_server_that_has_no_number_for_an_unknown_collation(caplog: pytest.LogCaptureFixture) -> None:
    """Babelfish's message."""
    unknown = SqlError(33557097, f'"{COLLATION.lower()}" is not currently supported for database collation ')
    exceptions: dict[str, Response] = {"FROM sys.databases": Rows([""]), "COLLATE": unknown}
    with TdsServer(Script(exceptions=exceptions), databases=["master"]) as server:
        create_database(url(server.port, Encrypt="no"))
    assert "CREATE DATABASE sidearmdb" in [statement.sql for statement in server.statements]
    assert [record.getMessage() for record in caplog.records if COLLATION in record.getMessage()], "it is logged"


class LockedTwice(Script):
    """Another program's open transaction locks `teams` for the first two attempts to drop it."""

    locked = 2

    def __call__(self, sql: str, parameters: Sequence[Any]) -> Response:
        if "DROP TABLE teams" in sql and self.locked:
            self.locked -= 1
            return SqlError(LOCK_TIMEOUT_EXCEEDED, "Lock request time out period exceeded.")
        return super().__call__(sql, parameters)


def test_the_simulator_reports_a_lock_and_retries(caplog: pytest.LogCaptureFixture) -> None:
    """It waited forever, without logging anything."""
    caplog.set_level("INFO")
    script = LockedTwice(exceptions={"FROM sys.databases": Rows([""], [[1]])})
    script.tables = {table.name: table for table in EXERCISE_TABLES}
    with TdsServer(script) as server:
        environ = {**ENVIRON, "SIDEARMDB_URL": url(server.port, Encrypt="no")}
        reset_reference_data(load_settings(environ))
    assert script.locked == 0
    assert [statement for statement in server.statements if statement.sql == "SET LOCK_TIMEOUT 5000"], (
        "the default timeout is infinite"
    )
    (line,) = [record.getMessage() for record in caplog.records if "Waiting for" in record.getMessage()]
    assert line.startswith(f"Waiting for the reference database at mssql://127.0.0.1:{server.port}/sidearmdb (")
    assert f"(1222) (SQLExecDirectW): {Fault.LOCKED.hint})" in line


def test_the_reference_tables_are_reset_in_one_transaction() -> None:
    with TdsServer(Script(*EXERCISE_TABLES)) as server:
        reset(server)
    (transaction,) = transactions(server)
    assert transaction[:-3] == [
        "DROP TABLE players",
        "DROP TABLE teams",
        "CREATE TABLE teams ( id INTEGER NOT NULL, name VARCHAR(50) NOT NULL, conference VARCHAR(50) NOT NULL,"
        " wins INTEGER NOT NULL, losses INTEGER NOT NULL, PRIMARY KEY (id) )",
        "CREATE TABLE players ( id INTEGER NOT NULL, name VARCHAR(50) NOT NULL, number VARCHAR(3) NOT NULL,"
        " shots INTEGER NOT NULL, goals INTEGER NOT NULL, teamid INTEGER NOT NULL, PRIMARY KEY (id),"
        " FOREIGN KEY(teamid) REFERENCES teams (id) )",
    ]
    assert [sql.partition(" (")[0] for sql in transaction[-3:]] == [
        "INSERT INTO teams",
        "INSERT INTO players",
        "COMMIT",
    ]
    inserts = [statement.parameters for statement in server.statements if "INSERT" in statement.sql]
    assert inserts == [[value for row in original_rows(table) for value in row.values()] for table in EXERCISE_TABLES]


def test_a_game_day_is_reset_in_one_transaction() -> None:
    tables = tables_of(game_day(3))
    with TdsServer(Script(*EXERCISE_TABLES, GAMES)) as server:
        engine = reference(server).create_engine()
        reset_tables(engine, tables)
        engine.dispose()
    (transaction,) = transactions(server)
    beginnings = [sql.partition(" (")[0] for sql in transaction]
    assert [*dict.fromkeys(beginnings)] == [
        *("DROP TABLE games", "DROP TABLE players", "DROP TABLE teams"),
        *("CREATE TABLE teams", "CREATE TABLE players", "CREATE TABLE games"),
        *("INSERT INTO teams", "INSERT INTO players", "INSERT INTO games"),
        "COMMIT",
    ]
    assert transaction[5] == (
        "CREATE TABLE games ( id INTEGER NOT NULL, day DATE NOT NULL, home INTEGER NOT NULL, away INTEGER NOT NULL,"
        " PRIMARY KEY (id) )"
    )
    inserts = [value for statement in server.statements if "INSERT" in statement.sql for value in statement.parameters]
    # The driver has no type for a date alone; the server converts it to the column's.
    day = datetime.combine(DAY, time.min)
    expected = [value for rows in tables.values() for row in rows for value in row.values()]
    assert inserts == [day if value == DAY else value for value in expected]


# All statements.


def test_every_statement_is_transact_sql() -> None:
    script = Script(
        *EXERCISE_TABLES, UP_TO_DATE[0], WITH_EXTRA_COLUMN[1], exceptions={"FROM sys.databases": Rows([""])}
    )
    with TdsServer(script) as server:
        database = reference(server)
        database.read()
        database.replace(FINAL, no_precondition)
        reset(server)
        engine = database.create_engine()
        reset_tables(engine, tables_of(game_day(1)))
        engine.dispose()
        create_database(url(server.port, Encrypt="no"))
    statements = {statement.sql for statement in server.statements if " " in statement.sql}
    for beginning in (
        "SELECT",
        "UPDATE",
        "DELETE",
        "DROP",
        "CREATE TABLE",
        "INSERT",
        "CREATE DATABASE",
        "ALTER DATABASE",
    ):
        assert any(sql.strip().startswith(beginning) for sql in statements)
    # Except the one that sqlglot does not know.
    for sql in statements - {"ALTER DATABASE sidearmdb SET READ_COMMITTED_SNAPSHOT ON"}:
        (parsed,) = sqlglot.parse(sql, read="tsql")
        assert not isinstance(parsed, Command), f"parsed as an opaque command: {sql}"


def test_pyodbc_is_not_imported_for_another_database(tmp_path: Path) -> None:
    program = (
        "import sys; from lacrosse_assets.definitions import defs;"
        "from lacrosse_assets.resources.reference_db import SqlReferenceDatabase;"
        "from lacrosse_assets.gamestream.reference_data import reset_tables;"
        "database = SqlReferenceDatabase(url=sys.argv[1]); reset_tables(database.create_engine()); database.read();"
        "print([name for name in sys.modules if 'pyodbc' in name.split('.')[0]])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{tmp_path / 'sidearmdb.db'}"],
        env={**os.environ, "LACROSSE_DEPLOYMENT": "mock"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "[]\n"
