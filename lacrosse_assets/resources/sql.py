"""SQL databases, for the pipeline and the simulator: how to connect to one, and what its errors mean.

No Dagster here: the simulator starts without it.
"""

import re
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

# How long to wait, in seconds: for a server to answer a login, for another transaction's lock, and for a statement.
LOGIN_TIMEOUT_SECONDS, LOCK_TIMEOUT_SECONDS, STATEMENT_TIMEOUT_SECONDS = 5, 15, 30

URL = "SIDEARMDB_URL"
SIMULATOR = (
    "for a demonstration game, `python -m lacrosse_assets.gamestream` creates both tables anew, and drops teams and "
    "players where they exist"
)


class Fault(Enum):
    """What is known to be wrong, and what to do about it."""

    UNREACHABLE = f"check that it is running and that {URL} points to it; gamestream_sensor keeps retrying"
    STARTING = "the server is starting, or recovering the database; gamestream_sensor keeps retrying"
    NO_ODBC = "pyodbc needs unixODBC: `apt-get install unixodbc`"
    NO_DRIVER = f"driver= in {URL} has to name a driver that is installed: `odbcinst -q -d` lists them"
    UNTRUSTED = (
        "SSL_CERT_FILE has to name the file of the authority that signed the server's certificate; "
        f"TrustServerCertificate=yes in {URL} accepts any certificate"
    )
    OTHER_HOST = (
        f"the server's certificate is for another host name: use that name in {URL}, or add "
        "HostNameInCertificate=<the name in the certificate>"
    )
    LOGIN = f"check user and password in {URL}; the user needs to read teams and players and to create tables"
    DATABASE = (
        f"the database does not exist, or the user in {URL} has no access to it: check both with its administrator"
    )
    PERMISSION = (
        f"the user in {URL} lacks a permission: it needs SELECT on teams and players, and has to create, fill and drop "
        "teams2 and players2 in their schema"
    )
    NO_OBJECT = (
        f"either it does not exist in the database that {URL} names, or its user may not see it: check with the "
        "database's administrator before you create anything"
    )
    NO_TABLE = f"check that {URL} names the right database; {SIMULATOR}"
    NOT_A_TABLE = "a view, or another kind of object, has the name of a table: it has to be renamed or dropped by hand"
    REFERENCED = "another table refers to this one by a foreign key: that key has to be dropped"
    CONSTRAINT = "a constraint or the size of a column does not allow the value; nothing was changed"
    LOCKED = "another program's open transaction holds the lock: end that transaction; gamestream_sensor keeps retrying"
    DEADLOCK = "another transaction was in the way; gamestream_sensor keeps retrying"
    SLOW = "the server did not answer in time: it is busy, or waits for a lock; gamestream_sensor keeps retrying"
    FULL = "the disk or the database is full: make room; gamestream_sensor keeps retrying"
    READ_ONLY = f"the database is read-only: {URL} has to name one that can be written"
    NOT_A_FILE = f"{URL} has to name an SQLite database; this file is none, or it is damaged"
    CANNOT_OPEN = (
        f"check the path in {URL}: its folder has to exist, and folder and file have to be readable and writable"
    )

    @property
    def hint(self) -> str:
        return str(self.value)


# SQL Server's error numbers (`sys.messages`), those that say more first: an answer often has several.
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

# SQLSTATE, by what it begins with: ODBC's own codes, then those of the SQL standard that other servers give as well.
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


def create_engine_for(url: Any, lock_timeout: int | None = None, **options: Any) -> "Engine":
    """An engine that waits for nothing endlessly, `lock_timeout` seconds (by default `LOCK_TIMEOUT_SECONDS`) for a lock."""
    from sqlalchemy import create_engine, event, make_url

    url = make_url(url)
    lock_timeout = LOCK_TIMEOUT_SECONDS if lock_timeout is None else lock_timeout
    if url.get_backend_name() == "sqlite":
        return create_engine(url, connect_args={"timeout": lock_timeout}, **options)
    if url.drivername != "mssql+pyodbc":
        return create_engine(url, **options)

    # Left to itself, pyodbc sends texts as NVARCHAR, which holds any. As VARCHAR, SQLAlchemy's choice, the driver
    # puts them into the code page of the database, and cuts them to two bytes a character.
    engine = create_engine(url, use_setinputsizes=False, connect_args={"timeout": LOGIN_TIMEOUT_SECONDS}, **options)

    # All three are endless by default. Before SQLAlchemy's own listener, which asks the server this and that.
    @event.listens_for(engine, "connect", insert=True)
    def limit(connection: Any, _: object) -> None:
        connection.timeout = STATEMENT_TIMEOUT_SECONDS
        connection.execute(f"SET LOCK_TIMEOUT {1000 * lock_timeout}").close()

    return engine


def errors_of(url: Any) -> tuple[type[Exception], ...]:
    """What working with this database may raise: SQLAlchemy's errors, and its driver's, not all of which it wraps.

    Raises:
        ImportError: the driver cannot be loaded.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError, make_url(url).get_dialect().import_dbapi().Error


def driver_error(error: BaseException) -> BaseException:
    """The error of the database's driver, without SQLAlchemy's own around it."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error


def message(error: BaseException) -> str:
    """What went wrong, in the driver's words: SQLAlchemy's own add the statement and a link."""
    error = driver_error(error)
    # pyodbc's first argument is the SQLSTATE, which its second begins with as well.
    return " ".join(str(error.args[-1] if error.args else error).split()) or type(error).__name__


def error_numbers(error: BaseException) -> list[int]:
    """SQL Server's numbers of the error, as ODBC tells them: each at the end of its message, in parentheses."""
    said = message(error)
    return [int(number) for number in re.findall(r" \((\d+)\)(?= \(SQL\w+\)|; \[|$)", said)] if _is_odbc(said) else []


def classify(error: BaseException) -> Fault | None:
    """What is wrong, where the driver's codes leave no doubt; None where only its words can be given."""
    error, said = driver_error(error), message(error)
    if isinstance(error, ImportError):
        return Fault.NO_ODBC if "libodbc" in said else None
    if (code := getattr(error, "sqlite_errorcode", None)) is not None:
        if code == 1 and said.startswith("no such table: "):
            return Fault.NO_TABLE
        return _SQLITE.get(code & 0xFF)
    state = _sqlstate(error)
    if "Can't open lib" in said:
        return Fault.NO_DRIVER
    if "SSL Provider" in said:
        return _fault_of_tls(said)
    if state == "HYT00":
        # One code for both: what had no answer is either the login or a statement.
        return Fault.UNREACHABLE if "login" in said.lower() else Fault.SLOW
    if known := [number for number in _SQL_SERVER if number in error_numbers(error)]:
        return _SQL_SERVER[known[0]]
    if error_numbers(error) and not state.startswith("08"):
        # SQL Server's SQLSTATEs are wide: 42000 is a syntax error, a permission, a full disk.
        return None
    return next((fault for beginning, fault in _SQLSTATE.items() if state.startswith(beginning)), None)


def is_unknown_collation(error: BaseException, collation: str) -> bool:
    """Whether the server refuses because it has no such collation: others than Microsoft's have no number for it."""
    said = message(error).lower()
    return UNKNOWN_COLLATION in error_numbers(error) or ("collation" in said and collation.lower() in said)


def _fault_of_tls(said: str) -> Fault | None:
    said = said.lower()
    if re.search(r"(host ?name|ip address|subject name|does not match)", said):
        return Fault.OTHER_HOST
    return Fault.UNTRUSTED if "certificate verify failed" in said else None


def _sqlstate(error: BaseException) -> str:
    first = error.args[0] if error.args else ""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or first
    return state if isinstance(state, str) and re.fullmatch(r"[0-9A-Z]{5}", state) else ""


def _is_odbc(said: str) -> bool:
    return said.startswith("[") and "[SQL Server]" in said
