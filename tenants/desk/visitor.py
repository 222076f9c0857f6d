"""The edge of the admin: from a session to a visitor, and from a visitor to what the database shows.

Platform staff work as the audited staff role and see every tenant. Anybody else works in the tenant of a membership,
inside one tenant scope that spans the view *and* the rendering of its answer, because selects and template responses
read the database late. Memberships are asked for on every request, so a removed member is out at the next click.

The scope is a transaction: an answer of 500 rolls it back. Nothing under the admin may stream.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from ..audit import Actor
from ..members import Seat, seats_of
from ..models import Tenant
from ..permissions import role_may
from ..scope import acting_for, as_staff, leave_tenant, tenant_scope

#: Where the session keeps which tenant a member of several has chosen.
CHOSEN = "admin_tenant"

GetResponse = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True)
class Visitor:
    """Who uses the admin: platform staff (`tenant` is None), or a member of `tenant` with `role`."""

    user_id: UUID
    tenant: Tenant | None = None
    role: str | None = None
    seats: tuple[Seat, ...] = ()

    @property
    def staff(self) -> bool:
        """Whether this is the platform's staff."""
        return self.tenant is None

    @property
    def actor(self) -> Actor:
        """This visitor, for the audit log; a tenant sees that its platform's staff did something, and what."""
        return Actor("staff" if self.staff else "user", str(self.user_id))

    def may(self, permission: str) -> bool:
        """Whether this visitor holds `<object>.<view|change>`; staff hold all."""
        return self.staff or role_may(self.role, permission)


def visitor_of(request: HttpRequest) -> Visitor | None:
    """The visitor behind a request under the admin; None for strangers."""
    return getattr(request, "visitor", None)


def AdminScopeMiddleware(get_response: GetResponse) -> GetResponse:  # noqa: N802
    """Innermost of the middlewares, so that what it wraps includes the rendering."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(reverse("admin:index")) or not request.user.is_authenticated:
            return get_response(request)
        with leave_tenant():
            if request.user.is_superuser:
                request.visitor = Visitor(request.user.id)  # type: ignore[attr-defined]
                with as_staff():
                    return get_response(request)
            return _as_member(request, get_response)

    return middleware


class _Failed(Exception):
    """Leaves the scope without a commit: Django made an answer of the view's exception, so nothing else would."""


def _as_member(request: HttpRequest, get_response: GetResponse) -> HttpResponse:
    assert isinstance(request.user.pk, UUID)
    seats = seats_of(request.user.pk)
    if not seats:
        return _without_membership(request, get_response)
    chosen = request.session.get(CHOSEN)
    seat = next((seat for seat in seats if str(seat.tenant_id) == chosen), seats[0])
    with acting_for(seat.tenant_id):
        with tenant_scope():
            tenant = Tenant.objects.get(id=seat.tenant_id)
        request.visitor = Visitor(request.user.pk, tenant, seat.role, tuple(seats))  # type: ignore[attr-defined]
        if request.path == reverse("admin:choose_tenant"):
            # It names the member's other tenants, each from a scope of its own.
            return get_response(request)
        with suppress(_Failed), tenant_scope():
            response = get_response(request)
            if response.status_code >= 500:
                raise _Failed
        return response


def _without_membership(request: HttpRequest, get_response: GetResponse) -> HttpResponse:
    if request.path in (reverse("admin:login"), reverse("admin:logout")):
        return get_response(request)
    context = {
        **admin.site.each_context(request),
        "title": "No access",
        "message": f"{request.user} is not a member of any tenant. Ask an owner of yours to add this address.",
        "offer_logout": True,
    }
    return render(request, "admin/notice.html", context, status=403)
