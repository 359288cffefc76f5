"""A stand-in of SQL Server at the wire, to see what a driver puts there and what it makes of the answers.

    def answer(sql: str, parameters: Sequence[Any]) -> Answer:
        return Rows(["id", "name"], [(1, "sam")]) if sql == "SELECT id, name FROM players" else Done()

    with TdsServer(answer) as server:
        ...  # a client of mssql+pyodbc://sa:secret@127.0.0.1:{server.port}/sidearmdb
    assert [asked.sql for asked in server.asked][-3:] == ["SELECT id, name FROM players", "COMMIT", "BEGIN"]

It speaks as much of TDS 7.4 as Microsoft's driver and FreeTDS do under SQLAlchemy, and it understands no SQL: what a
statement yields, the test says. It must not grow into an engine: what SQL Server itself would make of a statement, only
SQL Server can tell.

The section numbers are those of [MS-TDS], https://learn.microsoft.com/openspecs/windows_protocols/ms-tds.
"""

import socket
import ssl
import struct
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from enum import Enum, IntEnum, IntFlag, auto
from threading import Thread
from typing import Any, NamedTuple, Self

# What a test says, and what it gets to see.


class Rows(NamedTuple):
    """A result set. A column of int is INT, one of bytes is VARCHAR, any other is NVARCHAR; None is NULL."""

    columns: Sequence[str]
    rows: Sequence[Sequence[int | bytes | str | None]] = ()


class Done(NamedTuple):
    """No rows; so many affected."""

    affected: int = 0


class Refused(NamedTuple):
    """An error, by its number in `sys.messages`."""

    number: int
    message: str


class NoAnswer(Enum):
    SILENCE = auto()  # however long the client waits
    CUT = auto()  # the connection is closed


Answer = Rows | Done | Refused | NoAnswer


class Login(NamedTuple):
    """Who came, admitted or not, and whether everything they say is encrypted."""

    user: str
    password: str
    database: str
    encrypted: bool


class Asked(NamedTuple):
    """A statement, the name of a stored procedure, or BEGIN, COMMIT or ROLLBACK where the driver asked for that."""

    sql: str
    database: str
    in_transaction: bool
    parameters: Sequence[Any] = ()
    declared: str = ""  # the parameters' types in the driver's words: `@P1 int,@P2 nvarchar(9)`
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
    """2.2.6.5 PRELOGIN: of what"""

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
    NTEXT = 0x63
    VARCHAR = 0xA7
    NVARCHAR = 0xE7


HEADER = struct.Struct(">BBHHBx")  # 2.2.3.1 Packet Header: type, status, length, process, number
END_OF_MESSAGE = 0x01  # 2.2.3.1.2 Status
PACKET_SIZE = 4096

OPTION = struct.Struct(">BHH")  # 2.2.6.5 PRELOGIN: which, and where its content starts, and how long that is
VERSION_OPTION, ENCRYPTION_OPTION, NO_MORE = 0x00, 0x01, 0xFF
USER, PASSWORD, DATABASE = 40, 44, 68  # 2.2.6.4 LOGIN7: where each text says its place and length
MASK = 0xA5
LOGIN_FAILED, NO_SUCH_DATABASE = 18456, 4060
T_SQL, TDS_74 = bytes([1]), bytes.fromhex("74000004")  # 2.2.7.14 LOGINACK
PRODUCT, VERSION = "Microsoft SQL Server", bytes([16, 0, 0, 0])  # 2022
UTF8_SUPPORT = 0x0A  # 2.2.7.11 FEATUREEXTACK

# 2.2.6.6 RPC Request: instead of a name's length, and then one of these.
BY_NUMBER = 0xFFFF
SP_PREPEXEC, SP_UNPREPARE = 13, 15
HANDLE = 1  # of whatever is prepared
TRANSACTIONS = {5: Change.BEGIN, 7: Change.COMMIT, 8: Change.ROLLBACK}  # 2.2.6.9 Transaction Manager Request
AND_BEGIN = 0x01  # another
DESCRIPTOR = struct.pack("<Q", 1)  # of whichever is open

UTF_16 = "utf-16-le"
# 2.2.5.1.2 Collation Rule Definition: a locale with its flags, and a sort order of old
UTF8_COLLATION = bytes.fromhex("0904d02400")  # Latin1_General_100_CI_AS_SC_UTF8
LATIN1_COLLATION = bytes.fromhex("0904d00034")  # SQL_Latin1_General_CP1_CI_AS, a server's default
IS_UTF8 = 0x04  # in the last byte of the flags
# 2.2.5.2.3 Data Type Dependent Data Streams: by the bytes of a length, the one that says NULL; the longest text, beyond
# which are texts in parts; the size of an INT
NULL = {1: 0x00, 2: 0xFFFF, 4: 0xFFFFFFFF, 8: 0xFFFFFFFFFFFFFFFF}
LONGEST, IN_PARTS = 8000, 0xFFFF
INT = 4
NULLABLE, OUTPUT = 0x01, 0x01  # 2.2.7.4 COLMETADATA, 2.2.7.19 RETURNVALUE


class TdsServer:
    """Listens while it is entered. What has gone wrong in it by then is raised when it is left."""

    def __init__(
        self,
        answer: Callable[[str, Sequence[Any]], Answer],
        *,
        password: str = "secret",
        databases: Collection[str] = ("master", "sidearmdb"),
        collation: bytes = UTF8_COLLATION,
        tls: ssl.SSLContext | None = None,
    ):
        self.answer, self.password, self.databases = answer, password, databases
        self.collation, self.tls = collation, tls
        self.logins: list[Login] = []
        self.asked: list[Asked] = []
        self._faults: list[Exception] = []
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
        if self._faults:
            raise ExceptionGroup("the stand-in failed", self._faults)

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
        except Exception as fault:
            self._faults.append(fault)


class Packets:
    """Messages, in the clear or through TLS."""

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
        room = PACKET_SIZE - HEADER.size
        parts = [content[start : start + room] for start in range(0, len(content), room)]
        for number, part in enumerate(parts, start=1):
            status = END_OF_MESSAGE if number == len(parts) else 0
            self._write(HEADER.pack(kind, status, HEADER.size + len(part), 0, number % 0x100) + part)

    def encrypt(self, context: ssl.SSLContext) -> None:
        """TLS's handshake is carried in PRELOGIN packets; once it is over, TLS carries the packets."""
        # With a later version, a server would go on with the handshake where the client believes it is over.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        tls, shaking = context.wrap_bio(self._from_client, self._to_client, server_side=True), True
        while shaking:
            self._from_client.write(self.receive()[1].content)
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                shaking = False
            self.send(Packet.PRELOGIN, self._to_client.read())
        self.tls = tls

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            try:
                content += self.tls.read(size - len(content)) if self.tls else self._arrived(size - len(content))
            except ssl.SSLWantReadError:
                self._from_client.write(self._arrived(PACKET_SIZE))
        return content

    def _arrived(self, at_most: int) -> bytes:
        if content := self._client.recv(at_most):
            return content
        raise ConnectionResetError

    def _write(self, content: bytes) -> None:
        if self.tls:
            self.tls.write(content)
            content = self._to_client.read()
        self._client.sendall(content)


class Message:
    """What a client says, read from its beginning to its end."""

    def __init__(self, content: bytes):
        self.content, self.at = content, 0

    @property
    def left(self) -> int:
        return len(self.content) - self.at

    def take(self, size: int) -> bytes:
        self.at += size
        return self.content[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def text(self, size: int) -> str:
        return self.take(size).decode(UTF_16)

    def counted(self, size: int) -> bytes | None:
        """What follows its length, in so many bytes."""
        length = self.number(size)
        return None if length == NULL[size] else self.take(length)

    def without_headers(self) -> "Message":
        """2.2.5.3 Packet Data Stream Headers"""
        self.take(self.number(4) - 4)
        return self

    def parameter(self) -> tuple[Any, bytes | None]:
        """2.2.6.6 RPC Request, ParameterData: the value, and its bytes."""
        self.take(2 * self.number(1) + 1)  # name and flags
        kind = Type(self.number(1))
        if kind is Type.INTN:
            self.take(1)  # the size it might have
            raw = self.counted(1)
            return None if raw is None else int.from_bytes(raw, "little", signed=True), raw
        size = 4 if kind is Type.NTEXT else 2
        longest, collation = self.number(size), self.take(5)
        if longest == IN_PARTS:
            raw = None if self.number(8) == NULL[8] else b"".join(iter(lambda: self.take(self.number(4)), b""))
        else:
            raw = self.counted(size)
        narrow = "utf-8" if collation[3] & IS_UTF8 else "cp1252"
        return None if raw is None else raw.decode(narrow if kind is Type.VARCHAR else UTF_16), raw


class Session:
    """What is said on one connection."""

    def __init__(self, server: TdsServer, packets: Packets):
        self._server, self._packets = server, packets
        self._database = ""
        self._in_transaction = False

    def run(self) -> None:
        encryption = self._prelogin()
        told, admitted = self._login(encryption)
        self._packets.send(Packet.RESULT, told)
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
        told = OPTION.pack(VERSION_OPTION, start, len(version))
        told += OPTION.pack(ENCRYPTION_OPTION, start + len(version), 1)
        self._packets.send(Packet.RESULT, told + bytes([NO_MORE]) + version + bytes([encryption]))
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
        # Of each byte the halves were swapped, and then some bits turned.
        turned = [byte ^ MASK for byte in content(PASSWORD)]
        password = bytes(byte >> 4 | byte << 4 & 0xF0 for byte in turned).decode(UTF_16)
        encrypted = encryption is Encryption.EVERYTHING
        self._server.logins.append(Login(user, password, self._database, encrypted))
        refusal = error(LOGIN_FAILED, f"Login failed for user '{user}'.") + done(Token.DONE, Status.ERROR)
        if password != self._server.password:
            return refusal, False
        if self._database not in self._server.databases:
            problem = f'Cannot open database "{self._database}" requested by the login. The login failed.'
            return error(NO_SUCH_DATABASE, problem) + refusal, False
        return (
            changed(Change.DATABASE, text(1, self._database), text(1, "master"))
            + changed(Change.COLLATION, counted(1, self._server.collation), counted(1, b""))
            + bytes([Token.LOGIN_ACK])
            + counted(2, T_SQL + TDS_74 + text(1, PRODUCT) + VERSION)
            + struct.pack("<BBI?B", Token.FEATURES_ACK, UTF8_SUPPORT, 1, True, NO_MORE)
            + done(Token.DONE)
        ), True

    def _answer(self, kind: Packet, message: Message) -> bytes:
        match kind:
            case Packet.SQL_BATCH:
                message.without_headers()
                return self._run(Token.DONE, message.text(message.left))
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
        while message.left:
            parameters.append(message.parameter())
        told = returned = b""
        if procedure == SP_PREPEXEC:
            _, (declared, _), (sql, _), *given = parameters
            told, returned = self._run(Token.DONE_IN_PROC, sql, given, declared), output(HANDLE)
        elif procedure != SP_UNPREPARE:
            assert isinstance(procedure, str), procedure
            told = self._run(Token.DONE_IN_PROC, procedure, parameters)
        return told + struct.pack("<Bi", Token.RETURN_STATUS, 0) + returned + done(Token.DONE_PROC)

    def _manage_transaction(self, message: Message) -> bytes:
        request, told = TRANSACTIONS[message.number(2)], b""
        if request is not Change.BEGIN:
            self._record(request.name)
            self._in_transaction = False
            told = changed(request, counted(1, b""), counted(1, DESCRIPTOR))
            message.take(message.number(1))  # its name
        if request is Change.BEGIN or message.number(1) & AND_BEGIN:
            self._record("BEGIN")
            self._in_transaction = True
            told += changed(Change.BEGIN, counted(1, DESCRIPTOR), counted(1, b""))
        return told + done(Token.DONE)

    def _run(
        self, end: Token, sql: str, parameters: Sequence[tuple[Any, bytes | None]] = (), declared: str = ""
    ) -> bytes:
        values, raw = [value for value, _ in parameters], [raw for _, raw in parameters]
        self._record(sql, values, declared, raw)
        status = Status.MORE if end is Token.DONE_IN_PROC else Status.FINAL
        match self._server.answer(sql, values):
            case Rows(columns, rows):
                told = result_set(columns, rows, self._server.collation)
                return told + done(end, status | Status.COUNT, len(rows))
            case Done(affected):
                return done(end, status | Status.COUNT, affected)
            case Refused(number, message):
                return error(number, message) + done(end, status | Status.ERROR)
            case NoAnswer.SILENCE:
                raise TimeoutError
            case NoAnswer.CUT:
                raise ConnectionAbortedError

    def _record(self, sql: str, *how: Any) -> None:
        self._server.asked.append(Asked(sql, self._database, self._in_transaction, *how))


# What a server says.


def counted(size: int, content: bytes, length: int | None = None) -> bytes:
    """The content after its length, which takes so many bytes."""
    return (len(content) if length is None else length).to_bytes(size, "little") + content


def text(size: int, text: str) -> bytes:
    return counted(size, text.encode(UTF_16), len(text))


def changed(what: Change, new: bytes, old: bytes) -> bytes:
    return bytes([Token.CHANGE]) + counted(2, bytes([what]) + new + old)


def error(number: int, message: str, state: int = 1, severity: int = 16, line: int = 1) -> bytes:
    """2.2.7.10 ERROR"""
    told = struct.pack("<IBB", number, state, severity) + text(2, message) + text(1, PRODUCT) + text(1, "")
    return bytes([Token.ERROR]) + counted(2, told + line.to_bytes(4, "little"))


def done(token: Token, status: Status = Status.FINAL, count: int = 0) -> bytes:
    return struct.pack("<BHHQ", token, status, 0, count)


def output(value: int) -> bytes:
    """2.2.7.19 RETURNVALUE: of the first parameter, without a name, which is an INT."""
    return struct.pack("<BHBBIHBBBi", Token.RETURN_VALUE, 0, 0, OUTPUT, 0, 0, Type.INTN, INT, INT, value)


def result_set(columns: Sequence[str], rows: Sequence[Sequence[int | bytes | str | None]], collation: bytes) -> bytes:
    """2.2.7.4 COLMETADATA, 2.2.7.17 ROW"""
    told, sizes = struct.pack("<BH", Token.COLUMNS, len(columns)), []
    for number, name in enumerate(columns):
        found = {type(row[number]) for row in rows}
        kind = Type.INTN if int in found else Type.VARCHAR if bytes in found else Type.NVARCHAR
        details = bytes([INT]) if kind is Type.INTN else LONGEST.to_bytes(2, "little") + collation
        told += struct.pack("<IHB", 0, NULLABLE, kind) + details + text(1, name)
        sizes.append(1 if kind is Type.INTN else 2)
    for row in rows:
        told += bytes([Token.ROW])
        for size, value in zip(sizes, row, strict=True):
            match value:
                case None:
                    told += NULL[size].to_bytes(size, "little")
                case int():
                    told += counted(size, struct.pack("<i", value))
                case str():
                    told += counted(size, value.encode(UTF_16))
                case bytes():
                    told += counted(size, value)
    return told
