"""The settings: environment variables, read and validated once. Nothing else in the package reads one.

docs/contract.md, section 8, names the variables; `.env.example` describes them.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from click import ClickException
from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from lacrosse_assets import addresses

_PROJECT_ROOT = Path(__file__).resolve().parent.parent

# Required by `LACROSSE_DEPLOYMENT=services`, each with an example for the error message. The object store is not among
# them: without an endpoint it is AWS, and without keys boto3's own chain finds credentials.
SERVICE_ADDRESSES = {
    "MONGODB_URI": "mongodb://localhost:27017",
    "SIDEARMDB_URL": "mssql+pyodbc://user:password@localhost/sidearmdb?driver=ODBC+Driver+18+for+SQL+Server",
}
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # the second is boto3's, for all AWS services
# Retention of successful live runs (`retention.py`): a run leaves about 100 KiB in the embedded storage.
KEEP_LIVE_RUNS, KEEP_LIVE_RUNS_HOURS = 5000, 48.0
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Address(NamedTuple):
    """The format of an address. An address may hold a secret, so no message quotes one."""

    schemes: tuple[str, ...]  # a wrong one is reported here, and not as a timeout later
    example: str
    parse: Callable[[str], str]  # raises if the address is invalid


ADDRESSES = {
    **dict.fromkeys(
        S3_ENDPOINTS,
        Address(("http://", "https://"), "http://localhost:9000", addresses.object_store),
    ),
    "MONGODB_URI": Address(
        ("mongodb://", "mongodb+srv://"),
        "mongodb://user:password@localhost:27017/?tls=true",
        addresses.document_store,
    ),
    "SIDEARMDB_URL": Address(
        (),
        f"{SERVICE_ADDRESSES['SIDEARMDB_URL']} or sqlite:////path/to.db",
        addresses.reference_database,
    ),
    "SPARK_REMOTE": Address(("sc://",), "sc://localhost:15002/;use_ssl=true;token=…", addresses.spark_server),
}


class SettingsError(ClickException):
    """An invalid or missing setting. The message is one line that names the variable and says what to do.

    A `ClickException`, because Dagster's command line and ours print those as `Error: …`, without a traceback.
    """


def _default_state_dir() -> Path:
    """`.lacrosse` in the checkout that the package runs from; for an installed package, in the current folder."""
    is_checkout = (_PROJECT_ROOT / "pyproject.toml").is_file()
    return (_PROJECT_ROOT if is_checkout else Path.cwd()) / ".lacrosse"


class Settings(BaseModel):
    """All settings. `load_settings` creates it, and turns pydantic's errors into one line."""

    model_config = ConfigDict(frozen=True)

    deployment: Literal["embedded", "services", "mock"] = Field("embedded", validation_alias="LACROSSE_DEPLOYMENT")
    state_dir: Path = Field(default_factory=_default_state_dir, validation_alias="LACROSSE_STATE_DIR")
    warm_runs: bool = Field(True, validation_alias="LACROSSE_WARM_RUNS")
    pooled_sqlite: bool = Field(True, validation_alias="LACROSSE_POOLED_SQLITE")
    keep_live_runs: int = Field(KEEP_LIVE_RUNS, gt=0, validation_alias="LACROSSE_KEEP_LIVE_RUNS")
    keep_live_runs_hours: float = Field(
        KEEP_LIVE_RUNS_HOURS, gt=0, le=24 * 365, validation_alias="LACROSSE_KEEP_LIVE_RUNS_HOURS"
    )

    s3_endpoint_url: str = Field("", validation_alias="AWS_ENDPOINT_URL_S3")
    aws_access_key_id: SecretStr = Field(SecretStr(""), validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr = Field(SecretStr(""), validation_alias="AWS_SECRET_ACCESS_KEY")
    aws_region: str = Field("", validation_alias="AWS_REGION")
    gamestream_bucket: str = Field("gamestreams", validation_alias="GAMESTREAM_BUCKET")
    gamestream_key: str = Field("gamestream.txt", validation_alias="GAMESTREAM_KEY")
    mongodb_uri: SecretStr = Field(SecretStr(""), validation_alias="MONGODB_URI")
    sidearmdb_url: SecretStr = Field(SecretStr(""), validation_alias="SIDEARMDB_URL")
    spark_remote: SecretStr = Field(SecretStr(""), validation_alias="SPARK_REMOTE")

    home_team_id: int = Field(101, gt=0, validation_alias="HOME_TEAM_ID")
    away_team_id: int = Field(205, gt=0, validation_alias="AWAY_TEAM_ID")
    delay: float = Field(0.25, ge=0, allow_inf_nan=False, validation_alias="DELAY")
    games: int = Field(12, ge=1, le=1000, validation_alias="GAMES")

    @property
    def is_game_day(self) -> bool:
        """Whether many games are played: the key is a prefix (docs/contract.md, section 10)."""
        return self.gamestream_key.endswith("/")

    @field_validator("state_dir")
    @classmethod
    def expand_folder(cls, folder: Path) -> Path:
        return _expand_home(folder)

    @field_validator("sidearmdb_url")
    @classmethod
    def expand_file(cls, url: SecretStr) -> SecretStr:
        file = re.match(r"(sqlite[^:]*:///)(~[^?]*)", url.get_secret_value())
        if not file:
            return url
        prefix, path = file.groups()
        return SecretStr(f"{prefix}{_expand_home(Path(path))}{url.get_secret_value()[file.end() :]}")

    @model_validator(mode="after")
    def two_teams(self) -> Self:
        if self.home_team_id == self.away_team_id:
            raise ValueError(f"HOME_TEAM_ID and AWAY_TEAM_ID are both {self.home_team_id}: a game has two teams")
        return self


def _expand_home(path: Path) -> Path:
    """Expand `~`, which a shell does, and a `.env` or a service manager does not."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"no home folder for {path.parts[0]}") from None


VARIABLES = tuple(str(field.validation_alias) for field in Settings.model_fields.values())

# How an error describes a variable's valid values.
VALID_VALUES = {
    "LACROSSE_DEPLOYMENT": "embedded, services or mock",
    **dict.fromkeys(("LACROSSE_WARM_RUNS", "LACROSSE_POOLED_SQLITE"), "true or false"),
    **dict.fromkeys(("HOME_TEAM_ID", "AWAY_TEAM_ID", "LACROSSE_KEEP_LIVE_RUNS"), "a positive integer"),
    "LACROSSE_KEEP_LIVE_RUNS_HOURS": "a positive number of hours, a year's at most",
    "DELAY": "a number of seconds, 0 or more",
    "GAMES": "a number of games, 1 to 1000",
}

# Variables that libraries read by themselves: boto3; PySpark and its JVM; gRPC; requests; OpenSSL, in Python and in SQL
# Server's driver; the ODBC driver manager.
LIBRARY_PREFIXES = ("AWS_", "SPARK_", "PYSPARK_", "HADOOP_", "GRPC_", "ODBC")
LIBRARY_VARIABLES = {
    *("JAVA_HOME", "JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
}


def embedded_addresses_file(state_dir: Path) -> Path:
    """The file in which the embedded services keep their addresses while they run."""
    return state_dir / "embedded.env"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and validate the settings (docs/contract.md, section 8).

    Without `environ`, this reads the process's environment, and changes it so that boto3, PySpark and Dagster's
    `EnvVar` see the same settings as our code:

    1. Empty variables are removed: libraries would take them for values (`without_empty`). A `~` in the path of a
       SQLite file is expanded.
    2. `embedded`: the addresses of the embedded services replace all of boto3's settings and those of the other stores.
    3. `mock`: the Spark Connect server's address is removed.

    Raises:
        SettingsError: a setting is invalid or missing.
    """
    if environ is None:
        for name in set(os.environ) - set(without_empty(os.environ)):
            del os.environ[name]
        deployment = os.environ.get("LACROSSE_DEPLOYMENT") or "embedded"
        if deployment == "mock":
            # The second is PySpark's own: a process that was connected to a server leaves it in the environment.
            for name in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED"):
                os.environ.pop(name, None)
        elif deployment == "embedded":
            embedded = _embedded_addresses(_parse(os.environ).state_dir)
            # The user's session token or profile belongs to another object store.
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]
            os.environ.update(embedded)
        environ = os.environ
    settings = _parse(environ)
    if settings.deployment != "mock":
        _check_addresses(environ)
    if environ is os.environ and (url := settings.sidearmdb_url.get_secret_value()):
        os.environ["SIDEARMDB_URL"] = url  # with its `~` expanded
    return settings


def without_empty(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without the empty variables that our code or a library would read.

    Empty must mean unset, as in a Compose file's `${NAME:-}` and in a `.env`. Libraries fail otherwise: PySpark with an
    empty SPARK_REMOTE, boto3 with an empty AWS_PROFILE or AWS_CA_BUNDLE. Other variables stay: an empty `no_proxy` has
    a meaning.
    """
    return {
        name: value
        for name, value in environ.items()
        if value or not (name in LIBRARY_VARIABLES or name in VARIABLES or name.startswith(LIBRARY_PREFIXES))
    }


def embedded_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings for starting the embedded services, whose addresses are not known yet.

    Raises:
        SettingsError: a setting is invalid, or LACROSSE_DEPLOYMENT is not `embedded`.
    """
    settings = _parse(os.environ if environ is None else environ)
    if settings.deployment != "embedded":
        raise SettingsError(
            f"LACROSSE_DEPLOYMENT={settings.deployment} is set, but this command starts the embedded services: unset it"
        )
    return settings.model_copy(update={"state_dir": settings.state_dir.resolve()})


def _parse(environ: Mapping[str, str]) -> Settings:
    try:
        return Settings.model_validate({name: environ[name] for name in VARIABLES if environ.get(name)})
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(dict(problem)) for problem in error.errors())) from None


def _describe(problem: Mapping[str, Any]) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name, value = problem["loc"][0], problem["input"]
    if name in VALID_VALUES:
        return f"{name} must be {VALID_VALUES[name]} (got {value!r})"
    return f"{name} is invalid (got {value!r}): {str(problem['msg']).removeprefix('Value error, ')}"


def _embedded_addresses(state_dir: Path) -> dict[str, str]:
    file = embedded_addresses_file(state_dir)
    if not file.exists():
        raise SettingsError(
            f"the embedded services are not running (no {file}): start them with `make dev`, "
            "or set LACROSSE_DEPLOYMENT to services or mock"
        )
    return {name: value for name, value in dotenv_values(file).items() if value is not None}


def _check_addresses(environ: Mapping[str, str]) -> None:
    missing = [name for name in SERVICE_ADDRESSES if not environ.get(name)]
    if missing:
        examples = ", ".join(f"{name} (such as {SERVICE_ADDRESSES[name]})" for name in missing)
        raise SettingsError(f"LACROSSE_DEPLOYMENT=services needs {examples}; .env.example lists all settings")
    keys = [name for name in S3_KEYS if environ.get(name)]
    if len(keys) == 1:
        (other,) = set(S3_KEYS) - set(keys)
        raise SettingsError(
            f"{keys[0]} is set, but {other} is not: set both, or neither to use boto3's own credentials "
            "(AWS_PROFILE, a role)"
        )
    for name in S3_ENDPOINTS:
        if "@" in environ.get(name, ""):
            raise SettingsError(
                f"{name} must not contain a user or a password: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
    for name, address in ADDRESSES.items():
        if value := environ.get(name):
            _check_address(name, value, address)


def _check_address(name: str, value: str, address: Address) -> None:
    if address.schemes and not value.startswith(address.schemes):
        raise SettingsError(f"{name} must begin with {' or '.join(address.schemes)}")
    try:
        address.parse(value)
    except OSError as error:
        raise SettingsError(f"{name} names an unreadable file: {error.filename!r} ({error.strerror})") from None
    except Exception as error:  # each library raises its own
        raise SettingsError(
            f"{name} is not a valid address ({type(error).__name__}), such as {address.example}: "
            "percent-encode special characters, `@` as %40"
        ) from None
