"""The box score document (docs/contract.md, section 3)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lacrosse_assets.game.document import score_line, why_not_over
from lacrosse_assets_tests.support.builders import (
    AWAY,
    HOME,
    HOPKINS,
    SYRACUSE,
    TEAMS,
    VERSION,
    Row,
    box_score,
    documents_of,
    player,
    statistics,
    stream,
)

PLAYERS = [player(1, "6", name="sam"), player(2, "7", name="sarah"), player(3, "8", AWAY, name="jimmy")]


def types(value: Any) -> Any:
    """The shape of a value with its types for values: `==` takes 1, 1.0 and True for one."""
    if type(value) is dict:
        return {key: types(member) for key, member in value.items()}
    if type(value) is list:
        return [types(member) for member in value]
    return type(value)


def box(spark: SparkSession, *lines: str, players: list[Row] | None = None) -> Row:
    document = box_score(spark, stream(*lines), PLAYERS if players is None else players)
    assert document is not None
    return document


def test_the_document_of_the_exercises_first_lines(spark: SparkSession) -> None:
    assert box(spark, "0 59:51 101 6 0", "1 57:06 101 6 1", "2 56:13 205 8 1", "3 55:25 101 6 1") == {
        "_id": 3,
        "timestamp": "55:25",
        "home": {
            "teamid": 101,
            "name": "syracuse",
            "conference": "acc",
            "wins": 11,
            "losses": 2,
            "score": 2,
            "status": "winning",
            "players": [
                {"id": 1, "name": "sam", "number": "6", "shots": 3, "goals": 2, "pct": 0.67},
                {"id": 2, "name": "sarah", "number": "7", "shots": 0, "goals": 0, "pct": 0.0},
            ],
        },
        "away": {
            "teamid": 205,
            "name": "johns hopkins",
            "conference": "big10",
            "wins": 9,
            "losses": 4,
            "score": 1,
            "status": "losing",
            "players": [{"id": 3, "name": "jimmy", "number": "8", "shots": 1, "goals": 1, "pct": 1.0}],
        },
        "final": False,
        "stream": {
            "etag": VERSION["etag"],
            "last_modified": datetime(2026, 11, 7, 18, 0, tzinfo=UTC),
            "fetched_at": datetime(2026, 11, 7, 18, 0, 1, 250_000, tzinfo=UTC),
        },
    }


def test_every_value_is_of_the_plain_type_that_bson_wants(spark: SparkSession) -> None:
    member = {"id": int, "name": str, "number": str, "shots": int, "goals": int, "pct": float}
    side = {"teamid": int, "name": str, "conference": str, "wins": int, "losses": int, "score": int, "status": str}
    assert types(box(spark, "0 59:51 101 6 1")) == {
        "_id": int,
        "timestamp": str,
        "home": {**side, "players": [member, member]},
        "away": {**side, "players": [member]},
        "final": bool,
        "stream": {"etag": str, "last_modified": datetime, "fetched_at": datetime},
    }


# Latest event, clock and end of the game.


@pytest.mark.parametrize(
    ("ending", "clock", "final"),
    [
        ([], "25:17", False),
        (["70 00:01 0 0 0"], "00:01", False),
        (["70 00:00 0 0 0"], "00:00", True),
        (["70 00:00 101 6 0"], "00:00", True),
        (["-1 00:00 0 0 0"], "00:00", True),
        (["-1 25:10 0 0 0"], "25:10", True),
        (["-1 25:10 101 6 1"], "25:10", True),
        (["70 00:00 0 0 0", "-1 00:00 0 0 0"], "00:00", True),
    ],
)
def test_each_ending_alone_is_enough(spark: SparkSession, ending: list[str], clock: str, final: bool) -> None:
    document = box(spark, "0 59:51 101 6 0", "46 25:17 101 6 1", *ending)
    assert (document["timestamp"], document["final"]) == (clock, final)


@pytest.mark.parametrize("zero", ["00:00", "0:00", "0:00.0"])
@pytest.mark.parametrize(
    ("rows", "final"),
    [
        (["0 {} 0 0 0"], False),
        (["0 {} 0 0 0", "1 {} 0 0 0", "2 {} 101 6 0"], False),
        (["0 {} 0 0 0", "1 60:00 0 0 0"], False),
        (["0 {} 0 0 0", "1 60:00 0 0 0", "2 {} 0 0 0"], True),
        (["2 {} 0 0 0", "1 0:00.1 0 0 0"], True),
        # Earlier is what has the lower id, wherever it stands.
        (["1 60:00 0 0 0", "0 {} 0 0 0"], False),
        (["3 {} 0 0 0", "4 {} 0 0 0", "1 60:00 0 0 0", "-2 50:00 0 0 0"], True),
        # A line that is invalid, or the terminator, is no event above 00:00; the terminator ends the game by itself.
        (["0 60:00 999 0 0", "1 {} 0 0 0"], False),
        (["0 {} 0 0 0", "-1 {} 0 0 0"], True),
        (["0 {} 0 0 0", "-1 12:00 0 0 0"], True),
    ],
)
def test_a_clock_at_zero_ends_a_game_that_has_been_under_way(
    spark: SparkSession, zero: str, rows: list[str], final: bool
) -> None:
    """One clock row at 00:00 before the start ended the game, and 0:0 went into teams2 and players2."""
    assert box(spark, *(row.format(zero) for row in rows))["final"] is final


@pytest.mark.parametrize("clock", ["0:00.1", "0:00.999", "00:01"])
def test_only_a_true_zero_ends_the_game(spark: SparkSession, clock: str) -> None:
    document = box(spark, "0 59:51 101 6 0", f"1 {clock} 101 6 1")
    assert (document["timestamp"], document["final"]) == ("00:01", False)


def test_the_box_score_at_each_event_is_final_as_that_event_left_it(spark: SparkSession) -> None:
    """A placeholder, a game, its end, overtime after that end, and the end again."""
    body = stream("0 0:00 0 0 0", "1 60:00 0 0 0", "2 0:00.0 101 6 0", "3 4:00 0 0 0", "5 0:00 0 0 0", "4 0:00 101 6 1")
    found = documents_of(statistics(spark, body, PLAYERS, every_event=True))
    assert [(document["_id"], document["timestamp"], document["final"]) for document in found] == [
        *((0, "00:00", False), (1, "60:00", False), (2, "00:00", True)),
        *((3, "04:00", False), (4, "00:00", True), (5, "00:00", True)),
    ]


def test_a_terminators_clock_puts_no_earlier_event_under_way(spark: SparkSession) -> None:
    body = stream("0 00:00 0 0 0", "1 00:00 0 0 0", "-1 12:00 0 0 0")
    found = documents_of(statistics(spark, body, PLAYERS, every_event=True))
    assert [(document["timestamp"], document["final"]) for document in found] == [("00:00", False), ("12:00", True)]


def test_the_timestamp_is_the_terminators_where_there_is_one_wherever_it_stands(spark: SparkSession) -> None:
    document = box(spark, "-1 12:34 0 0 0", "46 25:17 101 6 1", "47 00:00 101 6 1")
    assert (document["_id"], document["timestamp"], document["final"]) == (47, "12:34", True)


def test_the_terminator_is_never_the_latest_event_nor_a_shot(spark: SparkSession) -> None:
    document = box(spark, "0 59:51 101 6 0", "-1 00:00 101 6 1")
    assert (document["_id"], document["home"]["score"]) == (0, 0)
    assert document["home"]["players"][0]["shots"] == 1


def test_a_clock_row_moves_the_latest_event_and_the_clock_on(spark: SparkSession) -> None:
    document = box(spark, "46 25:17 101 6 1", "47 24:00 0 0 0")
    assert (document["_id"], document["timestamp"]) == (47, "24:00")


def test_rows_out_of_order_are_put_in_order(spark: SparkSession) -> None:
    # As text, 9 would come last.
    rows = ["0 59:51 205 8 0", "9 41:00 0 0 0", "10 39:59 205 8 1", "47 25:17 101 6 1"]
    document = box(spark, rows[3], rows[0], rows[2], rows[1])
    assert document == box(spark, *rows)
    assert (document["_id"], document["timestamp"]) == (47, "25:17")


def test_the_clock_is_that_of_the_latest_event_not_the_lowest_that_ever_was(spark: SparkSession) -> None:
    document = box(spark, "5 00:00 101 6 1", "6 30:00 101 6 1")
    assert (document["timestamp"], document["final"]) == ("30:00", False)


def test_an_id_of_64_bits(spark: SparkSession) -> None:
    assert box(spark, f"{2**63 - 1} 25:17 101 6 1")["_id"] == 2**63 - 1


@pytest.mark.parametrize("body", [b"", b"\xff\ngoal!\n0 59:51 101", b"-1 00:00 0 0 0\n"])
def test_a_stream_without_an_event_yields_no_document(spark: SparkSession, body: bytes) -> None:
    assert box_score(spark, body, PLAYERS) is None


# The score.


@pytest.mark.parametrize(
    ("shots", "scores", "statuses"),
    [
        (["0 59:00 101 6 1"], (1, 0), ("winning", "losing")),
        (["0 59:00 205 8 1"], (0, 1), ("losing", "winning")),
        (["0 59:00 101 6 0"], (0, 0), ("tied", "tied")),
        (["0 59:00 101 6 1", "1 58:00 205 8 1"], (1, 1), ("tied", "tied")),
    ],
)
def test_the_status_of_both_follows_from_the_two_scores(
    spark: SparkSession, shots: list[str], scores: tuple[int, int], statuses: tuple[str, str]
) -> None:
    home, away = (box(spark, *shots)[side] for side in ("home", "away"))
    assert (home["score"], away["score"]) == scores
    assert (home["status"], away["status"]) == statuses


def test_scores_are_compared_as_numbers(spark: SparkSession) -> None:
    goals = [f"{i} 59:00 {HOME if i < 10 else AWAY} 8 1" for i in range(19)]
    document = box(spark, *goals)
    assert (document["home"]["score"], document["away"]["score"]) == (10, 9)
    assert document["home"]["status"] == "winning"


def test_a_goal_by_a_jersey_that_nobody_wears_decides_the_game_all_the_same(spark: SparkSession) -> None:
    home = box(spark, "0 59:00 101 99 1")["home"]
    assert (home["score"], home["status"]) == (1, "winning")
    assert [(member["number"], member["goals"]) for member in home["players"]] == [("6", 0), ("7", 0)]


# The players.


def test_players_are_by_id_and_every_one_of_the_roster_is_there(spark: SparkSession) -> None:
    players = [player(10, "5"), player(9, "99"), player(100, "0"), player(1, "7", AWAY), player(2, "1")]
    document = box(spark, "0 59:00 101 0 1", players=players)
    assert [member["id"] for member in document["home"]["players"]] == [2, 9, 10, 100]
    assert [member["id"] for member in document["away"]["players"]] == [1]


def test_players_of_other_teams_are_not_in_the_game(spark: SparkSession) -> None:
    other = {"id": 77, "name": "duke", "conference": "acc", "wins": 1, "losses": 1}
    document = box_score(spark, stream("0 59:00 101 6 1"), [*PLAYERS, player(4, "6", 77)], [*TEAMS, other])
    assert document is not None
    assert [member["id"] for side in ("home", "away") for member in document[side]["players"]] == [1, 2, 3]


def test_one_goal_of_eight_shots_is_0_13(spark: SparkSession) -> None:
    shots = [f"{i} 59:00 101 6 {int(i == 0)}" for i in range(8)]
    assert box(spark, *shots)["home"]["players"][0] == {
        **{"id": 1, "name": "sam", "number": "6"},
        **{"shots": 8, "goals": 1, "pct": 0.13},
    }


def test_a_team_without_players_has_an_empty_list_and_its_score(spark: SparkSession) -> None:
    document = box(spark, "0 59:00 101 6 1", players=[])
    assert document["home"]["players"] == document["away"]["players"] == []
    assert (document["home"]["name"], document["home"]["score"]) == ("syracuse", 1)
    assert (document["away"]["name"], document["away"]["score"]) == ("johns hopkins", 0)


def test_a_jersey_on_two_players_is_in_the_score_and_with_neither(spark: SparkSession) -> None:
    home = box(spark, "0 59:00 101 8 1", players=[player(1, "8"), player(2, "8")])["home"]
    assert home["score"] == 1
    assert [(member["id"], member["shots"]) for member in home["players"]] == [(1, 0), (2, 0)]


def test_a_padded_jersey_is_the_players_and_shown_without_padding(spark: SparkSession) -> None:
    """`players.number` as CHAR(3) made every jersey unrostered."""
    players = [player(1, "0  ", name="sam       "), player(2, "00 "), player(3, "8\u00a0", AWAY)]
    body = stream("0 59:00 101 0 1", "1 58:00 101 00 0", "2 57:00 205 8 1", "3 56:00 205 \u200b8 0")
    document = box_score(spark, body, players)
    assert document is not None
    found = {
        member["id"]: (member["name"], member["number"], member["shots"], member["goals"])
        for side in ("home", "away")
        for member in document[side]["players"]
    }
    assert found == {1: ("sam", "0", 1, 1), 2: ("sam", "00", 1, 0), 3: ("sam", "8", 2, 1)}


def test_two_players_whose_jerseys_differ_in_padding_wear_one_jersey(spark: SparkSession) -> None:
    home = box(spark, "0 59:00 101 8 1", players=[player(1, "8"), player(2, "8  ")])["home"]
    assert home["score"] == 1
    assert [(member["number"], member["shots"]) for member in home["players"]] == [("8", 0), ("8", 0)]


def test_names_are_any_text(spark: SparkSession) -> None:
    names = ["o'neil; DROP TABLE teams", "<b>sam</b>", 'zoë "z" 🥍', "", " sam ", "\x00", "naïve\u2028", "sam\nsam"]
    teams = [SYRACUSE | {"name": names[0], "conference": names[1]}, HOPKINS | {"name": names[2], "conference": ""}]
    players = [player(i, str(i), name=name) for i, name in enumerate(names)]
    document = box_score(spark, stream("0 59:00 101 6 1"), players, teams)
    assert document is not None
    assert [document[side][column] for side in ("home", "away") for column in ("name", "conference")] == [
        *names[:3],
        "",
    ]
    # The spaces at the end are the padding of a CHAR column.
    expected = [name if name != " sam " else " sam" for name in names]
    assert [member["name"] for member in document["home"]["players"]] == expected


# Reading a document.

ETAG = '"today"'


def document_of(final: bool = True, etag: str = ETAG) -> Row:
    """The fields of a document that a score line needs."""
    return {
        "event": 46,
        "timestamp": "25:17",
        "home": {"name": "syracuse", "score": 9},
        "away": {"name": "johns hopkins", "score": 8},
        "final": final,
        "stream": {"etag": etag},
    }


SCORE_LINE = "syracuse 9 : 8 johns hopkins, 25:17, event 46"


def test_the_score_line() -> None:
    assert score_line(document_of()) == SCORE_LINE


def test_a_final_document_of_todays_stream_may_be_written_from() -> None:
    assert why_not_over(document_of(), ETAG) is None


@pytest.mark.parametrize(
    ("document", "etag", "why"),
    [
        (None, ETAG, "there is no box score yet: materialize boxscore_doc first"),
        (None, None, "there is no box score yet: materialize boxscore_doc first"),
        (document_of(), None, f"the stream object is missing, so the box score cannot be verified ({SCORE_LINE})"),
        (
            document_of(etag='"yesterday"'),
            ETAG,
            f"the box score is not of the current stream ({SCORE_LINE}): materialize boxscore_doc first",
        ),
        (
            document_of(final=False, etag='"yesterday"'),
            ETAG,
            f"the box score is not of the current stream ({SCORE_LINE}): materialize boxscore_doc first",
        ),
        (
            # One that another program wrote, without a stream.
            {key: value for key, value in document_of().items() if key != "stream"},
            ETAG,
            f"the box score is not of the current stream ({SCORE_LINE}): materialize boxscore_doc first",
        ),
        (document_of(final=False), ETAG, f"the game is not over yet ({SCORE_LINE})"),
    ],
    ids=["no document", "nothing at all", "no stream", "older", "older and not over", "unknown stream", "not over"],
)
def test_why_a_document_may_not_be_written_from(document: Row | None, etag: str | None, why: str) -> None:
    assert why_not_over(document, etag) == why
