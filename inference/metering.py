"""What a call used: the provider's count where it gave one, our own where it did not."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from billing.models import Meter
from billing.prices import PRICED_AS
from billing.reservations import UsageLine
from knowledge.chunking import offline_tokenizer

from .calls import Call
from .providers.base import Prompt, Usage


def count_tokens(text: str) -> int:
    """Tokens of `text` by the tokenizer that ships with Atrium: an estimate for models with another vocabulary."""
    return len(offline_tokenizer().encode(text, add_special_tokens=False).ids) if text else 0


def estimate(*, prompt: str, output: str) -> Usage:
    """The usage of a call whose provider did not say."""
    return Usage(count_tokens(prompt), count_tokens(output))


def estimate_of(prompt: Prompt, *, output: str) -> Usage:
    """The usage of a call whose provider did not say; the prompt's part is never above what is held for it: a token has
    a byte at least, and each message more than four bytes of frame. Images are not counted.
    """
    messages = prompt.body["messages"]
    return Usage(sum(4 + count_tokens(_text(message)) for message in messages), count_tokens(output))


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    text = content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in parts)
    return text + "".join(str(call.get("function") or "") for call in message.get("tool_calls") or ())


def split(usage: Usage) -> list[tuple[str, int]]:
    """Tokens by meter, none counted twice: cached input beside the rest of the input, reasoning beside the answer.

    A part that is larger than its whole, as some servers report it, counts as the whole.
    """
    cached = min(max(usage.cached_input_tokens, 0), usage.input_tokens)
    reasoning = min(max(usage.reasoning_tokens, 0), usage.output_tokens)
    return [
        (str(Meter.INPUT_TOKENS), usage.input_tokens - cached),
        (str(Meter.CACHED_INPUT_TOKENS), cached),
        (str(Meter.OUTPUT_TOKENS), usage.output_tokens - reasoning),
        (str(Meter.REASONING_TOKENS), reasoning),
    ]


def _each(price: dict[str, Any]) -> Decimal:
    """What a unit costs at most, in the dearest tier of a price of the reservation."""
    amounts = [price["amount"], *(amount for _, amount in price.get("tiers", ()))]
    return max(map(Decimal, amounts)) / price["per"]


class CallMeter:
    """Collects the usage lines of one call.

    The ledger has one line for a request, an attempt and a meter, so each call of a text model is an attempt of its
    own, counted from the claim's: the first answer, what broke off before a fallback, a repair.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._prices = {(price["model"], price["meter"]): _each(price) for price in call.prices}
        self._attempts: set[int] = set()
        self._asked: tuple[Prompt, AttemptMeter] | None = None
        self.lines: list[UsageLine] = []

    def of(self, model: str, attempt: int) -> "AttemptMeter":
        """The meter of one attempt (`routing.attempts`), which `model` answers."""
        return AttemptMeter(self, model, attempt)

    def completion(
        self, usage: Usage, *, model: str | None = None, attempt: int | None = None, estimated: bool = False
    ) -> None:
        """One text model's input and output tokens. `estimated`: by our own count, the provider gave none.

        `attempt` is the number of the attempt that made them. Without one, and for a second answer of one attempt, it is
        the first after it that made none.
        """
        used = [(meter, quantity) for meter, quantity in split(usage) if quantity]
        if not used:
            return
        first = self._call.attempt if attempt is None else attempt
        number = next(n for n in itertools.count(first) if n not in self._attempts)
        self._attempts.add(number)
        for meter, quantity in used:
            self._add(model or self._call.model, meter, quantity, number, estimated)

    def left(self) -> None:
        """The client left while a provider was asked. One that has said nothing yet may bill its input all the same, so
        that is charged, by our own count."""
        if self._asked is not None and not self._attempts:
            prompt, attempt = self._asked
            attempt.completion(estimate_of(prompt, output=""), estimated=True)

    def embedding(self, model: str, tokens: int) -> None:
        """The tokens that were embedded."""
        self._once(model, str(Meter.EMBEDDING_TOKENS), tokens)

    def cache_hit(self) -> None:
        """The answer came from the response cache."""
        self._once(self._call.model, str(Meter.CACHE_HITS), 1)

    def _once(self, model: str, meter: str, quantity: int) -> None:
        """A line of a meter that text models do not have, in the first attempt that has none of it."""
        if quantity:
            taken = {line.attempt for line in self.lines if line.meter == meter}
            attempt = next(n for n in itertools.count(self._call.attempt) if n not in taken)
            self._add(model, meter, quantity, attempt, estimated=False)

    def _add(self, model: str, meter: str, quantity: int, attempt: int, estimated: bool) -> None:
        priced_as = "" if (model, meter) in self._prices else PRICED_AS.get(meter, "")
        self.lines.append(UsageLine(model, meter, quantity, attempt, priced_as, estimated))

    def full_cost(self) -> Decimal:
        """What the lines cost at most at the reservation's prices, were there no hold to stay within."""
        prices = self._prices
        return sum(
            (prices[line.model, line.priced_as or line.meter] * line.quantity for line in self.lines), Decimal(0)
        )

    @property
    def tokens(self) -> int:
        """All tokens of the call, for the tokens-per-minute limits."""
        return sum(line.quantity for line in self.lines if line.meter != Meter.CACHE_HITS)


class AttemptMeter:
    """Meters one attempt of a call."""

    def __init__(self, meter: CallMeter, model: str, attempt: int) -> None:
        self._meter = meter
        self._model = model
        self._attempt = attempt

    def completion(self, usage: Usage, *, estimated: bool = False) -> None:
        """An answer's input and output tokens, as `CallMeter.completion`."""
        self._meter.completion(usage, model=self._model, attempt=self._attempt, estimated=estimated)

    @contextmanager
    def asking(self, prompt: Prompt) -> Iterator[None]:
        """The provider is asked: should the call be broken off meanwhile, `CallMeter.left` knows it."""
        self._meter._asked = prompt, self
        try:
            yield
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._meter._asked = None
            raise
        self._meter._asked = None
