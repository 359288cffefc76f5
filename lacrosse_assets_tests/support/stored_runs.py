"""A run in a Dagster instance, and what the instance has stored of it: for the tests of Dagster's pooled storages."""

from dagster import AssetKey, DagsterInstance, asset, materialize


@asset
def goal() -> int:
    return 1


def materialized(instance: DagsterInstance) -> str:
    """Materialize `goal`. Returns the id of the run."""
    result = materialize([goal], instance=instance)
    assert result.success
    return result.run_id


def seen(instance: DagsterInstance, run_id: str) -> tuple[str, set[str], str]:
    """What an instance has recorded: the run's status and events, and the run of the latest materialization."""
    run = instance.get_run_by_id(run_id)
    made = instance.get_latest_materialization_event(AssetKey("goal"))
    assert run
    assert made
    events = {e.get_dagster_event().event_type_value for e in instance.all_logs(run_id) if e.is_dagster_event}
    return run.status.value, events, made.run_id
