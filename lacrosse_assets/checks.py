"""The gate. `game_over` is seen on `boxscore_doc`; what it lets through is decided by `current_final`, its one reader.

A check alone does not hold (a final asset may be materialized by itself, or without checks), and an old result of it is
not the truth about today's stream. So the check shows, and stops a run that goes on to the final tables; and the final
tables themselves take their document through `current_final` (`assets/final.py`).
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

# A box score takes a second or two. One that is this far behind the stream is not on its way any more.
STALE = timedelta(seconds=30)


@asset_check(
    name=GAME_OVER,
    asset=AssetKey("boxscore_doc"),
    blocking=True,
    retry_policy=RETRIES,
    description="The game is over: the terminator is there, or the clock stands at 00:00. Gates teams2 and players2.",
)
def game_over(
    context: AssetCheckExecutionContext, documents: DocumentStore, object_store: ObjectStore
) -> AssetCheckResult:
    final = current_final(documents, object_store)
    box = final.document
    # A live run goes no further than the box score, and 'not over yet' is what it expects. One that goes on to the
    # final tables is stopped here, and says what it does not do.
    goes_on = not FINAL_ASSETS.isdisjoint(context.job_def.asset_layer.selected_asset_keys)
    if final.refusal and goes_on:
        context.log.error(f"teams2 and players2 are not written: {final.refusal}")
    return AssetCheckResult(
        passed=final.refusal is None,
        severity=AssetCheckSeverity.ERROR if goes_on else AssetCheckSeverity.WARN,
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
    description="The box score is that of the stream as it is now, or of half a minute ago at most. "
    "gamestream_sensor reports it when no run gets that far.",
)
def is_fresh(documents: DocumentStore, object_store: ObjectStore) -> AssetCheckResult:
    box, version = documents.current(), object_store.head()
    if version is None or (box and StreamVersion.of_document(box) == version):
        return AssetCheckResult(passed=True, description="the box score is that of the stream as it is now")
    age = version.age(datetime.now(UTC))
    return AssetCheckResult(
        passed=timedelta(0) <= age < STALE,
        severity=AssetCheckSeverity.WARN,
        description=f"the stream has been newer than the box score for {age.total_seconds():.0f} s"
        if age >= timedelta(0)
        else "the stream is newer than the box score; for how long is unknown: its LastModified is "
        f"{-age.total_seconds():.0f} s ahead of the object store's clock",
        metadata={"seconds_behind": age.total_seconds(), **version.to_metadata()},
    )
