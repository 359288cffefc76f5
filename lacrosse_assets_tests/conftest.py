"""Fixtures that several test files share."""

from collections.abc import Iterator

import pytest

from lacrosse_assets.embedded.services import EmbeddedServices, embedded_services
from lacrosse_assets.settings import embedded_settings


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServices]:
    """The embedded services, up for the whole session, in a state folder of their own."""
    settings = embedded_settings({"LACROSSE_STATE_DIR": str(tmp_path_factory.mktemp("lacrosse"))})
    with embedded_services(settings) as services:
        yield services
