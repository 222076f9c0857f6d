"""What a tenant may use: grants, and the terms of each (bounds and prices), remembered for a few seconds a process."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from billing.models import Meter, Plan, Price
from billing.plans import current_plan
from billing.pricing import Quote, price_of, quote
from tenants.audit import SYSTEM, Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.models import Tenant
from tenants.scope import as_staff, current_tenant, tenant_scope

from .models import Deployment, DeploymentBase, Grant, Model, TenantDeployment

_REMEMBER_SECONDS = 3.0
_METERS = {
    Model.Kind.CHAT: (Meter.INPUT_TOKENS, Meter.OUTPUT_TOKENS),
    Model.Kind.EMBEDDING: (Meter.EMBEDDING_TOKENS,),
    # It reads as an embedding model does, for retrieval, and writes nothing.
    Model.Kind.RERANK: (Meter.EMBEDDING_TOKENS,),
}
#: What may have a price of its own besides: `billing.pricing.PRICED_AS` stands in, or the feature is off without one.
_OWN_PRICES = {
    Model.Kind.CHAT: (Meter.CACHED_INPUT_TOKENS, Meter.REASONING_TOKENS, Meter.CACHE_HITS),
}
#: Granted to every new tenant: the models that run inside Atrium.
BUILT_IN = ("local-extractive", "all-MiniLM-L6-v2")


class UnknownModel(NotFound):
    """The alias is not granted to this tenant; the message names those that are."""

    code = "model_not_found"


class NoDeployment(AtriumError):
    """The model is granted, but nothing serves it at the moment."""

    status = 503
    type = "server_error"
    code = "no_deployment"

    def __init__(self, model: str) -> None:
        super().__init__(f"No deployment serves '{model}' at the moment.", headers={"retry-after": "10"})


@dataclass(frozen=True)
class Terms:
    """A grant as admission needs it: limits in tokens, prices in the tenant's currency, the tenant's plan."""

    alias: str
    model: str
    kind: str
    context_window: int
    max_output_tokens: int
    dimensions: int | None
    prices: Quote
    plan: Plan

    def price(self, meter: str) -> Decimal:
        """Per unit of `meter`."""
        price = self.prices[self.model, meter]
        return price.amount / price.per

    def most(self, *meters: str) -> Decimal:
        """Per unit of the dearest of these meters: what a token costs at most whose meter is not known beforehand."""
        found = (price_of(self.prices, self.model, str(meter)) for meter in meters)
        return max(price.amount / price.per for price in found)


_remembered: dict[tuple[UUID, str, str], tuple[Terms, float]] = {}


def remembered_terms(tenant_id: UUID, alias: str, kind: str) -> Terms | None:
    """The terms looked up a moment ago, without asking the database."""
    found = _remembered.get((tenant_id, alias, kind))
    return found[0] if found and found[1] > time.monotonic() else None


def terms(*, alias: str, kind: str, currency: str) -> Terms:
    """The current tenant's terms for `alias`.

    Raises:
        UnknownModel: not granted (404, naming those granted).
        UnpricedModel: its price was taken away.
    """
    tenant_id = current_tenant()
    known = remembered_terms(tenant_id, alias, kind)
    if known is not None:
        return known
    with tenant_scope():
        grants = list(Grant.objects.select_related("model"))
        of_kind = [grant for grant in grants if grant.model.kind == kind]
        grant = next((grant for grant in of_kind if grant.alias == alias), None)
        if grant is None:
            names = ", ".join(sorted(grant.alias for grant in of_kind)) or "none"
            raise UnknownModel(
                f"The model '{alias}' does not exist or is not granted. Granted: {names}.", param="model"
            )
        model = grant.model
        needs = [(model.name, str(meter)) for meter in _METERS[Model.Kind(model.kind)]]
        # Retrieval embeds the question by its store's model: what that costs is part of what a chat call may cost.
        embedders = [grant.model.name for grant in grants if grant.model.kind == Model.Kind.EMBEDDING]
        needs += [(name, str(Meter.EMBEDDING_TOKENS)) for name in embedders]
        wishes = [(model.name, str(meter)) for meter in _OWN_PRICES.get(Model.Kind(model.kind), ())]
        prices = quote(needs=needs, wishes=wishes, currency=currency, now=datetime.now(UTC))
        plan = current_plan()
    found = Terms(
        alias=alias,
        model=model.name,
        kind=model.kind,
        context_window=model.context_window,
        max_output_tokens=min(model.max_output_tokens, grant.max_output_tokens or model.max_output_tokens),
        dimensions=model.dimensions,
        prices=prices,
        plan=plan,
    )
    _remembered[tenant_id, alias, kind] = (found, time.monotonic() + _REMEMBER_SECONDS)
    return found


def forget_terms() -> None:
    """Drop what this process remembers."""
    _remembered.clear()
    _deployments.clear()


def granted_models() -> list[Grant]:
    """What the current tenant may use, by alias."""
    with tenant_scope():
        return list(Grant.objects.select_related("model").order_by("alias"))


_deployments: dict[tuple[UUID, str], tuple[list[DeploymentBase], float]] = {}


def deployments_of(model: str) -> list[DeploymentBase]:
    """Where `model` answers for the current tenant: its own accounts if it has any, else the platform's."""
    tenant_id = current_tenant()
    found = _deployments.get((tenant_id, model))
    if found and found[1] > time.monotonic():
        return found[0]
    with tenant_scope():
        own: list[DeploymentBase] = list(TenantDeployment.objects.filter(model__name=model, enabled=True))
        rows = own or list(Deployment.objects.filter(model__name=model, enabled=True))
    _deployments[tenant_id, model] = (rows, time.monotonic() + _REMEMBER_SECONDS)
    return rows


def grant(*, alias: str, model_name: str, by: Actor, max_output_tokens: int | None = None) -> Grant:
    """Let the current tenant use a model; granting an alias again points it at the new model.

    Raises:
        NotFound: no such model.
        UnpricedModel: the model has no price in the tenant's currency.
    """
    with tenant_scope() as tenant_id:
        model = Model.objects.filter(name=model_name).first()
        if model is None:
            raise NotFound(f"No model '{model_name}' in the catalogue.", param="model")
        currency = Tenant.objects.values_list("currency", flat=True).get(id=tenant_id)
        needs = [(model.name, str(meter)) for meter in _METERS[Model.Kind(model.kind)]]
        quote(needs=needs, currency=currency, now=datetime.now(UTC))
        row, created = Grant.objects.update_or_create(
            tenant_id=tenant_id, alias=alias, defaults={"model": model, "max_output_tokens": max_output_tokens}
        )
        record(by=by, action="grant.created" if created else "grant.changed", target=row, changes={"model": model.name})
    return row


def grant_built_in(tenant: Tenant, options: dict[str, Any]) -> None:
    """New-tenant hook: the models that run inside Atrium, and those that `options["grants"]` names."""
    # The built-in models have list prices in USD only; another currency's prices are the operator's to set.
    built_in = BUILT_IN if tenant.currency == "USD" else ()
    for name in [*built_in, *options.get("grants", [])]:
        grant(alias=name, model_name=name, by=SYSTEM)


def register_model(
    *,
    name: str,
    kind: str,
    provider: str,
    base_url: str,
    upstream_model: str,
    api_key: str,
    prices: dict[str, Decimal],
    currency: str,
    context_window: int,
    max_output_tokens: int,
    now: datetime,
    dimensions: int | None = None,
) -> Model:
    """Put a model with one platform deployment and its list prices into the catalogue; again: adds a deployment.

    Args:
        prices: meter → price per million units.

    Raises:
        InvalidRequest: a price is missing or negative.
    """
    missing = [str(meter) for meter in _METERS[Model.Kind(kind)] if str(meter) not in prices]
    if missing:
        raise InvalidRequest(f"A {kind} model needs a price for {', '.join(missing)}; an unpriced model is refused.")
    if any(amount < 0 for amount in prices.values()):
        raise InvalidRequest("A price must not be negative.")
    with as_staff(), transaction.atomic(using="staff"):
        model, _ = Model.objects.update_or_create(
            name=name,
            defaults={
                "kind": kind,
                "context_window": context_window,
                "max_output_tokens": max_output_tokens,
                "dimensions": dimensions,
            },
        )
        Deployment.objects.update_or_create(
            model=model,
            name=f"{name} at {base_url or provider}",
            defaults={
                "provider": provider,
                "base_url": base_url,
                "upstream_model": upstream_model or name,
                "api_key": api_key,
            },
        )
        for meter, amount in prices.items():
            Price.objects.create(model=name, meter=meter, currency=currency, amount=amount, valid_from=now)
    return model
