"""The checks of `boxscore_doc`: the gate `game_over`, and `is_fresh` (docs/contract.md, section 5).

A check alone cannot guard the final tables: they may be materialized by themselves or without checks, and a stored
result may be of another version of the stream. So the rule is in `gate` (`assets/final.py`), which the final tables
call before they write. The check `game_over` shows its result, and stops a run that selects the final tables.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    multi_asset_check,
)

from lacrosse_assets.assets.boxscore_doc import box_metadata
from lacrosse_assets.assets.common import RETRIES
from lacrosse_assets.assets.day import FINAL, GameStatus, day_metadata, in_words, statuses
from lacrosse_assets.assets.final import FINAL_ASSETS, Gate, gate
from lacrosse_assets.game.document import score_line
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.object_store import ObjectStore
from lacrosse_assets.resources.reference_db import ReferenceDatabase
from lacrosse_assets.resources.schedule import GameSchedule

BOXSCORE_DOC = AssetKey("boxscore_doc")
GAME_OVER = "game_over"
IS_FRESH = "is_fresh"

# A box score takes a second or two. After this time without one, it is reported as stale.
STALE_AFTER = timedelta(seconds=30)


@multi_asset_check(
    name="boxscore_checks",
    specs=[
        AssetCheckSpec(
            IS_FRESH,
            asset=BOXSCORE_DOC,
            description=f"The box score is at most {STALE_AFTER.total_seconds():.0f} s behind the stream. "
            "If no run reaches this check, gamestream_sensor reports its result.",
        ),
        AssetCheckSpec(
            GAME_OVER,
            asset=BOXSCORE_DOC,
            blocking=True,
            description="The game is over: the stream has the terminator, or its clock is at 00:00. "
            "Gates teams2 and players2.",
        ),
    ],
    can_subset=True,
    retry_policy=RETRIES,
)
def boxscore_checks(
    context: AssetCheckExecutionContext,
    documents: DocumentStore,
    object_store: ObjectStore,
    reference_db: ReferenceDatabase,
    schedule: GameSchedule,
) -> Iterator[AssetCheckResult]:
    """Both checks in one step: on a game day, box scores and streams are many, and each is read once."""
    versions, boxes = object_store.versions(), documents.summaries()
    games = statuses(schedule.read(reference_db), versions, boxes)
    selected = {key.name for key in context.selected_asset_check_keys}
    if IS_FRESH in selected:
        yield _is_fresh(games, isolates_games=schedule.isolates_games)
    # The blocking check is the last one: Dagster ends the step when it fails.
    if GAME_OVER in selected:
        decided = gate(boxes, versions, schedule)
        # In a live run 'not over yet' is expected: a warning. A run that selects the final tables is stopped: an error.
        selects_final = not FINAL_ASSETS.isdisjoint(context.job_def.asset_layer.selected_asset_keys)
        if decided.refusal and selects_final:
            context.log.error(f"teams2 and players2 are not written: {decided.refusal}")
        severity = AssetCheckSeverity.ERROR if decided.refusal and selects_final else AssetCheckSeverity.WARN
        yield _day_is_over(decided, games, severity) if schedule.isolates_games else _game_is_over(decided, severity)


def _game_is_over(decided: Gate, severity: AssetCheckSeverity) -> AssetCheckResult:
    box = decided.boxes[0] if decided.boxes else None
    return AssetCheckResult(
        asset_key=BOXSCORE_DOC,
        check_name=GAME_OVER,
        passed=decided.refusal is None,
        severity=severity,
        description=decided.refusal or f"final: {score_line(box or {})}",
        metadata={}
        if box is None
        else {
            "score": score_line(box),
            "clock": box["timestamp"],
            "event": box["event"],
            **box_metadata(box),
        },
    )


def _day_is_over(decided: Gate, games: Sequence[GameStatus], severity: AssetCheckSeverity) -> AssetCheckResult:
    return AssetCheckResult(
        asset_key=BOXSCORE_DOC,
        check_name=GAME_OVER,
        passed=all(game.status == FINAL for game in games if game.version) and not decided.refusal,
        severity=severity,
        description=in_words(games),
        metadata=day_metadata(games, datetime.now(UTC)),
    )


def _is_fresh(games: Sequence[GameStatus], *, isolates_games: bool) -> AssetCheckResult:
    # On a game day, streams may be there long before their first event. The sensor knows which have one.
    behind = [game for game in games if not game.is_current and (game.box or not isolates_games)]
    if not behind:
        return AssetCheckResult(
            asset_key=BOXSCORE_DOC,
            check_name=IS_FRESH,
            passed=True,
            description="the box score is of the current stream",
        )
    now = datetime.now(UTC)
    # One by an unknown time first: its age is negative.
    last = max(behind, key=lambda game: (game.behind(now) < timedelta(0), game.behind(now)))
    age = last.behind(now)
    name = f" of game {last.game.game_id}" if isolates_games else ""
    return AssetCheckResult(
        asset_key=BOXSCORE_DOC,
        check_name=IS_FRESH,
        passed=timedelta(0) <= age < STALE_AFTER,
        severity=AssetCheckSeverity.WARN,
        description=f"the stream{name} has been newer than the box score for {age.total_seconds():.0f} s"
        if age >= timedelta(0)
        else f"the stream{name} is newer than the box score, by an unknown time: its LastModified is "
        f"{-age.total_seconds():.0f} s ahead of the object store's clock",
        metadata={"seconds_behind": age.total_seconds(), "games_behind": len(behind), **last.version_metadata()},
    )
