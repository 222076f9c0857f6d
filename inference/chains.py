"""From a tenant's grants to the terms of one: which targets may be served, the chain behind each, and every price."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing.limits import limits_in_force
from billing.models import Meter
from billing.plans import current_plan
from billing.prices import PRICED_AS, UnitPrice, prices_of, require, unit_price
from billing.prices.services import SEARCH

from .models import Fallback, Grant, Model, OwnAccountPrice, TenantDeployment, Variant
from .response_cache import caching_of
from .terms import ChainModel, Rules, Terms

#: The meters that a model of each kind cannot do without; others are priced where the price book has them.
METERS = {
    Model.Kind.CHAT: (Meter.INPUT_TOKENS, Meter.OUTPUT_TOKENS),
    Model.Kind.EMBEDDING: (Meter.EMBEDDING_TOKENS,),
    # It reads as an embedding model does, for retrieval, and writes nothing.
    Model.Kind.RERANK: (Meter.EMBEDDING_TOKENS,),
    Model.Kind.MODERATION: (Meter.MODERATION_CALLS,),
}
Prices = dict[tuple[str, str], UnitPrice]


def all_grants() -> list[Grant]:
    """The current tenant's grants by alias, with all that they point at. Call it inside the scope."""
    rows = list(Grant.objects.select_related("model", "variant", "canary_model", "canary_variant").order_by("alias"))
    for row in rows:
        # A variant's base is the grant's model, so it need not be read again.
        if row.variant is not None:
            row.variant.base = row.model
        if row.canary_variant is not None and row.canary_model is not None:
            row.canary_variant.base = row.canary_model
    return rows


def usable(grants: Iterable[Grant]) -> list[Grant]:
    """Those that answer: of models that the operator grants and the plan allows, and of variants only where they are
    live. Call it inside the scope.
    """
    rows, limits = list(grants), limits_in_force()
    entitled = {row.model_id for row in rows if not row.by_tenant and limits.may_call(row.model.name)}
    return [
        row
        for row in rows
        if row.model_id in entitled and (row.variant is None or row.variant.state == Variant.State.LIVE)
    ]


def terms_of(grant: Grant, grants: list[Grant], *, currency: str, now: datetime) -> Terms:
    """The terms of one of the tenant's usable grants. Call it inside the scope.

    Raises:
        UnpricedModel: a price that its target needs was taken away.
    """
    operators = grant if not grant.by_tenant else _widest(grant.model_id, grants)
    limits = limits_in_force()
    canary = _canary(grant, [row for row in grants if limits.may_call(row.model.name)])
    targets = [(grant.model, grant.variant), *([canary] if canary else [])]
    stands_in = _fallbacks([model for model, _ in targets]) if grant.fallbacks and operators.fallbacks else {}
    stands_in = {model: [row for row in rows if limits.may_call(row.name)] for model, rows in stands_in.items()}
    names = {model.name for model, _ in targets} | {row.name for rows in stands_in.values() for row in rows}
    # Retrieval embeds the question by its store's model: what that costs is part of what a chat call may cost.
    embedders = {row.model.name for row in grants if row.model.kind == Model.Kind.EMBEDDING}
    variants = {variant.model_name for _, variant in targets if variant is not None}
    own = _served_by_own_accounts(names)
    usual = prices_of(models={*names, *embedders, *variants, SEARCH[0]}, currency=currency, now=now)
    found = _with_own_prices(_paid_by_tenant(usual, own), _own_prices(own, currency=currency, now=now))
    require([(name, Meter.EMBEDDING_TOKENS) for name in embedders], found, currency=currency)

    caching = caching_of(grant.id) if grant.model.kind == Model.Kind.CHAT else None

    def made(model: Model, variant: Variant | None) -> Terms:
        first = _link(model, variant, own, grant, operators)
        _price_variant(first, found if first.own else usual, found)
        require([(first.name, meter) for meter in METERS[Model.Kind(model.kind)]], found, currency=currency)
        others = [_link(row, None, own, grant, operators) for row in stands_in.get(model.id, ()) if _priced(row, found)]
        return Terms(
            alias=grant.alias,
            model=first.name,
            kind=model.kind,
            context_window=first.context_window,
            max_output_tokens=first.max_output_tokens,
            dimensions=model.dimensions,
            prices={},
            plan=current_plan(),
            limits=limits,
            chain=(first, *others),
            rules=_rules(grant, operators),
            grant_id=grant.id,
            caching=caching if (first.name, str(Meter.CACHE_HITS)) in found else None,
        )

    terms = [made(model, variant) for model, variant in targets]
    # The model asked for first: where a worker dies, its price stands for the call.
    named = (model.name for target in terms for model in target.chain)
    kept = [*dict.fromkeys([*named, *sorted(embedders), SEARCH[0]])]
    prices = {key: found[key] for name in kept for key in found if key[0] == name}
    whole = [replace(target, prices=prices) for target in terms]
    return whole[0] if canary is None else replace(whole[0], canary=whole[1], canary_share=grant.canary_share)


def prices_charged(
    targets: Iterable[tuple[Model, Variant | None]], *, currency: str, now: datetime
) -> Mapping[tuple[str, str], UnitPrice]:
    """What the current tenant pays for each of these by itself, by (priced name, meter): its own accounts' price where
    those serve it, a variant's base's where the variant has none. Call it inside the scope.
    """
    wanted = list(targets)
    names = {model.name for model, _ in wanted}
    own = _served_by_own_accounts(names)
    variants = {variant.model_name for _, variant in wanted if variant is not None}
    usual = prices_of(models=names | variants, currency=currency, now=now)
    found = _with_own_prices(_paid_by_tenant(usual, own), _own_prices(own, currency=currency, now=now))
    for model, variant in wanted:
        if variant is not None:
            link = ChainModel(name=variant.model_name, served_by=model.name, own=variant.by_tenant)
            _price_variant(link, found if link.own else usual, found)
    return found


def _widest(model_id: object, grants: list[Grant]) -> Grant:
    """The operator's grant of a model whose bounds a tenant's own alias of it has: the one with the largest cap."""
    theirs = [row for row in grants if not row.by_tenant and row.model_id == model_id]
    return max(theirs, key=lambda row: (row.max_output_tokens is None, row.max_output_tokens or 0, row.id))


def _canary(grant: Grant, grants: list[Grant]) -> tuple[Model, Variant | None] | None:
    """The grant's second target, where it has one that may be served."""
    model, variant = grant.canary_model, grant.canary_variant
    if model is None or not grant.canary_share or model.kind != grant.model.kind or model.out_of_service_since:
        return None
    entitled = any(row.model_id == model.id and not row.by_tenant for row in grants)
    served = variant is None or variant.state in Variant.SERVED
    return (model, variant) if entitled and served else None


def _fallbacks(models: list[Model]) -> dict[object, list[Model]]:
    """Chat models by the model that they stand in for, in order. Vectors of another model would mean nothing."""
    ids = [model.id for model in models if model.kind == Model.Kind.CHAT]
    found: dict[object, list[Model]] = {}
    rows = Fallback.objects.filter(model_id__in=ids, fallback__kind=Model.Kind.CHAT).select_related("fallback")
    rows = rows.filter(fallback__out_of_service_since=None)
    for row in rows.order_by("position") if ids else ():
        found.setdefault(row.model_id, []).append(row.fallback)
    return found


def _served_by_own_accounts(names: set[str]) -> set[str]:
    rows = TenantDeployment.objects.filter(model__name__in=names, enabled=True)
    return set(rows.values_list("model__name", flat=True))


def _own_prices(names: set[str], *, currency: str, now: datetime) -> Prices:
    if not names:
        return {}
    rows = OwnAccountPrice.objects.filter(model__in=names, currency=currency, valid_from__lte=now)
    # The newest row wins.
    return _paid_by_tenant({(row.model, row.meter): unit_price(row) for row in rows.order_by("valid_from")}, names)


def _paid_by_tenant(prices: Prices, own: set[str]) -> Prices:
    """Models of `own` accounts cost the platform nothing: their provider bills the tenant."""
    free: dict[str, Any] = {"provider_amount": Decimal(0), "provider_amounts": {}}
    return {key: replace(price, **free) if key[0] in own else price for key, price in prices.items()}


def _with_own_prices(usual: Prices, own: Prices) -> Prices:
    """What the tenant's own accounts cost, and the usual price for a meter of which the operator said nothing."""
    said = own.keys()
    return {key: price for key, price in usual.items() if _stand_in(key) not in said} | own


def _price_variant(link: ChainModel, base: Prices, found: Prices) -> None:
    """Where a variant has no price of its own for a meter, its base's holds: on the tenant's own account, that one's."""
    if link.name == link.served_by:
        return
    own = {key for key in found if key[0] == link.name}
    for (model, meter), price in list(base.items()):
        key = (link.name, meter)
        if model == link.served_by and key not in own and _stand_in(key) not in own:
            found[key] = replace(price, model=link.name)


def _stand_in(key: tuple[str, str]) -> tuple[str, str]:
    """The meter whose price holds where this one has none: who prices that one has priced this one too."""
    model, meter = key
    return model, PRICED_AS.get(meter, "")


def _priced(model: Model, found: Prices) -> bool:
    """A model without a price in the tenant's currency cannot stand in for another."""
    return all((model.name, meter) in found for meter in METERS[Model.Kind(model.kind)])


def _link(model: Model, variant: Variant | None, own: set[str], grant: Grant, operators: Grant) -> ChainModel:
    caps = [cap for cap in (grant.max_output_tokens, operators.max_output_tokens) if cap is not None]
    return ChainModel(
        name=model.name if variant is None else variant.model_name,
        served_by=model.name,
        adapter="" if variant is None else variant.adapter,
        # Under a name that a tenant gave, the platform's servers may know another's adapter, or a dearer model.
        own=model.name in own if variant is None else variant.by_tenant,
        context_window=model.context_window,
        max_output_tokens=min([model.max_output_tokens, *caps]),
        capabilities=frozenset(model.capabilities),
    )


def _rules(grant: Grant, operators: Grant) -> Rules:
    """The grant's own, within the operator's."""
    lows = [low for low in (grant.min_temperature, operators.min_temperature) if low is not None]
    highs = [high for high in (grant.max_temperature, operators.max_temperature) if high is not None]
    tools = [frozenset(names) for names in (grant.allowed_tools, operators.allowed_tools) if names is not None]
    return Rules(
        default_max_tokens=grant.default_max_tokens or operators.default_max_tokens,
        default_temperature=_first(grant.default_temperature, operators.default_temperature),
        default_top_p=_first(grant.default_top_p, operators.default_top_p),
        min_temperature=max(lows, default=None),
        max_temperature=min(highs, default=None),
        allowed_tools=frozenset.intersection(*tools) if tools else None,
    )


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
