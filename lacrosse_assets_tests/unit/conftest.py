"""Unit tests start no service."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from lacrosse_assets_tests.support.spark import local_spark


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has all tests on Spark (`--dist loadgroup`): to start it takes longer than most of them together."""
    for item in items:
        if isinstance(item, pytest.Function) and "spark" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("spark"))


@pytest.fixture(scope="package")
def spark() -> Iterator[SparkSession]:
    """One session for all files of this folder."""
    with local_spark() as session:
        yield session


@pytest.fixture(scope="session")
def embedded() -> None:
    """In the place of the embedded services, and so of the fixtures `stores` and `world`."""
    pytest.fail("a test that needs a store belongs to integration/ or e2e/")
