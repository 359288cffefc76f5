"""The live assets: from the streams and the reference tables to box score documents.

docs/contract.md, sections 5 and 10. A run takes one game or many: frames carry the game, and one game is one row of it.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetIn,
    Config,
    DataVersion,
    Failure,
    MaterializeResult,
    MetadataValue,
    PythonObjectDagsterType,
    asset,
)
from pydantic import Field
from pyspark.sql.pandas.types import to_arrow_schema

from lacrosse_assets.assets.common import (
    MAX_CELL_CHARACTERS,
    MAX_TABLE_ROWS,
    MAX_WARNINGS,
    OWNERS,
    RETRIES,
    table_metadata,
    table_schema,
    warn_of_each,
)
from lacrosse_assets.assets.lineage import ROSTER_LINEAGE, STATISTICS_LINEAGE
from lacrosse_assets.assets.sources import GAMESTREAM, PLAYERS_TABLE, TEAMS_TABLE
from lacrosse_assets.game.boxscore import box_scores
from lacrosse_assets.game.clock import EventClock, event_clocks
from lacrosse_assets.game.document import Document, score_line
from lacrosse_assets.game.plays import plays
from lacrosse_assets.game.roster import RosterError, Rosters
from lacrosse_assets.game.schedule import Game, Schedule
from lacrosse_assets.game.statistics import (
    AWAY,
    EVENT_CLOCKS,
    HOME,
    PLAYER_GAME_STATS,
    ROSTER,
    STATISTICS,
    is_unrostered,
    statistics_at,
    tallies,
)
from lacrosse_assets.game.statistics import player_game_stats as statistics
from lacrosse_assets.game.stream import (
    EVENTS,
    LINES,
    VERSION,
    Line,
    Verdict,
    other_encoding,
    read_lines,
    truncate,
    version_columns,
)
from lacrosse_assets.game.timeline import FINGERPRINT_COLUMNS, fingerprints
from lacrosse_assets.resources.documents import DocumentStore, WriteResult, box_score_key
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.frames import arrow_table, collected, spark_frame
from lacrosse_assets.resources.object_store import Fetched, ObjectStore, StreamObject, StreamVersion
from lacrosse_assets.resources.reference_db import ReferenceDatabase, Row
from lacrosse_assets.resources.schedule import GameSchedule
from lacrosse_assets.resources.spark import SparkResource

GROUP = "live"
FRAMES = "frames"
# The columns of a `LINES` that Spark counts shots by.
SHOT_COLUMNS = ["game_id", "verdict", "event_id", "team_id", "number", "goal"]
# Metadata of `raw_gamestream`: the key of the version that was fetched of each game's stream, by game id.
FETCHED = "versions"
# Metadata of `boxscore_doc`: the key of each game's box score, by game id.
BOX_SCORES = "box_scores"
# Metadata of `boxscore_doc`: the ids of the games that have no box score for want of a roster.
WITHOUT_ROSTER = "without_roster"
# The type of an asset that returns a frame. Without it, Dagster assumes that a `MaterializeResult` has no value.
FRAME = PythonObjectDagsterType(pa.Table, name="ArrowTable")


class Games(Config):
    """Which games a run processes. gamestream_sensor names those that have changed."""

    games: list[int] = Field([], description="Ids of the games to process. Without one: all games that have a stream.")


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"s3", "parquet"},
    deps=[GAMESTREAM],
    io_manager_key=FRAMES,
    dagster_type=FRAME,
    retry_policy=RETRIES,
    check_specs=[
        AssetCheckSpec(
            "stream_is_clean",
            asset="raw_gamestream",
            description="Every stream belongs to a game and can be read, and every line of it is valid.",
        )
    ],
    metadata={"dagster/column_schema": table_schema(LINES)},
    description="Every line of the game stream, with its verdict. Body and ETag come from one GET.",
)
def raw_gamestream(
    context: AssetExecutionContext,
    config: Games,
    object_store: ObjectStore,
    reference_db: ReferenceDatabase,
    schedule: GameSchedule,
) -> MaterializeResult:
    scheduled = schedule.read(reference_db)
    selected = _selected(scheduled, config)
    fetched = object_store.fetch([game.stream for game in selected])
    streams = {
        game: stream for game in selected if isinstance(stream := fetched.streams.get(game.stream), StreamObject)
    }
    problems = list(_stream_problems(scheduled, config, fetched, object_store))
    if not schedule.isolates_games:
        if failure := next((each for each in fetched.streams.values() if isinstance(each, Failure)), None):
            raise failure
        if not streams:
            raise Failure(
                f"there is no {object_store.uri} yet: start the game (python -m lacrosse_assets.gamestream)",
                allow_retries=False,
            )
    for game, stream in streams.items():
        if encoding := other_encoding(stream.body):
            # Reported here as well: such a stream may be one line without a line end, which is never invalid.
            context.log.warning(
                f"{object_store.uri_of(game.stream)} seems to be {encoding}: the producer must write UTF-8 text"
            )
    verdicts: Counter[str] = Counter()
    first_invalid: list[tuple[Game, Line]] = []

    def rows() -> Iterator[Row]:
        for game, stream in streams.items():
            version = version_columns(stream.version.etag, stream.version.last_modified, stream.fetched_at)
            for line in read_lines(stream.body, game.home, game.away):
                verdicts[line.verdict] += 1
                if line.verdict == Verdict.INVALID and len(first_invalid) < MAX_TABLE_ROWS:
                    first_invalid.append((game, line))
                yield {"game_id": game.game_id, **line._asdict(), **version}

    lines = arrow_table(rows(), LINES)
    invalid = verdicts[Verdict.INVALID]
    invalid_lines = table_metadata(
        "invalid_lines",
        [{"game": game.game_id, **line._asdict()} for game, line in first_invalid],
        [*(["game"] if schedule.isolates_games else []), "line", "reason", "text"],
        invalid,
        schema=LINES,
    )
    warn_of_each(
        context.log,
        (
            f"{object_store.uri_of(game.stream)} line {each.line} is invalid: {each.reason}: {each.text!r}"
            for game, each in first_invalid
        ),
        invalid,
    )
    _warn_of_problems(context, problems)
    found = [
        *([_count(invalid, "invalid line")] if invalid else []),
        *([_count(len(problems), "problem")] if problems else []),
    ]
    reported = {
        **(invalid_lines if invalid else {}),
        **(_problem_metadata(problems) if problems else {}),
    }
    versions = {game.game_id: stream.version for game, stream in streams.items()}
    unreadable = {
        game.game_id: fetched.versions[game.stream]
        for game in selected
        if isinstance(error := fetched.streams.get(game.stream), Failure) and not isinstance(error, StoreError)
    }
    return MaterializeResult(
        value=lines,
        data_version=DataVersion(_data_version(versions)),
        check_results=[
            AssetCheckResult(
                check_name="stream_is_clean",
                passed=not found,
                severity=AssetCheckSeverity.WARN,
                description=" and ".join(found) or "every line is valid",
                metadata=reported,
            )
        ],
        metadata={
            **(next(iter(versions.values())).to_metadata() if len(versions) == 1 else {}),
            FETCHED: {str(game): version.key for game, version in (versions | unreadable).items()},
            "object": object_store.uri,
            "bytes": sum(version.size or 0 for version in versions.values()),
            "lines": {verdict.value: verdicts[verdict] for verdict in Verdict if verdicts[verdict]},
            **reported,
        },
    )


def _selected(schedule: Schedule, config: Games) -> list[Game]:
    """The games that the run processes, in the order of their ids."""
    wanted = config.games or schedule.games
    return [game for game_id, game in schedule.games.items() if game_id in wanted]


def _stream_problems(
    schedule: Schedule, config: Games, fetched: Fetched, object_store: ObjectStore
) -> Iterator[tuple[int | None, str]]:
    """What keeps streams from being read, each with the id of its game, if it has one."""
    yield from ((None, problem) for problem in schedule.problems)
    by_stream = schedule.by_stream
    for key in sorted(fetched.versions.keys() - by_stream.keys()):
        yield None, f"{object_store.uri_of(key)} belongs to no game: add it to table games, or remove the object"
    for game_id in config.games:
        game = schedule.games.get(game_id)
        if game_id in schedule.ended:
            yield game_id, "its stream is that of a later game by now; its document stays as it is"
        elif game is None:
            yield game_id, "the game is not scheduled: table games has no valid row with this id"
        elif game.stream not in fetched.streams:
            yield game_id, f"there is no {object_store.uri_of(game.stream)} yet"
    for key, stream in fetched.streams.items():
        if isinstance(stream, Failure):
            yield by_stream[key], str(stream.description)


def _data_version(versions: Mapping[int, StreamVersion]) -> str:
    """The ETag of one stream; of several, a hash of theirs."""
    if len(versions) == 1:
        return next(iter(versions.values())).etag
    text = " ".join(f"{game} {version.etag}" for game, version in sorted(versions.items()))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"sqlalchemy", "parquet"},
    deps=[TEAMS_TABLE, PLAYERS_TABLE],
    io_manager_key=FRAMES,
    dagster_type=FRAME,
    retry_policy=RETRIES,
    check_specs=[
        AssetCheckSpec(
            "rosters_are_complete",
            asset="roster",
            description="Both teams of every game are in teams, and their rows are valid.",
        )
    ],
    metadata={"dagster/column_schema": table_schema(ROSTER)},
    description="The players of both teams of each game, each with the team's record before the game.",
)
def roster(
    context: AssetExecutionContext, config: Games, reference_db: ReferenceDatabase, schedule: GameSchedule
) -> MaterializeResult:
    selected = _selected(schedule.read(reference_db), config)
    rosters = Rosters(*reference_db.read())
    rows: list[Row] = []
    problems: list[tuple[int | None, str]] = []
    for game in selected:
        try:
            rows += rosters.rows(game)
        except RosterError as error:
            if not schedule.isolates_games:
                raise Failure(str(error), allow_retries=False) from None
            problems.append((game.game_id, str(error)))
    _warn_of_problems(context, problems)
    of_game = ["game_id"] if schedule.isolates_games else []
    teams = list({(row["game_id"], row["side"]): row for row in rows}.values())
    return MaterializeResult(
        value=arrow_table(rows, ROSTER),
        check_results=[
            AssetCheckResult(
                check_name="rosters_are_complete",
                passed=not problems,
                severity=AssetCheckSeverity.WARN,
                description=f"{_count(len(problems), 'game')} without a roster"
                if problems
                else "every game has a roster",
                metadata=_problem_metadata(problems) if problems else {},
            )
        ],
        metadata={
            "dagster/column_lineage": ROSTER_LINEAGE,
            **table_metadata(
                "teams", teams, [*of_game, "side", "team_name", "conference", "wins", "losses"], schema=ROSTER
            ),
            **table_metadata("players", rows, [*of_game, "side", "player_id", "name", "number"], schema=ROSTER),
            **(_problem_metadata(problems) if problems else {}),
        },
    )


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pyspark", "parquet"},
    io_manager_key=FRAMES,
    dagster_type=FRAME,
    retry_policy=RETRIES,
    metadata={"dagster/column_schema": table_schema(PLAYER_GAME_STATS)},
    check_specs=[
        AssetCheckSpec(
            "shooters_are_rostered",
            asset="player_game_stats",
            description="Every shot is by a rostered jersey: exactly one player of the team wears it.",
        ),
        AssetCheckSpec(
            "goals_add_up",
            asset="player_game_stats",
            description="Each team's score equals the goals of its players and its unrostered jerseys.",
        ),
    ],
    description="Shots, goals and percentage of every player in this game, as of the latest event.",
)
def player_game_stats(
    context: AssetExecutionContext,
    raw_gamestream: pa.Table,
    roster: pa.Table,
    schedule: GameSchedule,
    spark: SparkResource,
) -> MaterializeResult:
    lines = game_lines(raw_gamestream)
    with spark.session() as session:
        shots = spark_frame(session, lines.select(SHOT_COLUMNS))
        counted = collected(tallies(shots, games=len(lines["game_id"].unique())))
    clocks = _event_clocks(lines)
    latest = {game: events[-1] if events else None for game, events in clocks.items()}
    rows = statistics(counted, roster.to_pylist(), latest)
    stats = _with_versions(arrow_table(rows, STATISTICS), raw_gamestream)
    unrostered = stats.filter(pc.field("player_id").is_null() & pc.field("number").is_valid())
    first_unrostered = unrostered.slice(0, MAX_TABLE_ROWS).to_pylist()
    warn_of_each(
        context.log,
        (
            f"unrostered jersey {truncate(row['number'], MAX_CELL_CHARACTERS)!r} of "
            f"{truncate(str(row['team_name']), MAX_CELL_CHARACTERS)}"
            + (f" in game {row['game_id']}" if schedule.isolates_games else "")
            + f": {_count(row['shots'], 'shot')} and "
            f"{_count(row['goals'], 'goal')} count for the team and for no player. "
            "Correct players.number if exactly one player wears this jersey"
            for row in first_unrostered
        ),
        len(unrostered),
    )
    columns = [
        *(["game_id"] if schedule.isolates_games else []),
        *("team_name", "number", "name", "shots", "goals", "pct"),
    ]
    best = stats.sort_by([("goals", "descending"), ("shots", "descending")]).slice(0, MAX_TABLE_ROWS).to_pylist()
    return MaterializeResult(
        value=stats,
        check_results=[
            AssetCheckResult(
                check_name="shooters_are_rostered",
                passed=not unrostered,
                severity=AssetCheckSeverity.WARN,
                description=_count(len(unrostered), "unrostered jersey") if unrostered else "all jerseys are rostered",
                metadata=table_metadata(
                    "unrostered", first_unrostered, columns, len(unrostered), schema=PLAYER_GAME_STATS
                )
                if unrostered
                else {},
            ),
            _goals_add_up(stats),
        ],
        metadata={
            "dagster/column_lineage": STATISTICS_LINEAGE,
            **table_metadata("players", best, columns, len(stats), schema=PLAYER_GAME_STATS),
        },
    )


def game_lines(lines: pa.Table) -> pa.Table:
    """The lines of a `LINES` that count: events and the terminator. There may be any number of other lines."""
    return lines.filter(pc.field("verdict").isin([*EVENTS, Verdict.TERMINATOR]))


def _with_versions(counted: pa.Table, lines: pa.Table) -> pa.Table:
    """A `STATISTICS` as a `PLAYER_GAME_STATS`: with the version of the stream that each game's lines are of."""
    versions = _versions(lines)
    row = pc.index_in(counted["game_id"], versions["game_id"])
    for column in VERSION:
        counted = counted.append_column(column, versions[column].take(row))
    return counted.cast(to_arrow_schema(PLAYER_GAME_STATS))


def _versions(frame: pa.Table) -> pa.Table:
    """The version that each game's rows are of, with the columns `game_id` and `VERSION`."""
    versions = frame.group_by("game_id").aggregate([(column, "max") for column in VERSION])
    return versions.select(["game_id", *(f"{column}_max" for column in VERSION)]).rename_columns(["game_id", *VERSION])


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pyspark", "mongodb"},
    retry_policy=RETRIES,
    ins={name: AssetIn(input_manager_key=FRAMES) for name in ("player_game_stats", "raw_gamestream")},
    description="The box scores, in database `sidearm`: one document has all that a web page needs.",
)
def boxscore_doc(
    context: AssetExecutionContext,
    player_game_stats: pa.Table,
    raw_gamestream: pa.Table,
    documents: DocumentStore,
    object_store: ObjectStore,
    reference_db: ReferenceDatabase,
    schedule: GameSchedule,
    spark: SparkResource,
) -> MaterializeResult:
    lines = game_lines(raw_gamestream)
    lines_of = _by_game(lines.select(["game_id", *FINGERPRINT_COLUMNS]).to_pylist())
    stats = player_game_stats.to_pylist()
    rosters = _by_game(_roster(stats))
    scheduled = schedule.read(reference_db)
    timelines = {
        game: timeline
        for game in sorted(rosters.keys() & lines_of.keys() & scheduled.games.keys())
        if (timeline := fingerprints(lines_of[game], rosters[game]))
    }
    without_roster = sorted(lines_of.keys() - rosters.keys())
    lacking = {WITHOUT_ROSTER: without_roster} if without_roster else {}
    if not timelines:
        why = "no game has a roster" if without_roster else "the stream has no event yet"
        context.log.info(f"no document: {why}")
        return MaterializeResult(metadata={"document": f"none: {why}", **lacking})
    # The statistics are those of each game's latest event. (If only one of the two assets was materialized, they may
    # be of another version of the stream than the lines; then they are not used.)
    latest = {game: max(timeline) for game, timeline in timelines.items()}
    versions = {each["game_id"]: each for each in _versions(raw_gamestream).to_pylist()}
    is_current = {
        game for each in _versions(player_game_stats).to_pylist() if versions.get(game := each["game_id"]) == each
    }
    asked_for = documents.missing(timelines)
    for game in timelines.keys() - is_current:
        asked_for[game].add(latest[game])
    rows = [row for row in stats if row["game_id"] in timelines.keys() & is_current]
    if any(asked_for.values()):
        rows += _statistics_at(asked_for, lines, rosters, spark)
    boxes = [{**box, "fingerprint": timelines[box["game_id"]][box["event"]]} for box in box_scores(rows)]
    current = [box for box in boxes if box["event"] == latest[box["game_id"]]]
    for box in current:
        game = scheduled.games[box["game_id"]]
        box.update(day=game.day, plays=plays(lines_of[game.game_id], game.home))
    written = documents.save(
        boxes, timelines, latest=lambda game: object_store.versions().get(scheduled.games[game].stream)
    )
    warn_of_each(
        context.log,
        (
            f"a newer box score is stored already; this one is not written: {score_line(box)}"
            for box in current
            if written[box["game_id"]] is None
        ),
        sum(result is None for result in written.values()),
    )
    blocked = [document_id for result in written.values() if result for document_id in result.blocked]
    if blocked:
        context.log.warning(
            f"no box score for {documents.id_is} {', '.join(map(str, blocked[:MAX_WARNINGS]))}: other documents have "
            "these values of _id. Move those documents out of the collection"
        )
    return MaterializeResult(
        metadata={
            **(_games_metadata(current, written) if schedule.isolates_games else _game_metadata(current[0], written)),
            **({"documents_blocked": blocked[:MAX_TABLE_ROWS]} if blocked else {}),
            BOX_SCORES: {str(box["game_id"]): box_score_key(box) for box in current},
            **lacking,
        }
    )


def _by_game(rows: Collection[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row["game_id"], []).append(row)
    return found


def _roster(stats: Sequence[Row]) -> list[Row]:
    """The `ROSTER` rows that a `PLAYER_GAME_STATS` was made with. The stored roster may be another by now."""
    return [{column: row[column] for column in ROSTER.fieldNames()} for row in stats if not is_unrostered(row)]


def _statistics_at(
    asked_for: Mapping[int, set[int]], lines: pa.Table, rosters: Mapping[int, list[Row]], spark: SparkResource
) -> list[Row]:
    """The rows of a `PLAYER_GAME_STATS` of each event that is asked for, by game."""
    games = [game for game, events in asked_for.items() if events]
    lines = lines.filter(pc.field("game_id").isin(games))
    clocks = (
        {"game_id": game, **event._asdict()}
        for game, events in _event_clocks(lines).items()
        for event in events
        if event.event_id in asked_for[game]
    )
    roster = (row for game in games for row in rosters[game])
    with spark.session() as session:
        found = list(
            statistics_at(
                spark_frame(session, lines.select(SHOT_COLUMNS)),
                spark_frame(session, arrow_table(roster, ROSTER)),
                spark_frame(session, arrow_table(clocks, EVENT_CLOCKS)),
                games=len(games),
            )
        )
    rows: list[Row] = _with_versions(arrow_table(found, STATISTICS), lines).to_pylist()
    return rows


def _event_clocks(lines: pa.Table) -> dict[int, list[EventClock]]:
    """The events of each game with their clocks, from a `LINES`."""
    return {
        game: event_clocks(of_game)
        for game, of_game in _by_game(lines.select(["game_id", "verdict", "event_id", "clock"]).to_pylist()).items()
    }


def _game_metadata(box: Document, written: Mapping[int, WriteResult | None]) -> dict[str, Any]:
    """What the one game's run reports."""
    result = written[box["game_id"]]
    players = [{"team": side["name"], **player} for side in (box[HOME], box[AWAY]) for player in side["players"]]
    return {
        "score": score_line(box),
        # Numbers: the Dagster UI plots them over time.
        "home_score": box[HOME]["score"],
        "away_score": box[AWAY]["score"],
        "event": box["event"],
        "clock": box["timestamp"],
        "final": box["final"],
        "document": _outcome(result),
        **({"documents_backfilled": result.backfilled, "documents_removed": result.removed} if result else {}),
        **box_metadata(box),
        **table_metadata("players", players, ["team", "id", "name", "number", "shots", "goals", "pct"]),
    }


def _games_metadata(boxes: Sequence[Document], written: Mapping[int, WriteResult | None]) -> dict[str, Any]:
    """What the run of a game day reports: a row for each game of the run."""
    rows = [
        {
            "game": box["game_id"],
            "score": score_line(box),
            "final": "final" if box["final"] else "live",
            "document": _outcome(written[box["game_id"]]),
        }
        for box in boxes
    ]
    return {
        "games": len(boxes),
        "documents_written": sum(bool(result and result.current) for result in written.values()),
        **table_metadata("scores", rows, ["game", "score", "final", "document"]),
    }


def _outcome(result: WriteResult | None) -> str:
    if result is None:
        return "not written: a newer one is stored already"
    return "written" if result.current else "unchanged"


def _goals_add_up(stats: pa.Table) -> AssetCheckResult:
    # By side, not by name: two teams may have the same name.
    sums = stats.group_by(["game_id", "side"]).aggregate([("score", "max"), ("goals", "sum")]).to_pylist()
    wrong = {each["game_id"] for each in sums if each["score_max"] != each["goals_sum"]}
    shown = sorted(
        (each for each in sums if each["game_id"] in wrong or not wrong),
        key=lambda each: (each["game_id"], each["side"]),
    )[:MAX_TABLE_ROWS]
    is_one_game = len({each["game_id"] for each in sums}) == 1

    def named(value: str) -> dict[str, int]:
        return {each["side"] if is_one_game else f"{each['game_id']} {each['side']}": each[value] for each in shown}

    return AssetCheckResult(
        check_name="goals_add_up",
        passed=not wrong,
        metadata={"scores": named("score_max"), "goals": named("goals_sum")},
    )


def box_metadata(box: Document) -> dict[str, Any]:
    """The metadata that identifies a box score: the version of the stream, and the fingerprint.

    The version is not enough: after the roster was corrected, the box score of the same stream is another one.
    """
    version = StreamVersion.from_document(box)
    return {**(version.to_metadata() if version else {}), "fingerprint": box.get("fingerprint", "")}


def _warn_of_problems(context: AssetExecutionContext, problems: Sequence[tuple[int | None, str]]) -> None:
    warn_of_each(
        context.log,
        (text if game is None else f"game {game}: {text}" for game, text in problems[:MAX_TABLE_ROWS]),
        len(problems),
    )


def _problem_metadata(problems: Sequence[tuple[int | None, str]]) -> dict[str, MetadataValue[Any]]:
    rows = [{"game": game, "problem": text} for game, text in problems]
    return table_metadata("problems", rows, ["game", "problem"])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


live_assets = [raw_gamestream, roster, player_game_stats, boxscore_doc]
