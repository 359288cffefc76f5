"""The platform's requirements of any reference database (docs/contract.md, sections 2, 4 and 6)."""

import threading
from typing import Any

import pytest
from sqlalchemy import create_engine

from lacrosse_assets.gamestream.reference_data import PLAYERS as ORIGINAL_PLAYERS
from lacrosse_assets.gamestream.reference_data import TEAMS as ORIGINAL_TEAMS
from lacrosse_assets.gamestream.reference_data import original_rows, reset_tables
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets_tests.support.world import PLAYERS, TEAMS, World

Row = dict[str, Any]


def no_precondition() -> None: ...


def test_rows_are_read_by_id(world: World) -> None:
    world.reset_tables(players=PLAYERS[::-1])

    assert world.reference_db().read() == (TEAMS, PLAYERS)


NAMES = [
    "佐藤 Łukasz 🥍",
    "''; DROP TABLE teams; --",
    "%s :name ? {0} $1",
    " blank at both ends ",
    "a\\b\n\tc",
    "NULL",
    "",
]


def test_names_of_any_text_are_copied_unchanged(world: World) -> None:
    teams = [{**TEAMS[0], "name": NAMES[0], "conference": NAMES[1]}, *TEAMS[1:]]
    players = [{**PLAYERS[0], "id": number, "name": name, "number": str(number)} for number, name in enumerate(NAMES)]
    world.reset_tables(teams, players)

    reference = world.reference_db().read()
    world.reference_db().replace({"teams2": reference.teams, "players2": reference.players}, no_precondition)

    assert reference == (teams, players)
    assert (world.table("teams2"), world.table("players2")) == (teams, players)


def test_a_jersey_number_is_text(world: World) -> None:
    numbers = ["0", "00", "000", "7", "07", "A1"]
    players = [{**PLAYERS[0], "id": number, "number": jersey} for number, jersey in enumerate(numbers)]
    world.reset_tables(players=players)

    world.reference_db().replace({"players2": world.reference_db().read().players}, no_precondition)

    assert [row["number"] for row in world.table("players2") or []] == numbers


def test_a_name_that_is_too_long_is_never_truncated(world: World) -> None:
    """SQLite accepts any length and stores the name whole; a server reports an error."""
    rows = [{**TEAMS[0], "name": "x" * 60}, *TEAMS[1:]]
    try:
        world.reference_db().replace({"teams2": rows}, no_precondition)
    except StoreError:
        assert world.table("teams2") is None
    else:
        assert world.table("teams2") == rows


def test_a_thousand_players(world: World) -> None:
    players = [{**PLAYERS[0], "id": number, "number": str(number % 1000)} for number in range(1000)]
    world.reset_tables(players=players)

    world.reference_db().replace({"players2": world.reference_db().read().players}, no_precondition)

    assert world.table("players2") == players


def test_tables_without_rows(world: World) -> None:
    world.reset_tables([], [])

    reference = world.reference_db().read()
    world.reference_db().replace({"teams2": reference.teams, "players2": reference.players}, no_precondition)

    assert reference == ([], [])
    assert (world.table("teams2"), world.table("players2")) == ([], [])


def test_both_tables_are_one_consistent_snapshot_during_resets(world: World) -> None:
    def generation(number: int) -> tuple[list[Row], list[Row]]:
        return [{**row, "wins": number} for row in TEAMS], [{**row, "shots": number} for row in PLAYERS]

    world.reset_tables(*generation(0))
    enough = threading.Event()

    def reset_on() -> None:
        number = 0
        while not enough.is_set():
            number += 1
            world.reset_tables(*generation(number))

    simulator = threading.Thread(target=reset_on)
    simulator.start()
    seen: set[int] = set()
    try:
        while len(seen) < 10:
            reference = world.reference_db().read()
            numbers = {row["wins"] for row in reference.teams} | {row["shots"] for row in reference.players}
            assert len(numbers) == 1, "rows of two generations in one snapshot"
            assert (len(reference.teams), len(reference.players)) == (len(TEAMS), len(PLAYERS))
            seen |= numbers
    finally:
        enough.set()
        simulator.join()


@pytest.mark.parametrize("again", [False, True], ids=["new tables", "existing tables"])
def test_the_simulator_resets_the_two_tables_and_nothing_else(world: World, again: bool) -> None:
    final = {"teams2": TEAMS, "players2": PLAYERS}
    world.reference_db().replace(final, no_precondition)
    engine = create_engine(world.environ["SIDEARMDB_URL"])

    for _ in range(2 if again else 1):
        reset_tables(engine)
    engine.dispose()

    assert world.reference_db().read() == (original_rows(ORIGINAL_TEAMS), original_rows(ORIGINAL_PLAYERS))
    assert {name: world.table(name) for name in final} == final
    assert [name for name, *_ in world.schema("teams")] == ["id", "name", "conference", "wins", "losses"]
    columns = {
        name: (type_.partition(" COLLATE ")[0], nullable) for name, type_, nullable, _ in world.schema("players")
    }
    assert columns == {
        "id": ("INTEGER", False),
        "name": ("VARCHAR(50)", False),
        "number": ("VARCHAR(3)", False),
        "shots": ("INTEGER", False),
        "goals": ("INTEGER", False),
        "teamid": ("INTEGER", False),
    }
    assert [name for name, *_, is_key in world.schema("players") if is_key] == ["id"]
    assert world.foreign_keys("players") == ["teams"]
