"""A stand-in for SQL Server on the wire protocol: it records what a driver sends, and returns the test's responses.

    def respond(sql: str, parameters: Sequence[Any]) -> Response:
        return Rows(["id", "name"], [(1, "sam")]) if sql == "SELECT id, name FROM players" else Done()

    with TdsServer(respond) as server:
        ...  # a client of mssql+pyodbc://sa:secret@127.0.0.1:{server.port}/sidearmdb
    assert [each.sql for each in server.statements][-3:] == ["SELECT id, name FROM players", "COMMIT", "BEGIN"]

It implements the part of TDS 7.4 that Microsoft's driver and FreeTDS use under SQLAlchemy. It does not parse SQL: the
test decides what a statement returns. It must not become an SQL engine: only SQL Server itself can show how SQL Server
executes a statement.

The section numbers are those of [MS-TDS], https://learn.microsoft.com/openspecs/windows_protocols/ms-tds.
"""

import socket
import ssl
import struct
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum, IntEnum, IntFlag, auto
from threading import Thread
from typing import Any, NamedTuple, Self

# The interface for tests: responses, and recorded logins and statements.


class Rows(NamedTuple):
    """A result set. A column of int is INT, one of bytes is VARCHAR, any other is NVARCHAR; None is NULL."""

    columns: Sequence[str]
    rows: Sequence[Sequence[int | bytes | str | None]] = ()


class Done(NamedTuple):
    """No rows; `affected` is their number."""

    affected: int = 0


class SqlError(NamedTuple):
    """An error, with its number in `sys.messages`."""

    number: int
    message: str


class NoResponse(Enum):
    HANG = auto()  # no response, however long the client waits
    DISCONNECT = auto()  # the connection is closed


Response = Rows | Done | SqlError | NoResponse


class Login(NamedTuple):
    """A login attempt; `encrypted`: whether the whole connection is encrypted, not only the login."""

    user: str
    password: str
    database: str
    encrypted: bool


class Statement(NamedTuple):
    """A statement, the name of a stored procedure, or a BEGIN, COMMIT or ROLLBACK request of the driver."""

    sql: str
    database: str
    in_transaction: bool
    parameters: Sequence[Any] = ()
    declared: str = ""  # the parameters' declaration by the driver: `@P1 int,@P2 nvarchar(9)`
    raw: Sequence[bytes | None] = ()  # the parameters' bytes


# The numbers of the protocol.


class Packet(IntEnum):
    """2.2.3.1.1 Type"""

    SQL_BATCH = 0x01
    RPC = 0x03
    RESULT = 0x04
    ATTENTION = 0x06
    TRANSACTION = 0x0E
    LOGIN7 = 0x10
    PRELOGIN = 0x12


class Encryption(IntEnum):
    """2.2.6.5 PRELOGIN: what is encrypted"""

    LOGIN_ALONE = 0x00
    EVERYTHING = 0x01
    NOTHING = 0x02


class Token(IntEnum):
    """2.2.7 Packet Data Token Stream Definition"""

    RETURN_STATUS = 0x79
    COLUMNS = 0x81
    ERROR = 0xAA
    RETURN_VALUE = 0xAC
    LOGIN_ACK = 0xAD
    FEATURES_ACK = 0xAE
    ROW = 0xD1
    CHANGE = 0xE3
    DONE = 0xFD
    DONE_PROC = 0xFE
    DONE_IN_PROC = 0xFF


class Status(IntFlag):
    """2.2.7.6 DONE"""

    FINAL = 0x00
    MORE = 0x01
    ERROR = 0x02
    COUNT = 0x10
    ATTENTION = 0x20


class Change(IntEnum):
    """2.2.7.9 ENVCHANGE"""

    DATABASE = 1
    COLLATION = 7
    BEGIN = 8
    COMMIT = 9
    ROLLBACK = 10


class Type(IntEnum):
    """2.2.5.4 Data Type Definitions"""

    INTN = 0x26
    DATETIME2N = 0x2A
    NTEXT = 0x63
    VARCHAR = 0xA7
    NVARCHAR = 0xE7


HEADER = struct.Struct(">BBHHBx")  # 2.2.3.1 Packet Header: type, status, length, process, number
END_OF_MESSAGE = 0x01  # 2.2.3.1.2 Status
PACKET_SIZE = 4096

OPTION = struct.Struct(">BHH")  # 2.2.6.5 PRELOGIN: option, start and length of its content
VERSION_OPTION, ENCRYPTION_OPTION, NO_MORE = 0x00, 0x01, 0xFF
USER, PASSWORD, DATABASE = 40, 44, 68  # 2.2.6.4 LOGIN7: where the offset and the length of each text are
MASK = 0xA5
LOGIN_FAILED, NO_SUCH_DATABASE = 18456, 4060
T_SQL, TDS_74 = bytes([1]), bytes.fromhex("74000004")  # 2.2.7.14 LOGINACK
PRODUCT, VERSION = "Microsoft SQL Server", bytes([16, 0, 0, 0])  # 2022
UTF8_SUPPORT = 0x0A  # 2.2.7.11 FEATUREEXTACK

# 2.2.6.6 RPC Request: replaces the name's length, and is followed by one of these numbers.
BY_NUMBER = 0xFFFF
SP_PREPEXEC, SP_UNPREPARE = 13, 15
HANDLE = 1  # of any prepared statement
TRANSACTIONS = {5: Change.BEGIN, 7: Change.COMMIT, 8: Change.ROLLBACK}  # 2.2.6.9 Transaction Manager Request
AND_BEGIN = 0x01  # flag: begin another transaction
DESCRIPTOR = struct.pack("<Q", 1)  # of any open transaction

UTF_16 = "utf-16-le"
# 2.2.5.1.2 Collation Rule Definition: a locale with its flags, and a legacy sort order
UTF8_COLLATION = bytes.fromhex("0904d02400")  # Latin1_General_100_CI_AS_SC_UTF8
LATIN1_COLLATION = bytes.fromhex("0904d00034")  # SQL_Latin1_General_CP1_CI_AS, a server's default
IS_UTF8 = 0x04  # in the last byte of the flags
# 2.2.5.2.3 Data Type Dependent Data Streams: the length that means NULL, by the size of a length; the longest text that
# is sent in one part; the size of an INT
NULL = {1: 0x00, 2: 0xFFFF, 4: 0xFFFFFFFF, 8: 0xFFFFFFFFFFFFFFFF}
LONGEST, IN_PARTS = 8000, 0xFFFF
INT = 4
NULLABLE, OUTPUT = 0x01, 0x01  # 2.2.7.4 COLMETADATA, 2.2.7.19 RETURNVALUE


class TdsServer:
    """A server for the duration of a `with` block. Its own errors are raised at the end of the block."""

    def __init__(
        self,
        respond: Callable[[str, Sequence[Any]], Response],
        *,
        password: str = "secret",
        databases: Collection[str] = ("master", "sidearmdb"),
        collation: bytes = UTF8_COLLATION,
        tls: ssl.SSLContext | None = None,
    ):
        self.respond, self.password, self.databases = respond, password, databases
        self.collation, self.tls = collation, tls
        self.logins: list[Login] = []
        self.statements: list[Statement] = []
        self._errors: list[Exception] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._clients: list[socket.socket] = []
        self._threads = [Thread(target=self._listen, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for connection in (self._listener, *self._clients):
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()
        if self._errors:
            raise ExceptionGroup("errors of the stand-in", self._errors)

    def _listen(self) -> None:
        with suppress(OSError):  # shut down
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                self._threads.append(Thread(target=self._serve, args=(client,), daemon=True))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, suppress(OSError):  # the client is gone
                Session(self, Packets(client)).run()
        except Exception as error:
            self._errors.append(error)


class Packets:
    """Reads and writes messages, with or without TLS."""

    def __init__(self, client: socket.socket):
        self._client = client
        self._from_client, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls: ssl.SSLObject | None = None

    def receive(self) -> tuple[Packet, "Message"]:
        content, status = b"", 0
        while not status & END_OF_MESSAGE:
            kind, status, size, _, _ = HEADER.unpack(self._read(HEADER.size))
            content += self._read(size - HEADER.size)
        return Packet(kind), Message(content)

    def send(self, kind: Packet, content: bytes) -> None:
        max_content = PACKET_SIZE - HEADER.size
        parts = [content[start : start + max_content] for start in range(0, len(content), max_content)]
        for number, part in enumerate(parts, start=1):
            status = END_OF_MESSAGE if number == len(parts) else 0
            self._write(HEADER.pack(kind, status, HEADER.size + len(part), 0, number % 0x100) + part)

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Do the TLS handshake inside PRELOGIN packets; after it, TLS carries the packets."""
        # In TLS 1.3 the server sends handshake messages after the client regards the handshake as complete.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        tls, in_handshake = context.wrap_bio(self._from_client, self._to_client, server_side=True), True
        while in_handshake:
            self._from_client.write(self.receive()[1].content)
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                in_handshake = False
            self.send(Packet.PRELOGIN, self._to_client.read())
        self.tls = tls

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            try:
                content += self.tls.read(size - len(content)) if self.tls else self._receive_bytes(size - len(content))
            except ssl.SSLWantReadError:
                self._from_client.write(self._receive_bytes(PACKET_SIZE))
        return content

    def _receive_bytes(self, at_most: int) -> bytes:
        if content := self._client.recv(at_most):
            return content
        raise ConnectionResetError

    def _write(self, content: bytes) -> None:
        if self.tls:
            self.tls.write(content)
            content = self._to_client.read()
        self._client.sendall(content)


class Message:
    """A client's message, read sequentially."""

    def __init__(self, content: bytes):
        self.content, self.at = content, 0

    @property
    def bytes_left(self) -> int:
        return len(self.content) - self.at

    def take(self, size: int) -> bytes:
        self.at += size
        return self.content[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def text(self, size: int) -> str:
        return self.take(size).decode(UTF_16)

    def counted(self, size: int) -> bytes | None:
        """A value that is preceded by its length, an integer of `size` bytes; None for NULL."""
        length = self.number(size)
        return None if length == NULL[size] else self.take(length)

    def without_headers(self) -> "Message":
        """2.2.5.3 Packet Data Stream Headers"""
        self.take(self.number(4) - 4)
        return self

    def parameter(self) -> tuple[Any, bytes | None]:
        """2.2.6.6 RPC Request, ParameterData: the value and its bytes."""
        self.take(2 * self.number(1) + 1)  # name and flags
        kind = Type(self.number(1))
        if kind is Type.INTN:
            self.take(1)  # its maximum size
            raw = self.counted(1)
            return None if raw is None else int.from_bytes(raw, "little", signed=True), raw
        if kind is Type.DATETIME2N:
            scale = self.number(1)
            raw = self.counted(1)
            return None if raw is None else _datetime2(raw, scale), raw
        size = 4 if kind is Type.NTEXT else 2
        longest, collation = self.number(size), self.take(5)
        if longest == IN_PARTS:
            raw = None if self.number(8) == NULL[8] else b"".join(iter(lambda: self.take(self.number(4)), b""))
        else:
            raw = self.counted(size)
        narrow = "utf-8" if collation[3] & IS_UTF8 else "cp1252"
        return None if raw is None else raw.decode(narrow if kind is Type.VARCHAR else UTF_16), raw


def _datetime2(raw: bytes, scale: int) -> datetime:
    """2.2.5.5.1.8 Date/Times: parts of a second since midnight, then days since the first of the year 1."""
    parts, days = int.from_bytes(raw[:-3], "little"), int.from_bytes(raw[-3:], "little")
    return datetime(1, 1, 1) + timedelta(days=days, microseconds=parts * 10**6 // 10**scale)


class Session:
    """The dialogue on one connection."""

    def __init__(self, server: TdsServer, packets: Packets):
        self._server, self._packets = server, packets
        self._database = ""
        self._in_transaction = False

    def run(self) -> None:
        encryption = self._prelogin()
        response, admitted = self._login(encryption)
        self._packets.send(Packet.RESULT, response)
        while admitted:
            kind, message = self._packets.receive()
            with suppress(TimeoutError):
                self._packets.send(Packet.RESULT, self._answer(kind, message))

    def _prelogin(self) -> Encryption:
        _, message = self._packets.receive()
        options = {}
        while message.content[message.at] != NO_MORE:
            option, start, size = OPTION.unpack(message.take(OPTION.size))
            options[option] = message.content[start : start + size]
        encryption = Encryption(options[ENCRYPTION_OPTION][0]) if self._server.tls else Encryption.NOTHING
        version, start = VERSION + bytes(2), 2 * OPTION.size + 1
        response = OPTION.pack(VERSION_OPTION, start, len(version))
        response += OPTION.pack(ENCRYPTION_OPTION, start + len(version), 1)
        self._packets.send(Packet.RESULT, response + bytes([NO_MORE]) + version + bytes([encryption]))
        if self._server.tls and encryption is not Encryption.NOTHING:
            self._packets.encrypt(self._server.tls)
        return encryption

    def _login(self, encryption: Encryption) -> tuple[bytes, bool]:
        _, message = self._packets.receive()
        if encryption is Encryption.LOGIN_ALONE:
            self._packets.tls = None

        def content(at: int) -> bytes:
            start, length = struct.unpack_from("<HH", message.content, at)
            return message.content[start : start + 2 * length]

        user, self._database = content(USER).decode(UTF_16), content(DATABASE).decode(UTF_16)
        # 2.2.6.4: the two halves of each byte are swapped, then the byte is XORed.
        unmasked = [byte ^ MASK for byte in content(PASSWORD)]
        password = bytes(byte >> 4 | byte << 4 & 0xF0 for byte in unmasked).decode(UTF_16)
        encrypted = encryption is Encryption.EVERYTHING
        self._server.logins.append(Login(user, password, self._database, encrypted))
        refusal = error(LOGIN_FAILED, f"Login failed for user '{user}'.") + done(Token.DONE, Status.ERROR)
        if password != self._server.password:
            return refusal, False
        if self._database not in self._server.databases:
            problem = f'Cannot open database "{self._database}" requested by the login. The login failed.'
            return error(NO_SUCH_DATABASE, problem) + refusal, False
        return (
            env_change(Change.DATABASE, text(1, self._database), text(1, "master"))
            + env_change(Change.COLLATION, counted(1, self._server.collation), counted(1, b""))
            + bytes([Token.LOGIN_ACK])
            + counted(2, T_SQL + TDS_74 + text(1, PRODUCT) + VERSION)
            + struct.pack("<BBI?B", Token.FEATURES_ACK, UTF8_SUPPORT, 1, True, NO_MORE)
            + done(Token.DONE)
        ), True

    def _answer(self, kind: Packet, message: Message) -> bytes:
        match kind:
            case Packet.SQL_BATCH:
                message.without_headers()
                return self._run(Token.DONE, message.text(message.bytes_left))
            case Packet.RPC:
                return self._call(message.without_headers())
            case Packet.TRANSACTION:
                return self._manage_transaction(message.without_headers())
            case Packet.ATTENTION:
                return done(Token.DONE, Status.ATTENTION)
        raise NotImplementedError(kind)

    def _call(self, message: Message) -> bytes:
        length = message.number(2)
        procedure = message.number(2) if length == BY_NUMBER else message.text(2 * length)
        message.take(2)  # flags
        parameters = []
        while message.bytes_left:
            parameters.append(message.parameter())
        response = returned = b""
        if procedure == SP_PREPEXEC:
            _, (declared, _), (sql, _), *given = parameters
            response, returned = self._run(Token.DONE_IN_PROC, sql, given, declared), output(HANDLE)
        elif procedure != SP_UNPREPARE:
            assert isinstance(procedure, str), procedure
            response = self._run(Token.DONE_IN_PROC, procedure, parameters)
        return response + struct.pack("<Bi", Token.RETURN_STATUS, 0) + returned + done(Token.DONE_PROC)

    def _manage_transaction(self, message: Message) -> bytes:
        request, response = TRANSACTIONS[message.number(2)], b""
        if request is not Change.BEGIN:
            self._record(request.name)
            self._in_transaction = False
            response = env_change(request, counted(1, b""), counted(1, DESCRIPTOR))
            message.take(message.number(1))  # its name
        if request is Change.BEGIN or message.number(1) & AND_BEGIN:
            self._record("BEGIN")
            self._in_transaction = True
            response += env_change(Change.BEGIN, counted(1, DESCRIPTOR), counted(1, b""))
        return response + done(Token.DONE)

    def _run(
        self, end: Token, sql: str, parameters: Sequence[tuple[Any, bytes | None]] = (), declared: str = ""
    ) -> bytes:
        values, raw = [value for value, _ in parameters], [raw for _, raw in parameters]
        self._record(sql, values, declared, raw)
        status = Status.MORE if end is Token.DONE_IN_PROC else Status.FINAL
        match self._server.respond(sql, values):
            case Rows(columns, rows):
                response = result_set(columns, rows, self._server.collation)
                return response + done(end, status | Status.COUNT, len(rows))
            case Done(affected):
                return done(end, status | Status.COUNT, affected)
            case SqlError(number, message):
                return error(number, message) + done(end, status | Status.ERROR)
            case NoResponse.HANG:
                raise TimeoutError
            case NoResponse.DISCONNECT:
                raise ConnectionAbortedError

    def _record(self, sql: str, *details: Any) -> None:
        self._server.statements.append(Statement(sql, self._database, self._in_transaction, *details))


# The parts of a response.


def counted(size: int, content: bytes, length: int | None = None) -> bytes:
    """The content, preceded by its length as an integer of `size` bytes."""
    return (len(content) if length is None else length).to_bytes(size, "little") + content


def text(size: int, text: str) -> bytes:
    return counted(size, text.encode(UTF_16), len(text))


def env_change(kind: Change, new: bytes, old: bytes) -> bytes:
    return bytes([Token.CHANGE]) + counted(2, bytes([kind]) + new + old)


def error(number: int, message: str, state: int = 1, severity: int = 16, line: int = 1) -> bytes:
    """2.2.7.10 ERROR"""
    response = struct.pack("<IBB", number, state, severity) + text(2, message) + text(1, PRODUCT) + text(1, "")
    return bytes([Token.ERROR]) + counted(2, response + line.to_bytes(4, "little"))


def done(token: Token, status: Status = Status.FINAL, count: int = 0) -> bytes:
    return struct.pack("<BHHQ", token, status, 0, count)


def output(value: int) -> bytes:
    """2.2.7.19 RETURNVALUE: the value of the first parameter, an INT without a name."""
    return struct.pack("<BHBBIHBBBi", Token.RETURN_VALUE, 0, 0, OUTPUT, 0, 0, Type.INTN, INT, INT, value)


def result_set(columns: Sequence[str], rows: Sequence[Sequence[int | bytes | str | None]], collation: bytes) -> bytes:
    """2.2.7.4 COLMETADATA, 2.2.7.17 ROW"""
    response, sizes = struct.pack("<BH", Token.COLUMNS, len(columns)), []
    for number, name in enumerate(columns):
        found = {type(row[number]) for row in rows}
        kind = Type.INTN if int in found else Type.VARCHAR if bytes in found else Type.NVARCHAR
        details = bytes([INT]) if kind is Type.INTN else LONGEST.to_bytes(2, "little") + collation
        response += struct.pack("<IHB", 0, NULLABLE, kind) + details + text(1, name)
        sizes.append(1 if kind is Type.INTN else 2)
    for row in rows:
        response += bytes([Token.ROW])
        for size, value in zip(sizes, row, strict=True):
            match value:
                case None:
                    response += NULL[size].to_bytes(size, "little")
                case int():
                    response += counted(size, struct.pack("<i", value))
                case str():
                    response += counted(size, value.encode(UTF_16))
                case bytes():
                    response += counted(size, value)
    return response
