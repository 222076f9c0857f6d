"""The terms of a grant as admission needs them: which models may answer, at what prices, within what bounds.

Terms are looked up once in a few seconds a process (`catalogue.terms`) and are the same for every caller of the tenant,
but for the canary: which of two targets answers is chosen for each caller, and is the same each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from billing.limits import Limits
from billing.models import Plan
from billing.prices import Quote, price_of

if TYPE_CHECKING:
    from .response_cache import Caching


@dataclass(frozen=True)
class ChainModel:
    """A model that may answer a call.

    `name` is what it is priced, metered and reported under; `served_by` the model of the catalogue whose deployments
    answer; `adapter` what they know a variant as, empty for the model itself. `own`: the tenant's own accounts answer, at
    their own price, and nobody else's may.
    """

    name: str
    served_by: str
    adapter: str = ""
    own: bool = False
    max_output_tokens: int = 0
    context_window: int = 0
    capabilities: frozenset[str] = frozenset()

    def as_json(self) -> list[Any]:
        """For a generation's row: what its worker needs to find the deployments."""
        return [self.name, self.served_by, self.adapter, self.own, self.max_output_tokens]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> "ChainModel":
        """From the row; what else it can was looked at when the call was admitted."""
        return cls(*data)


@dataclass(frozen=True)
class Rules:
    """What a grant says about requests: values for what they leave open, and what they may not ask for."""

    default_max_tokens: int | None = None
    default_temperature: float | None = None
    default_top_p: float | None = None
    min_temperature: float | None = None
    max_temperature: float | None = None
    #: Names of functions, and `file_search`; None: all.
    allowed_tools: frozenset[str] | None = None


@dataclass(frozen=True)
class Terms:
    """A grant as admission needs it: limits in tokens, prices in the tenant's currency, the tenant's plan.

    `chain` are the models that may answer, the one asked for first. `context_window` and `max_output_tokens` are that
    first one's, under the grant's cap. `caching`: how the grant keeps answers; None: not.
    """

    alias: str
    model: str
    kind: str
    context_window: int
    max_output_tokens: int
    dimensions: int | None
    prices: Quote
    plan: Plan
    limits: Limits
    chain: tuple[ChainModel, ...] = ()
    rules: Rules = Rules()
    grant_id: UUID | None = None
    caching: "Caching | None" = None
    canary: "Terms | None" = field(default=None, repr=False)
    canary_share: int = 0

    @property
    def served_by(self) -> str:
        """The model of the catalogue behind the one that is asked for."""
        return self.chain[0].served_by if self.chain else self.model

    def price(self, meter: str) -> Decimal:
        """Per unit of `meter`, by the model asked for, in its dearest tier."""
        return self.prices[self.model, meter].each

    def most(self, *meters: str) -> Decimal:
        """Per unit of the dearest of these meters, by whichever model of the chain takes the most: what a token costs
        at most of which neither the meter nor the model that answers is known beforehand."""
        names = [model.name for model in self.chain] or [self.model]
        found = (price_of(self.prices, name, str(meter)) for name in names for meter in meters)
        return max(price.each for price in found)

    def only(self, chain: Sequence[ChainModel]) -> "Terms":
        """These terms with some of the chain's models."""
        return self if len(chain) == len(self.chain) else replace(self, chain=tuple(chain))

    def chosen_for(self, caller: str) -> "Terms":
        """The terms of the target that answers `caller` (an end user, or a key): the same one each time.

        A share that grows keeps every caller that the canary has already.
        """
        if self.canary is None or not self.canary_share:
            return self
        digest = blake2b(f"{self.grant_id}:{caller}".encode(), digest_size=8).digest()
        return self.canary if int.from_bytes(digest) % 10_000 < self.canary_share * 100 else self


def sticks_to(body: dict[str, Any], *, end_user: str | None, key_id: UUID) -> str:
    """By what a caller's canary is chosen: the signed end user, else the one the body names, else the key."""
    named = end_user or body.get("safety_identifier") or body.get("user")
    return named if isinstance(named, str) and named else str(key_id)
