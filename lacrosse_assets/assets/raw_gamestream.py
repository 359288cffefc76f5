"""The asset `raw_gamestream`: the lines of the streams, each with its verdict (docs/contract.md, sections 1 and 5)."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    DataVersion,
    Failure,
    MaterializeResult,
    MetadataValue,
    asset,
)

from lacrosse_assets.assets.common import (
    FRAME,
    FRAMES,
    LIVE,
    MAX_TABLE_ROWS,
    OWNERS,
    RETRIES,
    table_metadata,
    table_schema,
    warn_of_each,
)
from lacrosse_assets.assets.games import Games, Problem, count, problem_metadata, schedule_problems, warn_of_problems
from lacrosse_assets.assets.sources import GAMESTREAM
from lacrosse_assets.game.schedule import Game, Schedule
from lacrosse_assets.game.stream import LINES, Line, Verdict, other_encoding, read_lines, version_columns
from lacrosse_assets.resources.errors import StoreError
from lacrosse_assets.resources.frames import arrow_table
from lacrosse_assets.resources.object_store import Fetched, ObjectStore, StreamObject, StreamVersion
from lacrosse_assets.resources.reference_db import ReferenceDatabase, Row
from lacrosse_assets.resources.schedule import GameSchedule

# Metadata: the key of the version that was fetched of each game's stream, by game id.
FETCHED = "versions"


@asset(
    group_name=LIVE,
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
    selected = config.of(scheduled)
    fetched = object_store.fetch([game.stream for game in selected])
    if not schedule.isolates_games:
        _require_stream(fetched, object_store)
    streams = {
        game: stream for game in selected if isinstance(stream := fetched.streams.get(game.stream), StreamObject)
    }
    read = _read(streams)
    problems = list(_problems(scheduled, config, fetched, object_store))
    _warn_of_encodings(context, streams, object_store)
    _warn_of_lines(context, read, object_store)
    warn_of_problems(context, problems)
    reported = {**read.invalid_metadata(["game"] if schedule.isolates_games else []), **problem_metadata(problems)}
    versions = {game.game_id: stream.version for game, stream in streams.items()}
    unreadable = {
        game.game_id: fetched.versions[game.stream]
        for game in selected
        if isinstance(error := fetched.streams.get(game.stream), Failure) and not isinstance(error, StoreError)
    }
    return MaterializeResult(
        value=read.lines,
        data_version=DataVersion(_data_version(versions)),
        check_results=[_stream_is_clean(read, problems, reported)],
        metadata={
            **(next(iter(versions.values())).to_metadata() if len(versions) == 1 else {}),
            FETCHED: {str(game): version.key for game, version in (versions | unreadable).items()},
            "object": object_store.uri,
            "bytes": sum(version.size or 0 for version in versions.values()),
            "lines": {verdict.value: read.verdicts[verdict] for verdict in Verdict if read.verdicts[verdict]},
            **reported,
        },
    )


def _stream_is_clean(
    read: "_Read", problems: Sequence[Problem], reported: Mapping[str, MetadataValue[Any]]
) -> AssetCheckResult:
    found = [
        *([count(read.invalid, "invalid line")] if read.invalid else []),
        *([count(len(problems), "problem")] if problems else []),
    ]
    return AssetCheckResult(
        check_name="stream_is_clean",
        passed=not found,
        severity=AssetCheckSeverity.WARN,
        description=" and ".join(found) or "every line is valid",
        metadata=reported,
    )


def _warn_of_encodings(
    context: AssetExecutionContext, streams: Mapping[Game, StreamObject], object_store: ObjectStore
) -> None:
    """Warn of each stream that is not UTF-8: it may be one line without a line end, which is never invalid."""
    for game, stream in streams.items():
        if encoding := other_encoding(stream.body):
            context.log.warning(
                f"{object_store.uri_of(game.stream)} seems to be {encoding}: the producer must write UTF-8 text"
            )


def _warn_of_lines(context: AssetExecutionContext, read: "_Read", object_store: ObjectStore) -> None:
    warn_of_each(
        context.log,
        (
            f"{object_store.uri_of(game.stream)} line {each.line} is invalid: {each.reason}: {each.text!r}"
            for game, each in read.first_invalid
        ),
        read.invalid,
    )


class _Read(NamedTuple):
    """The lines of the streams."""

    lines: pa.Table  # a LINES
    verdicts: Counter[str]
    first_invalid: list[tuple[Game, Line]]

    @property
    def invalid(self) -> int:
        return self.verdicts[Verdict.INVALID]

    def invalid_metadata(self, of_game: list[str]) -> dict[str, MetadataValue[Any]]:
        """The first invalid lines as a table; nothing if there are none."""
        if not self.invalid:
            return {}
        rows = [{"game": game.game_id, **line._asdict()} for game, line in self.first_invalid]
        columns = [*of_game, "line", "reason", "text"]
        return table_metadata("invalid_lines", rows, columns, self.invalid, schema=LINES)


def _read(streams: Mapping[Game, StreamObject]) -> _Read:
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

    return _Read(arrow_table(rows(), LINES), verdicts, first_invalid)


def _require_stream(fetched: Fetched, object_store: ObjectStore) -> None:
    """The one game's stream is there and can be read.

    Raises:
        Failure: it is not.
    """
    if failure := next((each for each in fetched.streams.values() if isinstance(each, Failure)), None):
        raise failure
    if not fetched.streams:
        raise Failure(
            f"there is no {object_store.uri} yet: start the game (python -m lacrosse_assets.gamestream)",
            allow_retries=False,
        )


def _problems(schedule: Schedule, config: Games, fetched: Fetched, object_store: ObjectStore) -> Iterator[Problem]:
    """What keeps streams from being read."""
    yield from ((None, problem) for problem in schedule_problems(schedule, fetched.versions, object_store))
    by_stream = schedule.by_stream
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
