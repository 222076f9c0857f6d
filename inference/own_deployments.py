"""A tenant's own provider accounts: they go before the platform's for this tenant and serve nobody else.

Credentials are written and never read back. What a call costs there is the operator's to say (`OwnAccountPrice`);
until it says something, the usual price holds.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from billing.prices import checks
from billing.prices.books import PriceConflict
from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.guarded_http import Refused
from tenants.models import Tenant
from tenants.scope import tenant_scope

from .chains import METERS
from .entitlements import entitled_model
from .models import DeploymentBase, Model, OwnAccountPrice, TenantDeployment
from .providers.public_only import check_base_url

PREFIX = "deployment_"
_Provider = DeploymentBase.Provider
#: What a tenant may bring; what runs inside Atrium is nobody's account.
PROVIDERS = (_Provider.OPENAI_COMPATIBLE, _Provider.OPENAI_RESPONSES, _Provider.BEDROCK)
MOST = 50


class DeploymentNameTaken(AtriumError):
    """Another deployment of the tenant has this name."""

    status = 409
    type = "invalid_request_error"
    code = "deployment_name_taken"


def create_deployment(*, model: str, given: Mapping[str, Any], by: Actor) -> TenantDeployment:
    """A deployment of the current tenant for a chat model that it was granted.

    Args:
        given: `name`, `provider`, and what else `models.DeploymentBase` has, credentials among it.

    Raises:
        NotFound: the model is not granted.
        InvalidRequest: an address that is not public, credentials missing, or one deployment too many.
        DeploymentNameTaken: the name is another's.
    """
    with tenant_scope() as tenant_id:
        Tenant.objects.select_for_update(no_key=True).get(id=tenant_id)
        if TenantDeployment.objects.count() >= MOST:
            raise InvalidRequest(f"A tenant has at most {MOST} deployments of its own.")
        served = entitled_model(model, param="model")
        if served.kind != Model.Kind.CHAT:
            raise InvalidRequest("Own accounts serve chat models only.", param="model")
        row = TenantDeployment(tenant_id=tenant_id, model=served, upstream_model=served.name)
        changes = _take(row, given)
        _save(row, new=True)
        record(by=by, action="deployment.created", target=row, changes={"model": model, **changes})
    return row


def change_deployment(*, deployment_id: UUID | None, changed: Mapping[str, Any], by: Actor) -> TenantDeployment:
    """Change what is named in `changed`; raises as `create_deployment` does.

    A new address or provider needs its credentials again: those that are stored do not follow it.
    """
    with tenant_scope():
        row = find_deployment(deployment_id)
        moved = any(name in changed and changed[name] != getattr(row, name) for name in ("base_url", "provider"))
        if moved:
            for name in DeploymentBase.CREDENTIALS:
                setattr(row, name, "")
        changes = _take(row, changed)
        _save(row, new=False)
        record(by=by, action="deployment.changed", target=row, changes=changes)
    return row


def delete_deployment(*, deployment_id: UUID | None, by: Actor) -> None:
    """Take a deployment away, with its credentials.

    Raises:
        NotFound: no such deployment in this tenant.
    """
    with tenant_scope():
        row = find_deployment(deployment_id)
        record(by=by, action="deployment.deleted", target=row, changes={"name": row.name})
        row.delete()


def find_deployment(deployment_id: UUID | None) -> TenantDeployment:
    """One of the current tenant's. Call it inside the scope.

    Raises:
        NotFound: no such deployment in this tenant.
    """
    rows = TenantDeployment.objects.select_related("model")
    row = rows.filter(id=deployment_id).first() if deployment_id else None
    if row is None:
        raise NotFound("No such deployment.")
    return row


def set_own_price(
    *, model: str, meter: str, amount: Decimal, currency: str, by: Actor, now: datetime, per: int = 1_000_000
) -> OwnAccountPrice:
    """The operator says what calls of `model` through the current tenant's own accounts cost from `now` on; 0 too.

    Raises:
        NotFound: no such model in the catalogue.
        InvalidRequest: an amount that cannot be kept, a meter that the model does not have, or another currency than
            the tenant's.
        PriceConflict: a price of the meter begins at this moment already.
    """
    served = Model.objects.filter(name=model).first()
    if served is None:
        raise NotFound(f"No model '{model}' in the catalogue.", param="model")
    checks.amount(amount)
    known = METERS[Model.Kind(served.kind)]
    if meter not in known:
        raise InvalidRequest(f"Set a price for {', '.join(known)}; the other meters follow them.", param="meter")
    with tenant_scope() as tenant_id:
        own = Tenant.objects.get(id=tenant_id).currency
        if currency != own:
            raise InvalidRequest(f"This tenant is billed in {own}, not in {currency}.", param="currency")
        row = OwnAccountPrice(
            tenant_id=tenant_id, model=model, meter=meter, currency=currency, amount=amount, per=per, valid_from=now
        )
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError as error:
            raise PriceConflict("A price of this meter begins at this moment already.", param="valid_from") from error
        said = {"model": model, "meter": meter, "amount": str(amount), "currency": currency, "per": per}
        record(by=by, action="own_account_price.set", target=row, changes=said)
    return row


def _take(row: TenantDeployment, given: Mapping[str, Any]) -> dict[str, Any]:
    """Set and check; returns what changed, of credentials only that they did."""
    for name, value in given.items():
        setattr(row, name, value)
    _check(row)
    secrets = DeploymentBase.CREDENTIALS
    return {name: "set" if name in secrets and value else value for name, value in given.items()}


def _check(row: TenantDeployment) -> None:
    if row.provider not in PROVIDERS:
        raise InvalidRequest(f"'provider' must be one of {', '.join(PROVIDERS)}.", param="provider")
    if row.provider == _Provider.BEDROCK:
        if row.base_url:
            raise InvalidRequest("A tenant's deployment at Amazon Bedrock has no base_url.", param="base_url")
        if not (row.api_key or (row.access_key_id and row.secret_access_key)):
            raise InvalidRequest(
                "Amazon Bedrock needs an api_key, or access_key_id and secret_access_key.", param="api_key"
            )
    else:
        try:
            check_base_url(row.base_url)
        except Refused as error:
            raise InvalidRequest(error.message, param="base_url") from error
    try:
        row.clean_fields(exclude={"base_url", "tenant", "model"})
        row.clean()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidRequest(f"Invalid '{field}': {messages[0]}", param=field) from error


def _save(row: TenantDeployment, *, new: bool) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=new)
    except IntegrityError as error:
        raise DeploymentNameTaken(f"A deployment '{row.name}' exists.", param="name") from error
    row.refresh_from_db(fields=["created_at"])
