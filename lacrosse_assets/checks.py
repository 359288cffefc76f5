"""The checks of `boxscore_doc`: the gate `game_over`, and `is_fresh` (docs/contract.md, section 5).

A check alone cannot guard the final tables: they may be materialized by themselves or without checks, and a stored
result may be of another version of the stream. So the rule is in `current_final` (`assets/final.py`), which the final
tables call before they write. The check `game_over` shows its result, and stops a run that selects the final tables.
"""

from datetime import UTC, datetime, timedelta

from dagster import AssetCheckExecutionContext, AssetCheckResult, AssetCheckSeverity, AssetKey, asset_check

from lacrosse_assets.assets.common import RETRIES
from lacrosse_assets.assets.final import FINAL_ASSETS, current_final
from lacrosse_assets.assets.live import box_metadata
from lacrosse_assets.game.document import score_line
from lacrosse_assets.resources.documents import DocumentStore
from lacrosse_assets.resources.object_store import ObjectStore, StreamVersion

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
    context: AssetCheckExecutionContext, documents: DocumentStore, object_store: ObjectStore
) -> AssetCheckResult:
    final = current_final(documents, object_store)
    box = final.document
    # In a live run 'not over yet' is expected: a warning. A run that selects the final tables is stopped: an error.
    selects_final = not FINAL_ASSETS.isdisjoint(context.job_def.asset_layer.selected_asset_keys)
    if final.refusal and selects_final:
        context.log.error(f"teams2 and players2 are not written: {final.refusal}")
    return AssetCheckResult(
        passed=final.refusal is None,
        severity=AssetCheckSeverity.ERROR if selects_final else AssetCheckSeverity.WARN,
        description=final.refusal or f"final: {score_line(final.document or {})}",
        metadata={}
        if box is None
        else {
            "score": score_line(box),
            "clock": box["timestamp"],
            "event": box["_id"],
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
def is_fresh(documents: DocumentStore, object_store: ObjectStore) -> AssetCheckResult:
    box, version = documents.current(), object_store.head()
    if version is None or (box and StreamVersion.from_document(box) == version):
        return AssetCheckResult(passed=True, description="the box score is of the current stream")
    age = version.age(datetime.now(UTC))
    return AssetCheckResult(
        passed=timedelta(0) <= age < STALE_AFTER,
        severity=AssetCheckSeverity.WARN,
        description=f"the stream has been newer than the box score for {age.total_seconds():.0f} s"
        if age >= timedelta(0)
        else "the stream is newer than the box score, by an unknown time: its LastModified is "
        f"{-age.total_seconds():.0f} s ahead of the object store's clock",
        metadata={"seconds_behind": age.total_seconds(), **version.to_metadata()},
    )
