"""Drill: its storage plugins against docker-compose.yaml, and its queries run by Spark.

There is no Drill to be had without Docker, but Spark SQL reads what the queries are made of (backticks, nested fields,
arrays that start at 0): the tables that they name are made by the product's own code, so a column that is none fails.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlglot
import yaml
from pyhocon import ConfigFactory  # type: ignore[import-untyped]
from pyspark.sql import DataFrame, SparkSession
from sqlglot import exp

from lacrosse_assets.game.boxscore import boxscore, documents_of
from lacrosse_assets.game.finals import PLAYERS, TEAMS, players2, teams2
from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets.gamestream import reference_data
from lacrosse_assets.resources import documents, reference_db
from lacrosse_assets.settings import Settings
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support.builders import AWAY, HOME, frame, statistics

FOLDER = PROJECT_ROOT / "drill-storage-plugins"
QUERIES = sorted((FOLDER / "queries").glob("*.sql"))
PLUGINS: dict[str, dict[str, Any]] = ConfigFactory.parse_file(
    str(FOLDER / "storage-plugins-override.conf"), resolve=False
).as_plain_ordered_dict()["storage"]
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
    assert (text["type"], text["fieldDelimiter"], text["extractHeader"]) == ("text", " ", False)


@pytest.mark.parametrize(
    ("address", "setting"),
    [
        (PLUGINS["minio"]["config"]["fs.s3a.endpoint"], "AWS_ENDPOINT_URL_S3"),
        (PLUGINS["mongo"]["connection"], "MONGODB_URI"),
        (PLUGINS["mssql"]["url"].removeprefix("jdbc:").partition(";")[0], "SIDEARMDB_URL"),
    ],
)
def test_a_plugin_is_where_the_platform_writes_and_tells_no_password(address: str, setting: str) -> None:
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
def test_drill_is_given_what_the_service_was(plugin: str, credential: str, service: str, setting: str) -> None:
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
    known = {("minio", workspace, stream), ("mongo", documents.DATABASE, documents.COLLECTION)}
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


# --- What the queries say of the simulator's game ---

GAME = (Path(reference_data.__file__).parent / "game.txt").read_text()
ROWS = {table.name: reference_data.original_rows(table) for table in reference_data.METADATA.sorted_tables}
EVENTS = [line.split() for line in GAME.splitlines() if not line.startswith("-1 ")]
# The scores that are asked for: after so many events.
MOMENTS = (1, 9, len(EVENTS))

Ask = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def ask(spark: SparkSession) -> Ask:
    """The answer to a query, with all tables as they are after the simulator's game."""
    played = ["".join(f"{' '.join(event)}\n" for event in EVENTS[:moment]) for moment in MOMENTS[:-1]]
    boxscores = [boxscore(statistics(spark, body.encode(), ROWS["players"], ROWS["teams"])) for body in (*played, GAME)]
    (final,) = documents_of(boxscores[-1])
    assert final["final"]
    teams, players = frame(spark, ROWS["teams"], TEAMS), frame(spark, ROWS["players"], PLAYERS)
    tables = {
        "teams": teams,
        "players": players,
        "teams2": teams2(spark, teams, final),
        "players2": players2(spark, players, final),
        "boxscores": reduce(DataFrame.union, boxscores),
    }
    for name, table in tables.items():
        # Collected, or each query would compute the game again.
        spark.createDataFrame(table.collect(), table.schema).createOrReplaceTempView(name)
    show(spark, GAME)
    return lambda name: answer(spark, name)


def show(spark: SparkSession, stream: str) -> None:
    """Have the stream as Drill reads it: cut at each \\n and at each blank, and null beyond the last field."""
    rows = [([*line.split(" "), *[None] * 5],) for line in stream.removesuffix("\n").split("\n")]
    spark.createDataFrame(rows, "columns array<string>").createOrReplaceTempView("gamestream")


def answer(spark: SparkSession, name: str) -> list[tuple[Any, ...]]:
    def for_spark(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Table):
            return exp.to_table(node.name.removesuffix(".txt"), alias=node.alias)
        if isinstance(node, exp.Flatten):
            return exp.Explode(this=node.this)
        if isinstance(node, exp.Anonymous) and node.name == "REGEXP_MATCHES":
            # Whether Drill looks for a match or wants all of the text to be one, these patterns mean the same to it.
            text, pattern = node.expressions
            assert re.fullmatch(r"\^.*\$", pattern.this)
            return exp.RegexpLike(this=text, expression=exp.Literal.string(rf"\A(?:{pattern.this})\z"))
        return node

    statement = parse(FOLDER / "queries" / f"{name}.sql").transform(for_spark)
    return [tuple(row) for row in spark.sql(statement.sql("spark")).collect()]


def counted(*, goals_only: bool) -> Counter[tuple[int, str]]:
    """Shots or goals by team and jersey, straight from the lines."""
    return Counter(
        (int(team), jersey) for _, _, team, jersey, goal in EVENTS if team != "0" and goal >= "01"[goals_only]
    )


def score_after(events: int) -> tuple[int, int]:
    goals = Counter(team for _, _, team, _, goal in EVENTS[:events] if goal == "1")
    return goals["101"], goals["205"]


def test_every_query_has_a_test_of_what_it_says() -> None:
    tests = {name.removeprefix("test_says_") for name in globals() if name.startswith("test_says_")}
    assert tests == {query.stem for query in QUERIES}


def test_says_teams(ask: Ask) -> None:
    teams = {team["id"]: team for team in ROWS["teams"]}
    assert ask("teams") == [
        (
            *teams[player["teamid"]].values(),
            *(player[column] for column in ("id", "number", "name", "shots", "goals")),
        )
        for player in sorted(ROWS["players"], key=lambda player: (player["teamid"], player["id"]))
    ]


def test_says_stream(ask: Ask) -> None:
    assert ask("stream") == [
        (int(event), clock, int(team), jersey, int(goal)) for event, clock, team, jersey, goal in EVENTS
    ]


def test_invalid_lines_do_not_count_and_goals_of_unrostered_players_do(spark: SparkSession, ask: Ask) -> None:
    broken = (
        "",
        "x 57:00 101 6 1",
        "2  56:00 101 6 1",
        "3 55:00 home 6 1",
        "4 54:00 101 6 11",
        "5 53:0",
        "-1 00:00 0 0 0",
    )
    try:
        show(spark, "\n".join(["1 58:00 205 77 1\r", "0 59:00 101 6 0", *broken]))
        assert ask("stream") == [(0, "59:00", 101, "6", 0), (1, "58:00", 205, "77", 1)]
        assert ask("goals") == [("58:00", "johns hopkins", "77", None)]
    finally:
        show(spark, GAME)


def test_says_goals(ask: Ask) -> None:
    teams = {str(team["id"]): team["name"] for team in ROWS["teams"]}
    wearers = {(str(player["teamid"]), player["number"]): player["name"] for player in ROWS["players"]}
    assert ask("goals") == [
        (clock, teams[team], jersey, wearers[team, jersey]) for _, clock, team, jersey, goal in EVENTS if goal == "1"
    ]


def test_says_boxscore(ask: Ask) -> None:
    shots, goals = counted(goals_only=False), counted(goals_only=True)
    teams = {team["id"]: team["name"] for team in ROWS["teams"]}
    expected = []
    for player in ROWS["players"]:
        wearer = player["teamid"], player["number"]
        row = teams[player["teamid"]], player["number"], player["name"], shots[wearer], goals[wearer]
        expected.append((int(EVENTS[-1][0]), "00:00", *row))
    answered = ask("boxscore")
    assert sorted(row[:-1] for row in answered) == sorted(expected)
    assert all(pct == pytest.approx(goals / shots if shots else 0, abs=0.005) for *_, shots, goals, pct in answered)


def test_says_score(ask: Ask) -> None:
    answered = ask("score")
    assert [(event, home, away) for event, _, _, home, away, *_ in answered] == [
        (int(EVENTS[moment - 1][0]), *score_after(moment)) for moment in MOMENTS
    ]
    assert answered[-1][1:3] == ("00:00", "syracuse")
    assert [row[-1] for row in answered] == [False, False, True]


def test_says_teams_after(ask: Ask) -> None:
    home, away = score_after(len(EVENTS))
    assert home != away
    winner = HOME if home > away else AWAY
    assert ask("teams_after") == [
        (
            *(team[column] for column in ("id", "name", "wins")),
            team["wins"] + won,
            team["losses"],
            team["losses"] + 1 - won,
        )
        for team in ROWS["teams"]
        for won in [int(team["id"] == winner)]
    ]


def test_says_players_after(ask: Ask) -> None:
    shots, goals = counted(goals_only=False), counted(goals_only=True)
    assert ask("players_after") == [
        (
            *(player[column] for column in ("id", "teamid", "number", "name", "shots")),
            player["shots"] + shots[player["teamid"], player["number"]],
            player["goals"],
            player["goals"] + goals[player["teamid"], player["number"]],
        )
        for player in ROWS["players"]
    ]
