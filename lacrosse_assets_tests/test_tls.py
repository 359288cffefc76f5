"""TLS to each store, switched on by its address; a certificate that nobody trusts is refused, and told in one line.

That a whole game goes through it, with processes that trust by their environment, is in test_secrets.py; SQL Server's
TLS is a part of its protocol, and in test_sql_server.py.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote, urlsplit

import pytest

from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets_tests.tls import Authority, tls_in_front_of
from lacrosse_assets_tests.world import MIDDLE, World


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ports(embedded: EmbeddedServices, authority: Authority) -> Iterator[dict[str, int]]:
    """The ports where the embedded services are to be had with TLS."""
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

    told = world.materialize("raw_gamestream").failure

    assert told.startswith(f"object store at {address} (s3://")
    assert "certificate verify failed: unable to get local issuer certificate" in told
    assert told.endswith("(AWS_CA_BUNDLE names the file of whoever vouches for the server's certificate)")
    assert "\n" not in told

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

    told = world.materialize("boxscore_doc", checks=False).failure

    assert told.startswith(f"document store at {address}: ")
    assert "certificate verify failed: unable to get local issuer certificate" in told
    assert told.endswith("(tlsCAFile= in MONGODB_URI names the file of whoever vouches for the server's certificate)")
    assert "\n" not in told
    assert len(told) < 500

    monkeypatch.setenv("MONGODB_URI", f"{uri}&tlsCAFile={quote(str(authority.file))}")
    assert world.materialize("boxscore_doc", checks=False).success


@pytest.mark.parametrize(
    ("parameters", "problem", "way_out"),
    [
        (
            "/;use_ssl=true",
            "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate",
            "set GRPC_DEFAULT_SSL_ROOTS_FILE_PATH to the file of the authority that signed the server's certificate",
        ),
        ("", "Socket closed", "if the server uses TLS, append /;use_ssl=true to its address in SPARK_REMOTE"),
    ],
    ids=["nobody vouches for it", "in the clear"],
)
def test_the_spark_connect_server(
    world: World,
    ports: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    parameters: str,
    problem: str,
    way_out: str,
) -> None:
    world.put(*MIDDLE)
    assert world.materialize("raw_gamestream", "roster").success
    address = f"sc://localhost:{ports['SPARK_REMOTE']}"
    monkeypatch.setenv("SPARK_REMOTE", f"{address}{parameters}")

    told = world.materialize("player_game_stats").failure

    assert told.startswith(f"Spark Connect server at {address}: ")
    assert problem in told
    assert told.endswith(f"({way_out})")
    assert "\n" not in told
