"""A site on loopback that takes webhooks, and the operator's leave to send there."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from tests.knowledge.sources.servers import Site, site


@pytest.fixture
def web(settings: Any) -> Iterator[Site]:
    """A site that may be sent to although it is on loopback; it takes what comes to `/in`."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.1/32"]
    cache.clear()  # of tests of endpoints, which are counted by tenant
    with site() as running:
        running.pages["/in"] = (204, {}, b"")
        yield running
