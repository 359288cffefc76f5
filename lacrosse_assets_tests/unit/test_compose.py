"""Docker Compose and the images, as far as they can be tested without Docker.

Compose's own parser reads docker-compose.yaml with a `.env` that `make env` has written. The result is compared with
what the code reads, what the Dockerfile builds, and the commands in docs/deployment.md.
"""

import inspect
import json
import os
import re
import runpy
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.ref import InstanceRef
from dagster_postgres.utils import pg_url_from_config
from dotenv import dotenv_values
from jupyter_server.auth import identity
from sqlalchemy import create_engine

from lacrosse_assets.dagster_patches.postgres_storage import PooledPostgresStorage
from lacrosse_assets.settings import VARIABLES, load_settings
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support.compose import make_env, tool

COMPOSE_FILE = PROJECT_ROOT / "docker-compose.yaml"
COMPOSE_TEXT = COMPOSE_FILE.read_text()
DOCKERFILE = (PROJECT_ROOT / "Dockerfile").read_text()
DEPLOYMENT = (PROJECT_ROOT / "docs" / "deployment.md").read_text()
CONFIGURATION = (PROJECT_ROOT / "docs" / "configuration.md").read_text()

DATABASES = {"mssql", "minio", "mongodb"}
ORIGINAL = DATABASES | {"drill", "jupyter", "gamestream"}
PAGE = {"page", "page_user"}
PIPELINE = {"postgres", "spark", "user_code", "dagit", "daemon"}
CLUSTER = {"spark-master", "spark-worker"}

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "MONGODB_PASSWORD",
    "MONGODB_PAGE_PASSWORD",
    "MSSQL_SA_PASSWORD",
    "POSTGRES_PASSWORD",
    "JUPYTER_TOKEN",
)
# Where the stores are depends on who asks: .env has the addresses of this machine, docker-compose.yaml its network's.
ADDRESSES = {"AWS_ENDPOINT_URL_S3", "MONGODB_URI", "SIDEARMDB_URL", "SPARK_REMOTE"}

TARGETS = {"platform", "gamestream", "spark", "jupyter", "page"}
HEALTH_NOT_AWAITED = {"gamestream", "page_user"}

Services = dict[str, dict[str, Any]]

HEALTH = runpy.run_path(str(PROJECT_ROOT / "docker" / "healthcheck.py"))
HEALTH_CHECKS = set(HEALTH["CHECKS"])


def compose(env_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return tool("docker-compose", "--file", COMPOSE_FILE, "--env-file", env_file, *arguments)


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    assert make_env(folder).returncode == 0
    return folder / ".env"


@pytest.fixture(scope="module")
def services(env_file: Path) -> Services:
    """All services, the cluster's as well, as Compose understands them."""
    resolved: Services = json.loads(compose(env_file, "--profile", "cluster", "config", "--format", "json").stdout)[
        "services"
    ]
    return resolved


# .env


def test_make_env_writes_new_passwords_for_this_user_alone(tmp_path: Path) -> None:
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        assert make_env(tmp_path / name).returncode == 0
    one, another = (dotenv_values(tmp_path / name / ".env") for name in ("one", "another"))

    assert stat.S_IMODE((tmp_path / "one" / ".env").stat().st_mode) == 0o600
    assert {name for name in one if one[name] != another[name]} == {*SECRETS, "MONGODB_URI", "SIDEARMDB_URL"}
    for name in SECRETS:
        # Safe in a URL, and of the three classes of characters that SQL Server asks for.
        assert re.fullmatch(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])[A-Za-z0-9]{32,}", one[name] or ""), name
    assert (one["AWS_ACCESS_KEY_ID"], one["DELAY"]) == ("sidearm", "0.25")


def test_make_env_leaves_a_file_that_is_there_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DELAY=1\n")

    refused = make_env(tmp_path)

    assert refused.returncode != 0
    assert (tmp_path / ".env").read_text() == "DELAY=1\n"
    (line,) = [line for line in refused.stderr.splitlines() if not line.startswith("make")]
    assert line.startswith("Error: .env is there already")


def test_a_shell_reads_env_as_dagster_does(env_file: Path) -> None:
    """CI does it so; an address with an unquoted `&` would end in the middle."""
    read = subprocess.run(
        ["/bin/sh", "-euc", 'set -a; . "$0"; exec env -0', env_file], env={}, capture_output=True, text=True, check=True
    )
    shell = dict(item.split("=", 1) for item in read.stdout.split("\0") if item)
    assert {name: shell[name] for name in shell if name != "PWD"} == dotenv_values(env_file)


def test_env_gives_dagster_on_this_machine_the_stores_of_compose(env_file: Path, services: Services) -> None:
    values = {name: value for name, value in dotenv_values(env_file).items() if value}
    load_settings({**values, "LACROSSE_DEPLOYMENT": "services"})

    for name, service in (("AWS_ENDPOINT_URL_S3", "minio"), ("MONGODB_URI", "mongodb"), ("SIDEARMDB_URL", "mssql")):
        address = urlsplit(values[name])
        assert address.hostname == "127.0.0.1"
        assert str(address.port) in {port["published"] for port in services[service]["ports"]}
    assert urlsplit(values["MONGODB_URI"]).username == services["mongodb"]["environment"]["MONGO_INITDB_ROOT_USERNAME"]


def test_git_and_the_images_never_see_env() -> None:
    assert ".env" in (PROJECT_ROOT / ".gitignore").read_text().splitlines()
    kept = [line for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    assert kept[0] == "*"
    assert not any(".env" in line for line in kept)


# The file, as Compose reads it


@pytest.mark.parametrize("profile", ["", "cluster"])
def test_compose_takes_the_file(env_file: Path, profile: str) -> None:
    read = compose(env_file, "--profile", profile, "config", "--quiet")
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", *SECRETS])
def test_without_a_password_nothing_starts(env_file: Path, tmp_path: Path, name: str) -> None:
    incomplete = tmp_path / ".env"
    incomplete.write_text(re.sub(rf"^{name}=.*$", f"{name}=", env_file.read_text(), flags=re.MULTILINE))

    refused = compose(incomplete, "config", "--quiet")

    assert refused.returncode != 0
    assert name in refused.stderr
    assert "make env" in refused.stderr


def test_the_services(env_file: Path, services: Services) -> None:
    assert set(services) == ORIGINAL | PIPELINE | PAGE | CLUSTER
    assert set(compose(env_file, "config", "--services").stdout.split()) == ORIGINAL | PIPELINE | PAGE


def test_every_service_is_pinned_limited_restarted_and_health_checked(services: Services) -> None:
    for name, service in services.items():
        assert "build" in service or is_own(service) or re.search(r":[\w.-]*\d[\w.-]*$", service["image"]), name
        assert int(service["mem_limit"]) > 0, name
        # `up` waits for page_user: one that fails has to end.
        assert service["restart"] == ("no" if name == "page_user" else "unless-stopped")
        unchecked = name in HEALTH_NOT_AWAITED
        assert service["healthcheck"].get("disable", False) is unchecked
        assert unchecked or service["healthcheck"]["test"][0].startswith("CMD")
        assert service.get("init", False) is is_own(service), name
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), name
        assert service["logging"]["driver"] in ("local", "json-file"), "which know these options"


def is_own(service: dict[str, Any]) -> bool:
    """Whether the service runs an image of the project's own Dockerfile."""
    by_name = str(service.get("image")).startswith("lacrosse-")
    return by_name or service.get("build", {}).get("dockerfile") == "Dockerfile"


def test_own_services_have_no_privileges_and_write_to_volumes_and_tmp_alone(services: Services) -> None:
    own = {name: service for name, service in services.items() if is_own(service)}
    assert set(own) == PIPELINE - {"postgres"} | PAGE | CLUSTER | {"gamestream", "jupyter"}
    for name, service in own.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only", False) is (name != "jupyter"), name
        assert any(mount.split(":")[0] == "/tmp" for mount in service["tmpfs"]), name
        of_spark = service.get("build", {}).get("target") == "spark"
        assert ("/tmp:exec" in service["tmpfs"]) is of_spark, "for native libraries"


def test_a_named_image_is_built_by_one_service_and_no_registry_is_asked_for_it(services: Services) -> None:
    """Compose labels an image with the service that it builds it for: of several, it would be another at each build."""
    running: dict[str, set[str]] = {}
    for name, service in services.items():
        if str(service.get("image")).startswith("lacrosse-"):
            running.setdefault(service["image"], set()).add(name)
            assert service["pull_policy"] == "never", f"{name}: Docker Hub may have a {service['image']}"
    assert running == {"lacrosse-platform": {"user_code", "dagit", "daemon"}, "lacrosse-page": PAGE}
    for image, names in running.items():
        (builder,) = {name for name in names if "build" in services[name]}
        assert f"lacrosse-{services[builder]['build']['target']}" == image
        # So that whatever is started, the image is built.
        for name in names - {builder}:
            assert name in closure(services, builder) or builder in closure(services, name), name


def test_no_health_check_imports_dagster(services: Services) -> None:
    for name, service in services.items():
        test = service["healthcheck"].get("test")
        if test:
            assert not any(re.match(r"dagster|mongosh", word) for word in test), f"{name}: seconds of CPU each time"
            assert "healthcheck" not in test or test[-1] in HEALTH_CHECKS, name
    source = (PROJECT_ROOT / "docker" / "healthcheck.py").read_text()
    assert not re.search(r"^\s*(import|from) (dagster|lacrosse_assets|grpc_health|sqlalchemy)", source, re.MULTILINE)
    for name in ("user_code", "daemon"):
        assert services[name]["healthcheck"]["test"][1] == "healthcheck"


def test_a_health_check_does_not_time_out_on_a_busy_machine(services: Services) -> None:
    for name, service in services.items():
        check = service["healthcheck"]
        if "test" in check:
            assert check["timeout"] == "20s", name
            assert check["retries"] >= 4
            assert (check["interval"], check["start_interval"], check["start_period"]) == ("30s", "3s", "3m0s")


def resolved_with(env_file: Path, folder: Path, **settings: str) -> Services:
    """The services with other values in `.env`."""
    other = folder / ".env"
    text = env_file.read_text()
    for name, value in settings.items():
        text, found = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert found == 1, name
    other.write_text(text)
    resolved: Services = json.loads(compose(other, "--profile", "cluster", "config", "--format", "json").stdout)[
        "services"
    ]
    return resolved


@pytest.mark.parametrize(
    ("variable", "value", "recreated"),
    [
        ("DELAY", "1", {"gamestream"}),
        ("GAMES", "4", {"gamestream"}),
        ("LACROSSE_WARM_RUNS", "false", {"user_code"}),
        ("HOME_TEAM_ID", "7", {"user_code", "jupyter"}),
        ("AWAY_TEAM_ID", "7", {"user_code", "jupyter"}),
        ("JUPYTER_USER", "501:20", {"jupyter"}),
        ("JUPYTER_TOKEN", "another", {"jupyter"}),
        ("SPARK_MASTER", "spark://spark-master:7077", {"spark"}),
        ("MONGODB_PAGE_PASSWORD", "another", {"page", "page_user"}),
        ("POSTGRES_PASSWORD", "another", {"postgres", "user_code", "dagit", "daemon"}),
    ],
)
def test_a_changed_setting_recreates_only_those_that_use_it(
    env_file: Path, services: Services, tmp_path: Path, variable: str, value: str, recreated: set[str]
) -> None:
    changed = resolved_with(env_file, tmp_path, **{variable: value})
    assert {name for name in services if services[name] != changed[name]} == recreated


def test_every_published_port_is_a_variable(env_file: Path, services: Services, tmp_path: Path) -> None:
    names = [name for name in dotenv_values(PROJECT_ROOT / ".env.example") if name.endswith("_PORT")]
    ports = {name: str(20_000 + number) for number, name in enumerate(names)}

    changed = resolved_with(env_file, tmp_path, **ports)

    published = [port["published"] for service in changed.values() for port in service.get("ports", [])]
    assert sorted(published) == sorted(ports.values())
    for name, service in services.items():
        default = {(port["target"], port["published"]) for port in service.get("ports", [])}
        assert all(str(target) == there for target, there in default), f"{name}: by default the same as inside"
    # The addresses for clients on this machine follow.
    values = dotenv_values(tmp_path / ".env")
    for address, port in (("AWS_ENDPOINT_URL_S3", "MINIO"), ("MONGODB_URI", "MONGODB"), ("SIDEARMDB_URL", "MSSQL")):
        assert str(urlsplit(values[address] or "").port) == ports[f"{port}_PORT"]
    # Read by Compose and nowhere else.
    assert not set(names) & set(VARIABLES)


def test_jupyter_runs_as_the_user_who_wrote_env(env_file: Path, services: Services) -> None:
    assert dotenv_values(env_file)["JUPYTER_USER"] == services["jupyter"]["user"] == f"{os.getuid()}:{os.getgid()}"
    assert "--allow-root" in services["jupyter"]["command"], "for a checkout of root's"
    home = services["jupyter"]["environment"]["HOME"]
    assert f"{home}:mode=1777" in services["jupyter"]["tmpfs"], "writable for a user whom the image does not know"


def test_spark_s_master_finds_its_application_again(services: Services) -> None:
    """Killed and back, it would otherwise not know it, and Spark would wait for executors for ever."""
    master = services["spark-master"]
    options = master["environment"]["SPARK_DAEMON_JAVA_OPTS"]
    assert "-Dspark.deploy.recoveryMode=FILESYSTEM" in options
    (volume,) = master["volumes"]
    assert (volume["type"], volume["target"]) == ("volume", "/var/lib/spark"), "a tmpfs is emptied at a restart"
    assert f"-Dspark.deploy.recoveryDirectory={volume['target']}" in options
    assert re.search(rf"install --directory --owner lacrosse {volume['target']}$", DOCKERFILE, re.MULTILINE)


def test_spark_is_warmed_up_when_the_platform_starts(services: Services) -> None:
    *_, script, _ = services["user_code"]["entrypoint"]
    # In the background of a shell that ends: the code server would not bury it.
    assert script.startswith("(python -m lacrosse_assets.warm_spark &); exec ")
    assert services["user_code"]["depends_on"]["spark"]["condition"] == "service_healthy"


def test_all_of_it_fits_into_a_laptop(services: Services) -> None:
    assert sum(int(service["mem_limit"]) for service in services.values()) <= 14.5 * 2**30, "of 16 GB"


def test_every_port_is_on_loopback(services: Services) -> None:
    ports = [(port["host_ip"], port["published"]) for service in services.values() for port in service.get("ports", [])]
    assert {host for host, _ in ports} == {"127.0.0.1"}
    assert len(ports) == len(set(ports)) == 9
    # What they serve without asking who it is, they serve to the network of Compose alone.
    assert not any("ports" in services[name] for name in ("postgres", "spark", "user_code"))


def test_no_password_stands_in_the_file() -> None:
    for name, service in yaml.safe_load(COMPOSE_TEXT)["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET|KEY_ID", variable):
                assert re.fullmatch(r"\$\{[A-Z_]+(:\?[^}]+)?\}", str(value)), f"{name}: {variable}"
            if "@" in str(value):
                assert re.search(r"//\w+:\$\{[A-Z_]+\}@", str(value)), f"{name}: {variable}"


def closure(services: Services, *names: str) -> set[str]:
    """The services that `docker compose up` starts for these, without the cluster."""
    started: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in started:
            started.add(name)
            waiting += [other for other, how in services[name].get("depends_on", {}).items() if how["required"]]
    return started


def test_dependencies_are_waited_for_until_they_are_healthy(services: Services) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            ends = other == "page_user"
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy"), name
            assert ends or services[other]["healthcheck"].get("test"), other


def test_the_original_exercises_order_starts_what_it_says(services: Services) -> None:
    assert closure(services, *DATABASES) == DATABASES
    assert closure(services, "drill", "jupyter") == DATABASES | {"drill", "jupyter", "spark"}
    assert closure(services, "gamestream") == {"mssql", "minio", "gamestream"}
    assert closure(services, "dagit", "daemon") == DATABASES | PIPELINE


def test_the_cluster_is_there_before_spark_and_not_needed_without(services: Services) -> None:
    assert services["spark"]["depends_on"]["spark-worker"]["required"] is False
    assert set(services["spark-worker"]["depends_on"]) == {"spark-master"}
    address = "spark://spark-master:7077"
    assert services["spark-worker"]["command"][-1] == address
    assert f"SPARK_MASTER={address}" in DEPLOYMENT
    assert "COMPOSE_PROFILES=cluster" in DEPLOYMENT


def test_the_cluster_is_a_setting(env_file: Path, tmp_path: Path) -> None:
    resolved_with(env_file, tmp_path, COMPOSE_PROFILES="cluster", SPARK_MASTER="spark://spark-master:7077")

    resolved = json.loads(compose(tmp_path / ".env", "config", "--format", "json").stdout)["services"]

    assert set(resolved) == ORIGINAL | PIPELINE | PAGE | CLUSTER
    assert "--master=spark://spark-master:7077" in resolved["spark"]["command"]


# Variables: what is passed is read, and what is read is passed


def postgres_variables() -> set[str]:
    """The variables of Dagster's own storage."""
    configured = yaml.safe_load((PROJECT_ROOT / "docker" / "postgres.yaml").read_text())
    login = configured["storage"]["custom"]["config"]["postgres_db"]
    return {value["env"] for value in login.values() if isinstance(value, dict)}


@pytest.mark.parametrize("name", ["gamestream", "jupyter", "user_code"])
def test_our_code_is_given_every_setting_that_it_reads_and_no_other(services: Services, name: str) -> None:
    environ = services[name]["environment"]
    others = {"user_code": postgres_variables(), "jupyter": {"JUPYTER_TOKEN", "HOME"}, "gamestream": set[str]()}[name]
    # A setting that it does not use would recreate its container when it is changed: in mid-game, start the game over.
    of_dagster = {"LACROSSE_WARM_RUNS", "LACROSSE_KEEP_LIVE_RUNS", "LACROSSE_KEEP_LIVE_RUNS_HOURS"}
    not_used = {
        "user_code": {"DELAY", "GAMES"},
        "jupyter": {"DELAY", "GAMES", *of_dagster},
        "gamestream": {"HOME_TEAM_ID", "AWAY_TEAM_ID", "SPARK_REMOTE", *of_dagster},
    }[name]
    embedded = {"LACROSSE_STATE_DIR", "LACROSSE_POOLED_SQLITE"}
    assert set(environ) - others == set(VARIABLES) - embedded - not_used
    assert others <= set(environ)

    settings = load_settings(environ)

    assert settings.deployment == "services"
    assert settings.delay == 0.25, "of .env"
    for variable in ADDRESSES & set(environ):
        address = urlsplit(environ[variable])
        assert address.hostname in services, variable


def test_dagit_and_the_daemon_are_given_no_store(services: Services) -> None:
    for name in ("dagit", "daemon"):
        assert set(services[name]["environment"]) == postgres_variables()


def test_the_page_is_given_the_box_scores_and_nothing_else(services: Services) -> None:
    environ = services["page"]["environment"]
    assert set(environ) == {"MONGODB_URI", "GAMESTREAM_KEY"}
    pages, roots = (urlsplit(services[name]["environment"]["MONGODB_URI"]) for name in ("page", "user_code"))
    assert (pages.hostname, pages.port, pages.query) == (roots.hostname, roots.port, roots.query)
    script = runpy.run_path(str(PROJECT_ROOT / "docker" / "mongodb_page_user.py"))
    assert pages.username == script["USER"] != roots.username
    assert script["ROLES"] == [{"role": "read", "db": "sidearm"}]
    maker = services["page_user"]["environment"]
    assert maker == {
        "MONGODB_URI": services["user_code"]["environment"]["MONGODB_URI"],
        "MONGODB_PAGE_PASSWORD": pages.password,
    }
    assert closure(services, "page") == {"mongodb", *PAGE}
    (port,) = services["page"]["ports"]
    assert str(port["target"]) == option(services["page"]["command"], "--port")


def test_jupyter_reads_its_token() -> None:
    assert "JUPYTER_TOKEN" in inspect.getsource(identity)


def test_no_command_line_holds_a_password(env_file: Path, services: Services) -> None:
    """Every user of the host can read those of containers; a shell's variable goes into the environment only."""
    values = dotenv_values(env_file)
    for name, service in services.items():
        parts = [service.get("command"), service.get("entrypoint"), service.get("healthcheck", {}).get("test")]
        said = json.dumps([part for part in parts if part])
        assert [secret for secret in SECRETS if str(values[secret]) in said] == [], name
        for assigned, variable in re.findall(r'(\w+=(?:\\")?)?\$+\{?(\w+)', said):
            assert assigned or variable not in SECRETS, f"{name}: {variable} in {said}"


def test_the_servers_take_the_passwords_that_their_clients_give(env_file: Path, services: Services) -> None:
    environ = services["user_code"]["environment"]
    minio, mongodb = services["minio"]["environment"], services["mongodb"]["environment"]
    assert (minio["MINIO_ROOT_USER"], minio["MINIO_ROOT_PASSWORD"]) == (
        environ["AWS_ACCESS_KEY_ID"],
        environ["AWS_SECRET_ACCESS_KEY"],
    )
    documents, database = urlsplit(environ["MONGODB_URI"]), urlsplit(environ["SIDEARMDB_URL"])
    assert (documents.username, documents.password) == (
        mongodb["MONGO_INITDB_ROOT_USERNAME"],
        mongodb["MONGO_INITDB_ROOT_PASSWORD"],
    )
    assert (database.username, database.password) == ("sa", services["mssql"]["environment"]["MSSQL_SA_PASSWORD"])
    assert services["postgres"]["environment"] == services["daemon"]["environment"]


def test_env_example_lists_what_compose_asks_for() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE_TEXT))
    listed = set(dotenv_values(PROJECT_ROOT / ".env.example"))
    assert asked <= listed
    assert listed - asked == ADDRESSES | {"COMPOSE_PROFILES"}, "of which the last is read by Compose itself"


# Dagster in its containers


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_dagit_and_the_daemon_find_the_code_server(services: Services) -> None:
    (found,) = yaml.safe_load((PROJECT_ROOT / "docker" / "workspace.yaml").read_text())["load_from"]
    (local,) = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text())["load_from"]
    server, command = found["grpc_server"], services["user_code"]["command"]
    assert server["host"] == "user_code"
    assert str(server["port"]) == option(command, "-p") == HEALTH["CODE_SERVER"].rpartition(":")[2]
    assert server["location_name"] == option(command, "--location-name") == local["python_module"]["location_name"]
    assert option(command, "-m") == local["python_module"]["module_name"]


def test_the_port_of_dagit_is_the_one_that_is_published(services: Services) -> None:
    (port,) = services["dagit"]["ports"]
    assert str(port["target"]) == option(services["dagit"]["command"], "-p")


def test_runs_and_their_logs_are_on_a_volume_that_dagit_sees(services: Services) -> None:
    home = re.search(r"^ENV DAGSTER_HOME=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert home
    for name in ("user_code", "dagit"):
        (volume,) = services[name]["volumes"]
        assert (volume["source"], volume["target"]) == ("dagster", f"{home[1]}/storage")
    assert re.search(r'install --directory --owner lacrosse .*"\$DAGSTER_HOME/storage"', DOCKERFILE), "writable"


def test_the_instance_of_the_image_is_ours_on_postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_together = re.search(r'cat (/.+) > "\$DAGSTER_HOME/dagster\.yaml"', DOCKERFILE)
    assert put_together
    mounts = re.findall(r"--mount=type=bind,source=(\S+),target=(\S+)", DOCKERFILE)
    sources = {target: PROJECT_ROOT / source for source, target in mounts}
    files = [sources[target] for target in put_together[1].split()]
    (tmp_path / "dagster.yaml").write_text("".join(file.read_text() for file in files))
    for name in postgres_variables():
        monkeypatch.setenv(name, "dagster")

    instance = InstanceRef.from_dir(str(tmp_path))  # which refuses what Dagster does not know

    ours = yaml.safe_load((PROJECT_ROOT / "lacrosse_assets" / "dagster.yaml").read_text())
    coordinator, instance_class = ours.pop("run_coordinator"), ours.pop("instance_class")
    ours_alone = {name: ours.pop(name) for name in ("sensor_round_seconds", "mirror_output_in_process")}
    assert ours.items() <= dict(instance.settings).items()
    assert instance.run_coordinator_data
    assert instance.run_coordinator_data.class_name == coordinator["class"]
    assert instance.custom_instance_class_data
    assert instance.custom_instance_class_data.class_name == instance_class["class"]
    assert instance.custom_instance_class_config == ours_alone
    storage = instance.storage_data
    assert storage
    assert storage.class_name == PooledPostgresStorage.__name__
    config = process_config(
        resolve_to_config_type(PooledPostgresStorage.config_type()), yaml.safe_load(storage.config_yaml)
    )
    assert config.value
    assert 0 < config.value["pool_size"] <= 5
    assert config.value["pool_size"] + config.value["max_overflow"] <= 20, "of Postgres's 100, for each process"
    # SQLAlchemy looks for the driver here already.
    engine = create_engine(pg_url_from_config(config.value or {}))
    assert (engine.url.host, engine.url.username, engine.url.database) == ("postgres", "dagster", "dagster")


# The images


def test_the_dockerfile_has_no_lint() -> None:
    linted = tool("hadolint", "--no-color", "--failure-threshold", "info", "Dockerfile")
    assert (linted.returncode, linted.stdout) == (0, "")
    assert "hadolint ignore" not in DOCKERFILE


def test_every_target_is_built_by_the_dockerfile(services: Services) -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    targets = {service["build"].get("target") for service in services.values() if "build" in service}
    assert targets - {None} == TARGETS <= stages


DRILLS_DOCKERFILE = (PROJECT_ROOT / "docker" / "drill" / "Dockerfile").read_text()
COPIED = re.findall(r"^COPY (?:--chmod=(\d+) )?(?!--)(\S+) \S+$", f"{DOCKERFILE}\n{DRILLS_DOCKERFILE}", re.MULTILINE)


def test_what_the_dockerfile_takes_is_there_and_sent_to_the_build() -> None:
    taken = [
        *(source for _, source in COPIED),
        *re.findall(r"--mount=type=bind,source=(\S+),", DOCKERFILE),
    ]
    sent = {
        line.removeprefix("!").rstrip("/")
        for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert {"setup.py", "constraints.txt", "lacrosse_assets", "lacrosse_assets/dagster.yaml"} <= set(taken)
    assert {source.split("/")[0] for source in taken} == sent
    for source in taken:
        assert (PROJECT_ROOT / source).exists(), source


def test_a_checkout_under_umask_077_builds_images_that_can_read_their_files() -> None:
    """A copied file keeps its mode. All that reaches an image has one of its own, or is opened in its stage."""
    assert {source for _, source in COPIED} >= {"lacrosse_assets", "examples/boxscore_page", "docker/workspace.yaml"}
    for mode, source in COPIED:
        if source in ("setup.py", "constraints.txt", "docker/imported.py"):
            continue  # read by root, in a stage that no service runs
        if not mode:
            copies = re.findall(rf"^COPY {source} /app/{source}\n(.*)$", DOCKERFILE, re.MULTILINE)
            assert copies, source
            assert all(after.startswith("RUN chmod -R a+rX /app ") for after in copies), source
            continue
        directory = (PROJECT_ROOT / source).is_dir()
        assert int(mode, 8) & 0o555 == (0o555 if directory else int(mode, 8) & 0o111 | 0o444), source
    # What is mounted from the checkout keeps its mode as well.
    mounted = [
        (name, volume["source"])
        for name, service in yaml.safe_load(COMPOSE_TEXT)["services"].items()
        for volume in service.get("volumes", [])
        if isinstance(volume, str)
        for volume in [dict(zip(("source", "target"), volume.split(":"), strict=False))]
        if volume["source"].startswith((".", "/"))
    ]
    assert mounted == [("jupyter", "./notebooks")], "whose owner it is that Jupyter runs as"


def test_a_comment_in_constraints_reinstalls_nothing() -> None:
    """The lists of versions are all that goes to the stages that install, and have no comment in them."""
    compiled = re.findall(r"uv pip compile (.+?) setup\.py", DOCKERFILE)
    assert len(compiled) == 2
    for options in compiled:
        assert {"--no-header", "--no-annotate"} <= set(options.split())
        assert re.search(r"--output-file locked/\w+\.txt$", options)
    mounts = re.findall(r"from=requirements,source=(\S+?),", DOCKERFILE)
    assert set(mounts) == {"/usr/local/bin/uv", "/requirements/locked"}
    # PySpark is fetched once: the same cache for the list and for the installs, and not in a layer.
    runs = re.findall(r"^RUN (?:.*\\\n)*.*uv pip (?:compile|install)", DOCKERFILE, re.MULTILINE)
    assert len(runs) == 3
    assert all("--mount=type=cache,target=/root/.cache/uv" in run for run in runs)


def test_the_simulator_s_image_has_what_it_imports_and_nothing_else(tmp_path: Path) -> None:
    """So that a change elsewhere does not recreate its container, which would start the game over."""
    (script,) = re.findall(r"python /(docker/imported\.py) (.+)$", DOCKERFILE, re.MULTILINE)
    _, module, copied = script[1].split()
    # Its bytecode is made in a stage of its own: the same sources do not give the same bytes twice.
    assert f" AS simulator\nCOPY --from=imported {copied} /app\nRUN python -m compileall" in DOCKERFILE
    assert " AS gamestream\nCOPY --from=simulator /app /app\n" in DOCKERFILE
    subprocess.run([sys.executable, PROJECT_ROOT / script[0], PROJECT_ROOT, module, tmp_path], check=True)

    loaded = subprocess.run(
        [sys.executable, "-c", f"import {module}, sys; print(*sorted(sys.modules)); print({module}.__file__)"],
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    modules, file = loaded.stdout.splitlines()
    assert Path(file).is_relative_to(tmp_path)
    of_ours = {name for name in modules.split() if name.startswith("lacrosse_assets")}
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.py")}
    assert of_ours == {re.sub(r"(/__init__)?\.py$", "", file).replace("/", ".") for file in files}
    assert "dagster" not in modules.split()
    assert {"game.txt", "teams.csv", "players.csv"} <= {file.name for file in tmp_path.rglob("*")}
    assert services_command_module() == module.removesuffix(".__main__")


def services_command_module() -> str:
    """What the service gamestream runs."""
    command: str = yaml.safe_load(COMPOSE_TEXT)["services"]["gamestream"]["command"]
    return command.removeprefix("python -m ").removesuffix(" --resume")


def test_an_interrupted_game_goes_on(services: Services) -> None:
    """Docker starts containers again after a reboot, but not those with `restart: on-failure`."""
    assert services["gamestream"]["command"][-1] == "--resume"
    assert services["gamestream"]["restart"] == "unless-stopped"


def test_no_image_runs_as_root_and_code_comes_last() -> None:
    for target in sorted(TARGETS):
        stage = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
        (lines,) = [text.strip().splitlines() for text in stage if text.splitlines()[0].endswith(f" AS {target}")]
        instructions = [line for line in lines if re.match("[A-Z]+ ", line)]
        assert instructions[-1] == "USER 1000"
        copied = [number for number, line in enumerate(instructions) if line.startswith("COPY --from=")]
        after = instructions[copied[-1] :] if target != "spark" else []
        assert not any(line.startswith("RUN") for line in after), "or a change in the code would build it again"


def test_the_python_of_the_images_is_that_of_the_tests() -> None:
    pythons = set(re.findall(r"^FROM (python:\S+)", DOCKERFILE, re.MULTILINE))
    workflow = yaml.safe_load((PROJECT_ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (python,) = {
        step["with"]["python-version"]
        for name, job in workflow["jobs"].items()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/setup-python@") and name != "test"  # which has a matrix
    }
    assert pythons == {f"python:{python}-slim-bookworm"}


# The stand-ins


STANDINS = PROJECT_ROOT / "docker" / "standins"


def test_the_stand_ins_replace_what_comes_from_a_registry_and_nothing_else(
    env_file: Path, services: Services, tmp_path: Path
) -> None:
    options = ("--file", COMPOSE_FILE, "--file", STANDINS / "compose.override.yaml", "--env-file", env_file)
    read = subprocess.run(
        [Path(sys.executable).parent / "docker-compose", *options, "--profile", "*", "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "STANDINS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    standing_in = json.loads(read.stdout)["services"]

    assert set(standing_in) == set(services)
    pulled = {name for name, service in services.items() if "build" not in service and not is_own(service)}
    assert {name for name in pulled if "build" not in standing_in[name]} == set(), "or a registry is asked"
    replaced = {"build", "profiles"}
    for name, service in services.items():
        differs = {field for field in standing_in[name] | service if standing_in[name].get(field) != service.get(field)}
        sql = {"environment", "volumes"} if "SIDEARMDB_URL" in service.get("environment", {}) else set()
        assert differs <= replaced | sql, name
        changed = {
            variable
            for variable, value in service.get("environment", {}).items()
            if standing_in[name]["environment"][variable] != value
        }
        assert changed <= {"SIDEARMDB_URL"}, name


def run_with(folder: Path, *, docker: str, user_id: int) -> subprocess.CompletedProcess[str]:
    """`docker/standins/run echo done` where these are all programs that there are."""
    programs = {"docker": f"exit {docker}", "id": f"echo {user_id}"}
    for name, script in programs.items():
        (folder / name).write_text(f"#!{shutil.which('sh')}\n{script}\n")
        (folder / name).chmod(0o755)
    for name in ("bash", "dirname", "echo"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        [folder / "bash", STANDINS / "run", "echo", "done"], env={"PATH": str(folder)}, capture_output=True, text=True
    )


def test_a_docker_engine_that_is_there_is_used(tmp_path: Path) -> None:
    ended = run_with(tmp_path, docker="0", user_id=0)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_without_an_engine_one_line_says_what_to_do(tmp_path: Path) -> None:
    refused = run_with(tmp_path, docker="1", user_id=1000)
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("Error: `docker info` finds no Docker engine: start one.")


def test_the_dockerfile_of_the_stand_ins_has_another_source_of_the_driver_and_nothing_else() -> None:
    written = tool(sys.executable, STANDINS / "dockerfile.py", PROJECT_ROOT / "Dockerfile").stdout
    removed = [line for line in DOCKERFILE.splitlines() if line not in written.splitlines()]
    assert [line for line in removed if "microsoft" not in line and "msodbcsql18" not in line] == []
    assert "microsoft." not in written
    assert re.findall(r"^FROM .*", written, re.MULTILINE) == re.findall(r"^FROM .*", DOCKERFILE, re.MULTILINE)


def test_a_dockerfile_that_has_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("msodbcsql18", "msodbcsql19"))
    refused = tool(sys.executable, STANDINS / "dockerfile.py", tmp_path / "Dockerfile")
    assert refused.returncode != 0
    assert "the Dockerfile has 0 instructions with msodbcsql18" in refused.stderr


# What people and CI type


def commands(text: str) -> Iterator[list[str]]:
    """The words of every `docker compose …` in a text, from its subcommand on."""
    for line in text.splitlines():
        for found in re.finditer(r"docker[ -]compose ((?:[\w./:=-]+ ?)+)", line):
            yield shlex.split(found[1])


TAKING_SERVICES: dict[str, Callable[[list[str]], list[str]]] = {
    "up": lambda words: words,
    "logs": lambda words: words,
    "ps": lambda words: words,
    "stop": lambda words: words,
    "restart": lambda words: words,
    "build": lambda words: words,
    "down": lambda words: words,
    "exec": lambda words: words[:1],
    "run": lambda words: words[:1],
}


@pytest.mark.parametrize(
    "file",
    [
        *(f"docs/{page}.md" for page in ("deployment", "operations", "tools")),
        ".github/workflows/ci.yml",
        ".env.example",
        "Makefile",
    ],
)
def test_compose_commands_name_services_that_there_are(services: Services, file: str) -> None:
    typed = list(commands((PROJECT_ROOT / file).read_text()))
    for subcommand, *words in typed:
        if subcommand in TAKING_SERVICES:
            names = [word for word in words if not word.startswith("-") and "=" not in word]
            assert set(TAKING_SERVICES[subcommand](names)) <= set(services), (subcommand, words)
    if file == "docs/deployment.md":
        assert {"up", "ps", "logs", "restart", "stop", "down"} <= {command for command, *_ in typed}


def test_the_docs_have_the_address_of_every_published_port(services: Services) -> None:
    published = {port["published"] for service in services.values() for port in service.get("ports", [])}
    assert set(re.findall(r":(\d{4,5})\b", DEPLOYMENT)) - {"7077"} == published


def test_the_docs_have_every_setting() -> None:
    for name in dotenv_values(PROJECT_ROOT / ".env.example"):
        assert f"`{name}`" in CONFIGURATION, name
