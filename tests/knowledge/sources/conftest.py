"""A site on loopback, and the operator's leave to fetch from it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.knowledge.sources.servers import Site, site


@pytest.fixture
def web(settings: Any) -> Iterator[Site]:
    """A site that may be fetched from although it is on loopback."""
    settings.FETCH_ALLOWED_NETWORKS = ["127.0.0.1/32"]
    with site() as running:
        yield running
