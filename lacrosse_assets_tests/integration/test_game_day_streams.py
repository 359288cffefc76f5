"""The simulator's game day on the stores under test (docs/contract.md, section 10)."""

from datetime import date

import pytest
from sqlalchemy import create_engine, select

from lacrosse_assets.gamestream.day_simulator import play_day, tables_of
from lacrosse_assets.gamestream.game_day import game_day
from lacrosse_assets.gamestream.reference_data import GAMES
from lacrosse_assets.gamestream.simulator import connect, reset
from lacrosse_assets.settings import load_settings
from lacrosse_assets_tests.support.world import World


@pytest.fixture
def on_a_game_day(simulated: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("GAMESTREAM_KEY", "games/")
    return simulated


def test_two_plays_leave_the_same_streams_and_tables(on_a_game_day: World) -> None:
    world, settings, day = on_a_game_day, load_settings(), game_day(3)
    found = []
    for _ in range(2):
        store = connect(settings)
        reset(store, settings, tables_of(day))
        play_day(store, settings, day)
        etags = {}
        for game in day.games:
            stream = store.get_object(Bucket=settings.gamestream_bucket, Key=f"games/{game.game_id}.txt")
            etags[game.game_id] = stream["ETag"]
            assert stream["Body"].read().decode() == game.stream(len(game.events))
        found.append(etags)
        assert world.table("teams") == day.teams
        assert world.table("players") == sorted(day.players, key=lambda player: player["id"])
    assert found[0] == found[1], "a replay has the same ETags"

    engine = create_engine(settings.sidearmdb_url.get_secret_value())
    with engine.connect() as connection:
        schedule = connection.execute(select(GAMES).order_by(GAMES.c.id)).all()
    engine.dispose()
    assert schedule == [(game.game_id, date(2026, 3, 7), game.home, game.away) for game in day.games]
