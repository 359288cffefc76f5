"""Drill's queries, run by Drill during a game and after it, against what the stores hold.

`make test-drill` runs these. They need Maven, which resolves Drill: see support/drill.py for what of it is real.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import boto3
import pytest
from sqlalchemy import make_url

from lacrosse_assets.resources.reference_db import DATABASE
from lacrosse_assets.settings import Settings
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.drill import FOLDER, PLUGINS, POM, Drill, QueryError, drill
from lacrosse_assets_tests.support.world import PLAYERS, TEAMS, Stores, World, closed_port, new_world

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]  # with a first download of Drill

QUERIES = {query.stem: query.read_text() for query in sorted((FOLDER / "queries").glob("*.sql"))}
AFTER_A_GAME = {"teams_after", "players_after"}

# A jersey as a CHAR(3) column has it.
PADDED = [{**player, "number": f"{player['number']:3}"} for player in PLAYERS]
# What the contract calls a line, in unusual forms, with invalid lines in between.
LIVE = (
    b"\xef\xbb\xbf0 59:30 101 6 1\r\n",
    b"1\t57:06  205 8 1 \n",
    b"1 57:06 205 8 1\n",  # the same
    b"# 56:30 101 6 1\n",
    b"x 56:20 101 6 1\n\n",
    b'3 55:25 101 "6 1\n',  # nobody's jersey
    b"2 56:13 205 6 0\n",
    b"4 54:00 home 6 1\n",
    b"5 53:00 101 6 11\n",
    b"\xff\xfe6 52:00 101 6 1\n",
    b"7 0:45.3 101 00 1\n",
    b"8 00:4",
)
ENDED = (*LIVE[:-1], b"8 00:40 101 0 1\n9 00:00 0 0 0\n", b"-1 00:00 0 0 0\n")
# Two games of a game day, as section 10 of the contract describes them: documents and streams.
GAMES: list[dict[str, Any]] = [
    {
        "_id": number,
        "day": "2026-03-07",
        "event": 2,
        "timestamp": "00:00" if number == 17 else "40:00",
        "final": number == 17,
        "home": {"teamid": 101, "name": "syracuse", "score": 1, "players": []},
        "away": {"teamid": 205, "name": "johns hopkins", "score": number, "players": []},
        "plays": [
            {"event": 0, "clock": "59:30", "team": 101, "jersey": "6", "goal": 1, "home": 1, "away": 0},
            {"event": 1, "clock": "50:00", "team": 205, "jersey": "00", "goal": 0, "home": 1, "away": number},
            {"event": 2, "clock": "40:00", "team": 0, "jersey": "0", "goal": 0, "home": 1, "away": number},
        ],
        "fingerprint": f"{number:032x}",
    }
    for number in (4, 17)
]
GAME_STREAM = "0 59:30 101 6 1\n1 50:00 205 00 0\n1 50:00 205 00 0\n2 40:00 0 0 0\nx\n-1 00:00 0 0 0\n"
FOREIGN = [{"_id": 77, "home": {"name": "other", "players": []}}, {"_id": "a", "home": "none"}]


@pytest.fixture(scope="module")
def world(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The game that all queries are asked about."""
    with (
        pytest.MonkeyPatch.context() as patch,
        new_world(stores, tmp_path_factory.mktemp("world"), patch) as world,
    ):
        world.reset_tables(TEAMS, PADDED)
        with world.boxscores() as boxscores:
            boxscores.insert_many(FOREIGN)
            boxscores.database["games"].insert_many([*GAMES, *FOREIGN])
        for game in GAMES:
            boto3.client("s3", **world.s3).put_object(
                Bucket=world.environ["GAMESTREAM_BUCKET"], Key=f"games/{game['_id']}.txt", Body=GAME_STREAM.encode()
            )
        yield world


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    schemas = {"mongo": "sidearm", "mssql": "dbo"}
    environ = {name: world.environ[name] for name in world.environ if name.startswith("AWS_")}
    with drill(tmp_path_factory.mktemp("drill"), world.environ["GAMESTREAM_BUCKET"], schemas, environ) as started:
        yield started


class Answers:
    """Drill's answers to all queries, and what the stores hold, at one time of the game."""

    def __init__(self, server: Drill, world: World):
        with world.boxscores() as boxscores:
            # `mongo` hands this condition of the queries over to MongoDB.
            for collection in (boxscores, boxscores.database["games"]):
                server.put_documents("sidearm", collection.name, list(collection.find({"_id": {"$gte": 0}})))
            self.documents = list(boxscores.find({"fingerprint": {"$exists": True}}, sort=[("_id", 1)]))
        self.tables = {name: world.table(name) or [] for name in ("teams", "players", "teams2", "players2")}
        for name, rows in self.tables.items():
            server.put_table("dbo", name, rows or None)
        stored = boto3.client("s3", **world.s3).get_object(
            Bucket=world.environ["GAMESTREAM_BUCKET"], Key=world.environ["GAMESTREAM_KEY"]
        )
        _, self.events, _ = reference_model.read_stream(stored["Body"].read(), 101, 205)
        self.rows: dict[str, list[tuple[Any, ...]]] = {}
        self.refused: dict[str, str] = {}
        for name, sql in QUERIES.items():
            try:
                self.rows[name] = server.ask(sql)
            except QueryError as error:
                self.refused[name] = str(error)

    def wearer(self, team: int, jersey: str) -> str | None:
        return next(
            (
                player["name"]
                for player in self.tables["players"]
                if (player["teamid"], player["number"].strip()) == (team, jersey)
            ),
            None,
        )

    def by_id(self, table: str) -> dict[int, Mapping[str, Any]]:
        return {row["id"]: row for row in self.tables[table]}


@pytest.fixture(scope="module")
def answers(server: Drill, world: World) -> list[Answers]:
    """During the game, and after it."""
    world.put(body=b"".join(LIVE))
    assert world.tick_and_run().success
    during = Answers(server, world)
    world.put(body=b"".join(ENDED))
    assert world.tick_and_run().success
    assert world.tick_and_run().success, "the final tables"
    return [during, Answers(server, world)]


def test_the_plugins_are_loaded(server: Drill) -> None:
    plugins = server.plugins()
    assert {"minio", "mongo", "mssql"} <= {name for name, plugin in plugins.items() if plugin.get("enabled")}
    assert "storage-plugins-override.conf'. Proceeding without update" not in server.log.read_text()
    assert plugins["minio"]["config"]["fs.s3a.path.style.access"] == "true"
    assert "embedded" not in str(plugins["minio"]), "the web UI shows the names of the variables, not the credentials"


def test_the_version_is_that_of_the_image() -> None:
    dockerfile, pom = (PROJECT_ROOT / "docker" / "drill" / "Dockerfile").read_text(), POM.read_text()
    (image,) = re.findall(r"^FROM apache/drill:(\S+)$", dockerfile, re.MULTILINE)
    (driver,) = re.findall(r"/mssql-jdbc/([^/]+)/", dockerfile)
    assert f"<artifactId>drill-root</artifactId>\n    <version>{image}</version>" in pom
    assert f"<artifactId>mssql-jdbc</artifactId>\n      <version>{driver}</version>" in pom


def test_every_query_is_answered(answers: list[Answers]) -> None:
    during, after = answers
    assert set(during.refused) == AFTER_A_GAME
    assert after.refused == {}
    assert {name.removeprefix("test_says_") for name in globals() if name.startswith("test_says_")} == set(QUERIES)


def test_a_table_that_there_is_not_yet_is_named(answers: list[Answers]) -> None:
    during, _ = answers
    assert "Object 'teams2' not found within 'mssql.dbo'" in during.refused["teams_after"]
    assert "Object 'players2' not found within 'mssql.dbo'" in during.refused["players_after"]


def test_says_stream(answers: list[Answers]) -> None:
    clocks = ["59:30", "57:06", "56:13", "55:25", "0:45.3", "00:40", "00:00"]
    for at, events in zip(answers, (5, 7), strict=True):
        expected = [at.events[event_id] for event_id in sorted(at.events)]
        assert len(expected) == events
        assert [(event, *rest) for event, _, *rest in at.rows["stream"]] == [
            (event, *rest) for event, _, *rest in expected
        ]
        assert [clock for _, clock, *_ in at.rows["stream"]] == clocks[:events]


def test_says_goals(answers: list[Answers]) -> None:
    for at in answers:
        teams = at.by_id("teams")
        assert [row[1:] for row in at.rows["goals"]] == [
            (teams[team]["name"], jersey, at.wearer(team, jersey))
            for _, (_, _, team, jersey, goal) in sorted(at.events.items())
            if goal
        ]
    assert [(row[0], row[2]) for row in answers[1].rows["goals"]] == [
        ("59:30", "6"),
        ("57:06", "8"),
        ("55:25", '"6'),
        ("0:45.3", "00"),
        ("00:40", "0"),
    ]


def test_says_boxscore(answers: list[Answers]) -> None:
    for at in answers:
        current = at.documents[-1]
        assert at.rows["boxscore"] == [
            (
                *(current["_id"], current["timestamp"], side["name"]),
                *(player[name] for name in ("number", "name", "shots", "goals", "pct")),
            )
            for side in (current["home"], current["away"])
            for player in side["players"]
        ]


def test_says_score(answers: list[Answers]) -> None:
    for at in answers:
        assert at.rows["score"] == [
            (
                *(each["_id"], each["timestamp"], each["home"]["name"], each["home"]["score"]),
                *(each["away"]["score"], each["away"]["name"], each["home"]["status"], each["final"]),
            )
            for each in at.documents
        ]
    during, after = answers
    assert [row[-1] for row in during.rows["score"]] == [False] * 5
    assert [row[-1] for row in after.rows["score"]] == [False] * 6 + [True]


def test_says_scoreboard(answers: list[Answers]) -> None:
    assert answers[1].rows["scoreboard"] == [
        (4, "2026-03-07", "syracuse", 1, 4, "johns hopkins", "40:00", False),
        (17, "2026-03-07", "syracuse", 1, 17, "johns hopkins", "00:00", True),
    ]


def test_says_plays(answers: list[Answers]) -> None:
    assert answers[1].rows["plays"] == [
        (game["_id"], *(play[name] for name in ("event", "clock", "team", "jersey", "goal", "home", "away")))
        for game in GAMES
        for play in cast(list[dict[str, Any]], game["plays"])
        if play["team"]
    ]


def test_says_streams(answers: list[Answers]) -> None:
    assert answers[1].rows["streams"] == [("17.txt", 2, 2, 1), ("4.txt", 2, 2, 1)]


def test_says_teams(answers: list[Answers]) -> None:
    for at in answers:
        teams = at.by_id("teams")
        assert at.rows["teams"] == [
            (
                *teams[player["teamid"]].values(),
                *(player[column] for column in ("id", "number", "name", "shots", "goals")),
            )
            for player in sorted(at.tables["players"], key=lambda player: (player["teamid"], player["id"]))
        ]


def test_says_teams_after(answers: list[Answers]) -> None:
    _, after = answers
    teams2 = after.by_id("teams2")
    assert teams2[101]["wins"] == 12
    assert after.rows["teams_after"] == [
        (
            *(team[column] for column in ("id", "name", "wins")),
            *(teams2[team["id"]]["wins"], team["losses"], teams2[team["id"]]["losses"]),
        )
        for team in after.tables["teams"]
    ]


def test_says_players_after(answers: list[Answers]) -> None:
    _, after = answers
    players2 = after.by_id("players2")
    assert players2 != after.by_id("players")
    assert after.rows["players_after"] == [
        (
            *(player[column] for column in ("id", "teamid", "number", "name", "shots")),
            *(players2[player["id"]]["shots"], player["goals"], players2[player["id"]]["goals"]),
        )
        for player in after.tables["players"]
    ]


def test_the_shell_reads_the_files(server: Drill, answers: list[Answers]) -> None:
    """As `drill-localhost -f /queries/boxscore.sql`: comments and statements as they stand in the files."""
    _, after = answers
    printed = server.shell("\n".join(QUERIES.values()))
    assert "Error" not in printed
    for name, rows in after.rows.items():
        assert f"{len(rows):,} row{'' if len(rows) == 1 else 's'} selected" in printed, name


def test_the_driver_of_sql_server_reads_the_address(server: Drill) -> None:
    port = closed_port()
    printed = jdbc(server, f"127.0.0.1:{port}", "sa", "secret-of-the-tests")
    assert f"The TCP/IP connection to the host 127.0.0.1, port {port} has failed" in printed
    assert "secret-of-the-tests" not in printed


@pytest.mark.sql_server
def test_the_driver_of_sql_server_reads_the_teams(server: Drill, world: World) -> None:
    url = make_url(world.environ["SIDEARMDB_URL"])
    printed = jdbc(
        server, f"{url.host}:{url.port or 1433}", str(url.username), str(url.password), database=str(url.database)
    )
    assert f"{len(TEAMS)} rows selected" in printed


def jdbc(server: Drill, at: str, user: str, password: str, database: str = DATABASE) -> str:
    """What is printed for the teams, by the driver and the address of the plugin `mssql`, on another server."""
    plugin = PLUGINS["mssql"]
    address = plugin["url"].replace("mssql:1433", at).replace(f"databaseName={DATABASE}", f"databaseName={database}")
    return server.jdbc(plugin["driver"], address, user, password, "SELECT id, name FROM dbo.teams;")


def test_a_missing_stream_is_named(server: Drill, world: World, answers: list[Answers]) -> None:
    world.remove_stream()
    with pytest.raises(QueryError, match=re.escape(f"'{Settings.model_fields['gamestream_key'].default}'")):
        server.ask(QUERIES["stream"])
