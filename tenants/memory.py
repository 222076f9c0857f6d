"""What a process remembers of the database for a few seconds, so that a request costs no look-up."""

import time
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: When this share of its life is over, a value that is in use should be looked up again: nobody has to wait then.
_DUE = 0.6


class Memory(Generic[K, V]):
    """Values by key, each for `seconds`; when more than `most` are kept, all are dropped. Threads may share one."""

    def __init__(self, seconds: float, *, most: int = 10_000) -> None:
        self._seconds = seconds
        self._most = most
        self._kept: dict[K, tuple[V, float]] = {}

    def get(self, key: K) -> V | None:
        """The value, while it is remembered."""
        found = self._kept.get(key)
        return found[0] if found is not None and found[1] > time.monotonic() else None

    def due(self, key: K) -> bool:
        """Whether the value should be looked up again."""
        found = self._kept.get(key)
        return found is None or found[1] - time.monotonic() < self._seconds * (1 - _DUE)

    def keep(self, key: K, value: V, *, since: float) -> None:
        """Remember what a look-up that began at `since` (`time.monotonic()`) found.

        Counted from its beginning, so that a change committed during it is not passed by for longer.
        """
        if len(self._kept) >= self._most:
            self._kept.clear()
        self._kept[key] = (value, since + self._seconds)

    def drop(self, key: K) -> None:
        """Forget one."""
        self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
