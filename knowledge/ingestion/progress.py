"""How far a document is, as its clients see it: a state, percent, and of a paged one how many pages are read.

A short document's run writes percent at most about once a second: what is over sooner nobody would see. A long one's
parts write it as they end.
"""

import time

from tenants.scope import tenant_scope

from .units import Job, fenced

_PROGRESS_SECONDS = 1.0
# Percent of a run that reads the file itself: reading and cutting are short, embedding is nearly all of it.
PARSED, CHUNKED, EMBEDDED = 5, 10, 99
#: Percent when all parts of a long file are read.
PARTS_READ = 40


class Progress:
    """Of a run over a whole document."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._written = time.monotonic()

    def reach(self, state: str, percent: int) -> None:
        """The run is here now."""
        if percent > self._job.percent and time.monotonic() - self._written >= _PROGRESS_SECONDS:
            self._written = time.monotonic()
            with tenant_scope():
                fenced(self._job).update(state=state, percent=percent)


def between(start: int, end: int, done: int, total: int) -> int:
    """Percent when `done` of `total` parts of the way from `start` to `end` are behind."""
    return start + (end - start) * done // max(total, 1)
