"""The tenant scope: who the code acts for, and the short transaction in which the database lets it.

Two steps, each with one place. The *edge* (authenticator, task runner, admin middleware) says for whom it acts:
`acting_for(tenant_id)`. *Domain functions* open `tenant_scope()`, a short transaction in which Postgres' row-level
security shows that tenant's rows only. Without the first step the second raises; without the second the database does.

Guarantees: the setting is transaction-local, so a pooled connection carries it to nobody; a scope refuses another
tenant inside; it is reset on exit when nested in an outer transaction (a test's); the outermost gives its connection
back. Evaluate querysets inside the scope: a lazy one that outlives it raises.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from django.db import connections, transaction

_TENANT = "app.tenant_id"
_current_tenant: ContextVar[UUID | None] = ContextVar("current_tenant", default=None)
_open_scope: ContextVar[UUID | None] = ContextVar("open_scope", default=None)
_as_staff: ContextVar[bool] = ContextVar("as_staff", default=False)


class NoTenant(RuntimeError):
    """Tenant-owned data was asked for while acting for nobody. Never answered with "all rows"."""


class OtherTenant(RuntimeError):
    """A scope was opened for one tenant inside another's."""


def current_tenant() -> UUID:
    """The tenant the code acts for.

    Raises:
        NoTenant: nobody said for whom.
    """
    tenant = _current_tenant.get()
    if tenant is None:
        raise NoTenant("no current tenant: the edge must call acting_for() first")
    return tenant


@contextmanager
def acting_for(tenant_id: UUID) -> Iterator[None]:
    """Set the current tenant; only edges call this.

    Raises:
        OtherTenant: a scope for another tenant is open.
    """
    inside = _open_scope.get()
    if inside is not None and inside != tenant_id:
        raise OtherTenant("acting for another tenant inside an open scope")
    token = _current_tenant.set(tenant_id)
    try:
        yield
    finally:
        _current_tenant.reset(token)


@contextmanager
def tenant_scope(*, local: Mapping[str, str] | None = None) -> Iterator[UUID]:
    """A short transaction that sees the current tenant's rows only; yields the tenant's id.

    Joins an open scope of the same tenant. Never hold one across a provider call or a stream. Inside it everybody works
    as the app role, staff too: the scope is a transaction of that role, and a query of another would not be part of it.

    Args:
        local: more settings of PostgreSQL for the transaction, made in the same round trip.

    Raises:
        NoTenant: there is no current tenant.
        OtherTenant: a scope for another tenant is open.
    """
    tenant = current_tenant()
    inside = _open_scope.get()
    if inside is not None and inside != tenant:
        raise OtherTenant("a scope for another tenant is open")
    staff = _as_staff.set(False)
    try:
        if inside is not None:
            _set(local or {})
            yield tenant
            return
        with _open(tenant, local or {}):
            yield tenant
    finally:
        _as_staff.reset(staff)


@contextmanager
def _open(tenant: UUID, local: Mapping[str, str]) -> Iterator[None]:
    connection = connections["default"]
    nested = connection.in_atomic_block
    token = _open_scope.set(tenant)
    try:
        with transaction.atomic():
            _set({_TENANT: str(tenant), **local})
            yield
            if nested:
                # A test's outer transaction goes on: what outlives the scope must raise again.
                _set({_TENANT: ""})
    finally:
        _open_scope.reset(token)
        if not nested:
            connection.close()


def _set(local: Mapping[str, str]) -> None:
    if not local:
        return
    calls = ", ".join(["set_config(%s, %s, true)"] * len(local))
    with connections["default"].cursor() as cursor:
        cursor.execute(f"SELECT {calls}", [part for setting in local.items() for part in setting])


@contextmanager
def as_staff() -> Iterator[None]:
    """Read and write through the audited `staff` role, which sees every tenant. Edges of platform staff only."""
    token = _as_staff.set(True)
    try:
        yield
    finally:
        _as_staff.reset(token)


def is_staff() -> bool:
    """Whether the code acts for platform staff (see `as_staff`)."""
    return _as_staff.get()


@contextmanager
def leave_tenant() -> Iterator[None]:
    """Start with no current tenant and put back the one before: edges wrap a request or a task in it."""
    token = _current_tenant.set(None)
    try:
        yield
    finally:
        _current_tenant.reset(token)


def enter_tenant(tenant_id: UUID) -> None:
    """Set the current tenant until the surrounding `leave_tenant()` ends; for authenticators, which cannot wrap."""
    _current_tenant.set(tenant_id)
