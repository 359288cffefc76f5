"""Hostile and unusual input, end to end: from the bytes in the object store to documents, tables and the Dagster UI."""

from typing import Any

import pytest
from sqlalchemy import create_engine, text

from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets_tests.fuzz import CODE, CONTROLS, FEW_EVENTS, MEGABYTE, UNICODE_BLANKS, flood
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.builders import AWAY, HOME, stream
from lacrosse_assets_tests.support.world import ENDED, LIVE, PLAYERS, TEAMS, Rows, Run, World, table_rows

MAX_REPORTED_CHARACTERS = 50_000  # of a run's log, or of one metadata value, whatever the stream has


def document(world: World) -> dict[str, Any]:
    return without_version(world.document())


def without_version(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in ("stream", "fingerprint")}


def is_bounded(run: Run) -> bool:
    values = [value for metadata in run.metadata.values() for value in metadata.values()]
    return all(len(str(value)) < MAX_REPORTED_CHARACTERS for value in [*values, "".join(run.log)])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", FEW_EVENTS)
def test_a_flood_is_reported_in_a_few_lines(world: World, kind: str, request: pytest.FixtureRequest) -> None:
    body = flood(kind, request.config.getoption("--megabytes") * MEGABYTE)
    world.put(body=body)
    run = world.materialize(*LIVE)
    assert run.success, run.failures
    assert document(world) == reference_model.game(body, HOME, AWAY, TEAMS, PLAYERS).document
    assert is_bounded(run)


def test_whatever_a_field_holds_the_game_is_what_the_contract_says(world: World) -> None:
    jerseys = [*CODE, *UNICODE_BLANKS, *(each for each in CONTROLS if each != "\r"), "x" * MEGABYTE]
    shots = [f"{number} 50:00 {(HOME, AWAY)[number % 2]} {jersey} 1" for number, jersey in enumerate(jerseys)]
    invalid = [
        "9" * 30 + " 49:00 101 6 1",
        "-" + "9" * 30 + " 49:00 101 6 1",
        "\x00",
        "7 \x00 101 6 1",
        '{"$where": "1"}',
    ]
    players = [
        {"id": number, "name": name, "number": str(number), "shots": 0, "goals": 0, "teamid": (HOME, AWAY)[number % 2]}
        for number, name in enumerate([*CODE, "home.score", "$inc", "a\x1bb", "\u2028", "![x](y)"])
    ]
    world.reset_tables([*TEAMS[:1], {**TEAMS[1], "name": CODE[1]}, *TEAMS[2:]], players)
    lines = [*shots, *invalid, "100 10:00 101 2 1", "101 09:00 205 1 1", "102 00:00 0 0 0"]
    body = stream(*lines)
    world.put(body=body)

    run = world.materialize()

    assert run.success, run.failures
    teams, rows = world.table("teams"), world.table("players")
    assert teams
    assert rows == players
    expected = reference_model.game(body, HOME, AWAY, teams, players)
    assert document(world) == expected.document
    assert (world.table("teams2"), world.table("players2")) == (expected.teams2, expected.players2)
    assert is_bounded(run)
    # The Dagster UI escapes the values of a table. Invisible characters are made visible.
    names = [row[2] for row in table_rows(run.metadata["boxscore_doc"]["players"])]
    assert {"![x](y)", r"'a\x1bb'", r"'\u2028'"} < set(names)
    assert all(name.isprintable() for name in names)


OTHER_PRODUCERS = [
    *("0 0:00 0 0 0", "1 60:00 0 0 0", "2 9:51 101 0 1", "3 9:51.0 101 00 1", "4 0:59.5 205 8\u00a0 1"),
    *("5 0:45.3 101 6 1", "5 00:46 101 6 1", "6 0:00.3 205 \u200b8 1"),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_other_producers_clocks_jerseys_and_byte_order_mark(world: World, end: str) -> None:
    """The first event, the goals of the last minute and the shots of padded jerseys were lost."""
    body = "\ufeff".encode() + "".join(f"{line}{end}" for line in OTHER_PRODUCERS).encode()
    world.put(body=body)

    run = world.materialize(*LIVE)

    assert run.success, run.failures
    assert [without_version(each) for each in world.documents()] == reference_model.timeline(
        body, HOME, AWAY, TEAMS, PLAYERS
    )
    assert [(each["timestamp"], each["final"]) for each in world.documents()] == [
        *(("00:00", False), ("60:00", False), ("09:51", False), ("09:51", False)),
        *(("01:00", False), ("00:46", False), ("00:01", False)),
    ]
    assert (world.document()["home"]["score"], world.document()["away"]["score"]) == (3, 2)
    assert run.checks["raw_gamestream.stream_is_clean"].passed
    assert run.checks["player_game_stats.shooters_are_rostered"].passed

    world.put(body=body + f"7 0:00.0 0 0 0{end}".encode())
    assert world.materialize().success
    assert (world.document()["timestamp"], world.document()["final"]) == ("00:00", True)
    assert world.table("teams2")


def test_a_placeholder_row_of_the_next_game_leaves_the_last_result_alone(world: World) -> None:
    """One clock row at 00:00 before the start put 0:0 in the place of the last result."""
    world.put(*ENDED)
    assert world.materialize().success
    before = world.table("teams2"), world.table("players2")
    for rows in (["0 00:00 0 0 0"], ["0 00:00 0 0 0", "1 0:00.0 0 0 0"], ["0 00:00 0 0 0", "1 60:00 0 0 0"]):
        world.put(*rows)
        run = world.materialize()
        assert not run.checks["boxscore_doc.game_over"].passed
        assert not world.document()["final"]
        assert (world.table("teams2"), world.table("players2")) == before


def test_a_stream_in_utf16_is_reported_line_by_line(world: World) -> None:
    world.put(body="".join(f"{line}\r\n" for line in ENDED).encode("utf-16"))
    run = world.materialize(*LIVE)
    assert run.success, run.failures
    assert world.documents() == []
    clean = run.checks["raw_gamestream.stream_is_clean"]
    assert (clean.passed, clean.description) == (False, "6 invalid lines")
    assert any("line 1 is invalid: the encoding of the stream is UTF-16, not UTF-8" in line for line in run.log)


def test_a_stream_in_another_encoding_without_a_line_end_is_reported_as_well(world: World) -> None:
    """Its one line is unfinished, not invalid: the run reported "no event yet" and nothing else."""
    body = "0 59:30 101 6 1".encode("utf-16")
    assert [verdict for _, verdict in reference_model.read_stream(body, HOME, AWAY)[0]] == ["unfinished"]
    world.put(body=body)
    run = world.materialize(*LIVE)
    assert run.success, run.failures
    assert world.documents() == []
    assert any("seems to be UTF-16: the producer must write UTF-8 text" in line for line in run.log)


def test_padded_columns(world: World) -> None:
    """`players.number` as CHAR(3) made every jersey unrostered; and a web page needs no padded names."""
    teams = [{**team, "name": f"{team['name']:30}", "conference": f"{team['conference']:10}"} for team in TEAMS]
    players = [{**player, "name": f"{player['name']:30}", "number": f"{player['number']:3}"} for player in PLAYERS]
    world.reset_tables(teams, players)
    world.put(*ENDED)

    run = world.materialize()

    assert run.success, run.failures
    expected = reference_model.game(stream(*ENDED), HOME, AWAY, teams, players)
    assert document(world) == expected.document
    assert document(world) == reference_model.game(stream(*ENDED), HOME, AWAY, TEAMS, PLAYERS).document
    assert run.checks["player_game_stats.shooters_are_rostered"].passed
    assert (world.table("teams2"), world.table("players2")) == (expected.teams2, expected.players2)
    assert (world.table("players2") or [])[0]["number"] == "6  "


def test_an_unrostered_jersey_is_logged_with_its_invisible_characters(world: World) -> None:
    world.put("0 59:30 101 8\u200b8 1")
    run = world.materialize(*LIVE)
    assert any(r"unrostered jersey '8\u200b8' of syracuse" in line for line in run.log)
    rostered = run.checks["player_game_stats.shooters_are_rostered"].metadata["unrostered"]
    for table in (run.metadata["player_game_stats"]["players"], rostered):
        assert r"'8\u200b8'" in [row[1] for row in table_rows(table)]


def players_of(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "name": "n",
            "number": str(number // 2),
            "shots": 1,
            "goals": 1,
            "teamid": (HOME, AWAY)[number % 2],
        }
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "players",
    [
        pytest.param([], id="none"),
        pytest.param([player for player in PLAYERS if player["teamid"] == HOME], id="none of one team"),
        pytest.param(players_of(1000), id="a thousand"),
        pytest.param([{**player, "number": "6"} for player in PLAYERS], id="one jersey for all"),
    ],
)
def test_any_roster(world: World, players: Rows) -> None:
    world.reset_tables(TEAMS, players)
    world.put(*ENDED)
    run = world.materialize()
    assert run.success, run.failures
    expected = reference_model.game(stream(*ENDED), HOME, AWAY, TEAMS, [dict(player) for player in players])
    assert document(world) == expected.document
    assert (world.table("teams2"), world.table("players2")) == (expected.teams2, expected.players2)


def without_constraints(
    world: World, teams: Rows, players: Rows, kind: str = "INT", number: str = "VARCHAR(50)"
) -> None:
    """The reference tables in a database that lets everything in. `kind`: of the columns of integers."""
    engine = create_engine(world.environ["SIDEARMDB_URL"])
    with engine.begin() as connection:
        for name, rows in (("players", players), ("teams", teams)):
            connection.exec_driver_sql(f"DROP TABLE {name}")
            types = {"name": "VARCHAR(50)", "conference": "VARCHAR(50)", "number": number}
            columns = ", ".join(f"{column} {types.get(column, kind)}" for column in rows[0])
            connection.exec_driver_sql(f"CREATE TABLE {name} ({columns})")
            for row in rows:
                places = ", ".join(f":{column}" for column in row)
                connection.execute(text(f"INSERT INTO {name} VALUES ({places})"), dict(row))
    engine.dispose()


def first_with(rows: list[dict[str, Any]], **values: Any) -> Rows:
    return [{**rows[0], **values}, *rows[1:]]


@pytest.fixture
def a_file(embedded: EmbeddedServices, world: World) -> World:
    # `embedded` keeps these out of `make test-services`.
    if world.environ["SIDEARMDB_URL"].startswith("sqlite"):
        return world
    pytest.fail("run this with the embedded database: a server's types let no such row in")


@pytest.mark.parametrize(
    ("kind", "number"), [("CHAR(10)", "CHAR(3)"), ("REAL", "INT"), ("BIGINT", "REAL")], ids=lambda kind: kind
)
def test_keys_of_other_types(a_file: World, kind: str, number: str) -> None:
    """The keys of two systems were compared without normalization: `'101'` of a text column was not team 101."""
    players = [player for player in PLAYERS if player["number"] != "00"]
    without_constraints(a_file, TEAMS, players, kind, number)
    a_file.put(*ENDED)
    run = a_file.materialize(*LIVE)
    assert run.success, run.failures
    assert (
        document(a_file)
        == reference_model.game(stream(*ENDED), HOME, AWAY, TEAMS, [dict(each) for each in players]).document
    )


@pytest.mark.parametrize("column", ["name", "number", "teamid"])
def test_a_null_in_a_column_that_is_not_summed_is_valid(a_file: World, column: str) -> None:
    without_constraints(a_file, TEAMS, first_with(PLAYERS, **{column: None}))
    a_file.put(*ENDED)
    run = a_file.materialize()
    assert run.success, run.failures
    assert (a_file.document()["home"]["score"], a_file.document()["away"]["score"]) == (2, 1)
    players2 = a_file.table("players2")
    assert players2
    assert players2[0][column] is None


@pytest.mark.parametrize(
    ("teams", "players", "error"),
    [
        (
            TEAMS,
            first_with(PLAYERS, shots=None),
            "table players has an invalid row (id 1, name 'sam'): shots must be a 64-bit integer (got NULL)",
        ),
        (
            TEAMS,
            first_with(PLAYERS, shots="many"),
            "table players has an invalid row (id 1, name 'sam'): shots must be a 64-bit integer (got 'many')",
        ),
        (
            first_with(TEAMS, wins=None),
            PLAYERS,
            "table teams has an invalid row (id 101, name 'syracuse'): wins must be a 64-bit integer (got NULL)",
        ),
        (
            TEAMS,
            [*PLAYERS, {**PLAYERS[-1], "id": None}],
            "table players has an invalid row (id None, name 'lee'): id must be a 64-bit integer (got NULL)",
        ),
        (TEAMS, [*PLAYERS, PLAYERS[-1]], "table players has two rows with id 99: id must be unique"),
        (
            TEAMS,
            [*PLAYERS, {**PLAYERS[-1], "id": "many"}],
            "table players has an invalid row (id 'many', name 'lee'): id must be a 64-bit integer (got 'many')",
        ),
    ],
)
def test_rows_that_the_game_cannot_be_added_to_fail_the_final_tables_only(
    a_file: World, teams: Rows, players: Rows, error: str
) -> None:
    without_constraints(a_file, teams, players)
    a_file.put(*ENDED)
    run = a_file.materialize()
    assert f"not written: {error}" in run.failure
    assert "\n" not in run.failure.strip()
    assert a_file.document()["final"]
    assert a_file.table("teams2") is None
    assert a_file.table("players2") is None


@pytest.mark.parametrize("values", [{"id": None}, {"id": "many"}])
def test_a_player_with_an_invalid_id_is_named(a_file: World, values: dict[str, Any]) -> None:
    without_constraints(a_file, TEAMS, first_with(PLAYERS, **values))
    a_file.put(*ENDED)
    run = a_file.materialize(*LIVE)
    assert run.failures["roster"].startswith("table players has an invalid row (")
    assert "name 'sam'" in run.failures["roster"]
