"""TLS to each store, enabled by its address: an untrusted certificate is refused with an error of one line.

test_secrets.py plays a whole game over TLS. TLS of SQL Server is part of its protocol: see test_sql_server.py.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote, urlsplit

import pytest

from lacrosse_assets import s3
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.resources.documents import HINTS as DOCUMENT_STORE_HINTS
from lacrosse_assets.resources.spark import HINTS as SPARK_HINTS
from lacrosse_assets_tests.support.tls import Authority, tls_in_front_of
from lacrosse_assets_tests.support.world import MIDDLE, World


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ports(embedded: EmbeddedServices, authority: Authority) -> Iterator[dict[str, int]]:
    """For each store's variable, the port of a TLS proxy in front of the embedded service."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                tls_in_front_of(urlsplit(embedded.addresses[name]).port or 0, authority.context(*protocols))
            )
            for name, protocols in (("AWS_ENDPOINT_URL_S3", ()), ("MONGODB_URI", ()), ("SPARK_REMOTE", ("h2",)))
        }


def test_the_object_store(
    world: World, ports: dict[str, int], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(*MIDDLE)
    address = f"https://localhost:{ports['AWS_ENDPOINT_URL_S3']}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)

    message = world.materialize("raw_gamestream").failure

    assert message.startswith(f"object store at {address} (s3://")
    assert "certificate verify failed: unable to get local issuer certificate" in message
    assert message.endswith(f"({s3.HINTS['CERTIFICATE_VERIFY_FAILED']})")
    assert "\n" not in message

    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.file))
    assert world.materialize("raw_gamestream").success


def test_the_document_store(
    world: World, ports: dict[str, int], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(*MIDDLE)
    assert world.materialize("raw_gamestream", "roster", "player_game_stats").success
    address = f"localhost:{ports['MONGODB_URI']}"
    uri = f"mongodb://{address}/?directConnection=true&tls=true"
    monkeypatch.setenv("MONGODB_URI", uri)

    message = world.materialize("boxscore_doc", checks=False).failure

    assert message.startswith(f"document store at {address}: ")
    assert "certificate verify failed: unable to get local issuer certificate" in message
    assert message.endswith(f"({DOCUMENT_STORE_HINTS['CERTIFICATE_VERIFY_FAILED']})")
    assert "\n" not in message
    assert len(message) < 500

    monkeypatch.setenv("MONGODB_URI", f"{uri}&tlsCAFile={quote(str(authority.file))}")
    assert world.materialize("boxscore_doc", checks=False).success


@pytest.mark.parametrize(
    ("parameters", "problem", "hint"),
    [
        (
            "/;use_ssl=true",
            "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate",
            SPARK_HINTS["CERTIFICATE_VERIFY_FAILED"],
        ),
        ("", "Socket closed", SPARK_HINTS["Socket closed"]),
    ],
    ids=["untrusted certificate", "no TLS"],
)
def test_the_spark_connect_server(
    world: World,
    ports: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    parameters: str,
    problem: str,
    hint: str,
) -> None:
    world.put(*MIDDLE)
    assert world.materialize("raw_gamestream", "roster").success
    address = f"sc://localhost:{ports['SPARK_REMOTE']}"
    monkeypatch.setenv("SPARK_REMOTE", f"{address}{parameters}")

    message = world.materialize("player_game_stats").failure

    assert message.startswith(f"Spark Connect server at {address}: ")
    assert problem in message
    assert message.endswith(f"({hint})")
    assert "\n" not in message
