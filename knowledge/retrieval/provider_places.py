"""How many searches of one web process may wait for a provider at once.

The web tier has few threads, and a remote model that embeds, ranks again or rewrites may be slow: beyond these
places a search is refused at once, with a time to come back, and searches that need no provider go on.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from tenants.errors import ServiceUnavailable


class SearchesWaiting(ServiceUnavailable):
    """Too many searches wait for a model's server."""

    code = "too_many_searches"


_lock = threading.Lock()
_waiting = 0


@contextmanager
def provider_place() -> Iterator[None]:
    """One of the places while a provider is asked.

    Raises:
        SearchesWaiting: all are taken.
    """
    global _waiting
    with _lock:
        if _waiting >= settings.SEARCH_PROVIDER_PLACES:
            raise SearchesWaiting("Too many searches wait for a model's server. Try again in a moment.", retry_after=1)
        _waiting += 1
    try:
        yield
    finally:
        with _lock:
            _waiting -= 1
