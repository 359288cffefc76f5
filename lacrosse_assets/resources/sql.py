"""SQL databases, for the pipeline and the simulator: engines with timeouts, and what the drivers' errors mean.

Imports no Dagster: the simulator starts without it.
"""

import re
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

LOGIN_TIMEOUT_SECONDS = 5
LOCK_TIMEOUT_SECONDS = 15  # waiting for another transaction's lock
STATEMENT_TIMEOUT_SECONDS = 30

VARIABLE = "SIDEARMDB_URL"
SIMULATOR_HINT = (
    "for a demonstration game, run `python -m lacrosse_assets.gamestream`: it drops teams and players if they exist, "
    "and creates both tables"
)


class Fault(Enum):
    """A known cause of a driver's error. The value is the hint: what to do about it."""

    UNREACHABLE = f"check that it is running and that {VARIABLE} points to it; gamestream_sensor keeps retrying"
    STARTING = "the server is starting, or recovering the database; gamestream_sensor keeps retrying"
    NO_ODBC = "pyodbc needs unixODBC: `apt-get install unixodbc`"
    NO_DRIVER = f"driver= in {VARIABLE} must name an installed driver: `odbcinst -q -d` lists them"
    UNTRUSTED = (
        "SSL_CERT_FILE must name the CA certificate that signed the server's certificate; "
        f"TrustServerCertificate=yes in {VARIABLE} accepts any certificate"
    )
    OTHER_HOST = (
        f"the server's certificate is for another host name: use that name in {VARIABLE}, or add "
        "HostNameInCertificate=<the name in the certificate>"
    )
    LOGIN = (
        f"check user and password in {VARIABLE}; the user needs to read teams and players (on a game day games, too) "
        "and to create tables"
    )
    DATABASE = (
        f"the database does not exist, or the {VARIABLE} user has no access to it: ask the database's administrator"
    )
    PERMISSION = (
        f"{VARIABLE} user needs SELECT on teams and players, and permission to create, fill and drop teams2 and "
        "players2 in their schema; on a game day the same for games and games2"
    )
    NO_OBJECT = (
        f"it does not exist in the database of {VARIABLE}, or the user may not see it: ask the database's "
        "administrator before you create anything"
    )
    NO_TABLE = f"check that {VARIABLE} names the right database; {SIMULATOR_HINT}"
    NO_SCHEDULE = (
        f"on a game day {VARIABLE} must name a database with the table games(id int primary key, day date, home int, "
        "away int); without a `/` at its end GAMESTREAM_KEY names the stream of one game, which needs no such table"
    )
    NOT_A_TABLE = "a view or another object has the name of a table: rename or drop it"
    REFERENCED = "another table has a foreign key to this one: drop that key"
    CONSTRAINT = "a constraint or the size of a column rejects the value; nothing was changed"
    LOCKED = "another program's open transaction holds the lock: end that transaction; gamestream_sensor keeps retrying"
    DEADLOCK = "deadlock with another transaction; gamestream_sensor keeps retrying"
    SLOW = "timeout: the server is busy or waits for a lock; gamestream_sensor keeps retrying"
    FULL = "the disk or the database is full: free some space; gamestream_sensor keeps retrying"
    READ_ONLY = f"the database is read-only: {VARIABLE} must name a writable one"
    NOT_A_FILE = f"{VARIABLE} must name an SQLite database; this file is something else, or is corrupt"
    CANNOT_OPEN = (
        f"check the path in {VARIABLE}: its folder must exist, and folder and file must be readable and writable"
    )

    @property
    def hint(self) -> str:
        return str(self.value)


# SQL Server's error numbers (`sys.messages`), the most specific first: one error often carries several.
_SQL_SERVER = {
    **dict.fromkeys((904, 921, 922, 927, 17142, 17187, 18401, 40613), Fault.STARTING),
    **dict.fromkeys((911, 916, 4060, 4063, 4064), Fault.DATABASE),
    **dict.fromkeys((18451, 18452, 18456, 18461, 18470, 18486, 18487, 18488), Fault.LOGIN),
    **dict.fromkeys((229, 230, 262, 297, 300, 1088, 2760, 3701, 4701, 15151, 15247), Fault.PERMISSION),
    208: Fault.NO_OBJECT,
    **dict.fromkeys((3705, 4708), Fault.NOT_A_TABLE),
    3726: Fault.REFERENCED,
    **dict.fromkeys((220, 515, 547, 2601, 2627, 2628, 8115, 8152), Fault.CONSTRAINT),
    1222: Fault.LOCKED,
    **dict.fromkeys((1205, 3960), Fault.DEADLOCK),
    **dict.fromkeys((1101, 1105, 9002), Fault.FULL),
    3906: Fault.READ_ONLY,
}
UNKNOWN_COLLATION = 448

# SQLite's primary result codes.
_SQLITE = {
    3: Fault.CANNOT_OPEN,
    5: Fault.LOCKED,
    6: Fault.LOCKED,
    8: Fault.READ_ONLY,
    11: Fault.NOT_A_FILE,
    13: Fault.FULL,
    14: Fault.CANNOT_OPEN,
    19: Fault.CONSTRAINT,
    26: Fault.NOT_A_FILE,
}

# SQLSTATEs by prefix: ODBC's own codes first, then those of the SQL standard, which other servers use as well.
_SQLSTATE = {
    "IM002": Fault.NO_DRIVER,
    "IM003": Fault.NO_DRIVER,
    "IM004": Fault.NO_DRIVER,
    "HYT01": Fault.UNREACHABLE,
    "08": Fault.UNREACHABLE,
    "28": Fault.LOGIN,
    "3D000": Fault.DATABASE,
    "42501": Fault.PERMISSION,
    "42S02": Fault.NO_OBJECT,
    "42P01": Fault.NO_OBJECT,
    "23": Fault.CONSTRAINT,
    "22001": Fault.CONSTRAINT,
    "22003": Fault.CONSTRAINT,
    "55P03": Fault.LOCKED,
    "40001": Fault.DEADLOCK,
    "40P01": Fault.DEADLOCK,
    "57P03": Fault.STARTING,
    "53100": Fault.FULL,
    "25006": Fault.READ_ONLY,
}


def create_engine_for(url: "str | URL", lock_timeout_seconds: int | None = None, **options: Any) -> "Engine":
    """An engine on which no login, lock or statement waits without a timeout.

    `lock_timeout_seconds` defaults to `LOCK_TIMEOUT_SECONDS`; `options` are those of `sqlalchemy.create_engine`.
    """
    from sqlalchemy import create_engine, event, make_url

    url = make_url(url)
    lock_timeout_seconds = LOCK_TIMEOUT_SECONDS if lock_timeout_seconds is None else lock_timeout_seconds
    if url.get_backend_name() == "sqlite":
        return create_engine(url, connect_args={"timeout": lock_timeout_seconds}, **options)
    if (url.get_backend_name(), url.get_driver_name()) != ("mssql", "pyodbc"):  # also written `mssql:`
        return create_engine(url, **options)

    # By default pyodbc sends texts as NVARCHAR, which holds any character. SQLAlchemy's setinputsizes would send
    # VARCHAR, which the driver converts to the database's code page and cuts to two bytes a character.
    engine = create_engine(url, use_setinputsizes=False, connect_args={"timeout": LOGIN_TIMEOUT_SECONDS}, **options)

    # All three timeouts are infinite by default. `insert`: SQLAlchemy's own listener, which runs queries, comes later.
    @event.listens_for(engine, "connect", insert=True)
    def set_timeouts(connection: Any, _: object) -> None:
        connection.timeout = STATEMENT_TIMEOUT_SECONDS
        connection.execute(f"SET LOCK_TIMEOUT {1000 * lock_timeout_seconds}").close()

    return engine


def errors_of(url: "str | URL") -> tuple[type[Exception], ...]:
    """The errors that this database's client raises: SQLAlchemy's, and the driver's, which are not always wrapped.

    Raises:
        ImportError: the driver cannot be loaded.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError, make_url(url).get_dialect().import_dbapi().Error


def driver_error(error: BaseException) -> BaseException:
    """The driver's error, without SQLAlchemy's wrapper."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error


def message(error: BaseException) -> str:
    """The driver's message, in one line: SQLAlchemy's adds the statement and a link."""
    error = driver_error(error)
    # pyodbc's first argument is the SQLSTATE; the second begins with it, too.
    return " ".join(str(error.args[-1] if error.args else error).split()) or type(error).__name__


def error_numbers(error: BaseException) -> list[int]:
    """SQL Server's error numbers: ODBC puts each at the end of its message, in parentheses."""
    text = message(error)
    return [int(number) for number in re.findall(r" \((\d+)\)(?= \(SQL\w+\)|; \[|$)", text)] if _is_odbc(text) else []


def classify(error: BaseException) -> Fault | None:
    """The cause of the error, where the driver's codes identify it; otherwise None."""
    error, text = driver_error(error), message(error)
    if isinstance(error, ImportError):
        return Fault.NO_ODBC if "libodbc" in text else None
    if (code := getattr(error, "sqlite_errorcode", None)) is not None:
        if code == 1 and text.startswith("no such table: "):
            return Fault.NO_SCHEDULE if text.endswith(" games") else Fault.NO_TABLE
        return _SQLITE.get(code & 0xFF)
    state = _sqlstate(error)
    if "Can't open lib" in text:
        return Fault.NO_DRIVER
    if "SSL Provider" in text:
        return _classify_tls(text)
    if state == "HYT00":
        # One code for both timeouts: that of the login, and that of a statement.
        return Fault.UNREACHABLE if "login" in text.lower() else Fault.SLOW
    numbers = error_numbers(error)
    if known := [number for number in _SQL_SERVER if number in numbers]:
        return _SQL_SERVER[known[0]]
    if numbers and not state.startswith("08"):
        # SQL Server's SQLSTATEs are ambiguous: 42000 is a syntax error, a missing permission, a full disk.
        return None
    return next((fault for prefix, fault in _SQLSTATE.items() if state.startswith(prefix)), None)


def is_unknown_collation(error: BaseException, collation: str) -> bool:
    """Whether the server does not know the collation. Only Microsoft's servers have an error number for that."""
    text = message(error).lower()
    return UNKNOWN_COLLATION in error_numbers(error) or ("collation" in text and collation.lower() in text)


def _classify_tls(text: str) -> Fault | None:
    text = text.lower()
    if re.search(r"(host ?name|ip address|subject name|does not match)", text):
        return Fault.OTHER_HOST
    return Fault.UNTRUSTED if "certificate verify failed" in text else None


def _sqlstate(error: BaseException) -> str:
    first = error.args[0] if error.args else ""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or first
    return state if isinstance(state, str) and re.fullmatch(r"[0-9A-Z]{5}", state) else ""


def _is_odbc(text: str) -> bool:
    return text.startswith("[") and "[SQL Server]" in text
