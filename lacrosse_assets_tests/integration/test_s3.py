"""The S3 client of the platform and of the simulator: credentials, address, and the hints of its errors.

Requests go to a server on loopback with scripted responses. Requests to AWS are intercepted before they are sent.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from click import ClickException
from urllib3 import HTTPResponse

from lacrosse_assets import s3
from lacrosse_assets.gamestream import simulator
from lacrosse_assets.resources import object_store
from lacrosse_assets.resources.errors import StoreError, unreachable_hint
from lacrosse_assets.resources.object_store import LiveS3, S3ObjectStore
from lacrosse_assets.settings import load_settings
from lacrosse_assets_tests.support.world import closed_port

STORES = {
    "LACROSSE_DEPLOYMENT": "services",
    "MONGODB_URI": "mongodb://127.0.0.1:1",
    "SIDEARMDB_URL": "sqlite:////tmp/no-such.db",
}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDFROMENV", "AWS_SECRET_ACCESS_KEY": "s3cr3t"}
# No settings from the user's files and from a cloud machine's metadata.
NO_OTHER_SOURCES = {
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
Setting = Callable[..., None]


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Setting:
    """Sets the environment, without any AWS variable but the given ones."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)

    def put(*environs: Mapping[str, str], **more: str) -> None:
        for environ in (STORES, NO_OTHER_SOURCES, *environs, more):
            for name, value in environ.items():
                monkeypatch.setenv(name, value)

    return put


def store() -> S3ObjectStore:
    """The object store of the platform's definitions."""
    from lacrosse_assets.definitions import build_resources

    built = build_resources(load_settings())["object_store"]
    assert isinstance(built, S3ObjectStore)
    return built


def client_of_the_platform() -> Any:
    s3 = store().s3
    assert isinstance(s3, LiveS3)
    return s3.get_client()


CLIENTS: dict[str, Callable[[], Any]] = {
    "platform": client_of_the_platform,
    "simulator": lambda: simulator._object_store(load_settings()),
}
each_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)


def request_of(client: Any, operation: str = "head_object", **parameters: object) -> Any:
    """The request that the client would send for the stream."""
    sent = []

    def catch(request: Any, **_: object) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, HTTPResponse(body=BytesIO()))

    client.meta.events.register("before-send.s3", catch)
    getattr(client, operation)(Bucket="gamestreams", Key="gamestream.txt", **parameters)
    return sent[-1]


def key_of(request: Any) -> str:
    return re.search(r"Credential=([^/]+)", str(request.headers["Authorization"]))[1]  # type: ignore[index]


@each_client
@pytest.mark.parametrize(
    ("environ", "url", "shown"),
    [
        # With a host name, so that a bucket could become a part of it.
        (
            {"AWS_ENDPOINT_URL_S3": "http://minio.example.edu:9000"},
            "http://minio.example.edu:9000/gamestreams/gamestream.txt",
            "http://minio.example.edu:9000",
        ),
        (
            {"AWS_ENDPOINT_URL": "https://minio.example.edu"},
            "https://minio.example.edu/gamestreams/gamestream.txt",
            "https://minio.example.edu",
        ),
        ({}, "https://gamestreams.s3.amazonaws.com/gamestream.txt", "AWS S3 (region us-east-1)"),
        (
            {"AWS_REGION": "eu-west-1"},
            "https://gamestreams.s3.eu-west-1.amazonaws.com/gamestream.txt",
            "AWS S3 (region eu-west-1)",
        ),
        (
            {"AWS_DEFAULT_REGION": "eu-west-1"},
            "https://gamestreams.s3.eu-west-1.amazonaws.com/gamestream.txt",
            "AWS S3 (region eu-west-1)",
        ),
        (
            {"AWS_DEFAULT_REGION": "cn-north-1"},
            "https://gamestreams.s3.cn-north-1.amazonaws.com.cn/gamestream.txt",
            "AWS S3 (region cn-north-1)",
        ),
    ],
    ids=["own server", "boto3's variable", "AWS", "a region", "boto3's region", "China"],
)
def test_requests_go_to_the_endpoint_of_the_settings(
    setting: Setting, client: Callable[[], Any], environ: dict[str, str], url: str, shown: str
) -> None:
    setting(KEYS, environ)
    made = client()
    assert request_of(made).url == url
    assert s3.address(made) == shown


@each_client
def test_a_session_token_is_sent(setting: Setting, client: Callable[[], Any]) -> None:
    setting(KEYS, AWS_SESSION_TOKEN="t0ken")
    request = request_of(client())
    assert key_of(request) == "AKIDFROMENV"
    assert request.headers["X-Amz-Security-Token"] in ("t0ken", b"t0ken")


@each_client
def test_a_profile(setting: Setting, client: Callable[[], Any], tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile school]\nregion = eu-west-1\nendpoint_url = http://store.example.edu\n")
    (tmp_path / "credentials").write_text("[school]\naws_access_key_id = AKIDOFSCHOOL\naws_secret_access_key = s\n")
    setting(
        AWS_PROFILE="school",
        AWS_CONFIG_FILE=str(tmp_path / "config"),
        AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "credentials"),
    )
    made = client()
    request = request_of(made)
    assert key_of(request) == "AKIDOFSCHOOL"
    assert "/eu-west-1/s3/" in str(request.headers["Authorization"])
    assert s3.address(made) == "http://store.example.edu"


@each_client
def test_the_role_of_a_container(setting: Setting, client: Callable[[], Any]) -> None:
    answer = {"AccessKeyId": "AKIDOFROLE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
    with server(lambda _: (200, json.dumps(answer))) as url:
        setting(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{url}/role")
        assert key_of(request_of(client())) == "AKIDOFROLE"


@each_client
def test_no_extra_checksums_are_sent(setting: Setting, client: Callable[[], Any]) -> None:
    setting(KEYS, AWS_ENDPOINT_URL_S3="http://minio.example.edu")
    request = request_of(client(), "put_object", Body=b"0 59:30 101 6 1\n")
    assert not [name for name in request.headers if "checksum" in name.lower() or "trailer" in name.lower()]


def test_a_password_in_an_endpoint_of_a_configuration_file_is_not_shown(setting: Setting, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://user:s3cr3t@127.0.0.1:1\n")
    setting(KEYS, AWS_CONFIG_FILE=str(tmp_path / "config"))
    assert "s3cr3t" not in s3.address(client_of_the_platform())


# --- Errors ---


@contextmanager
def server(respond: Callable[[BaseHTTPRequestHandler], tuple[int, str]]) -> Iterator[str]:
    """A server on loopback with these responses. Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = respond(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if self.command == "GET" else 0))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body.encode())

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def refusal(code: str) -> str:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>The server's message.</Message></Error>"


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        call()
    message = str(caught.value.description)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (403, "AccessDenied", s3.CREDENTIALS_HINT),
        (403, "InvalidAccessKeyId", s3.CREDENTIALS_HINT),
        (403, "SignatureDoesNotMatch", s3.CREDENTIALS_HINT),
        (400, "ExpiredToken", s3.EXPIRED_HINT),
        (403, "InvalidTokenId", s3.HINTS["InvalidToken"]),
        (400, "AuthorizationHeaderMalformed", s3.REGION_HINT),
        (403, "RequestTimeTooSkewed", s3.HINTS["RequestTimeTooSkewed"]),
        (409, "SomethingElse", "this is the server's response; gamestream_sensor keeps retrying"),
    ],
)
def test_the_hint_of_a_refused_request(setting: Setting, status: int, code: str, hint: str) -> None:
    with server(lambda _: (status, refusal(code))) as url:
        setting(KEYS, AWS_ENDPOINT_URL_S3=url)
        message = error_of(store().head)  # the response to a HEAD has no body, and so no reason
        assert error_of(store().get) == message
    assert message.startswith(f"object store at {url} (s3://gamestreams/gamestream.txt): An error occurred ({code}) ")
    assert message.endswith(f"({hint})")


@pytest.mark.parametrize(
    ("status", "parts"),
    [
        # 403 is a wrong key, or a missing object if the user may not list the bucket.
        (403, ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "s3:GetObject", "s3:ListBucket", "does not exist yet")),
        (400, ("gives no reason", "AWS_REGION", "session token")),
    ],
)
def test_a_refused_request_without_a_reason(setting: Setting, status: int, parts: tuple[str, ...]) -> None:
    with server(lambda _: (status, "")) as url:
        setting(KEYS, AWS_ENDPOINT_URL_S3=url)
        message = error_of(store().head)
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("environ", "problem", "hint"),
    [
        ({}, "Unable to locate credentials", f"set {s3.CREDENTIAL_SETTINGS}"),
        ({"AWS_PROFILE": "nobody's"}, "(nobody's)", "AWS_PROFILE must name a profile"),
        ({**KEYS, "AWS_REGION": "eu west"}, "region_name", "AWS_REGION"),
    ],
    ids=["no credentials", "no such profile", "no region"],
)
def test_a_setting_that_boto3_rejects(setting: Setting, environ: dict[str, str], problem: str, hint: str) -> None:
    setting(environ)
    for message in (error_of(store().head), error_of(store().get)):
        assert message.startswith("object store at ")
        assert problem in message.partition(" (s3://gamestreams/gamestream.txt): ")[2]
        assert hint in message
        assert unreachable_hint("AWS_ENDPOINT_URL_S3") not in message


def test_a_missing_file_of_certificates(setting: Setting) -> None:
    with server(lambda _: (200, "")) as url:
        setting(KEYS, AWS_ENDPOINT_URL_S3=url.replace("http", "https"), AWS_CA_BUNDLE="/no/such")
        assert error_of(store().head).endswith(f"({s3.HINTS['No such file or directory']})")


def test_a_server_that_redirects_everything(setting: Setting) -> None:
    """As from http:// to https://. boto3 assumes another region, and asks for the region in an endless loop."""
    with server(lambda _: (301, "")) as url:
        setting(KEYS, AWS_ENDPOINT_URL_S3=url)
        message = error_of(store().head)
        with pytest.raises(ClickException) as refused:
            simulator.call_store(made := CLIENTS["simulator"](), lambda: made.head_bucket(Bucket="gamestreams"))
    for each in (message, refused.value.message):
        assert f"(301) ({s3.HINTS['(301)']})" in each


def test_the_simulator_skips_the_unused_bucket(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """Bucket names at AWS are global, and this one has an owner."""
    with server(lambda request: (403, "") if request.path.startswith("/boxscores") else (200, "")) as url:
        setting(KEYS, AWS_ENDPOINT_URL_S3=url)
        simulator.connect(load_settings())
        assert "Skipping bucket boxscores, which this project does not use: " in caplog.text
        setting(KEYS, AWS_ENDPOINT_URL_S3=url, GAMESTREAM_BUCKET="boxscores")
        with pytest.raises(ClickException):
            simulator.connect(load_settings())


def test_an_unreachable_server_has_the_hint_to_check_its_address(setting: Setting) -> None:
    setting(KEYS, AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{closed_port()}")
    assert error_of(store().head).endswith(f"({unreachable_hint('AWS_ENDPOINT_URL_S3')})")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_a_response_that_never_ends_times_out(setting: Setting, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A header each 0.1 s: no read takes long, so none of boto3's timeouts expires."""
    monkeypatch.setattr(object_store, "VERSIONS_TIMEOUT_SECONDS", 1)
    given_up = Event()

    def drip(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):
            while not given_up.wait(0.1):
                request.wfile.write(b"X-Piece: 1\r\n")
        return 200, ""

    with server(drip) as url:
        setting(KEYS, **{variable: url})
        error = error_of(store().versions)
        given_up.set()
    assert error.startswith(f"object store at {url} (s3://gamestreams/gamestream.txt): the response is not complete")


def test_replaced_credentials_are_read_without_a_restart(setting: Setting, tmp_path: Path) -> None:
    """The code server runs for days, and boto3 reads a file of credentials once: an expired token would stay."""
    file = tmp_path / "credentials"

    def log_in(token: str) -> None:
        file.write_text(f"[default]\naws_access_key_id=A\naws_secret_access_key=s\naws_session_token={token}\n")

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        return (404, "") if request.headers["X-Amz-Security-Token"] == "new" else (400, "")

    with server(answer) as url:
        setting(AWS_ENDPOINT_URL_S3=url, AWS_SHARED_CREDENTIALS_FILE=str(file))
        log_in("old")
        assert s3.EXPIRED_HINT in error_of(store().head)
        log_in("new")
        assert store().head() is None
