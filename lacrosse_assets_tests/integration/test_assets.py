"""The assets: their descriptions, inputs, outputs and metadata (docs/contract.md, section 5)."""

from typing import Any

import pytest
from dagster import AssetCheckSeverity, AssetKey, AssetSpec, Definitions

from lacrosse_assets.assets.final import TABLES
from lacrosse_assets.game.statistics import player_game_stats
from lacrosse_assets.settings import load_settings
from lacrosse_assets_tests.support.world import (
    ENDED,
    FINAL,
    LIVE,
    MIDDLE,
    OPENING,
    PLAYERS,
    TEAMS,
    World,
    recording_s3,
    table_rows,
)

STREAM = AssetKey(["minio", "gamestream"])
TEAMS_TABLE, PLAYERS_TABLE = AssetKey(["sidearmdb", "teams"]), AssetKey(["sidearmdb", "players"])

WITH_INVALID_LINES = (
    "0 59:30 101 6 1",
    "1 not-a-clock 205 8 1",
    "2 40:00 205 8",
    "3 39:00 205 77 1",
    "0 59:30 101 6 0",
)


# Descriptions.


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> Definitions:
    """They are the same with every deployment."""
    monkeypatch.setenv("LACROSSE_DEPLOYMENT", "mock")
    from lacrosse_assets.definitions import build_definitions

    return build_definitions(load_settings())


def spec_of(definitions: Definitions, name: str) -> AssetSpec:
    return {spec.key: spec for spec in definitions.resolve_all_asset_specs()}[AssetKey(name)]


@pytest.mark.parametrize(
    ("name", "group", "kinds"),
    [
        ("raw_gamestream", "live", {"s3", "parquet"}),
        ("roster", "live", {"sqlalchemy", "parquet"}),
        ("player_game_stats", "live", {"pyspark", "parquet"}),
        ("boxscore_doc", "live", {"pyspark", "mongodb"}),
        ("teams2", "final", {"pyspark", "sqlalchemy"}),
        ("players2", "final", {"pyspark", "sqlalchemy"}),
    ],
)
def test_every_asset_has_a_description_kinds_and_an_owner(
    definitions: Definitions, name: str, group: str, kinds: set[str]
) -> None:
    spec = spec_of(definitions, name)

    assert spec.group_name == group
    assert spec.kinds == kinds
    assert spec.owners == ["team:sidearm-data"]
    assert spec.description


@pytest.mark.parametrize("name", ["raw_gamestream", "roster", "player_game_stats", *FINAL])
def test_every_table_shows_its_columns(definitions: Definitions, name: str) -> None:
    schema = spec_of(definitions, name).metadata["dagster/column_schema"]

    assert len(schema.columns) >= 5
    assert all(column.name and column.type for column in schema.columns)


@pytest.mark.parametrize(("name", "original"), [("teams2", TEAMS), ("players2", PLAYERS)])
def test_final_tables_show_the_columns_of_their_originals(
    definitions: Definitions, name: str, original: list[dict[str, Any]]
) -> None:
    schema = spec_of(definitions, name).metadata["dagster/column_schema"]

    assert [column.name for column in schema.columns] == list(original[0])


def test_the_sources_are_external_assets_of_the_graph(definitions: Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    assert graph.external_asset_keys == {STREAM, TEAMS_TABLE, PLAYERS_TABLE}
    assert graph.get(AssetKey("raw_gamestream")).parent_keys == {STREAM}
    assert graph.get(AssetKey("roster")).parent_keys == {TEAMS_TABLE, PLAYERS_TABLE}
    assert graph.get(AssetKey("teams2")).parent_keys == {AssetKey("boxscore_doc"), TEAMS_TABLE}
    assert graph.get(AssetKey("players2")).parent_keys == {AssetKey("boxscore_doc"), PLAYERS_TABLE}


# Inputs and metadata.


def test_body_and_etag_come_from_one_get(world: World) -> None:
    asked: list[str] = []
    etag = world.put(*OPENING)
    run = world.materialize("raw_gamestream", object_store=world.object_store(s3=recording_s3(asked)))

    assert asked == ["HeadObject", "GetObject"]
    assert run.metadata["raw_gamestream"]["etag"] == etag
    assert run.data_versions["raw_gamestream"] == etag


def test_the_metadata_of_a_live_run(world: World) -> None:
    etag = world.put(*MIDDLE)

    run = world.materialize(*LIVE)

    assert run.success
    raw, stats, box = (run.metadata[name] for name in ("raw_gamestream", "player_game_stats", "boxscore_doc"))
    assert raw["etag"] == box["etag"] == etag
    assert raw["object"] == f"s3://{world.environ['GAMESTREAM_BUCKET']}/gamestream.txt"
    assert raw["lines"] == {"shot": 3}
    assert "invalid_lines" not in raw
    assert box["score"] == "syracuse 1 : 1 johns hopkins, 31:10, event 2"
    assert (box["event"], box["clock"], box["final"]) == (2, "31:10", False)
    assert ("johns hopkins", 12, "kim", "8", 1, 1, 1.0) in table_rows(box["players"])
    assert ("johns hopkins", "8", "kim", 1, 1, 1.0) in table_rows(stats["players"])
    # Names are any text; the Dagster UI escapes the values of a table.
    assert 'renée <b>|"x"' in [row[2] for row in table_rows(box["players"])]
    assert {check for check, result in run.checks.items() if result.passed} == {
        "raw_gamestream.stream_is_clean",
        "roster.rosters_are_complete",
        "player_game_stats.shooters_are_rostered",
        "player_game_stats.goals_add_up",
        "boxscore_doc.is_fresh",
    }


def test_invalid_lines_are_reported_with_number_and_reason(world: World) -> None:
    world.put(*WITH_INVALID_LINES)

    run = world.materialize(*LIVE)

    assert run.success
    invalid_lines = run.metadata["raw_gamestream"]["invalid_lines"]
    numbers, reasons, texts = zip(*table_rows(invalid_lines), strict=True)
    assert numbers == (2, 3, 5)
    assert texts == tuple(WITH_INVALID_LINES[number - 1] for number in numbers)
    for found, reason in zip(reasons, ("not-a-clock", "4 fields instead of 5", "event 0 again"), strict=True):
        assert reason in found
    assert "invalid_lines_left_out" not in run.metadata["raw_gamestream"]
    assert [line for line in run.log if "line 2 is invalid" in line]
    assert run.metadata["raw_gamestream"]["lines"] == {"shot": 2, "invalid": 3}

    clean = run.checks["raw_gamestream.stream_is_clean"]
    assert (clean.passed, clean.severity, clean.description) == (False, AssetCheckSeverity.WARN, "3 invalid lines")

    # 77 of johns hopkins is on no roster: the goal is the team's, and no player's.
    rostered = run.checks["player_game_stats.shooters_are_rostered"]
    assert (rostered.passed, rostered.severity) == (False, AssetCheckSeverity.WARN)
    assert [row[:2] for row in table_rows(rostered.metadata["unrostered"])] == [("johns hopkins", "77")]
    assert run.checks["player_game_stats.goals_add_up"].passed
    away = world.document()["away"]
    assert (away["score"], sum(player["goals"] for player in away["players"])) == (1, 0)


def test_the_metadata_of_the_final_tables(world: World) -> None:
    etag = world.put(*ENDED)

    run = world.materialize()

    assert run.success
    for name in FINAL:
        assert run.metadata[name]["score"] == "syracuse 2 : 1 johns hopkins, 00:00, event 4"
        assert run.metadata[name]["etag"] == etag
        assert run.metadata[name]["dagster/row_count"] == len(world.table(name) or [])
        assert run.checks[f"{name}.adds_the_game"].passed
    assert (101, "syracuse", "acc", 12, 2) in table_rows(run.metadata["teams2"]["rows"])
    assert (12, "kim", "8", 41, 21, 205) in table_rows(run.metadata["players2"]["rows"])


# One asset by itself.


def test_each_asset_is_materialized_by_itself_from_what_is_stored(world: World) -> None:
    world.put(*OPENING)
    assert world.materialize(*LIVE).success
    world.put(*ENDED)

    assert world.materialize("raw_gamestream").success
    # From here on only the stored frames can be read.
    world.remove_stream()
    for name in ("roster", "player_game_stats"):
        assert world.materialize(name).success
        assert world.document()["_id"] == 0, f"{name} alone writes no document"
    assert world.materialize("boxscore_doc", checks=False).success
    assert world.document()["_id"] == 4

    world.put(*ENDED)
    assert world.materialize("players2").success
    assert world.table("teams2") is None, "players2 alone writes no other table"
    assert world.materialize("teams2").success
    assert world.table("teams2")


@pytest.mark.parametrize(
    ("name", "missing"), [("player_game_stats", "raw_gamestream"), ("boxscore_doc", "player_game_stats")]
)
def test_an_upstream_that_was_never_stored_is_named(world: World, name: str, missing: str) -> None:
    run = world.materialize(name)

    assert not run.success
    assert f"{missing} is not stored yet" in run.failures[name]
    assert f"materialize {missing} first" in run.failures[name]
    assert not run.retries


@pytest.mark.parametrize("body", [b"", b"\n \r\n", b"0 59:3", b"garbage\n", b"-1 60:00 0 0 0\n"])
def test_a_stream_without_an_event_yields_no_document_and_reports_it(world: World, body: bytes) -> None:
    world.put(body=body)

    run = world.materialize(*LIVE)

    assert run.success
    assert world.documents() == []
    assert run.metadata["boxscore_doc"] == {"document": "none: the stream has no event yet"}
    assert "no document: the stream has no event yet" in run.log
    assert not run.checks["boxscore_doc.game_over"].passed


def test_no_stream_object_is_a_clear_failure(world: World) -> None:
    run = world.materialize("raw_gamestream")

    assert run.failure.startswith(f"there is no s3://{world.environ['GAMESTREAM_BUCKET']}/gamestream.txt yet")
    assert not run.retries


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        ("= 205", "no row with id 205, the away team: set AWAY_TEAM_ID to one of 101, 300"),
        (">= 0", "no row with id 101, the home team"),
    ],
)
def test_a_team_that_is_not_in_the_table_is_named(world: World, condition: str, error: str) -> None:
    # The players first: a server enforces the foreign key (547).
    world.sql(f"DELETE FROM players WHERE teamid {condition}")
    world.sql(f"DELETE FROM teams WHERE id {condition}")

    assert error in world.materialize("roster").failure


# Checks that only a bug makes fail: each test breaks the code.


def test_goals_add_up_fails_if_goals_are_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_unrostered(*counted: Any) -> list[dict[str, Any]]:
        return [row for row in player_game_stats(*counted) if row["player_id"] is not None]

    monkeypatch.setattr("lacrosse_assets.assets.player_game_stats.statistics", without_unrostered)
    world.put("0 59:30 101 6 1", "1 59:00 101 77 1")

    check = world.materialize(*LIVE).checks["player_game_stats.goals_add_up"]

    assert not check.passed
    assert check.severity == AssetCheckSeverity.ERROR
    assert check.metadata["scores"].value == {"home": 2, "away": 0}
    assert check.metadata["goals"].value == {"home": 1, "away": 0}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("teams2", [("101", "wins", "12", "11"), ("205", "losses", "5", "4")]),
        (
            "players2",
            [
                ("1", "shots", "57", "56"),
                ("1", "goals", "24", "23"),
                ("2", "shots", "11", "10"),
                ("2", "goals", "4", "3"),
                ("11", "shots", "6", "5"),
                ("12", "shots", "41", "40"),
                ("12", "goals", "21", "20"),
            ],
        ),
    ],
)
def test_adds_the_game_fails_if_the_game_was_not_added(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, wrong: list[tuple[str, ...]]
) -> None:
    world.put(*ENDED)
    assert world.materialize(*LIVE).success
    adds_nothing = TABLES[name]._replace(add_the_games=lambda _session, reference, _games: reference)
    monkeypatch.setitem(TABLES, name, adds_nothing)

    check = world.materialize(name).checks[f"{name}.adds_the_game"]

    assert not check.passed
    assert table_rows(check.metadata["differences"]) == wrong
