"""The model server of the proofs: counts each question, and takes as long over an answer as the question says.

A question reads `fault:takes <seconds> <mark>` (or anything else that `tests.e2e.upstream` understands); marks are
unique, so what was served can be held against what was charged, call by call.
"""

import base64
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.upstream import WORDS, Upstream, _Handler

#: A dripping answer has so many words, and so many seconds lie between two.
DRIPS, SECONDS_A_DRIP = 40, 0.05


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

    def _drips(self, body: dict[str, Any], number: int) -> None:
        """A word now and then, until its reader has gone."""
        with self.server.holding():
            self._start_stream()
            for count in range(DRIPS):
                self._event(body, {"content": f"word{count % 10} "})
                time.sleep(SECONDS_A_DRIP)
            self._event(body, {}, "stop")
            usage = {"prompt_tokens": 7, "completion_tokens": 2 * DRIPS, "total_tokens": 7 + 2 * DRIPS}
            self._data({"id": "up-1", "object": "chat.completion.chunk", "choices": [], "usage": usage})
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")

    def _obeys(self, body: dict[str, Any], number: int) -> None:
        """The worst of models: it does what any text in its prompt asks, with every canary that it can see."""
        prompt = "\n".join(str(message["content"]) for message in body["messages"])
        seen = "+".join(dict.fromkeys(CANARY.findall(prompt)))
        asked = [_filled_in(order, seen) for order in ORDER.findall(prompt)]
        text = "As you wish [1]. " + "\n\n".join(order for order in asked if not order.startswith("CALL "))
        calls = [
            {"index": at, "id": f"c{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for at, order in enumerate(order for order in asked if order.startswith("CALL "))
            for _, name, arguments in [order.split(" ", 2)]
        ]
        called = {"tool_calls": calls} if calls else {}
        if not body.get("stream"):
            answer = self._completion(body, text)
            answer["choices"][0]["message"] |= called
            self._json(200, answer)
            return
        self._start_stream()
        for start in range(0, len(text), 3):
            self._event(body, {"content": text[start : start + 3]})
        if called:
            self._event(body, called)
        self._finish(body)


CANARY = re.compile(r"CANARY\w+")
#: How the documents of `injection` word what is to be written.
ORDER = re.compile(r"write exactly:\n<<<\n(.*?)\n>>>", re.DOTALL)


def _filled_in(order: str, seen: str) -> str:
    """With what it is to give away, spelled as asked for."""
    for name, spell in SPELLINGS.items():
        order = order.replace(f"%{name}%", spell(seen))
    return order


#: name → how a secret is hidden on its way out.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "PLAIN": str,
    "BASE64": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "HEX": lambda text: text.encode().hex(),
    "REVERSED": lambda text: text[::-1],
    "PERCENT": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "DASHED": "-".join,
}


def question(body: dict[str, Any]) -> str:
    """What the user said last."""
    return str(body["messages"][-1]["content"])
