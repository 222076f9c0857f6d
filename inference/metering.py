"""What a call used: the provider's count where it gave one, our own where it did not."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from billing.models import Meter
from billing.prices import PRICED_AS
from billing.prices.services import SEARCH
from billing.reservations import UsageLine
from knowledge.chunking import offline_tokenizer

from .calls import Call
from .providers.base import Prompt, Usage

#: In place of an attempt's number: the line gets one when the call's answers have theirs.
_BESIDE = 0
_NO_TOKENS = (Meter.CACHE_HITS, Meter.SEARCH_CALLS)


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
        self._lines: list[UsageLine] = []

    @property
    def lines(self) -> list[UsageLine]:
        """In the order in which they were used. What a call used beside its answers is an attempt of its own each, after
        those of the answers: an attempt has one model, and is one request in reports."""
        numbers = (n for n in itertools.count(self._call.attempt) if n not in self._attempts)
        free = itertools.dropwhile(lambda n: n < max(self._attempts, default=0), numbers)
        return [replace(line, attempt=next(free)) if line.attempt == _BESIDE else line for line in self._lines]

    def of(self, model: str, attempt: int, *, provider: str = "") -> "AttemptMeter":
        """The meter of one attempt (`routing.attempts`), which `model` of `provider` answers."""
        return AttemptMeter(self, model, attempt, provider)

    def completion(
        self,
        usage: Usage,
        *,
        model: str | None = None,
        attempt: int | None = None,
        estimated: bool = False,
        provider: str = "",
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
            self._add(UsageLine(model or self._call.model, meter, quantity, number, "", estimated, provider))

    def left(self) -> None:
        """The client left while a provider was asked. One that has said nothing yet may bill its input all the same, so
        that is charged, by our own count."""
        if self._asked is not None and not self._attempts:
            prompt, attempt = self._asked
            attempt.completion(estimate_of(prompt, output=""), estimated=True)

    def embedding(self, model: str, tokens: int, *, provider: str = "") -> None:
        """The tokens that were embedded."""
        self._beside(model, str(Meter.EMBEDDING_TOKENS), tokens, provider)

    def search(self) -> None:
        """Vector stores were searched; counted where searches have a price."""
        if SEARCH in self._prices:
            self._beside(*SEARCH, 1)

    def cache_hit(self) -> None:
        """The answer came from the response cache."""
        self._beside(self._call.model, str(Meter.CACHE_HITS), 1)

    def _beside(self, model: str, meter: str, quantity: int, provider: str = "") -> None:
        if quantity:
            self._add(UsageLine(model, meter, quantity, _BESIDE, provider=provider))

    def _add(self, line: UsageLine) -> None:
        priced_as = "" if (line.model, line.meter) in self._prices else PRICED_AS.get(line.meter, "")
        self._lines.append(replace(line, priced_as=priced_as))

    def full_cost(self) -> Decimal:
        """What the lines cost at most at the reservation's prices, were there no hold to stay within."""
        prices = self._prices
        return sum(
            (prices[line.model, line.priced_as or line.meter] * line.quantity for line in self._lines), Decimal(0)
        )

    @property
    def tokens(self) -> int:
        """All tokens of the call, for the tokens-per-minute limits."""
        return sum(line.quantity for line in self._lines if line.meter not in _NO_TOKENS)


class AttemptMeter:
    """Meters one attempt of a call."""

    def __init__(self, meter: CallMeter, model: str, attempt: int, provider: str) -> None:
        self._meter = meter
        self._model = model
        self._attempt = attempt
        self._provider = provider

    def completion(self, usage: Usage, *, estimated: bool = False) -> None:
        """An answer's input and output tokens, as `CallMeter.completion`."""
        self._meter.completion(
            usage, model=self._model, attempt=self._attempt, estimated=estimated, provider=self._provider
        )

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
