"""What a call used: the provider's count where it gave one, our own where it did not."""

from decimal import Decimal

from billing.models import Meter
from billing.reservations import UsageLine
from knowledge.chunking import offline_tokenizer

from .generations import Call
from .providers.base import Usage


def count_tokens(text: str) -> int:
    """Tokens of `text` by the tokenizer that ships with Atrium: an estimate for models with another vocabulary."""
    return len(offline_tokenizer().encode(text, add_special_tokens=False).ids) if text else 0


def estimate(*, prompt: str, output: str) -> Usage:
    """The usage of a call whose provider did not say."""
    return Usage(count_tokens(prompt), count_tokens(output))


class CallMeter:
    """Collects the usage lines of one call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.lines: list[UsageLine] = []

    def completion(self, usage: Usage) -> None:
        """The model's input and output tokens."""
        for meter, quantity in ((Meter.INPUT_TOKENS, usage.input_tokens), (Meter.OUTPUT_TOKENS, usage.output_tokens)):
            self._add(self._call.model, meter, quantity)

    def embedding(self, model: str, tokens: int) -> None:
        """The tokens that were embedded."""
        self._add(model, Meter.EMBEDDING_TOKENS, tokens)

    def _add(self, model: str, meter: Meter, quantity: int) -> None:
        if quantity:
            self.lines.append(UsageLine(model, str(meter), quantity, self._call.attempt))

    def full_cost(self) -> Decimal:
        """What the lines cost at the reservation's prices, were there no hold to stay within."""
        prices = {
            (price["model"], price["meter"]): Decimal(price["amount"]) / price["per"] for price in self._call.prices
        }
        return sum((prices[line.model, line.meter] * line.quantity for line in self.lines), Decimal(0))

    @property
    def tokens(self) -> int:
        """All tokens of the call, for the tokens-per-minute limits."""
        return sum(line.quantity for line in self.lines)
