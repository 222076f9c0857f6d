"""How many calls of each deployment this process has under way: counted here, told to Redis once a second.

For people to look at; routing goes by places, which are taken call by call.
"""

from collections.abc import Awaitable, Callable

from tenants.ids import uuid7

from . import scripts


class Underway:
    """One for each board, whose loop alone uses it.

    Args:
        tell: takes what EVAL needs.
        later: has `flush` called in a second, once for everything that comes together by then.
    """

    def __init__(self, tell: Callable[..., Awaitable[None]], later: Callable[[], None]) -> None:
        self._tell = tell
        self._later = later
        self._process = uuid7().hex
        self._calls: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def entered(self, deployment: str) -> None:
        """A call of it begins."""
        self._calls[deployment] = self._calls.get(deployment, 0) + 1
        self._later()

    def left(self, deployment: str) -> None:
        """A call of it ended, however."""
        self._calls[deployment] -= 1
        self._later()

    async def flush(self) -> None:
        """Tell all counts, those that came down to nothing for the last time; what lasts is told again in a second."""
        told = list(self._calls.items())
        self._calls = {name: calls for name, calls in told if calls}
        await self._tell(scripts.tell_underway(self._process, told))
        if self._calls:
            self._later()
