"""The documents in MongoDB after a run: types, names and the one query of a page (docs/contract.md, section 3)."""

from typing import Any

import pytest

from lacrosse_assets_tests.support.world import ENDED, LIVE, MIDDLE, OPENING, PLAYERS, World

INTEGER, DOUBLE, STRING, BOOLEAN, DATE = ["int", "long"], "double", "string", "bool", "date"
TYPES: dict[str, Any] = {
    "_id": INTEGER,
    "timestamp": STRING,
    "final": BOOLEAN,
    "fingerprint": STRING,
    "stream.etag": STRING,
    "stream.last_modified": DATE,
    "stream.fetched_at": DATE,
    **{
        f"{side}.{field}": type_
        for side in ("home", "away")
        for field, type_ in {
            "teamid": INTEGER,
            "name": STRING,
            "conference": STRING,
            "wins": INTEGER,
            "losses": INTEGER,
            "score": INTEGER,
            "status": STRING,
            "players.id": INTEGER,
            "players.name": STRING,
            "players.number": STRING,
            "players.shots": INTEGER,
            "players.goals": INTEGER,
            "players.pct": DOUBLE,
        }.items()
    },
}


@pytest.mark.parametrize("lines", [MIDDLE, ENDED], ids=["during the game", "after it"])
def test_every_field_has_its_bson_type(world: World, lines: tuple[str, ...]) -> None:
    world.put(*lines)
    assert world.materialize(*LIVE).success

    with world.boxscores() as boxscores:
        wrong = [field for field, type_ in TYPES.items() if not boxscores.find_one({field: {"$type": type_}})]
        # An array matches when one of its elements does: none may have another type.
        for field, type_ in TYPES.items():
            array, _, of_element = field.rpartition(".")
            if array.endswith("players"):
                another = {array: {"$elemMatch": {of_element: {"$not": {"$type": type_}}}}}
                wrong += [field] if boxscores.find_one(another) else []
    assert wrong == []


def test_one_query_gives_a_page_the_whole_current_box_score(world: World) -> None:
    for lines in (OPENING, MIDDLE):
        world.put(*lines)
        assert world.materialize(*LIVE).success

    with world.boxscores() as boxscores:
        (found,) = boxscores.find().sort({"_id": -1}).limit(1)

    assert (found["_id"], found["timestamp"], found["home"]["score"], found["away"]["score"]) == (2, "31:10", 1, 1)
    rosters = {side: [player["id"] for player in found[side]["players"]] for side in ("home", "away")}
    assert rosters == {"home": [1, 2, 3], "away": [11, 12]}


def test_names_are_any_text(world: World) -> None:
    names = ["$where", "a.b.$c", "佐藤 Łukasz 🥍", "</script><b>", "' OR 1=1 --"]
    players = [{**player, "name": name} for player, name in zip(PLAYERS, names, strict=False)]
    world.reset_tables(players=players)
    world.put(*MIDDLE)

    assert world.materialize(*LIVE).success

    written = [player["name"] for side in ("home", "away") for player in world.document()[side]["players"]]
    assert written == names
