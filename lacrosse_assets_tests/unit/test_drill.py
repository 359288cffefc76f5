"""Drill's storage plugins against docker-compose.yaml, and its queries as text.

integration/test_drill.py runs both in a real Drill.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlglot
import yaml
from sqlglot import exp

from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets.resources import documents, reference_db
from lacrosse_assets.resources.event_documents import EventDocuments
from lacrosse_assets.resources.game_documents import GameDocuments
from lacrosse_assets.settings import Settings
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support.drill import FOLDER, PLUGINS

QUERIES = sorted((FOLDER / "queries").glob("*.sql"))
SERVICES = yaml.safe_load((PROJECT_ROOT / "docker-compose.yaml").read_text())["services"]
DRILL = SERVICES["drill"]

# What Drill's FileSystemConfig, MongoStoragePluginConfig, JdbcStorageConfig and the classes within them are made from.
# One property that they do not know, and Drill leaves out the whole file, with no more than a line in its log.
PROPERTIES = {
    "file": {"connection", "config", "workspaces", "formats", "credentialsProvider"},
    "mongo": {"connection", "pluginOptimizations", "batchSize", "allowDiskUse", "credentialsProvider"},
    "jdbc": {
        "driver",
        "url",
        "username",
        "password",
        "caseInsensitiveTableNames",
        "writable",
        "sourceParameters",
        "credentialsProvider",
        "authMode",
        "writerBatchSize",
    },
}
WORKSPACE = {"location", "writable", "defaultInputFormat", "description", "allowAccessOutsideWorkspace"}
TEXT = {
    "type",
    "extensions",
    "lineDelimiter",
    "fieldDelimiter",
    "quote",
    "escape",
    "comment",
    "skipFirstLine",
    "extractHeader",
}
PUSHDOWNS = {f"supports{what}Pushdown" for what in ("Project", "Filter", "Aggregate", "Sort", "Union", "Limit")}

# Of the words that Drill's parser, Calcite, has reserved: those that a query on a game may want for a name.
RESERVED = {
    *("current", "date", "day", "end", "hour", "match", "minute", "order", "period", "position", "result", "row"),
    *("second", "start", "stream", "time", "timestamp", "user", "value", "year"),
}


def variables(of: str) -> Mapping[str, str]:
    """The environment variables that a plugin reads, by the credential that each is."""
    provider = PLUGINS[of]["credentialsProvider"]
    assert set(provider) == {"credentialsProviderType", "envVariableNames"}
    assert provider["credentialsProviderType"] == "EnvCredentialsProvider"
    names: Mapping[str, str] = provider["envVariableNames"]
    return names


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_is_on_and_has_the_properties_of_its_type(name: str) -> None:
    plugin = PLUGINS[name]
    assert plugin["enabled"] is True  # Drill's default is false
    assert set(plugin) - {"type", "enabled"} <= PROPERTIES[plugin["type"]]
    for workspace in plugin.get("workspaces", {}).values():
        assert set(workspace) <= WORKSPACE
    assert set(plugin.get("pluginOptimizations", {})) <= PUSHDOWNS


def test_text_is_read_as_the_stream_is_written() -> None:
    text = PLUGINS["minio"]["formats"]["txt"]
    assert set(text) <= TEXT
    assert Settings.model_fields["gamestream_key"].default.endswith(tuple(f".{name}" for name in text["extensions"]))
    assert (text["type"], text["extractHeader"]) == ("text", False)
    # No character of a line is special: the queries cut it into fields.
    special = [json.loads(f'"{text[name]}"') for name in ("fieldDelimiter", "quote", "escape", "comment")]
    assert all(len(character) == 1 and character < "\t" for character in special)


@pytest.mark.parametrize(
    ("address", "setting"),
    [
        (PLUGINS["minio"]["config"]["fs.s3a.endpoint"], "AWS_ENDPOINT_URL_S3"),
        (PLUGINS["mongo"]["connection"], "MONGODB_URI"),
        (PLUGINS["mssql"]["url"].removeprefix("jdbc:").partition(";")[0], "SIDEARMDB_URL"),
    ],
)
def test_a_plugin_reads_where_the_platform_writes_and_shows_no_password(address: str, setting: str) -> None:
    at, platform = urlsplit(address), urlsplit(SERVICES["gamestream"]["environment"][setting])
    assert (at.hostname, at.port) == (platform.hostname, platform.port)
    assert at.hostname in SERVICES
    assert (at.username, at.password) == (None, None)


def test_the_plugins_are_on_what_the_platform_writes() -> None:
    assert PLUGINS["minio"]["connection"] == f"s3a://{Settings.model_fields['gamestream_bucket'].default}"
    properties = dict(pair.split("=") for pair in PLUGINS["mssql"]["url"].split(";")[1:])
    assert properties == {"databaseName": reference_db.DATABASE, "encrypt": "true", "trustServerCertificate": "true"}
    assert parse_qs(urlsplit(PLUGINS["mongo"]["connection"]).query) == {"authSource": ["admin"]}


@pytest.mark.parametrize(
    ("plugin", "credential", "service", "setting"),
    [
        ("minio", "fs.s3a.access.key", "minio", "MINIO_ROOT_USER"),
        ("minio", "fs.s3a.secret.key", "minio", "MINIO_ROOT_PASSWORD"),
        ("mongo", "username", "mongodb", "MONGO_INITDB_ROOT_USERNAME"),
        ("mongo", "password", "mongodb", "MONGO_INITDB_ROOT_PASSWORD"),
        ("mssql", "password", "mssql", "MSSQL_SA_PASSWORD"),
    ],
)
def test_drill_has_the_credentials_of_the_service(plugin: str, credential: str, service: str, setting: str) -> None:
    def of_compose(text: str) -> str:
        """The text, or of `${VARIABLE:?message}` the variable."""
        substitution = re.match(r"\$\{(\w+)", text)
        return substitution[1] if substitution else text

    given = DRILL["environment"][variables(plugin)[credential]]
    assert of_compose(given) == of_compose(SERVICES[service]["environment"][setting])


def test_drill_is_given_the_one_user_of_sql_server() -> None:
    assert DRILL["environment"][variables("mssql")["username"]] == "sa"


def test_credentials_are_read_from_variables_alone() -> None:
    assert {name: set(variables(name)) for name in PLUGINS} == {
        "minio": {"fs.s3a.access.key", "fs.s3a.secret.key"},
        "mongo": {"username", "password"},
        "mssql": {"username", "password"},
    }


def test_the_image_has_the_plugins_and_the_queries() -> None:
    dockerfile = (PROJECT_ROOT / DRILL["build"]["dockerfile"]).read_text()
    copied = dict(re.findall(r"^COPY --chmod=\d+ (\S+) (\S+)$", dockerfile, re.MULTILINE))
    assert copied == {
        "drill-storage-plugins/storage-plugins-override.conf": "/opt/drill/conf/",
        "drill-storage-plugins/queries": "/queries",
    }
    assert all((PROJECT_ROOT / source).exists() for source in copied)


def test_the_dockerfile_has_no_lint() -> None:
    dockerfile = PROJECT_ROOT / DRILL["build"]["dockerfile"]
    linted = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "--no-color", dockerfile], capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def parse(query: Path) -> exp.Query:
    statement = sqlglot.parse_one(query.read_text(), read="drill")
    assert isinstance(statement, exp.Query)
    return statement


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.stem)
def test_a_query_can_be_pasted(query: Path) -> None:
    text = query.read_text()
    comments = [line for line in text.splitlines() if line.startswith("--")]
    assert text.startswith("-- ")  # what it shows
    assert not set("".join(comments)) & set(";'`\"")  # sqlline, which reads line by line, would take them for SQL
    assert text.endswith(";\n")  # without it, sqlline waits for the rest
    assert text.count(";") == 1
    # More than Drill wants of sqlglot, which reads reserved words as names.
    unquoted = {name.name for name in parse(query).find_all(exp.Identifier) if not name.quoted}
    assert not unquoted & RESERVED


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.stem)
def test_a_query_names_tables_that_there_are(query: Path) -> None:
    stream = Settings.model_fields["gamestream_key"].default
    (workspace,) = PLUGINS["minio"]["workspaces"]
    known = {("minio", workspace, name) for name in (stream, "games/*.txt")}
    known |= {("mongo", documents.DATABASE, name) for name in (EventDocuments.collection, GameDocuments.collection)}
    known |= {("mssql", "dbo", name) for pair in FINAL_TABLES.items() for name in pair}
    tables = {(table.catalog, table.db, table.name) for table in parse(query).find_all(exp.Table)}
    assert tables
    assert tables <= known


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.stem)
def test_sql_server_can_sort_what_drill_hands_over_to_it(query: Path) -> None:
    """A sort by a column that is not selected becomes a subquery with ORDER BY, which SQL Server refuses."""
    statement = parse(query)
    if {table.catalog for table in statement.find_all(exp.Table)} != {"mssql"}:
        return
    keys = {ordered.this.name for ordered in statement.args["order"].expressions}
    assert keys <= set(statement.named_selects)
