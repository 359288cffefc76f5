"""A game day: many games, each processed independently (docs/contract.md, section 10)."""

import gzip
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from dagster import AssetCheckSeverity, RunRequest

from lacrosse_assets import automation
from lacrosse_assets.game.plays import MAX_PLAYS
from lacrosse_assets.resources import object_store
from lacrosse_assets.resources.object_store import LiveS3, StreamVersion
from lacrosse_assets_tests.support.day import DAY, PREFIX, SCHEDULE, Day, games_of
from lacrosse_assets_tests.support.world import PLAYERS, TEAMS, World, table_rows

OPENING = {17: ("0 59:30 101 6 1",), 18: ("0 58:00 205 8 0",), 19: ("0 57:00 300 6 1", "1 56:00 101 00 1")}
ENDED = {
    17: (*OPENING[17], "1 40:00 205 8 1", "2 02:15 101 0 1", "-1 00:00 0 0 0"),
    18: (*OPENING[18], "1 40:00 300 6 1", "2 00:00 0 0 0"),
    19: (*OPENING[19], "2 00:00 0 0 0", "-1 00:00 0 0 0"),
}


def start(day: Day) -> None:
    for game, lines in OPENING.items():
        day.put(game, *lines)
    assert games_of(request := day.world.tick()) == [17, 18, 19]
    assert isinstance(request, RunRequest)
    assert day.world.launch(request).success


def expected_tables(*final: int) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
    """teams2 and players2 after these games of `ENDED`, counted here by hand: (wins, losses), (shots, goals), by id."""
    reference_teams: list[dict[str, Any]] = TEAMS
    reference_players: list[dict[str, Any]] = PLAYERS
    teams = {team["id"]: Counter(wins=team["wins"], losses=team["losses"]) for team in reference_teams}
    players = {each["id"]: Counter(shots=each["shots"], goals=each["goals"]) for each in reference_players}
    for game in final:
        goals: Counter[int] = Counter()
        for line in ENDED[game]:
            _, _, team, jersey, goal = line.split()
            for player in reference_players:
                if (str(player["teamid"]), player["number"]) == (team, jersey):
                    players[player["id"]].update(shots=1, goals=int(goal))
            goals[int(team)] += int(goal)
        home, away = SCHEDULE[game]
        if goals[home] != goals[away]:
            winner, loser = (home, away) if goals[home] > goals[away] else (away, home)
            teams[winner]["wins"] += 1
            teams[loser]["losses"] += 1
    return (
        {team: (count["wins"], count["losses"]) for team, count in teams.items()},
        {player: (count["shots"], count["goals"]) for player, count in players.items()},
    )


def stored_tables(world: World) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
    teams, players = world.table("teams2"), world.table("players2")
    assert teams is not None
    assert players is not None
    return (
        {row["id"]: (row["wins"], row["losses"]) for row in teams},
        {row["id"]: (row["shots"], row["goals"]) for row in players},
    )


def recreate(world: World, table: str, columns: str) -> None:
    """Give a table other columns, of the same names, and keep its rows."""
    for statement in (
        f"CREATE TABLE old ({columns})",
        f"INSERT INTO old SELECT * FROM {table}",
        f"DROP TABLE {table}",
        f"CREATE TABLE {table} ({columns})",
        f"INSERT INTO {table} SELECT * FROM old",
        "DROP TABLE old",
    ):
        world.sql(statement)


def games_in_the_tables(world: World) -> list[int]:
    return [row["id"] for row in world.table("games2") or []]


# The document of a game.


def test_one_document_has_all_that_a_page_of_the_game_needs(day: Day) -> None:
    etag = day.put(17, "0 59:30 101 6 1", "1 58:00 205 8 0", "2 57:10 0 0 0", "3 56:00 205 77 1")

    (run,) = day.run_until_idle()

    assert run.success
    (document,) = day.documents().values()
    assert set(document) == {
        *("_id", "day", "event", "timestamp", "final", "home", "away", "plays", "stream", "fingerprint"),
    }
    assert (document["_id"], document["day"], document["event"]) == (17, DAY, 3)
    assert (document["timestamp"], document["final"]) == ("56:00", False)
    assert document["stream"]["etag"] == etag
    assert {type(document["stream"][date]) for date in ("last_modified", "fetched_at")} == {datetime}
    home, away = document["home"], document["away"]
    assert (home["teamid"], home["name"], home["score"], home["status"]) == (101, "syracuse", 1, "tied")
    assert (away["teamid"], away["wins"], away["losses"], away["score"]) == (205, 9, 4, 1)
    assert {"id": 1, "name": "sam", "number": "6", "shots": 1, "goals": 1, "pct": 1.0} in home["players"]
    assert [player["id"] for player in home["players"]] == [1, 2, 3], "every player of the roster"
    assert document["plays"] == [
        {"event": 0, "clock": "59:30", "team": 101, "jersey": "6", "goal": 1, "home": 1, "away": 0},
        {"event": 1, "clock": "58:00", "team": 205, "jersey": "8", "goal": 0, "home": 1, "away": 0},
        {"event": 2, "clock": "57:10", "team": 0, "jersey": "0", "goal": 0, "home": 1, "away": 0},
        {"event": 3, "clock": "56:00", "team": 205, "jersey": "77", "goal": 1, "home": 1, "away": 1},
    ]
    assert day.world.documents() == [], "boxscores is not touched"


# What a run takes.


def test_a_run_takes_the_games_that_have_changed_and_only_those(day: Day) -> None:
    start(day)
    assert "3 live and 0 final games are up to date" in str(day.world.tick())
    before = day.documents()

    day.put(18, *ENDED[18][:2])
    request = day.world.tick()
    assert games_of(request) == [18]
    assert isinstance(request, RunRequest)
    assert day.world.launch(request).success

    after = day.documents()
    assert {game for game in after if after[game] != before[game]} == {18}
    assert day.scores()[18] == (1, 0, 1, False)


def test_a_run_by_hand_takes_all_games_or_those_that_its_config_names(day: Day) -> None:
    for game, lines in OPENING.items():
        day.put(game, *lines)
    config = {"config": {"games": [19]}}
    job = day.world.definitions().resolve_job_def("live_boxscore")
    ops = {"ops": {"raw_gamestream": config, "roster": config}}

    assert job.execute_in_process(instance=day.world.instance, run_config=ops).success
    assert set(day.documents()) == {19}
    assert day.world.materialize("raw_gamestream", "roster", "player_game_stats", "boxscore_doc").success
    assert set(day.documents()) == {17, 18, 19}


def test_many_changed_games_are_several_runs_and_the_one_that_waits_longest_comes_first(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automation, "MAX_GAMES_PER_RUN", 2)
    versions = day.object_store().versions
    day.put(18, *OPENING[18])
    first = versions()[f"{PREFIX}18.txt"]
    for game in (17, 19):
        while day.put(game, *OPENING[game]) and versions()[f"{PREFIX}{game}.txt"].last_modified == first.last_modified:
            pass

    request = day.world.tick()
    assert len(games_of(request)) == 2
    assert 18 in games_of(request)
    assert [run.success for run in day.run_until_idle()] == [True, True]
    assert set(day.documents()) == {17, 18, 19}


def test_a_listing_has_all_its_pages(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "LISTING_PAGE_SIZE", 2)
    for number in range(5):
        day.put(f"{number}.txt", *OPENING[17])

    versions = day.object_store().versions()

    assert sorted(versions) == [f"{PREFIX}{number}.txt" for number in range(5)]
    fetched = day.object_store().fetch(versions).streams
    assert {key: stream.version for key, stream in fetched.items() if not isinstance(stream, Exception)} == versions


def test_a_listing_that_fails_on_its_second_page_is_a_skip_and_nothing_is_lost(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "LISTING_PAGE_SIZE", 2)
    start(day)
    before = day.documents()

    class SecondPageRefused(LiveS3):
        def get_client(self) -> Any:
            def refuse(params: dict[str, Any], **_: Any) -> None:
                if "continuation-token" in params["query_string"]:
                    raise EndpointConnectionError(endpoint_url=self.endpoint_url)

            client = super().get_client()
            client.meta.events.register("before-call.s3.ListObjectsV2", refuse)
            return client

    day.put(18, *ENDED[18])
    refused = day.world.tick(object_store=day.object_store(s3=SecondPageRefused))
    assert str(refused).startswith("object store at ")
    assert day.documents() == before
    assert games_of(day.world.tick()) == [18]


# Isolation: a problem of one game is reported, and holds up no other game.


def unknown_team(day: Day) -> None:
    day.schedule({**SCHEDULE, 20: (101, 999)})
    day.put(20, *OPENING[17])


def same_team_twice(day: Day) -> None:
    day.schedule({**SCHEDULE, 20: (101, 101)})
    day.put(20, *OPENING[17])


def unreadable_stream(day: Day) -> None:
    day.schedule({**SCHEDULE, 20: (101, 205)})
    day.put(20, body=gzip.compress(b"0 59:30 101 6 1\n")[:-9])


def a_team_of_many_digits(day: Day) -> None:
    day.schedule({**SCHEDULE, 20: (101, 205)})
    day.put_into_the_schedule(20, "home", str(10**10), "bigint")
    day.put(20, "0 59:30 10000000000 6 1")


def a_day_that_is_no_date(day: Day) -> None:
    day.schedule({**SCHEDULE, 20: (101, 205)})
    day.put_into_the_schedule(20, "day", "'7 March 2026'", "varchar(20)")


def an_endless_stream(day: Day) -> None:
    """Its plays exceed the size of a document."""
    day.schedule({**SCHEDULE, 20: (101, 205)})
    day.put(20, *(f"{event} 30:00 101 {event % 9} 0" for event in range(200_000)))


def no_event(day: Day) -> None:
    day.schedule({**SCHEDULE, 20: (101, 205)})
    day.put(20, "coming soon")


def no_such_game(day: Day) -> None:
    day.put("another.txt", *OPENING[17])


def no_stream(day: Day) -> None:
    day.schedule({**SCHEDULE, 20: (101, 205)})


@pytest.mark.parametrize(
    ("problem", "check", "reported"),
    [
        (unknown_team, "roster.rosters_are_complete", "table teams has no row with id 999, the away team"),
        (same_team_twice, "raw_gamestream.stream_is_clean", "home and away are both team 101"),
        (unreadable_stream, "raw_gamestream.stream_is_clean", "cannot be decompressed"),
        (
            a_team_of_many_digits,
            "roster.rosters_are_complete",
            "teams has no row with id 10000000000, the home team",
        ),
        (no_event, "raw_gamestream.stream_is_clean", "2 fields instead of 5"),
        (no_such_game, "raw_gamestream.stream_is_clean", "another.txt belongs to no game"),
        (no_stream, None, ""),
    ],
)
def test_a_game_with_a_problem_is_named_by_a_check_and_holds_up_no_other(
    day: Day, problem: Any, check: str | None, reported: str
) -> None:
    problem(day)
    for game, lines in OPENING.items():
        day.put(game, *lines)

    (run,) = day.run_until_idle()

    assert run.success
    assert set(day.documents()) == {17, 18, 19}
    failed = {name for name, result in run.checks.items() if not result.passed} - {"boxscore_doc.game_over"}
    assert failed == ({check} if check else set())
    if check:
        assert run.checks[check].severity == AssetCheckSeverity.WARN
        assert reported in "".join(str(value.value) for value in run.checks[check].metadata.values())
        assert [line for line in run.log if reported in line]


class Refusing(LiveS3):
    """Refuses to read the stream of game 17, as by a policy of the bucket."""

    def get_client(self) -> Any:
        def refuse(params: dict[str, Any], **_: Any) -> None:
            if params["url_path"].endswith("/17.txt"):
                response: Any = {
                    "Error": {"Code": "AccessDenied", "Message": "Access Denied."},
                    "ResponseMetadata": {"HTTPStatusCode": 403},
                }
                raise ClientError(response, "GetObject")

        client = super().get_client()
        client.meta.events.register("before-call.s3.GetObject", refuse)
        return client


def test_a_stream_that_may_not_be_read_fails_no_run_not_even_one_of_its_own(day: Day) -> None:
    """Only a store that is down does."""
    store = day.object_store(s3=Refusing)
    day.put(17, *OPENING[17])
    alone = day.world.tick_and_run(object_store=store)
    day.put(18, *OPENING[18])
    together = day.world.tick_and_run(object_store=store)

    for run in (alone, together):
        assert run.success, run.failures
        assert "(AccessDenied)" in "".join(run.log)
        assert not run.checks["raw_gamestream.stream_is_clean"].passed
    assert set(day.documents()) == {18}
    for _ in range(3):
        decision = day.world.tick(object_store=store)
        if isinstance(decision, str):
            break
        assert day.world.launch(decision, object_store=store).success
    assert "its result is not what is stored: attempt" in str(decision), "with backoff"

    day.put(17, *ENDED[17][:2])
    assert day.world.tick_and_run().success
    assert set(day.documents()) == {17, 18}


def test_a_store_that_goes_down_after_the_listing_fails_the_run(day: Day) -> None:
    listings: list[None] = []

    class GoesDown(LiveS3):
        def get_client(self) -> Any:
            def listed(**_: Any) -> None:
                listings.append(None)
                if len(listings) > 1:
                    refuse()

            def refuse(**_: Any) -> None:
                raise EndpointConnectionError(endpoint_url=self.endpoint_url)

            client = super().get_client()
            client.meta.events.register("before-call.s3.ListObjectsV2", listed)
            client.meta.events.register("before-call.s3.GetObject", refuse)
            return client

    for game in (17, 18):
        day.put(game, *OPENING[game])

    run = day.world.materialize("raw_gamestream", object_store=day.object_store(s3=GoesDown))

    assert run.failure.startswith("object store at ")


def test_ids_may_have_64_bits(day: Day) -> None:
    """As in a school's BIGINT columns."""
    more, world = 5 * 10**9, day.world
    for table, columns in (
        ("players", "name VARCHAR(50), number varchar(3), shots INT, goals INT, teamid BIGINT"),
        ("teams", "name VARCHAR(50), conference VARCHAR(50), wins INT, losses INT"),
        ("games", "day date, home BIGINT, away BIGINT, stream varchar(50)"),
    ):
        recreate(world, table, f"id BIGINT primary key, {columns}")
        for column in {"players": ("id", "teamid"), "teams": ("id",), "games": ("id", "home", "away")}[table]:
            world.sql(f"UPDATE {table} SET {column} = {column} + {more}")
    for game, lines in ENDED.items():
        fields = [line.split() for line in lines]
        day.put(game + more, *(" ".join([*f[:2], str(int(f[2]) + (int(f[2]) and more)), *f[3:]]) for f in fields))

    assert [run.success for run in day.run_until_idle()] == [True, True]

    teams, players = expected_tables(*SCHEDULE)
    assert stored_tables(world) == tuple({id_ + more: row for id_, row in rows.items()} for rows in (teams, players))
    assert games_in_the_tables(world) == [game + more for game in SCHEDULE]
    assert set(day.documents()) == {game + more for game in SCHEDULE}


def test_a_day_that_is_no_date_is_reported_and_the_tables_have_the_game(day: Day) -> None:
    a_day_that_is_no_date(day)
    day.put(20, *ENDED[17])

    live, finish = day.run_until_idle()

    assert live.success
    assert finish.success, finish.failures
    assert "game 20: day must be a date (got '7 March 2026')" in "".join(live.log)
    assert [(row["id"], row["day"]) for row in day.world.table("games2") or []] == [(20, None)]


def test_a_stream_without_an_end_holds_up_no_other_game(day: Day) -> None:
    an_endless_stream(day)
    day.put(17, *OPENING[17])

    (run,) = day.run_until_idle()

    assert run.success, run.failures
    documents = day.documents()
    assert set(documents) == {17, 20}
    assert (documents[20]["event"], len(documents[20]["plays"])) == (199_999, MAX_PLAYS)
    assert [line for line in run.log if "game 20 has 200000 plays" in line]


def test_two_players_in_one_jersey_affect_only_their_own_counts(day: Day) -> None:
    day.world.sql("UPDATE players SET number = '6' WHERE id = 3")
    start(day)

    documents = day.documents()
    assert {game: (each["home"]["score"], each["away"]["score"]) for game, each in documents.items()} == {
        17: (1, 0),
        18: (0, 0),
        19: (1, 1),
    }
    assert {player["shots"] for player in documents[17]["home"]["players"]} == {0}


def test_a_team_that_is_added_later_is_seen(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown_team(day)
    (run,) = day.run_until_idle()
    assert run.success
    assert day.documents() == {}

    day.world.sql("INSERT INTO teams VALUES (999, 'albany', 'america east', 0, 0)")
    day.run_until_idle()
    assert set(day.documents()) == {20}


def test_a_schedule_that_cannot_be_read_is_a_skip_that_names_it(day: Day) -> None:
    day.world.sql("DROP TABLE games")
    decision = str(day.world.tick())
    assert decision.startswith("reference database at ")
    assert "games" in decision
    assert "gamestream`" not in decision, "who follows a hint to the simulator drops the school's teams and players"

    day.world.sql("CREATE TABLE games (id int primary key, day date, home int)")
    assert "table games has no column away: it has id, day, home" in str(day.world.tick())


def test_a_day_without_a_valid_game_is_a_skip_that_says_why(day: Day) -> None:
    """No run reports it, because there is nothing to run for: the sensor only waited for a game to start."""
    day.world.sql("UPDATE games SET away = home WHERE id = 17")
    day.world.sql("DELETE FROM games WHERE id > 17")
    for game, lines in OPENING.items():
        day.put(game, *lines)

    uri = f"s3://{day.world.environ['GAMESTREAM_BUCKET']}/{PREFIX}"
    unknown = "belongs to no game: add it to table games, or remove the object"
    assert day.world.tick() == (
        f"there is no stream of a scheduled game in {uri} yet: waiting for a game to start; "
        "game 17 is invalid: home and away are both team 101; "
        f"{uri}17.txt {unknown}; {uri}18.txt {unknown}; and 1 more"
    )


def test_an_object_without_a_row_is_in_the_tick_while_nothing_else_changes(day: Day) -> None:
    day.put(17, *OPENING[17])
    day.run_until_idle()

    day.put("another.txt", *OPENING[18])

    reason = str(day.world.tick())
    assert "1 live and 0 final games are up to date: waiting for the next event; " in reason
    assert "another.txt belongs to no game: add it to table games, or remove the object" in reason


def test_of_several_games_of_one_stream_the_latest_is_played(day: Day) -> None:
    """A school's feed is one file, which its next game reuses."""
    day.schedule({17: (101, 205)}, game_17="feed.txt")
    day.put("feed.txt", *ENDED[17])
    day.run_until_idle()
    first = day.documents()[17]
    day.world.sql("INSERT INTO games VALUES (18, '2026-03-08', 205, 300, 'feed.txt')")
    day.put("feed.txt", *OPENING[18])

    day.run_until_idle()

    assert day.documents()[17] == first
    assert day.scores()[18] == (0, 0, 0, False)
    assert games_in_the_tables(day.world) == [17]


# The final tables.


def test_the_tables_have_all_final_games_each_exactly_once(day: Day) -> None:
    start(day)
    final: list[int] = []
    for game in (18, 17, 19):
        day.put(game, *ENDED[game])
        live, finish = day.run_until_idle()
        assert live.success
        assert finish.success
        final.append(game)
        assert stored_tables(day.world) == expected_tables(*final)
        assert games_in_the_tables(day.world) == sorted(final)
    assert [
        (row["home"], row["away"], row["home_score"], row["away_score"], str(row["day"]))
        for row in day.world.table("games2") or []
    ] == [(101, 205, 2, 1, DAY), (205, 300, 0, 1, DAY), (300, 101, 1, 1, DAY)]
    fingerprints = {row["id"]: row["fingerprint"] for row in day.world.table("games2") or []}
    assert fingerprints == {game: document["fingerprint"] for game, document in day.documents().items()}
    assert "0 live and 3 final games are up to date" in str(day.world.tick())


def test_a_correction_after_the_end_is_counted(day: Day) -> None:
    for game in (17, 18):
        day.put(game, *ENDED[game])
    day.run_until_idle()
    before = stored_tables(day.world)

    day.put(18, ENDED[18][0], "1 40:00 300 6 0", "2 00:00 0 0 0")
    assert all(run.success for run in day.run_until_idle())

    teams, players = stored_tables(day.world)
    assert (before[0][300], teams[300]) == ((2, 1), (1, 1)), "a tie"
    assert (before[1][99], players[99]) == ((8, 8), (8, 7))


def test_a_corrected_roster_is_counted_without_a_new_event(day: Day) -> None:
    """Of the games whose roster it is, and of no other."""
    day.world.sql("UPDATE players SET number = '77' WHERE id = 12")
    for game in (17, 18, 19):
        day.put(game, *ENDED[game])
    day.run_until_idle()
    before = day.documents()

    day.world.sql("UPDATE players SET number = '8' WHERE id = 12")
    request = day.world.tick()
    assert games_of(request) == [17, 18], "the games of team 205"
    assert isinstance(request, RunRequest)
    assert day.world.launch(request).success
    assert day.world.tick_and_run().success

    assert stored_tables(day.world) == expected_tables(17, 18, 19)
    assert day.documents()[19] == before[19]
    fingerprints = {row["id"]: row["fingerprint"] for row in day.world.table("games2") or []}
    assert fingerprints == {game: document["fingerprint"] for game, document in day.documents().items()}
    assert "0 live and 3 final games are up to date" in str(day.world.tick())


def test_a_corrected_day_is_that_of_the_document_and_of_the_tables(day: Day) -> None:
    for game in (17, 18):
        day.put(game, *ENDED[game])
    day.run_until_idle()

    day.world.sql("UPDATE games SET day = '2026-03-08' WHERE id = 18")
    assert games_of(day.world.tick()) == [18]
    assert [run.success for run in day.run_until_idle()] == [True, True]

    assert {game: document["day"] for game, document in day.documents().items()} == {17: DAY, 18: "2026-03-08"}
    assert [str(row["day"]) for row in day.world.table("games2") or []] == [DAY, "2026-03-08"]
    assert "0 live and 2 final games are up to date" in str(day.world.tick())


def test_a_replay_of_one_game_takes_it_out_until_it_is_over_again(day: Day) -> None:
    for game in (17, 18):
        day.put(game, *ENDED[game])
    day.run_until_idle()

    day.put(17, *OPENING[17])
    day.run_until_idle()
    assert day.scores()[17] == (0, 1, 0, False)
    assert stored_tables(day.world) == expected_tables(18)
    assert games_in_the_tables(day.world) == [18]

    day.put(17, *ENDED[17])
    day.run_until_idle()
    assert stored_tables(day.world) == expected_tables(17, 18)


def test_materialize_all_writes_the_tables_of_the_games_that_are_over(day: Day) -> None:
    start(day)
    refused = day.world.materialize()
    assert not refused.success
    assert [line for line in refused.log if "not written" in line] == [
        "teams2 and players2 are not written: no game is over yet"
    ]
    assert day.world.materialize("teams2", "players2").failure == "teams2 and players2 not written: no game is over yet"
    assert day.world.table("games2") is None

    day.put(18, *ENDED[18])
    assert day.world.materialize().success
    assert stored_tables(day.world) == expected_tables(18)


def test_the_check_shows_the_day_at_a_glance(day: Day) -> None:
    start(day)
    day.schedule({**SCHEDULE, 20: (101, 300)})
    day.put(18, *ENDED[18])
    live, _ = day.run_until_idle()

    check = live.checks["boxscore_doc.game_over"]
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.WARN)
    assert check.description == "1 final, 2 live, 1 not started"
    rows = table_rows(check.metadata["games"])
    assert [row[0] for row in rows] == [17, 19, 18, 20]
    assert rows[2][:3] == (18, "johns hopkins", "0 : 1")
    boxes = live.metadata["boxscore_doc"]
    assert boxes["games"] == boxes["documents_written"] == 1
    assert table_rows(boxes["scores"]) == [(*rows[2][:-1], "written")], "the games of this run"


def test_a_row_that_no_game_can_be_added_to_holds_up_no_other_row(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """A player without a number of shots kept the tables of all games from being written."""
    world = day.world
    recreate(
        world, "players", "id int primary key, name VARCHAR(50), number varchar(3), shots INT, goals INT, teamid INT"
    )
    world.sql("UPDATE players SET shots = NULL WHERE id IN (11, 99)")
    teams, players = expected_tables(17, 18, 19)
    for game, lines in ENDED.items():
        day.put(game, *lines)

    live, finish = world.tick_and_run(), world.tick_and_run()

    assert live.success
    assert finish.success, finish.failures
    assert stored_tables(world) == (teams, {**players, 11: (None, 5), 99: (None, 7)})
    assert games_in_the_tables(world) == [17, 18, 19]
    problem = "table players has an invalid row (id 99, name 'lee'): shots must be a 64-bit integer (got NULL)"
    assert f"{problem}: correct it; until then no game is added to this row" in finish.log
    check = finish.checks["players2.adds_the_game"]
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.WARN)
    assert table_rows(check.metadata["left_out"]) == [(99, problem)], "player 11 has not shot"
    assert finish.checks["teams2.adds_the_game"].passed

    world.sql("UPDATE players SET shots = 7 WHERE id = 99")
    assert str(world.tick()).startswith("the final tables lack the games of 1 invalid rows: see the checks")
    monkeypatch.setattr(automation, "COOLDOWN", timedelta(0))
    assert world.tick_and_run().success
    assert stored_tables(world)[1][99] == players[99]
    assert "0 live and 3 final games are up to date" in str(world.tick())


# Late runs.


def test_a_late_run_replaces_no_newer_box_score_and_holds_up_no_other_game(day: Day) -> None:
    start(day)
    newer = day.documents()
    store = day.document_store()
    stored = {**newer[17], "game_id": 17}
    del stored["_id"]
    late = {
        **stored,
        "event": 5,
        "stream": {**stored["stream"], "etag": "old", "last_modified": datetime(2026, 1, 1, tzinfo=None).astimezone()},
    }
    other = {**late, "game_id": 99}

    results = store.save([late, other], {17: {5: "f"}, 99: {5: "f"}}, latest=dict)

    assert results[17] is None
    assert results[99]
    assert results[99].current
    assert day.documents()[17] == newer[17]


def test_dates_from_a_clock_that_was_ahead_delay_no_game(day: Day) -> None:
    """The object store's clock was ahead so far, and has been set right."""
    start(day)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with day.games() as games:
        games.update_many({}, {"$set": {"stream.fetched_at": ahead, "stream.last_modified": ahead}})
    for game in SCHEDULE:
        day.put(game, *ENDED[game])

    assert [run.success for run in day.run_until_idle()] == [True, True]

    assert stored_tables(day.world) == expected_tables(*SCHEDULE)


def test_which_streams_there_are_is_asked_once_for_all_games(day: Day) -> None:
    start(day)
    store, ahead = day.document_store(), datetime.now(UTC) + timedelta(hours=1)
    boxes = [
        {**{name: value for name, value in each.items() if name != "_id"}, "game_id": game, "event": 9}
        for game, each in day.documents().items()
    ]
    with day.games() as games:
        games.update_many({}, {"$set": {"stream.last_modified": ahead}})
    asked: list[None] = []

    def latest() -> dict[int, StreamVersion]:
        asked.append(None)
        return {box["game_id"]: version for box in boxes if (version := StreamVersion.from_document(box))}

    results = store.save(boxes, {box["game_id"]: {9: "f"} for box in boxes}, latest)

    assert all(result and result.current for result in results.values())
    assert len(asked) == 1, "a listing of a thousand objects for each of a thousand games takes minutes"


OTHERS: list[dict[str, Any]] = [
    {"_id": "notes", "text": "hello"},
    {"_id": "18", "event": 3, "final": True, "home": {"score": 1, "players": []}, "away": {"score": 2, "players": []}},
    {"_id": 17, "text": "mine"},
    {"_id": 98, "event": 1, "final": True, "stream": {"etag": "x", "last_modified": datetime(2026, 3, 7, tzinfo=UTC)}},
    {"_id": 97, "home": "syracuse", "away": "albany", "event": 7, "final": True},
    {"_id": -5, "event": 1, "final": True, "stream": {"etag": "x"}},
]


def test_documents_of_others_are_left_alone(day: Day) -> None:
    with day.games() as games:
        games.insert_many([{**other} for other in OTHERS])
    for game, lines in ENDED.items():
        day.put(game, *lines)
    request = day.world.tick()
    assert isinstance(request, RunRequest)

    run = day.world.launch(request)

    assert run.success
    documents = day.documents()
    assert set(documents) == {other["_id"] for other in OTHERS} | {18, 19}
    assert [documents[other["_id"]] for other in OTHERS] == OTHERS
    assert [line for line in run.log if "no box score for games 17" in line]
    assert day.world.materialize("teams2", "players2").success
    assert stored_tables(day.world) == expected_tables(18, 19)
    assert games_in_the_tables(day.world) == [18, 19]
