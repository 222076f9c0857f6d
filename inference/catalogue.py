"""What a tenant may use: grants, and the terms of each (bounds and prices), remembered for a few seconds a process."""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from billing.limits import limits_in_force
from billing.models import Price
from billing.prices import checks, quote
from tenants.audit import SYSTEM, Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.memory import Memory
from tenants.models import Tenant
from tenants.scope import as_staff, current_tenant, tenant_scope

from . import chains
from .models import Deployment, DeploymentBase, Fallback, Grant, Model, TenantDeployment
from .terms import Terms

#: How long a process goes by what it read: of grants, of models' service, of deployments.
REMEMBER_SECONDS = 4.5
_CHECKED = (Model.Kind.CHAT, Model.Kind.MODERATION)
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

    def __init__(self, model: str, *, retry_after: float | None = None) -> None:
        seconds = 10 if retry_after is None else max(1, math.ceil(retry_after))
        super().__init__(f"No deployment serves '{model}' at the moment.", headers={"retry-after": str(seconds)})


class ModelOutOfService(AtriumError):
    """The operator took the model out of service, and nothing stands in for it."""

    status = 503
    type = "server_error"
    code = "model_out_of_service"

    def __init__(self, alias: str) -> None:
        told = f"The model behind '{alias}' has been taken out of service. Use another one, or ask your operator."
        super().__init__(told, param="model", headers={"x-should-retry": "false"})


_remembered: Memory[tuple[UUID, str, str], Terms] = Memory(REMEMBER_SECONDS)


def remembered_terms(tenant_id: UUID, alias: str, kind: str) -> Terms | None:
    """The terms looked up a moment ago, without asking the database."""
    return _remembered.get((tenant_id, alias, kind))


def should_read_again(tenant_id: UUID, alias: str, kind: str) -> bool:
    """Whether remembered terms are nearly forgotten; who reads them now spares the next request the wait."""
    return _remembered.due((tenant_id, alias, kind))


def terms(*, alias: str, kind: str, currency: str) -> Terms:
    """The current tenant's terms for `alias`.

    Raises:
        UnknownModel: not granted (404, naming those granted).
        UnpricedModel: its price was taken away.
        ModelOutOfService: the operator took it out, and it has no fallback that is in service.
    """
    return remembered_terms(current_tenant(), alias, kind) or read_terms(alias=alias, kind=kind, currency=currency)


def read_terms(*, alias: str, kind: str, currency: str) -> Terms:
    """The same, read from the database; raises as `terms` does, and then nothing is remembered."""
    known, started = (current_tenant(), alias, kind), time.monotonic()
    try:
        found = _terms_now(alias=alias, kind=kind, currency=currency)
    except AtriumError:
        _remembered.drop(known)
        raise
    _remembered.keep(known, found, since=started)
    return found


def _terms_now(*, alias: str, kind: str, currency: str) -> Terms:
    with tenant_scope():
        grants = chains.all_grants()
        of_kind = [row for row in chains.usable(grants) if row.model.kind == kind]
        granted = next((row for row in of_kind if row.alias == alias), None)
        if granted is None:
            names = ", ".join(row.alias for row in of_kind) or "none"
            raise UnknownModel(
                f"The model '{alias}' does not exist or is not granted. Granted: {names}.", param="model"
            )
        found = chains.terms_of(granted, grants, currency=currency, now=datetime.now(UTC))
        if granted.model.out_of_service_since is not None and len(found.chain) == 1:
            raise ModelOutOfService(alias)
        return found


def check_key(found: Terms, key_id: UUID) -> None:
    """Terms are the tenant's; a key may be allowed fewer models.

    Raises:
        UnknownModel: not this one (404).
    """
    if not found.limits.may_call(found.served_by, key_id):
        raise UnknownModel(
            f"The model '{found.alias}' does not exist or this API key may not use it. Ask an admin.", param="model"
        )


def forget_terms() -> None:
    """Drop what this process remembers."""
    _remembered.clear()
    _deployments.clear()


def granted_models(kind: str | None = None, *, key_id: UUID | None = None) -> list[Grant]:
    """What the current tenant may use, or one of its keys, of one kind or of all, by alias."""
    with tenant_scope():
        rows = chains.usable(chains.all_grants())
        allowed = limits_in_force()
    return [row for row in rows if kind in (None, row.model.kind) and allowed.may_call(row.model.name, key_id)]


_deployments: Memory[tuple[UUID, str], list[DeploymentBase]] = Memory(REMEMBER_SECONDS)


def deployments_of(model: str) -> list[DeploymentBase]:
    """Where `model` answers for the current tenant: its own accounts if it has any, else the platform's."""
    rows = all_deployments_of(model)
    return [row for row in rows if isinstance(row, TenantDeployment)] or rows


def all_deployments_of(model: str) -> list[DeploymentBase]:
    """The tenant's own accounts and the platform's: a call's price says which of them may be asked."""
    tenant_id = current_tenant()
    known, started = remembered_deployments(tenant_id, model), time.monotonic()
    if known is not None:
        return known
    with tenant_scope():
        # Not those of retrieval, whose clients do not check where a tenant's address leads.
        serving: dict[str, Any] = {"model__name": model, "model__out_of_service_since": None, "enabled": True}
        own = TenantDeployment.objects.filter(**serving, model__kind__in=_CHECKED).select_related("model")
        platforms = Deployment.objects.filter(**serving).select_related("model")
        rows: list[DeploymentBase] = [*own, *platforms]
    _deployments.keep((tenant_id, model), rows, since=started)
    return rows


def remembered_deployments(tenant_id: UUID, model: str) -> list[DeploymentBase] | None:
    """What `all_deployments_of` found a moment ago, without asking the database."""
    return _deployments.get((tenant_id, model))


#: A grant that says nothing but its model.
_FREE: dict[str, Any] = {
    **dict.fromkeys(("variant", "canary_model", "canary_variant", "allowed_tools", "default_max_tokens")),
    **dict.fromkeys(("default_temperature", "default_top_p", "min_temperature", "max_temperature")),
    "canary_share": 0,
    "fallbacks": True,
}


def grant(
    *,
    alias: str,
    model_name: str,
    by: Actor,
    max_output_tokens: int | None = None,
    bounds: Mapping[str, Any] | None = None,
) -> Grant:
    """Let the current tenant use a model; granting an alias again points it at the new model.

    Args:
        bounds: what else the grant says, see `models.Grant`; what is not named is free.

    Raises:
        NotFound: no such model.
        InvalidRequest: bounds that contradict each other.
        UnpricedModel: the model has no price in the tenant's currency.
    """
    low, high = ((bounds or {}).get(name) for name in ("min_temperature", "max_temperature"))
    if low is not None and high is not None and low > high:
        raise InvalidRequest("The lowest temperature must not be above the highest.", param="min_temperature")
    with tenant_scope() as tenant_id:
        model = Model.objects.filter(name=model_name).first()
        if model is None:
            raise NotFound(f"No model '{model_name}' in the catalogue.", param="model")
        currency = Tenant.objects.values_list("currency", flat=True).get(id=tenant_id)
        needs = [(model.name, str(meter)) for meter in chains.METERS[Model.Kind(model.kind)]]
        quote(needs=needs, currency=currency, now=datetime.now(UTC))
        row, created = Grant.objects.update_or_create(
            tenant_id=tenant_id,
            alias=alias,
            defaults={
                **_FREE,
                **(bounds or {}),
                "model": model,
                "max_output_tokens": max_output_tokens,
                "by_tenant": False,
            },
        )
        changes = {"model": model.name, **(bounds or {})}
        record(by=by, action="grant.created" if created else "grant.changed", target=row, changes=changes)
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
    region: str = "",
    credentials: Mapping[str, str] | None = None,
    capabilities: Sequence[str] | None = None,
    strategy: str | None = None,
    fallbacks: Sequence[str] | None = None,
) -> Model:
    """Put a model with one platform deployment and its list prices into the catalogue; again: adds a deployment.

    Args:
        prices: meter → price per million units.
        credentials: besides `api_key`, of `DeploymentBase.CREDENTIALS`.
        capabilities, strategy, fallbacks: see `models.Model` and `models.Fallback`; None leaves them as they are.

    Raises:
        InvalidRequest: a price is missing or negative, or the provider needs something that is not given.
    """
    missing = [str(meter) for meter in chains.METERS[Model.Kind(kind)] if str(meter) not in prices]
    if missing:
        raise InvalidRequest(f"A {kind} model needs a price for {', '.join(missing)}; an unpriced model is refused.")
    for amount in prices.values():
        checks.amount(amount)
    with as_staff(), transaction.atomic(using="staff"):
        model, _ = Model.objects.update_or_create(
            name=name,
            defaults={
                "kind": kind,
                "context_window": context_window,
                "max_output_tokens": max_output_tokens,
                "dimensions": dimensions,
                **({"capabilities": list(capabilities)} if capabilities is not None else {}),
                **({"strategy": strategy} if strategy is not None else {}),
            },
        )
        if fallbacks is not None:
            _set_fallbacks(model, fallbacks)
        deployment, _ = Deployment.objects.update_or_create(
            model=model,
            name=f"{name} at {base_url or region or provider}"[:100],
            defaults={
                "provider": provider,
                "base_url": base_url,
                "upstream_model": upstream_model or name,
                "region": region,
                **dict.fromkeys(DeploymentBase.CREDENTIALS, ""),
                **(credentials or {}),
                "api_key": api_key,
            },
        )
        try:
            deployment.clean_fields(exclude={"base_url"})  # a service's name without dots is none to its validator
            deployment.clean()
        except ValidationError as error:
            raise InvalidRequest(" ".join(error.messages)) from error
        for meter, amount in prices.items():
            Price.objects.create(model=name, meter=meter, currency=currency, amount=amount, valid_from=now)
    return model


def _set_fallbacks(model: Model, names: Sequence[str]) -> None:
    """Put others in the model's place, in this order; in the transaction of the staff role."""
    found = {row.name: row for row in Model.objects.filter(name__in=names).exclude(id=model.id)}
    if missing := [name for name in names if name not in found]:
        raise InvalidRequest(f"No other model of the catalogue is called {', '.join(missing)}.", param="fallbacks")
    if len(found) < len(names):
        raise InvalidRequest("A fallback stands once in the chain.", param="fallbacks")
    if wrong := [row.name for row in found.values() if row.kind != model.kind]:
        raise InvalidRequest(f"Of another kind than '{model.name}': {', '.join(wrong)}.", param="fallbacks")
    Fallback.objects.filter(model=model).delete()
    Fallback.objects.bulk_create(
        Fallback(model=model, fallback=found[name], position=position) for position, name in enumerate(names)
    )
