"""The simulator's game, from its start to the final tables (docs/contract.md, sections 3, 4 and 7)."""

from lacrosse_assets.gamestream.reference_data import PLAYERS, TEAMS, original_rows
from lacrosse_assets.gamestream.simulator import connect, play, read_game, reset
from lacrosse_assets.settings import load_settings
from lacrosse_assets_tests.support.world import World


def test_the_game_is_played_twice(simulated: World) -> None:
    world = simulated
    settings = load_settings()
    before = {row["id"]: row for row in original_rows(PLAYERS)}
    shots = [line.split() for line in (event.line for event in read_game()) if line.split()[2] != "0"]

    for _ in range(2):
        store = connect(settings)
        reset(store, settings)
        play(store, settings)
        assert world.tick_and_run().success
        assert world.tick_and_run().success, "the final tables"

        document = world.document()
        assert (document["_id"], document["timestamp"], document["final"]) == (70, "00:00", True)
        assert (document["home"]["score"], document["home"]["status"]) == (11, "winning")
        assert (document["away"]["score"], document["away"]["status"]) == (9, "losing")
        assert world.table("teams") == original_rows(TEAMS)
        teams2, players2 = world.table("teams2") or [], world.table("players2") or []
        assert [(row["id"], row["wins"], row["losses"]) for row in teams2] == [(101, 12, 2), (205, 9, 5)]
        assert sum(row["shots"] - before[row["id"]]["shots"] for row in players2) == len(shots)
        assert sum(row["goals"] - before[row["id"]]["goals"] for row in players2) == 11 + 9
        assert len(players2) == 20
