"""Which grants keep their answers, and for how long: a tenant decides, where a hit has a price."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from billing.models import Meter
from billing.prices import quote
from tenants.audit import Actor, record
from tenants.errors import InvalidRequest, NotFound
from tenants.models import Tenant
from tenants.scope import tenant_scope

from ..models import CachedResponse, CachePolicy, Grant, Model
from ..models.response_cache import MAX_TTL_SECONDS


@dataclass(frozen=True)
class Caching:
    """A grant's policy as a call needs it."""

    grant_id: UUID
    ttl_seconds: int
    any_request: bool


def caching_of(grant_id: UUID) -> Caching | None:
    """The policy of a grant of the current tenant; None where it keeps nothing. Call it inside the scope."""
    row = CachePolicy.objects.filter(grant_id=grant_id).first()
    return None if row is None else Caching(grant_id, row.ttl_seconds, row.any_request)


def all_policies() -> list[CachePolicy]:
    """The current tenant's policies with their grants, by alias."""
    with tenant_scope():
        return list(CachePolicy.objects.select_related("grant__model").order_by("grant__alias"))


def set_policy(*, alias: str, ttl_seconds: int, by: Actor, now: datetime, any_request: bool = False) -> CachePolicy:
    """Keep the answers of a grant of the current tenant; a policy that is there is changed. Holds within seconds.

    Raises:
        NotFound: no chat model is granted under this alias.
        InvalidRequest: a time that is none, or too long.
        UnpricedModel: a hit of its model has no price.
    """
    if not 1 <= ttl_seconds <= MAX_TTL_SECONDS:
        raise InvalidRequest(f"'ttl_seconds' must be from 1 to {MAX_TTL_SECONDS}.", param="ttl_seconds")
    with tenant_scope() as tenant_id:
        granted = _granted(alias)
        currency = Tenant.objects.values_list("currency", flat=True).get(id=tenant_id)
        quote(needs=[(granted.model.name, str(Meter.CACHE_HITS))], currency=currency, now=now)
        row, created = CachePolicy.objects.update_or_create(
            tenant_id=tenant_id,
            grant=granted,
            defaults={"ttl_seconds": ttl_seconds, "any_request": any_request},
        )
        changes = {"alias": alias, "ttl_seconds": ttl_seconds, "any_request": any_request}
        record(by=by, action="cache_policy.created" if created else "cache_policy.changed", target=row, changes=changes)
        row.refresh_from_db()
        row.grant = granted
    return row


def remove_policy(*, alias: str, by: Actor) -> None:
    """Keep no more answers of a grant, and let go of those that are kept.

    Raises:
        NotFound: no such grant, or it keeps none.
    """
    with tenant_scope():
        granted = _granted(alias)
        row = CachePolicy.objects.filter(grant=granted).first()
        if row is None:
            raise NotFound(f"The answers of '{alias}' are not kept.", param="model")
        record(by=by, action="cache_policy.deleted", target=row, changes={"alias": alias})
        row.delete()
        CachedResponse.objects.filter(grant=granted).delete()


def _granted(alias: str) -> Grant:
    rows = Grant.objects.select_related("model").filter(model__kind=Model.Kind.CHAT)
    found = rows.filter(alias=alias).first()
    if found is None:
        raise NotFound(f"The model '{alias}' does not exist or is not granted.", param="model")
    return found
