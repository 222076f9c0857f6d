"""How far a run is, as its clients see it."""

import time

from tenants.scope import tenant_scope

from .jobs import Job, fenced

_PROGRESS_SECONDS = 1.0
# Percent of a run: reading and cutting are short, embedding is nearly all of it.
PARSED, CHUNKED, EMBEDDED = 5, 10, 99


class Progress:
    """Writes state and percent, at most about once a second: what is over sooner nobody would see."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._written = time.monotonic()

    def reach(self, state: str, percent: int) -> None:
        """The run is here now."""
        if time.monotonic() - self._written >= _PROGRESS_SECONDS:
            self._written = time.monotonic()
            with tenant_scope():
                fenced(self._job).update(state=state, percent=percent)
