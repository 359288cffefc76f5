"""The Dagster UI explains itself: every asset, check, job, column and sensor has a description."""

import logging
from typing import Any

import pytest
from dagster import AssetKey, Definitions

from lacrosse_assets_tests.support.world import ENDED, FINAL, LIVE, World

BOXSCORE_DOC = AssetKey("boxscore_doc")


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> Definitions:
    monkeypatch.setenv("LACROSSE_DEPLOYMENT", "mock")
    from lacrosse_assets.definitions import build_definitions
    from lacrosse_assets.settings import load_settings

    return build_definitions(load_settings())


def test_everything_has_a_description(definitions: Definitions) -> None:
    repository = definitions.get_repository_def()
    graph = repository.asset_graph
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    assert {node.group_name for node in nodes} == {"sources", "live", "final"}
    assert [node.key for node in nodes if not node.description] == []
    assert [key for key in graph.asset_check_keys if not graph.get_check_spec(key).description] == []
    parts: list[Any] = [*repository.get_all_jobs(), *repository.sensor_defs, *repository.schedule_defs]
    assert [part.name for part in parts if not part.description and not part.name.startswith("__")] == []


def test_every_column_has_a_description(definitions: Definitions) -> None:
    graph = definitions.get_repository_def().asset_graph
    # The stream is text, and the documents have no columns.
    without = {AssetKey(["minio", "gamestream"]), BOXSCORE_DOC}
    for key in graph.get_all_asset_keys() - without:
        schema: Any = graph.get(key).metadata["dagster/column_schema"]
        assert schema.columns
        assert [column.name for column in schema.columns if not column.description] == [], key


def test_every_column_is_traced_to_existing_columns(world: World) -> None:
    world.put(*ENDED)
    world.materialize(*LIVE)
    run = world.materialize(*FINAL)
    assert run.success
    graph = world.definitions().get_repository_def().asset_graph
    schemas: dict[AssetKey, Any] = {
        key: graph.get(key).metadata["dagster/column_schema"]
        for key in graph.get_all_asset_keys()
        if "dagster/column_schema" in graph.get(key).metadata
    }
    columns = {key: {column.name for column in schema.columns} for key, schema in schemas.items()}
    traced = [AssetKey(name) for name in ("roster", "player_game_stats", *FINAL)]
    columns[BOXSCORE_DOC] = set(world.document())
    for key in traced:
        event = world.instance.get_latest_materialization_event(key)
        assert event
        assert event.asset_materialization
        lineage: Any = event.asset_materialization.metadata["dagster/column_lineage"].value
        assert set(lineage.deps_by_column) == columns[key]
        for deps in lineage.deps_by_column.values():
            assert deps
            assert all(dep.column_name in columns[dep.asset_key] for dep in deps)


def test_the_code_location_loads_without_a_warning(
    definitions: Definitions, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    with caplog.at_level(logging.WARNING):
        Definitions.validate_loadable(definitions)
    assert caplog.records == []
    assert [str(warning.message) for warning in recwarn] == []
