"""A tenant's endpoints: made, changed, rotated, removed. Each change has its audit row; secrets stand in none."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ..audit import Actor, record
from ..errors import AtriumError, InvalidRequest, NotFound
from ..guarded_http import Refused
from ..models import Tenant
from ..scope import current_tenant, tenant_scope
from .event_types import EVENT_TYPES, EVERYTHING
from .models import WebhookEndpoint
from .sending import check_url
from .signing import new_secret

PREFIX = "we_"
MAX_ENDPOINTS = 20
#: How long messages carry a signature by the previous secret too, where the rotation asks for it.
OVERLAP = timedelta(hours=24)


class TooManyEndpoints(AtriumError):
    """The tenant has as many endpoints as it may."""

    status = 409
    type = "invalid_request_error"
    code = "too_many_webhook_endpoints"


def create_endpoint(
    *, name: str, url: str, event_types: Collection[str], by: Actor, now: datetime
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint of the current tenant; returns its row and its secret, which is shown once.

    Raises:
        InvalidRequest: a URL that cannot work, or an unknown type of event.
        TooManyEndpoints: there are twenty.
    """
    values = _checked({"name": name, "url": url, "event_types": list(event_types)})
    with tenant_scope() as tenant_id:
        # One at a time, so that two cannot both be the twentieth.
        Tenant.objects.select_for_update(no_key=True).get(id=current_tenant())
        if WebhookEndpoint.objects.count() >= MAX_ENDPOINTS:
            raise TooManyEndpoints(f"At most {MAX_ENDPOINTS} webhook endpoints. Delete one first.")
        row = WebhookEndpoint.objects.create(tenant_id=tenant_id, secret=new_secret(), **values)
        WebhookEndpoint.objects.filter(id=row.id).update(updated_at=now)
        row.refresh_from_db(fields=["created_at", "updated_at"])
        record(by=by, action="webhook_endpoint.created", target=row, changes=_told(values))
    return row, row.secret


def get_endpoint(*, endpoint_id: UUID | None) -> WebhookEndpoint:
    """One of the current tenant's; call it inside a scope.

    Raises:
        NotFound: no such endpoint in this tenant.
    """
    row = WebhookEndpoint.objects.filter(id=endpoint_id).first() if endpoint_id else None
    if row is None:
        raise NotFound("No such webhook endpoint.")
    return row


def update_endpoint(*, endpoint_id: UUID | None, changes: dict[str, Any], by: Actor, now: datetime) -> WebhookEndpoint:
    """Change some of `name`, `url`, `event_types` and `enabled`; what was disabled for failing starts anew.

    Raises:
        NotFound: no such endpoint in this tenant.
        InvalidRequest: as `create_endpoint`.
    """
    values = _checked({name: value for name, value in changes.items() if name != "enabled"})
    if "enabled" in changes:
        values |= {"disabled_at": None if changes["enabled"] else now, "disabled_reason": "", "failing_since": None}
    with tenant_scope():
        row = _locked(endpoint_id)
        if changes.get("enabled") is False and row.disabled_at is not None:
            values = {name: value for name, value in values.items() if name in changes}
        before = {name: getattr(row, name) for name in values}
        if before == values:
            return row
        for name, value in values.items():
            setattr(row, name, value)
        row.updated_at = now
        row.save(update_fields=[*values, "updated_at"])
        told = {
            name: [before[name], values[name]] for name in values if name in changes and before[name] != values[name]
        }
        if "enabled" in changes:
            told["enabled"] = [before.get("disabled_at") is None, changes["enabled"]]
        record(by=by, action="webhook_endpoint.changed", target=row, changes=_told(told))
    return row


def rotate_secret(
    *, endpoint_id: UUID | None, overlap: timedelta, by: Actor, now: datetime
) -> tuple[WebhookEndpoint, str]:
    """A new secret, shown once; for `overlap` messages are signed by the old one too. Of two overlaps the last counts.

    Raises:
        NotFound: no such endpoint in this tenant.
    """
    with tenant_scope():
        row = _locked(endpoint_id)
        row.previous_secret, row.previous_ends_at = (row.secret, now + overlap) if overlap else ("", None)
        row.secret, row.updated_at = new_secret(), now
        row.save(update_fields=["secret", "previous_secret", "previous_ends_at", "updated_at"])
        changes = {"overlap_seconds": int(overlap.total_seconds())}
        record(by=by, action="webhook_endpoint.secret_rotated", target=row, changes=changes)
    return row, row.secret


def delete_endpoint(*, endpoint_id: UUID | None, by: Actor) -> WebhookEndpoint:
    """Remove an endpoint with its deliveries; what is on its way to it is not sent any more.

    Raises:
        NotFound: no such endpoint in this tenant.
    """
    with tenant_scope():
        row = _locked(endpoint_id)
        record(by=by, action="webhook_endpoint.deleted", target=row, changes={"name": row.name})
        WebhookEndpoint.objects.filter(id=row.id).delete()
    return row


def _locked(endpoint_id: UUID | None) -> WebhookEndpoint:
    row = WebhookEndpoint.objects.select_for_update(no_key=True).filter(id=endpoint_id).first() if endpoint_id else None
    if row is None:
        raise NotFound("No such webhook endpoint.")
    return row


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    if "url" in values:
        try:
            check_url(values["url"])
        except Refused as error:
            raise InvalidRequest(f"Invalid 'url': {error.message}", param="url") from error
    if "event_types" in values:
        values["event_types"] = _known_types(values["event_types"])
    return values


def _known_types(wanted: Collection[str]) -> list[str]:
    unknown = sorted(set(wanted) - {*EVENT_TYPES, EVERYTHING})
    if unknown or not wanted:
        told = f"unknown type '{unknown[0]}'" if unknown else "name at least one"
        known = ", ".join(["*", *EVENT_TYPES])
        raise InvalidRequest(f"Invalid 'event_types': {told}. There are: {known}.", param="event_types")
    return list(dict.fromkeys(wanted))


def _told(changes: dict[str, Any]) -> dict[str, Any]:
    """For the audit log: a URL's query may be a secret."""

    def without_query(value: Any) -> Any:
        return [without_query(one) for one in value] if isinstance(value, list) else str(value).partition("?")[0]

    return {name: without_query(value) if name == "url" else value for name, value in changes.items()}
