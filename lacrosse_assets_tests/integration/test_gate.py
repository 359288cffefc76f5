"""The gate, in each way that a run can reach it, through real Dagster runs (docs/contract.md, section 5)."""

import pytest
from dagster import AssetCheckSeverity, RunRequest

from lacrosse_assets.assets.final import CHANGED
from lacrosse_assets.game.document import Document
from lacrosse_assets.resources.event_documents import MongoEventDocuments
from lacrosse_assets.resources.reference_db import Reference, SqlReferenceDatabase
from lacrosse_assets_tests.support.world import ENDED, FINAL, LIVE, MIDDLE, OPENING, World

SCORE = "syracuse 1 : 1 johns hopkins, 31:10, event 2"
NOT_OVER = f"the game is not over yet ({SCORE})"
FINALS_ALONE = [("teams2",), ("players2",), FINAL]


def tables(world: World) -> list[object]:
    return [world.table(name) for name in FINAL]


def play_to_the_end(world: World) -> None:
    world.put(*ENDED)
    assert world.materialize().success


def test_a_live_run_succeeds_and_its_check_shows_not_over_yet(world: World) -> None:
    world.put(*MIDDLE)

    run = world.tick_and_run()

    assert run.success
    check = run.checks["boxscore_doc.game_over"]
    assert not check.passed
    assert check.severity == AssetCheckSeverity.WARN
    assert check.description == NOT_OVER
    reported = {name: value.value for name, value in check.metadata.items()}
    assert (reported["clock"], reported["event"], reported["score"]) == ("31:10", 2, SCORE)
    assert tables(world) == [None, None]


def test_materialize_all_during_a_game_writes_neither_table_and_reports_why_in_one_line(world: World) -> None:
    world.put(*MIDDLE)

    run = world.materialize()

    assert not run.success
    assert tables(world) == [None, None]
    assert run.checks["boxscore_doc.game_over"].severity == AssetCheckSeverity.ERROR
    assert [line for line in run.log if "not over" in line] == [f"teams2 and players2 are not written: {NOT_OVER}"]
    # The live assets are materialized.
    assert world.document()["_id"] == 2


@pytest.mark.parametrize("checks", [True, False], ids=["with checks", "without checks"])
def test_final_tables_alone_during_a_game_are_not_written_and_the_error_is_why(world: World, checks: bool) -> None:
    world.put(*MIDDLE)
    assert world.materialize(*LIVE).success

    for names in FINALS_ALONE:
        run = world.materialize(*names, checks=checks)

        assert run.failure == f"{' and '.join(names)} not written: {NOT_OVER}"
        assert not run.retries, "trying again does not end a game"
        assert tables(world) == [None, None]


def test_materialize_all_without_checks_during_a_game_is_refused(world: World) -> None:
    world.put(*MIDDLE)

    run = world.materialize(checks=False)

    assert run.failures == {"final_tables": f"teams2 and players2 not written: {NOT_OVER}"}
    assert tables(world) == [None, None]


@pytest.mark.parametrize(
    ("ending", "clock"),
    [
        (("3 00:00 0 0 0",), "00:00"),
        (("3 00:00 101 6 1",), "00:00"),
        (("-1 29:59 0 0 0",), "29:59"),
        (("3 00:00 0 0 0", "-1 00:00 0 0 0"), "00:00"),
    ],
    ids=["clock row alone", "shot at 00:00", "terminator alone", "both"],
)
def test_when_it_is_over_the_sensor_launches_the_final_tables(
    world: World, ending: tuple[str, ...], clock: str
) -> None:
    world.put(*MIDDLE, *ending)

    live, final = world.tick_and_run(), world.tick_and_run()

    assert live.checks["boxscore_doc.game_over"].passed
    assert world.document()["timestamp"] == clock
    assert final.success
    assert sorted(final.metadata) == ["players2", "teams2"]
    assert all(tables(world))
    assert isinstance(world.tick(), str), "once for each final stream"


def test_materialize_all_when_it_is_over_writes_both(world: World) -> None:
    world.put(*ENDED)

    run = world.materialize()

    assert run.success
    assert run.checks["boxscore_doc.game_over"].passed
    teams2, players2 = (world.table(name) or [] for name in FINAL)
    assert [(row["id"], row["wins"], row["losses"]) for row in teams2] == [(101, 12, 2), (205, 9, 5), (300, 1, 1)]
    assert [(row["id"], row["shots"], row["goals"]) for row in players2] == [
        (1, 57, 24),
        (2, 11, 4),
        (3, 1, 1),
        (11, 6, 5),
        (12, 41, 21),
        (99, 7, 7),
    ]


def test_a_final_document_of_another_stream_does_not_open_the_gate(world: World) -> None:
    play_to_the_end(world)
    before = tables(world)
    world.reset_tables()
    world.sql("UPDATE teams SET wins = 0")  # would show in the final tables, if they were rebuilt
    world.put(*OPENING)

    for names in FINALS_ALONE:
        run = world.materialize(*names)

        assert f"{' and '.join(names)} not written: the box score is not of the current stream" in run.failure
        assert tables(world) == before


def test_a_result_stays_until_the_new_game_is_over(world: World) -> None:
    play_to_the_end(world)
    before = tables(world)
    world.put(*OPENING)

    assert world.tick_and_run().success
    assert not world.materialize().success
    assert not world.materialize(*FINAL, checks=False).success

    assert tables(world) == before
    assert not isinstance(world.tick(), RunRequest)


def test_final_tables_before_any_box_score_name_the_missing_asset(world: World) -> None:
    world.put(*ENDED)

    run = world.materialize(*FINAL)

    assert run.failure == "teams2 and players2 not written: there is no box score yet: materialize boxscore_doc first"


def test_final_tables_are_not_written_if_the_stream_is_missing(world: World) -> None:
    world.put(*ENDED)
    assert world.materialize(*LIVE).success
    world.remove_stream()

    run = world.materialize(*FINAL)

    assert "not written: the stream object is missing, so the box score cannot be verified" in run.failure
    assert tables(world) == [None, None]


def test_final_tables_are_not_written_from_a_box_score_that_is_superseded_meanwhile(world: World) -> None:
    """The game restarts after the gate was passed, while Spark computes the tables."""
    world.put(*ENDED)
    assert world.materialize(*LIVE).success

    class SupersedingDatabase(SqlReferenceDatabase):
        def read(self) -> Reference:
            with world.boxscores() as boxscores:
                boxscores.update_one({"_id": 4}, {"$set": {"stream.etag": "of another game"}})
            return super().read()

    run = world.materialize(*FINAL, reference_db=SupersedingDatabase(url=world.environ["SIDEARMDB_URL"]))

    assert run.failure == f"teams2 and players2 not written: {CHANGED}"
    assert tables(world) == [None, None]


def test_final_tables_are_not_written_if_the_box_score_is_no_longer_final(world: World) -> None:
    """The game restarts right after the gate was passed: without a game, the tables would be those before it."""
    world.put(*ENDED)
    assert world.materialize(*LIVE).success

    class RestartingDocuments(MongoEventDocuments):
        def final_box_scores(self) -> list[Document]:
            with world.boxscores() as boxscores:
                boxscores.update_one({"_id": 4}, {"$set": {"final": False}})
            return super().final_box_scores()

    run = world.materialize(*FINAL, documents=world.document_store(RestartingDocuments))

    assert run.failure == f"teams2 and players2 not written: {CHANGED}"
    assert tables(world) == [None, None]
