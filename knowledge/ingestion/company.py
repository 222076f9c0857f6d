"""Who runs beside whom in this worker process, so that a death can be laid at somebody's door.

A worker that dies takes all that its threads were running with it, and which of them killed it cannot be told. So what
was running is suspect from then on, and a suspect runs with nothing beside it: what dies then, died of itself.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Company:
    """Either any number beside each other, or one alone. Those who wish to be alone go first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._beside = 0
        self._wish_alone = 0
        self._alone = False

    def wait(self) -> None:
        """Return when nobody is alone or wishes to be."""
        with self._changed:
            self._changed.wait_for(self._is_open)

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        """Wait while somebody is alone or wishes to be, then run beside others until the block ends."""
        with self._changed:
            self._changed.wait_for(self._is_open)
            self._beside += 1
        try:
            yield
        finally:
            with self._changed:
                self._beside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until what runs has ended, with nothing new beginning meanwhile, then be alone until the block ends."""
        with self._changed:
            self._wish_alone += 1
            self._changed.wait_for(lambda: not self._beside and not self._alone)
            self._wish_alone -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    def _is_open(self) -> bool:
        return not self._alone and not self._wish_alone


#: All that this process ingests and re-embeds.
here = Company()
