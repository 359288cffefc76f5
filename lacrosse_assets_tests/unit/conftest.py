"""Unit tests start no service."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has all tests on Spark (`--dist loadgroup`): to start it takes longer than most of them together."""
    for item in items:
        if isinstance(item, pytest.Function) and "spark" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("spark"))


@pytest.fixture(scope="session")
def embedded() -> None:
    """In the place of the embedded services, and so of the fixtures `stores` and `world`."""
    pytest.fail("a test that needs a store belongs to integration/ or e2e/")
