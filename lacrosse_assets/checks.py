"""The checks of `boxscore_doc`: the gate `game_over`, and `is_fresh` (docs/contract.md, section 5).

A check alone cannot guard the final tables: they may be materialized by themselves or without checks, and a stored
result may be of another version of the stream. So the rule is in `read_gate` (`assets/final.py`), which the final
tables call before they write. The check `game_over` shows its result, and stops a run that selects the final tables.
"""

from datetime import UTC, datetime, timedelta

from dagster import AssetCheckExecutionContext, AssetCheckResult, AssetCheckSeverity, AssetKey, asset_check

from lacrosse_assets.assets.common import RETRIES
from lacrosse_assets.assets.day import FINAL, day_metadata, in_words, statuses
from lacrosse_assets.assets.final import FINAL_ASSETS, read_gate
from lacrosse_assets.assets.live import box_metadata
from lacrosse_assets.game.document import score_line
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.object_store import ObjectStore
from lacrosse_assets.resources.reference_db import ReferenceDatabase
from lacrosse_assets.resources.schedule import GameSchedule

GAME_OVER = "game_over"
IS_FRESH = "is_fresh"

# A box score takes a second or two. After this time without one, it is reported as stale.
STALE_AFTER = timedelta(seconds=30)


@asset_check(
    name=GAME_OVER,
    asset=AssetKey("boxscore_doc"),
    blocking=True,
    retry_policy=RETRIES,
    description="The game is over: the stream has the terminator, or its clock is at 00:00. Gates teams2 and players2.",
)
def game_over(
    context: AssetCheckExecutionContext,
    documents: DocumentStore,
    object_store: ObjectStore,
    reference_db: ReferenceDatabase,
    schedule: GameSchedule,
) -> AssetCheckResult:
    gate = read_gate(documents, object_store, schedule)
    # In a live run 'not over yet' is expected: a warning. A run that selects the final tables is stopped: an error.
    selects_final = not FINAL_ASSETS.isdisjoint(context.job_def.asset_layer.selected_asset_keys)
    if gate.refusal and selects_final:
        context.log.error(f"teams2 and players2 are not written: {gate.refusal}")
    severity = AssetCheckSeverity.ERROR if gate.refusal and selects_final else AssetCheckSeverity.WARN
    if schedule.isolates_games:
        games = statuses(schedule.read(reference_db), object_store.versions(), gate.boxes)
        return AssetCheckResult(
            passed=all(game.status == FINAL for game in games if game.version) and not gate.refusal,
            severity=severity,
            description=in_words(games),
            metadata=day_metadata(games, datetime.now(UTC)),
        )
    box = gate.boxes[0] if gate.boxes else None
    return AssetCheckResult(
        passed=gate.refusal is None,
        severity=severity,
        description=gate.refusal or f"final: {score_line(box or {})}",
        metadata={}
        if box is None
        else {
            "score": score_line(box),
            "clock": box["timestamp"],
            "event": box["event"],
            **box_metadata(box),
        },
    )


@asset_check(
    name=IS_FRESH,
    asset=AssetKey("boxscore_doc"),
    retry_policy=RETRIES,
    description=f"The box score is at most {STALE_AFTER.total_seconds():.0f} s behind the stream. "
    "If no run reaches this check, gamestream_sensor reports its result.",
)
def is_fresh(
    documents: DocumentStore, object_store: ObjectStore, reference_db: ReferenceDatabase, schedule: GameSchedule
) -> AssetCheckResult:
    boxes, versions = documents.summaries(), object_store.versions()
    games = statuses(schedule.read(reference_db), versions, boxes)
    # On a game day, streams may be there long before their first event. The sensor knows which have one.
    behind = [game for game in games if not game.is_current and (game.box or not schedule.isolates_games)]
    if not behind:
        return AssetCheckResult(passed=True, description="the box score is of the current stream")
    now = datetime.now(UTC)
    # One by an unknown time first: its age is negative.
    last = max(behind, key=lambda game: (game.behind(now) < timedelta(0), game.behind(now)))
    age = last.behind(now)
    name = f" of game {last.game.game_id}" if schedule.isolates_games else ""
    return AssetCheckResult(
        passed=timedelta(0) <= age < STALE_AFTER,
        severity=AssetCheckSeverity.WARN,
        description=f"the stream{name} has been newer than the box score for {age.total_seconds():.0f} s"
        if age >= timedelta(0)
        else f"the stream{name} is newer than the box score, by an unknown time: its LastModified is "
        f"{-age.total_seconds():.0f} s ahead of the object store's clock",
        metadata={"seconds_behind": age.total_seconds(), "games_behind": len(behind), **last.version_metadata()},
    )
