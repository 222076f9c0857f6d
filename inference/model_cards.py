"""What a person should know of each alias before she uses it: what answers, how much it takes, what it costs, where.

Read for all aliases of a tenant at once, in a handful of statements however many there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing.limits import limits_in_force
from billing.models import Meter
from billing.prices import UnitPrice
from billing.reservations import plain
from tenants.models import Tenant
from tenants.scope import tenant_scope

from . import chains
from .aliases import canary_name, target_name
from .models import Deployment, Fallback, Grant, TenantDeployment, Variant

#: Meters that are priced by the piece; all others are shown per million.
_BY_PIECE = {str(Meter.CACHE_HITS), str(Meter.MODERATION_CALLS)}
_WORDS = {
    str(Meter.INPUT_TOKENS): "input tokens",
    str(Meter.CACHED_INPUT_TOKENS): "cached input tokens",
    str(Meter.OUTPUT_TOKENS): "output tokens",
    str(Meter.REASONING_TOKENS): "reasoning tokens",
    str(Meter.EMBEDDING_TOKENS): "tokens",
    str(Meter.CACHE_HITS): "answers from the cache",
    str(Meter.MODERATION_CALLS): "texts checked",
}


@dataclass(frozen=True)
class CardPrice:
    """`amount` buys `per` units of what `meter` counts; `tiers` where more in a month costs otherwise."""

    meter: str
    words: str
    amount: Decimal
    per: int
    tiers: bool

    @property
    def plain(self) -> str:
        """The amount, in digits."""
        return plain(self.amount)


@dataclass(frozen=True)
class ModelCard:
    """One alias of the current tenant."""

    grant: Grant
    target: str
    canary: str | None
    prices: Sequence[CardPrice]
    fallbacks: Sequence[str]
    own_accounts: int
    platform_places: int
    unusable: str

    @property
    def max_output_tokens(self) -> int:
        """Under the grant's cap."""
        return min(
            self.grant.model.max_output_tokens, self.grant.max_output_tokens or self.grant.model.max_output_tokens
        )

    @property
    def where(self) -> str:
        """Who runs it."""
        variant = self.grant.variant
        if self.own_accounts and (variant is None or variant.by_tenant):
            return "your own account" if self.own_accounts == 1 else f"{self.own_accounts} accounts of your own"
        return "the platform" if self.platform_places else "nowhere at the moment"


def model_cards(*, now: datetime, kind: str | None = None, grant_id: UUID | None = None) -> list[ModelCard]:
    """The current tenant's aliases by name, those that cannot be used for the moment among them, with the reason."""
    with tenant_scope() as tenant_id:
        grants = chains.all_grants()
        usable = {row.id for row in chains.usable(grants)}
        wanted = [row for row in grants if kind in (None, row.model.kind) and grant_id in (None, row.id)]
        currency = Tenant.objects.values_list("currency", flat=True).get(id=tenant_id)
        prices = chains.prices_charged([(row.model, row.variant) for row in wanted], currency=currency, now=now)
        places = _places(wanted)
        return [_card(row, prices, places, usable=row.id in usable) for row in wanted]


def own_places(*, model_id: UUID) -> list[TenantDeployment]:
    """The current tenant's own accounts for a model; credentials stay in the database."""
    with tenant_scope():
        rows = TenantDeployment.objects.filter(model_id=model_id).order_by("name")
        return list(rows.defer(*TenantDeployment.CREDENTIALS))


@dataclass(frozen=True)
class _Places:
    """By model id: the tenant's own accounts, the platform's deployments, the names of the fallbacks."""

    own: Mapping[UUID, int]
    platform: Mapping[UUID, int]
    fallbacks: Mapping[UUID, list[str]]


def _places(grants: Sequence[Grant]) -> _Places:
    ids = {row.model_id for row in grants}
    own: dict[UUID, int] = {}
    for model_id in TenantDeployment.objects.filter(model_id__in=ids, enabled=True).values_list("model_id", flat=True):
        own[model_id] = own.get(model_id, 0) + 1
    platform: dict[UUID, int] = {}
    for model_id in Deployment.objects.filter(model_id__in=ids, enabled=True).values_list("model_id", flat=True):
        platform[model_id] = platform.get(model_id, 0) + 1
    fallbacks: dict[UUID, list[str]] = {}
    rows = Fallback.objects.filter(model_id__in=ids).order_by("position")
    for model_id, name in rows.values_list("model_id", "fallback__name"):
        fallbacks.setdefault(model_id, []).append(name)
    return _Places(own, platform, fallbacks)


def _card(row: Grant, prices: Mapping[tuple[str, str], UnitPrice], places: _Places, *, usable: bool) -> ModelCard:
    name = row.variant.model_name if row.variant is not None else row.model.name
    return ModelCard(
        grant=row,
        target=target_name(row.model, row.variant),
        canary=canary_name(row) if row.canary_share else None,
        prices=[_price(price) for (model, _), price in sorted(prices.items()) if model == name],
        fallbacks=places.fallbacks.get(row.model_id, []) if row.fallbacks else [],
        own_accounts=places.own.get(row.model_id, 0),
        platform_places=places.platform.get(row.model_id, 0),
        unusable=why_unusable(row, usable=usable, stood_in=bool(places.fallbacks.get(row.model_id))),
    )


def why_unusable(row: Grant, *, usable: bool, stood_in: bool) -> str:
    """Why an alias answers no call; empty where it does, by its model or by one that stands in."""
    if row.model.out_of_service_since is not None and not (stood_in and row.fallbacks):
        # The operator's reason is the operator's own.
        return "The platform took the model out of service for now."
    if usable:
        return ""
    if row.variant is not None and row.variant.state != Variant.State.LIVE:
        return f"The variant {row.variant.name} is {row.variant.state}; an alias answers once it is live."
    if not limits_in_force().may_call(row.model.name):
        return "Your plan does not include this model."
    return "The platform no longer grants this model."


def _price(price: UnitPrice) -> CardPrice:
    per = 1 if price.meter in _BY_PIECE else 1_000_000
    amount = price.amount * per / price.per
    return CardPrice(
        price.meter, _WORDS.get(price.meter, price.meter.replace("_", " ")), amount, per, bool(price.tiers)
    )
