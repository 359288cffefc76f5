"""A school's own tables: more columns, other names and types, views (docs/contract.md, sections 2 and 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.reference_db import Original, Reference, SqlReferenceDatabase
from lacrosse_assets_tests.support.world import ENDED, FINAL, LIVE, PLAYERS, TEAMS, Run, World, table_rows

Row = dict[str, Any]

# What the game of `ENDED` changes: by row, column and what is added.
GAME = {
    "teams2": {101: {"wins": 1}, 205: {"losses": 1}},
    "players2": {
        1: {"shots": 1, "goals": 1},
        2: {"shots": 1, "goals": 1},
        11: {"shots": 1},
        12: {"shots": 1, "goals": 1},
    },
}


@pytest.fixture(autouse=True)
def a_file(embedded: EmbeddedServices) -> None:
    """These tables are declared in SQLite's words. (`embedded` keeps the tests out of `make test-services`.)"""


def declare(world: World, *statements: str) -> None:
    for statement in ("DROP TABLE players", "DROP TABLE teams", *statements):
        world.sql(statement)


def after(name: str, rows: list[Row]) -> list[Row]:
    """The rows with the game of `ENDED`."""
    added = GAME[name]
    return [{**row, **{column: row[column] + n for column, n in added.get(row["id"], {}).items()}} for row in rows]


def rows_of(world: World, table: str) -> list[Row]:
    """All rows, with the storage class of each value: SQLite's 1, 1.0 and '1' are three."""
    columns = [column for column, *_ in world.sql(f"SELECT name FROM pragma_table_xinfo('{table}')")]
    selected = ", ".join(f'"{column}", typeof("{column}")' for column in columns)
    return [
        dict(zip([name for column in columns for name in (column, f"type of {column}")], row, strict=True))
        for row in world.sql(f"SELECT {selected} FROM {table} ORDER BY id")
    ]


def finished(world: World, **overrides: Any) -> Run:
    world.put(*ENDED)
    return world.materialize(**overrides)


def assert_final(world: World) -> None:
    """Both tables have all that their originals have, and the game."""
    run = finished(world)
    assert run.success, run.failures
    for name in FINAL:
        assert rows_of(world, name) == after(name, rows_of(world, name[:-1])), "in all columns, and in type"
        assert run.checks[f"{name}.adds_the_game"].passed


MASCOTS = """
    CREATE TABLE teams (
        "Mascot, if any" TEXT, id INTEGER PRIMARY KEY, name CHAR(20) NOT NULL, conference VARCHAR(200) NOT NULL,
        wins SMALLINT NOT NULL, losses SMALLINT NOT NULL, budget DECIMAL(12, 2) NOT NULL, founded DATE,
        logo VARBINARY(50), ratio REAL, "order" INT DEFAULT 7 NOT NULL, "from" TEXT DEFAULT 'x' COLLATE NOCASE,
        "it's" TEXT, ":colon" TEXT, "100%" TEXT, "[b]" TEXT, row_id INT, new_0 INT,
        games INT GENERATED ALWAYS AS (wins + losses), twice INT GENERATED ALWAYS AS (wins * 2) STORED)
    """
WITH_MORE = {
    '"Mascot, if any"': "NULL",
    "budget": "1234567890.10",
    "founded": "'not a date'",
    "logo": "x'00ff27'",
    "ratio": "1e300",
    '"order"': "-1",
    '"from"': "NULL",
    '"it\'s"': "'\"'",
    '":colon"': "':x'",
    '"100%"': "'%s'",
    '"[b]"': "''",
    # As the parameters of the statements that write the final tables.
    "row_id": "5",
    "new_0": "NULL",
}
HEIGHTS = """
    CREATE TABLE players (
        id int primary key NOT NULL, name VARCHAR(50) NOT NULL, number CHAR(3) NOT NULL, shots INT NOT NULL,
        goals INT NOT NULL, teamid INT NOT NULL REFERENCES teams(id), height DECIMAL(3, 2) NOT NULL, position CHAR(8),
        "Name of school" TEXT)
    """


def insert(world: World, table: str, rows: Sequence[Mapping[str, Any]], more: Mapping[str, str]) -> None:
    for row in rows:
        values = ["'" + v.replace("'", "''") + "'" if isinstance(v, str) else str(v) for v in row.values()]
        columns, expressions = ", ".join([*row, *more]), ", ".join([*values, *more.values()])
        world.sql(f"INSERT INTO {table} ({columns}) VALUES ({expressions})")


def test_all_columns_come_through_unchanged(world: World) -> None:
    """A column more was lost where it may be NULL, and kept the table from being written where it may not."""
    declare(world, MASCOTS, HEIGHTS)
    insert(world, "teams", TEAMS, WITH_MORE)
    padded = [{**player, "number": f"{player['number']:<3}"} for player in PLAYERS]
    insert(world, "players", padded, {"height": "1.90", "position": "'goalie  '", '"Name of school"': "NULL"})

    assert_final(world)

    schema = {name: (type_, bool(nullable), is_key) for name, type_, nullable, is_key in world.schema("teams2")}
    assert schema["budget"] == ("DECIMAL(12, 2)", False, 0)
    assert schema["name"] == ("CHAR(20)", False, 0)
    assert schema["id"][2] == 1
    assert schema["games"] == ("INT", True, 0), "a value, not computed any more"
    assert world.foreign_keys("players2") == []


def test_a_second_game_replaces_the_same_tables(world: World) -> None:
    """The table that is there is recognized as it ought to be, and stays with what was granted on it."""
    declare(world, MASCOTS, HEIGHTS)
    insert(world, "teams", TEAMS, WITH_MORE)
    insert(world, "players", PLAYERS, {"height": "1.90"})
    assert_final(world)
    before = world.sql("SELECT rootpage FROM sqlite_master WHERE name LIKE '%2' ORDER BY name")

    assert world.materialize(*FINAL).success

    assert world.sql("SELECT rootpage FROM sqlite_master WHERE name LIKE '%2' ORDER BY name") == before
    assert rows_of(world, "teams2") == after("teams2", rows_of(world, "teams"))


def test_columns_are_found_in_any_case(world: World) -> None:
    declare(
        world,
        "CREATE TABLE teams (ID INT PRIMARY KEY, Name TEXT, Conference TEXT, Wins INT NOT NULL, LOSSES INT NOT NULL)",
        "CREATE TABLE players (Id INT PRIMARY KEY, NAME TEXT, Number TEXT, Shots INT, Goals INT, TeamID INT, Year INT)",
    )
    insert(world, "teams", TEAMS, {})
    insert(world, "players", PLAYERS, {"Year": "3"})

    run = finished(world)

    assert run.success, run.failures
    assert world.reference_db().read() == (TEAMS, PLAYERS), "by the names of the exercise"
    assert (world.document()["home"]["name"], world.document()["home"]["wins"]) == ("syracuse", 11)
    teams2, players2 = world.table("teams2") or [], world.table("players2") or []
    assert list(teams2[0].items()) == [
        ("ID", 101),
        ("Name", "syracuse"),
        ("Conference", "acc"),
        ("Wins", 12),
        ("LOSSES", 2),
    ]
    assert [(row["Shots"], row["Goals"], row["Year"]) for row in players2[:2]] == [(57, 24, 3), (11, 4, 3)]
    assert all(run.checks[f"{name}.adds_the_game"].passed for name in FINAL)


def test_views_in_the_place_of_tables(world: World) -> None:
    declare(
        world,
        "CREATE TABLE schools (id INT PRIMARY KEY, name TEXT, conference TEXT, won INT, lost INT, city TEXT)",
        "CREATE TABLE roster (id INT PRIMARY KEY, name TEXT, no TEXT, shots INT, goals INT, teamid INT, active INT)",
        "CREATE VIEW teams AS SELECT city, id, upper(name) AS name, conference, won AS Wins, lost losses FROM schools",
        "CREATE VIEW players AS SELECT id, name, no AS number, shots, goals, teamid FROM roster WHERE active",
    )
    for team in TEAMS:
        world.sql(f"INSERT INTO schools VALUES ({team['id']}, 'n', 'c', {team['wins']}, {team['losses']}, 'here')")
    for row in PLAYERS:
        world.sql(
            f"INSERT INTO roster VALUES ({row['id']}, 'n', '{row['number']}', {row['shots']}, {row['goals']}, "
            f"{row['teamid']}, {row['id'] != 99})"
        )

    run = finished(world)

    assert run.success, run.failures
    teams2, players2 = world.table("teams2") or [], world.table("players2") or []
    assert teams2[0] == {"city": "here", "id": 101, "name": "N", "conference": "c", "Wins": 12, "losses": 2}
    assert [(row["id"], row["shots"]) for row in players2] == [(1, 57), (2, 11), (3, 1), (11, 6), (12, 41)]
    for name in FINAL:
        assert [column for column, *_, is_key in world.schema(name) if is_key] == ["id"]
        assert f"{name[:-1]} is a view and has no primary key: {name} gets the primary key id" in run.log
        assert run.checks[f"{name}.adds_the_game"].passed


@pytest.mark.parametrize("value", ["NULL", "'DNP'", "4000000000"])
def test_sums_of_those_who_did_not_play_may_be_anything_and_stay_so(world: World, value: str) -> None:
    declare(
        world,
        "CREATE TABLE teams (id INT PRIMARY KEY, name TEXT, conference TEXT, wins INT, losses INT)",
        "CREATE TABLE players (id INT PRIMARY KEY, name TEXT, number TEXT, shots INT, goals INT, teamid INT)",
    )
    insert(world, "teams", TEAMS, {})
    insert(world, "players", PLAYERS, {})
    world.sql(f"UPDATE teams SET wins = {value} WHERE id = 300")
    world.sql(f"UPDATE players SET shots = {value}, goals = {value} WHERE id = 99")

    assert_final(world)


@pytest.mark.parametrize(("asset", "table"), [("roster", "teams"), ("roster", "players"), ("teams2", "teams")])
def test_a_missing_column_is_named_with_its_table_and_those_that_are_there(
    world: World, asset: str, table: str
) -> None:
    world.put(*ENDED)
    assert world.materialize(*LIVE).success
    dropped = {"teams": "losses", "players": "number"}[table]
    there = {"teams": "id, name, conference, wins", "players": "id, name, shots, goals, teamid"}[table]
    world.sql(f"ALTER TABLE {table} DROP COLUMN {dropped}")

    run = world.materialize(asset)

    assert run.failure == (
        f"reference database at {world.reference_db().address}: table {table} has no column {dropped}: it has {there}"
    )
    assert not run.retries, "it would be missing again"


def test_a_final_table_that_is_a_view_is_not_emptied(world: World) -> None:
    """To delete its rows would be to delete those of `teams`."""
    world.put(*ENDED)
    assert world.materialize(*LIVE).success
    world.sql("CREATE VIEW teams2 AS SELECT * FROM teams")

    run = world.materialize(*FINAL)

    assert "teams2 must be a table, but is a view: rename or drop the view" in run.failure
    assert world.table("teams") == TEAMS


def test_a_table_that_changes_while_it_is_computed_from_is_read_again(world: World) -> None:
    """Half of one table and half of the other would be written otherwise."""
    reads = []

    class ChangingDatabase(SqlReferenceDatabase):
        def read(self) -> Reference:
            reference = super().read()
            reads.append(reference)
            if len(reads) == 1:
                world.sql("UPDATE teams SET wins = 20 WHERE id = 101")
            return reference

    world.put(*ENDED)
    assert world.materialize(*LIVE).success
    run = world.materialize(*FINAL, reference_db=ChangingDatabase(url=world.environ["SIDEARMDB_URL"]))

    assert run.success, run.failures
    assert len(reads) == 2
    assert [row["wins"] for row in world.table("teams2") or []] == [21, 9, 1]


DAMAGES = {
    "a sum": ("UPDATE teams2 SET wins = 13 WHERE id = 101", [("101", "wins", "12", "13")]),
    "another column": ("UPDATE teams2 SET conference = 'ACC' WHERE id = 101", [("101", "conference", "acc", "ACC")]),
    "a value lost": ("UPDATE teams2 SET city = NULL WHERE id = 300", [("300", "city", "here", None)]),
    "a type": ("UPDATE teams2 SET city = x'68657265' WHERE id = 300", [("300", "city", "here", "b'here'")]),
    "a row of one who did not play": ("UPDATE teams2 SET losses = 2 WHERE id = 300", [("300", "losses", "1", "2")]),
    "a row missing": ("DELETE FROM teams2 WHERE id = 300", [("300", "(whole row)", "1 row", "0 rows")]),
    "a row more": (
        "INSERT INTO teams2 SELECT 301, name, conference, wins, losses, city FROM teams2 WHERE id = 300",
        [("301", "(whole row)", "0 row", "1 rows")],
    ),
    "a column missing": (
        "ALTER TABLE teams2 DROP COLUMN city",
        [(str(team["id"]), "city", "1 column", "0 columns") for team in TEAMS],
    ),
}


@pytest.mark.parametrize(("statement", "wrong"), DAMAGES.values(), ids=DAMAGES)
def test_adds_the_game_reads_what_is_stored_and_names_row_and_column(
    world: World, statement: str, wrong: list[tuple[str | None, ...]]
) -> None:
    class DamagedDatabase(SqlReferenceDatabase):
        def replace(self, *what: Any, **more: Any) -> dict[str, Original]:
            originals = super().replace(*what, **more)
            world.sql(statement)
            return originals

    world.sql("ALTER TABLE teams ADD city VARCHAR(20)")
    world.sql("UPDATE teams SET city = 'here'")
    run = finished(world, reference_db=DamagedDatabase(url=world.environ["SIDEARMDB_URL"]))

    check = run.checks["teams2.adds_the_game"]
    assert not check.passed
    assert table_rows(check.metadata["differences"]) == wrong
    row, column, *_ = wrong[0]
    assert f"row {row} {column}" in str(check.description)
    assert run.checks["players2.adds_the_game"].passed


def test_a_player_who_is_gone_from_the_table_is_named(world: World) -> None:
    world.put(*ENDED)
    assert world.materialize(*LIVE).success
    world.sql("DELETE FROM players WHERE id = 12")

    check = world.materialize("players2").checks["players2.adds_the_game"]

    assert not check.passed
    differences = [row[:3] for row in table_rows(check.metadata["differences"])]
    assert ("12", "(whole row)", "1 row, as in the box score") in differences


def test_a_value_that_the_column_cannot_hold_is_an_error_in_the_database_s_words(world: World) -> None:
    declare(
        world,
        "CREATE TABLE teams (id INT PRIMARY KEY, name TEXT, conference TEXT, wins INT, losses INT)",
        "CREATE TABLE players (id INT PRIMARY KEY, name TEXT, number TEXT, shots INT, goals INT, teamid INT)",
        "CREATE TABLE teams2 (id INT PRIMARY KEY, name TEXT, conference TEXT, wins INT CHECK (wins < 12), losses INT)",
    )
    insert(world, "teams", TEAMS, {})

    with pytest.raises(StoreError, match="CHECK constraint failed") as raised:
        world.reference_db().replace({"teams2": [{"id": 101, "wins": 12}]}, lambda: None)

    assert "SIDEARMDB_URL" not in str(raised.value), "the address is right"
    assert world.table("teams2") == []
