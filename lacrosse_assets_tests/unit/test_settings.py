"""Settings from the environment: every error is one clear line without a secret (docs/contract.md, section 8)."""

import os
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from lacrosse_assets import addresses
from lacrosse_assets import settings as settings_module
from lacrosse_assets.settings import (
    S3_KEYS,
    SERVICE_ADDRESSES,
    VARIABLES,
    SettingsError,
    embedded_addresses_file,
    embedded_settings,
    load_settings,
)
from lacrosse_assets_tests import PROJECT_ROOT

SECRET = "s3cr3t-0f-0urs"
SERVICES = {
    "LACROSSE_DEPLOYMENT": "services",
    "AWS_ENDPOINT_URL_S3": "http://store:9000",
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "MONGODB_URI": f"mongodb://somebody:{SECRET}@documents:27017",
    "SIDEARMDB_URL": f"mssql+pyodbc://sa:{SECRET}@database/sidearmdb?driver=ODBC+Driver+18+for+SQL+Server",
}


def error_of(environ: dict[str, str]) -> str:
    """The error for this environment: one line without the secret."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    message = caught.value.format_message()
    assert "\n" not in message
    assert SECRET not in message
    return message


def test_services_with_all_addresses() -> None:
    settings = load_settings(SERVICES)
    assert settings.s3_endpoint_url == "http://store:9000"
    assert settings.mongodb_uri.get_secret_value() == SERVICES["MONGODB_URI"]
    assert (settings.home_team_id, settings.away_team_id, settings.delay) == (101, 205, 0.25)
    assert (settings.gamestream_bucket, settings.gamestream_key) == ("gamestreams", "gamestream.txt")
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(("key", "is_game_day"), [("gamestream.txt", False), ("games/", True), ("a/b.txt", False)])
def test_a_key_that_ends_with_a_slash_is_a_game_day(key: str, is_game_day: bool) -> None:
    assert load_settings({**SERVICES, "GAMESTREAM_KEY": key}).is_game_day is is_game_day


def test_mock_needs_nothing() -> None:
    assert load_settings({"LACROSSE_DEPLOYMENT": "mock"}).deployment == "mock"


def test_a_misspelt_deployment() -> None:
    assert error_of({"LACROSSE_DEPLOYMENT": "sevices"}) == (
        "LACROSSE_DEPLOYMENT must be embedded, services or mock (got 'sevices')"
    )


@pytest.mark.parametrize("name", SERVICE_ADDRESSES)
@pytest.mark.parametrize("how", ["unset", "empty"])
def test_a_missing_address(name: str, how: str) -> None:
    environ = {key: value for key, value in SERVICES.items() if key != name}
    if how == "empty":
        environ[name] = ""
    message = error_of(environ)
    assert f"needs {name} (such as {SERVICE_ADDRESSES[name]})" in message
    assert [other for other in SERVICE_ADDRESSES if other in message] == [name]


@pytest.mark.parametrize("keys", [{}, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}], ids=["unset", "empty"])
def test_the_object_store_may_be_left_to_boto3(keys: dict[str, str]) -> None:
    """AWS, and the credentials of a profile or a role."""
    stores = {key: value for key, value in SERVICES.items() if not key.startswith("AWS_")}
    assert load_settings({**stores, **keys}).s3_endpoint_url == ""


@pytest.mark.parametrize("missing", S3_KEYS)
def test_one_key_without_the_other(missing: str) -> None:
    (there,) = set(S3_KEYS) - {missing}
    assert error_of({**SERVICES, missing: ""}).startswith(f"{there} is set, but {missing} is not: set both, or neither")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("AWS_ENDPOINT_URL_S3", "store:9000", "AWS_ENDPOINT_URL_S3 must begin with http:// or https://"),
        (
            "AWS_ENDPOINT_URL_S3",
            f"http://somebody:{SECRET}@store",
            "must not contain a user or a password",
        ),
        ("MONGODB_URI", f"somebody:{SECRET}@documents", "MONGODB_URI must begin with mongodb:// or mongodb+srv://"),
        ("SPARK_REMOTE", "spark://host:15002", "SPARK_REMOTE must begin with sc://"),
        ("SIDEARMDB_URL", "mssql+pyodcb://database/sidearmdb", "is not a valid address (NoSuchModuleError)"),
        ("MONGODB_URI", "mongodb://documents/?tls=ture", "MONGODB_URI is not a valid address (ValueError)"),
        ("MONGODB_URI", "mongodb://documents/?tlsCAFile=/no/such", "names an unreadable file: '/no/such'"),
        ("LACROSSE_POOLED_SQLITE", "maybe", "LACROSSE_POOLED_SQLITE must be true or false (got 'maybe')"),
        ("HOME_TEAM_ID", "orange", "HOME_TEAM_ID must be a positive integer (got 'orange')"),
        ("AWAY_TEAM_ID", "0", "AWAY_TEAM_ID must be a positive integer (got '0')"),
        ("HOME_TEAM_ID", "205", "HOME_TEAM_ID and AWAY_TEAM_ID are both 205: a game has two teams"),
        ("DELAY", "-1", "DELAY must be a number of seconds, 0 or more (got '-1')"),
        ("DELAY", "inf", "DELAY must be a number of seconds, 0 or more (got 'inf')"),
        ("GAMES", "0", "GAMES must be a number of games, 1 to 1000 (got '0')"),
        ("GAMES", "many", "GAMES must be a number of games, 1 to 1000 (got 'many')"),
    ],
)
def test_an_invalid_value(name: str, value: str, expected: str) -> None:
    assert expected in error_of({**SERVICES, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "http://store/?{}"),
        ("AWS_ENDPOINT_URL_S3", "http://store/?{}"),
        ("AWS_ENDPOINT_URL_S3", "http://store:{}"),
        ("AWS_ENDPOINT_URL_S3", "http://[{}"),
        ("MONGODB_URI", "mongodb://us@er:{}@documents"),
        ("MONGODB_URI", "mongodb://user:p@{}@documents"),
        ("MONGODB_URI", "mongodb://user:p:{}@documents"),
        ("MONGODB_URI", "mongodb://user:p/{}@documents"),
        ("MONGODB_URI", "mongodb://user:{}?p@documents"),
        ("MONGODB_URI", "mongodb://user:%{}@documents"),
        ("MONGODB_URI", "mongodb://user:{}"),
        ("MONGODB_URI", "mongodb://documents/?{}"),
        ("MONGODB_URI", "mongodb://documents/?password={}"),
        ("MONGODB_URI", "mongodb://documents/?authMechanism={}"),
        ("MONGODB_URI", "mongodb+srv://user:p/{}@documents"),
        ("MONGODB_URI", "mongodb://user:p@docu\n{}"),
        ("SIDEARMDB_URL", "Server=database;Password={}"),
        ("SIDEARMDB_URL", "mssql+pyodbc://sa:p@{}@database/sidearmdb"),
        ("SIDEARMDB_URL", "mssql+pyodbc://sa:p@p:{}@database/sidearmdb"),
        ("SIDEARMDB_URL", "mssql+pyodbc://sa:{}"),
        ("SIDEARMDB_URL", "mssql+pyodbc://database/sidearmdb;PWD={}"),
        ("SIDEARMDB_URL", "mssql+pyodbc://database;PWD={}/sidearmdb"),
        ("SPARK_REMOTE", "sc://host/;token=p;{}"),
        ("SPARK_REMOTE", "sc://host/;token=p={}"),
        ("SPARK_REMOTE", "sc://host/token={}"),
        ("SPARK_REMOTE", "sc://host/?token={}"),
        ("SPARK_REMOTE", "sc://host/;token=p#{}"),
        ("SPARK_REMOTE", "sc://host;token={}"),
        ("SPARK_REMOTE", "sc://;token={}"),
        ("SPARK_REMOTE", "sc:///;token={}"),
        ("SPARK_REMOTE", "sc://user:{}@host"),
        ("SPARK_REMOTE", "sc://host:{}"),
        ("SPARK_REMOTE", "sc://[host/;token={}"),
    ],
)
def test_an_invalid_address_is_not_quoted(name: str, value: str) -> None:
    """Any part of it may belong to the secret: the rest of a password after an `@`, a token after a `/`."""
    message = error_of({**SERVICES, name: value.format(SECRET)})
    assert message.startswith(f"{name} is not a valid address (")
    assert "percent-encode special characters" in message


@pytest.mark.parametrize(
    ("parse", "address", "shown"),
    [
        (addresses.object_store, "https://minio.example.edu:9000", "https://minio.example.edu:9000"),
        (addresses.object_store, "http://[::1]:9000/", "http://[::1]:9000/"),
        (addresses.document_store, "mongodb://a:p%40@h1,h2:27018/db?replicaSet=rs0&tls=true", "h1:27017,h2:27018"),
        (addresses.document_store, "mongodb+srv://a:p@cluster.example.edu/?retryWrites=true", "cluster.example.edu"),
        (addresses.document_store, "mongodb+srv://cluster.example.edu/?srvMaxHosts=2", "cluster.example.edu"),
        (addresses.document_store, "mongodb://%2Ftmp%2Fmongodb.sock", "/tmp/mongodb.sock:None"),
        (addresses.reference_database, "mssql+pyodbc://sa:p@host:1433/db?driver=x&PWD=p", "mssql://host:1433/db"),
        (
            addresses.reference_database,
            "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BSERVER%3Dhost%2C1433%3BPWD%3Dp",
            "mssql://host,1433/",
        ),
        (addresses.reference_database, "sqlite:////tmp/a b@c;d.db", "sqlite:////tmp/a b@c;d.db"),
        (addresses.spark_server, "sc://host", "sc://host:15002"),
        (addresses.spark_server, "sc://host:15003/;", "sc://host:15003"),
        (addresses.spark_server, "sc://[::1]/;use_ssl=true;token=p%3D;user_id=me", "sc://[::1]:15002"),
    ],
)
def test_an_address_is_shown_without_secrets(parse: Callable[[str], str], address: str, shown: str) -> None:
    assert parse(address) == shown


def test_embedded_without_the_services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LACROSSE_DEPLOYMENT", raising=False)
    monkeypatch.setenv("LACROSSE_STATE_DIR", str(tmp_path))
    with pytest.raises(SettingsError, match=r"the embedded services are not running .*`make dev`"):
        load_settings()


def test_embedded_reads_the_addresses_of_the_running_services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LACROSSE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("MONGODB_URI", "mongodb://another:1")  # a real service's, which the embedded one replaces
    addresses = {name: value for name, value in SERVICES.items() if name != "LACROSSE_DEPLOYMENT"}
    embedded_addresses_file(tmp_path).write_text("".join(f"{name}='{value}'\n" for name, value in addresses.items()))
    settings = load_settings()
    assert settings.mongodb_uri.get_secret_value() == SERVICES["MONGODB_URI"]
    assert os.environ["AWS_ENDPOINT_URL_S3"] == "http://store:9000"  # where boto3 looks


def test_the_embedded_object_store_gets_none_of_the_users_aws_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The user's session token belongs to other keys, and a missing profile is an error of boto3."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.update(AWS_SESSION_TOKEN="t0ken", AWS_PROFILE="work", AWS_ENDPOINT_URL="https://work.example.edu")
    os.environ.update(LACROSSE_DEPLOYMENT="", LACROSSE_STATE_DIR=str(tmp_path))
    addresses = {name: value for name, value in SERVICES.items() if name != "LACROSSE_DEPLOYMENT"}
    embedded_addresses_file(tmp_path).write_text("".join(f"{name}='{value}'\n" for name, value in addresses.items()))
    load_settings()
    assert {name for name in os.environ if name.startswith("AWS_")} == {"AWS_ENDPOINT_URL_S3", *S3_KEYS}


def test_a_home_folder_in_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No shell expands the `~` of a variable in a file."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert embedded_settings({"LACROSSE_STATE_DIR": "~/lax"}).state_dir == tmp_path / "lax"
    for given, expanded in (
        ("sqlite:///~/lax/sidearmdb.db", f"sqlite:///{tmp_path}/lax/sidearmdb.db"),
        ("sqlite+pysqlite:///~/a.db?timeout=5", f"sqlite+pysqlite:///{tmp_path}/a.db?timeout=5"),
        ("sqlite:////data/~/a.db", "sqlite:////data/~/a.db"),
        ("mssql+pyodbc://sa:~x@host/~/db?driver=x", "mssql+pyodbc://sa:~x@host/~/db?driver=x"),
    ):
        os.environ.update(SERVICES, SIDEARMDB_URL=given)
        assert load_settings().sidearmdb_url.get_secret_value() == expanded
        assert os.environ["SIDEARMDB_URL"] == expanded, "where Dagster reads it"


def test_a_missing_home_folder() -> None:
    message = r"LACROSSE_STATE_DIR is invalid \(got '~nobodys/lax'\): no home folder for ~nobodys"
    with pytest.raises(SettingsError, match=message):
        embedded_settings({"LACROSSE_STATE_DIR": "~nobodys/lax"})


def test_the_default_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`.lacrosse` in the checkout; for an installed package, which has no checkout, in the current folder."""
    monkeypatch.chdir(tmp_path)
    assert embedded_settings({}).state_dir == PROJECT_ROOT / ".lacrosse"
    monkeypatch.setattr(settings_module, "_PROJECT_ROOT", tmp_path / "site-packages")
    assert embedded_settings({}).state_dir == tmp_path / ".lacrosse"


EMPTY_IS_NOT_SET = (
    *VARIABLES,
    *("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_DEFAULT_REGION", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"),
    *("SPARK_MASTER", "SPARK_HOME", "SPARK_CONF_DIR", "SPARK_LOCAL_IP", "PYSPARK_PYTHON", "PYSPARK_SUBMIT_ARGS"),
    *("JAVA_HOME", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)


@pytest.mark.parametrize("deployment", ["services", "mock"])
def test_an_empty_variable_is_not_set_for_the_libraries_either(
    monkeypatch: pytest.MonkeyPatch, deployment: str
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.update(SERVICES, LACROSSE_DEPLOYMENT=deployment, no_proxy="", SOMEBODYS="")
    empty = [name for name in EMPTY_IS_NOT_SET if name not in SERVICES]
    os.environ.update(dict.fromkeys(empty, ""))
    load_settings()
    assert [name for name in empty if name in os.environ] == []
    assert os.environ["no_proxy"] == os.environ["SOMEBODYS"] == "", "other variables are left alone"


def test_mock_ignores_a_spark_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LACROSSE_DEPLOYMENT", "mock")
    monkeypatch.setenv("SPARK_REMOTE", "sc://nowhere:1")
    monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
    assert not load_settings().spark_remote
    assert "SPARK_REMOTE" not in os.environ
    assert "SPARK_CONNECT_MODE_ENABLED" not in os.environ


@pytest.mark.parametrize("deployment", ["services", "mock"])
def test_the_embedded_services_are_for_the_embedded_deployment(deployment: str) -> None:
    with pytest.raises(SettingsError, match=f"LACROSSE_DEPLOYMENT={deployment} is set.*: unset it"):
        embedded_settings({"LACROSSE_DEPLOYMENT": deployment})


def test_the_example_lists_every_variable() -> None:
    example = (PROJECT_ROOT / ".env.example").read_text()
    sections = re.split(r"^# --- (.+?) -+$", example, flags=re.MULTILINE)[1:]
    names = {
        title: re.findall(r"^(?:# )?([A-Z_0-9]+)=", text, re.MULTILINE)
        for title, text in zip(sections[::2], sections[1::2], strict=True)
    }
    assert names.pop("Docker Compose alone")
    assert sorted(name for section in names.values() for name in section) == sorted(VARIABLES)
    values = dotenv_values(stream=StringIO(example))
    load_settings({name: value for name, value in values.items() if value} | SERVICES)


def test_the_example_leaves_the_deployment_to_the_shell() -> None:
    """A `.env` overrides the shell in Dagster: `LACROSSE_DEPLOYMENT=mock dagster …` would have no effect."""
    assert "LACROSSE_DEPLOYMENT" not in dotenv_values(PROJECT_ROOT / ".env.example")
