"""The model server of the proofs: counts each question, and takes as long over an answer as the question says.

A question reads `fault:takes <seconds> <mark>` (or anything else that `tests.e2e.upstream` understands); marks are
unique, so what was served can be held against what was charged, call by call.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.upstream import WORDS, Upstream, _Handler


class CountingUpstream(Upstream):
    """`under_way` says how many calls it holds at the moment; setting `release` answers them all."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = _PatientHandler
        self.under_way = 0

    def served(self) -> Counter[str]:
        """How often each question came."""
        return Counter(question(body) for body in list(self.bodies))

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Count a call while it is held."""
        with self.lock:
            self.under_way += 1
        try:
            yield
        finally:
            with self.lock:
                self.under_way -= 1


class _PatientHandler(_Handler):
    server: CountingUpstream

    def _takes(self, body: dict[str, Any], number: int) -> None:
        """Wait as long as asked; a stream says two words first."""
        if body.get("stream"):
            self._start_stream()
            for word in WORDS[:2]:
                self._event(body, {"content": word})
        with self.server.holding():
            self.server.release.wait(float(question(body).split()[1]))
        if not body.get("stream"):
            self._json(200, self._completion(body, "".join(WORDS)))
            return
        for word in WORDS[2:]:
            self._event(body, {"content": word})
        self._finish(body)


def question(body: dict[str, Any]) -> str:
    """What the user said last."""
    return str(body["messages"][-1]["content"])
