"""Tenants come and go: creating, suspending, resuming. Other apps hang their own defaults on a new tenant."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from .audit import Actor, record
from .errors import AtriumError, InvalidRequest, NotFound
from .ids import uuid7
from .models import Tenant
from .scope import acting_for, tenant_scope

#: Called inside a new tenant's scope with (tenant, options): each app adds what a tenant starts with (a plan, grants).
#: `config` wires them, so that this app knows nothing of those above it.
NewTenantHook = Callable[[Tenant, dict[str, Any]], None]
_hooks: list[NewTenantHook] = []


class SlugTaken(AtriumError):
    """Another tenant has this slug."""

    status = 409
    type = "invalid_request_error"
    code = "slug_taken"


class ExternalIdTaken(AtriumError):
    """Another tenant has this external id."""

    status = 409
    type = "invalid_request_error"
    code = "external_id_taken"


def on_new_tenant(hook: NewTenantHook) -> None:
    """Register what an app adds to a new tenant, in the transaction that creates it."""
    if hook not in _hooks:
        _hooks.append(hook)


def create_tenant(
    *,
    slug: str,
    name: str,
    by: Actor,
    currency: str = "USD",
    external_id: str | None = None,
    content_retention_days: int | None = None,
    options: dict[str, Any] | None = None,
    tenant_id: UUID | None = None,
) -> Tenant:
    """Create a tenant and what every app adds to one, all or nothing.

    Works as the app role in the new tenant's own scope, for staff too.

    Args:
        content_retention_days: None leaves it to the hooks.
        options: for the apps' hooks, such as `{"plan": "team"}`.
        tenant_id: given by callers who add more in the same scope.

    Raises:
        InvalidRequest: a slug, name or currency that cannot be one.
        SlugTaken, ExternalIdTaken: it is another's.
    """
    tenant = Tenant(
        id=tenant_id or uuid7(),
        slug=slug,
        name=name,
        currency=currency,
        external_id=external_id,
        **({} if content_retention_days is None else {"content_retention_days": content_retention_days}),
    )
    _check_fields(tenant)
    with acting_for(tenant.id), tenant_scope():
        _insert(tenant)
        record(by=by, action="tenant.created", target=tenant, changes={"slug": slug, "name": name})
        for hook in _hooks:
            hook(tenant, {**(options or {}), "content_retention_days": content_retention_days})
    return tenant


def _check_fields(tenant: Tenant) -> None:
    try:
        tenant.clean_fields()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidRequest(f"Invalid '{field}': {messages[0]}", param=field) from error


def _insert(tenant: Tenant) -> None:
    """Unique over all tenants by index: a look-up here would see the own scope only, and two could race past it."""
    try:
        with transaction.atomic():
            tenant.save(force_insert=True)
    except IntegrityError as error:
        if "external_id" in error.__cause__.diag.constraint_name:  # type: ignore[union-attr]
            raise ExternalIdTaken("A tenant with this external id exists.", param="external_id") from error
        raise SlugTaken(f"The slug '{tenant.slug}' is taken.", param="slug") from error


def set_status(*, tenant: Tenant, status: Tenant.Status, by: Actor, reason: str = "") -> Tenant:
    """Suspend or resume a tenant; its keys follow within `API_KEY_CACHE_SECONDS`.

    Args:
        reason: kept in the tenant's own audit log, where its people read it.
    """
    with acting_for(tenant.id), tenant_scope():
        before = Tenant.objects.select_for_update().get(id=tenant.id)
        if before.status != status:
            changes: dict[str, Any] = {"status": [before.status, status], **({"reason": reason} if reason else {})}
            record(by=by, action="tenant.status_changed", target=tenant, changes=changes)
            before.status = status
            before.save(update_fields=["status"])
    return before


def tenant_by_slug(slug: str) -> UUID | None:
    """The id of the tenant with this slug, or None; asks a pinned function, so it needs no scope."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_by_slug(%s)", [slug])
        return cursor.fetchone()[0]


def require_tenant(slug: str) -> UUID:
    """The id of the tenant with this slug.

    Raises:
        NotFound: there is none.
    """
    tenant_id = tenant_by_slug(slug)
    if tenant_id is None:
        raise NotFound(f"No tenant '{slug}'.")
    return tenant_id
