"""The edge of the admin: from a session to a visitor, and from a visitor to what the database shows.

Platform staff work as the audited staff role and see every tenant. Anybody else works in the tenant of a membership,
inside one tenant scope that spans the view *and* the rendering of its answer, because selects and template responses
read the database late. Memberships are asked for on every request, so a removed member is out at the next click; what else
stands between a session and a tenant is `tenants.accounts.entrance`'s to say.

Staff may look at one tenant as its owner sees it (`tenants.viewing`): then they are in that tenant's scope like a
member, its transaction is read-only, and nothing but a GET is let in.

The scope is a transaction: an answer of 500 rolls it back. Nothing under the admin may stream.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse

from ..accounts import entrance, sessions
from ..audit import Actor
from ..carried import Carried
from ..members import Seat, seats_of
from ..models import IdentityProvider, Role, StaffView, Tenant
from ..permissions import role_may
from ..scope import acting_for, as_staff, leave_tenant, tenant_scope
from ..viewing import end_view, view_in_force

#: Where the session keeps which tenant a member of several has chosen.
CHOSEN = "admin_tenant"
#: Where the session of platform staff keeps which tenant they look at: its id, and the look's.
VIEWED = "admin_staff_view"
_READS = ("GET", "HEAD")
#: Where the links of invitations lead.
INVITATION = "/admin/invitation/"

GetResponse = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True)
class Visitor:
    """Who uses the admin: platform staff (`tenant` is None), or a member of `tenant` with `role`.

    With `viewing` it is staff who look at `tenant` as its owner sees it, and may change nothing.
    """

    user_id: UUID
    tenant: Tenant | None = None
    role: str | None = None
    seats: tuple[Seat, ...] = ()
    viewing: StaffView | None = None

    @property
    def staff(self) -> bool:
        """Whether this is the platform's staff, at their own desk."""
        return self.tenant is None

    @property
    def actor(self) -> Actor:
        """This visitor, for the audit log; a tenant sees that its platform's staff did something, and what."""
        return Actor("staff" if self.staff or self.viewing else "user", str(self.user_id))

    def may(self, permission: str) -> bool:
        """Whether this visitor holds `<object>.<view|change>`; staff hold all, and while they view a tenant no `change`."""
        if self.viewing is not None and not permission.endswith(".view"):
            return False
        return self.staff or role_may(self.role, permission)


_VISITOR = Carried[Visitor]("visitor")


def visitor_of(request: HttpRequest) -> Visitor | None:
    """The visitor behind a request under the admin; None for strangers."""
    return _VISITOR.by(request)


def AdminScopeMiddleware(get_response: GetResponse) -> GetResponse:  # noqa: N802
    """Innermost of the middlewares, so that what it wraps includes the rendering."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(reverse("admin:index")) or not request.user.is_authenticated:
            return get_response(request)
        sessions.seen_now(request)
        if request.path.startswith(INVITATION):
            # Of a tenant in which the person has no seat yet: the link says which.
            return get_response(request)
        with leave_tenant():
            if request.user.is_superuser:
                return _as_staff(request, get_response)
            return _as_member(request, get_response)

    return middleware


def _as_staff(request: HttpRequest, get_response: GetResponse) -> HttpResponse:
    assert isinstance(request.user.pk, UUID)
    if entrance.is_the_persons_own(request.path):
        _VISITOR.put(request, Visitor(request.user.pk))
        return get_response(request)
    refused = entrance.staff_refusal(request)
    if refused is not None and request.path != reverse("admin:logout"):
        return refused
    if VIEWED in request.session:
        tenant_id, view_id = map(UUID, request.session[VIEWED])
        now, staff_id = datetime.now(UTC), request.user.pk
        view = view_in_force(tenant_id=tenant_id, view_id=view_id, staff_id=staff_id, now=now)
        if view is not None:
            return _as_viewer(request, get_response, view)
        del request.session[VIEWED]
        messages.warning(request, "Viewing as a tenant has ended: it lasts 60 minutes. You are at your own desk again.")
        if request.method in _READS:
            return redirect("admin:index")
    _VISITOR.put(request, Visitor(request.user.pk))
    with as_staff():
        return get_response(request)


def _as_viewer(request: HttpRequest, get_response: GetResponse, view: StaffView) -> HttpResponse:
    """In the tenant's scope, as its owner would be, in a transaction that the database lets write nothing."""
    with acting_for(view.tenant_id):
        with tenant_scope():
            tenant = Tenant.objects.get(id=view.tenant_id)
        _VISITOR.put(request, Visitor(view.staff_id, tenant, Role.OWNER, viewing=view))
        if request.path == reverse("admin:logout"):
            now = datetime.now(UTC)
            end_view(tenant_id=tenant.id, view_id=view.id, staff_id=view.staff_id, how="logged out", now=now)
        if request.path in (reverse("admin:logout"), reverse("admin:stop_viewing")):
            return get_response(request)
        if request.method not in _READS:
            return _nothing_changes(request, tenant)
        return _in_scope(request, get_response, local={"transaction_read_only": "on"})


def _nothing_changes(request: HttpRequest, tenant: Tenant) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "Nothing can be changed while you view a tenant",
        "message": f"You look at {tenant} as platform staff. Stop viewing first, then change it from your own desk.",
    }
    return render(request, "admin/notice.html", context, status=403)


class _Failed(Exception):
    """Leaves the scope without a commit: Django made an answer of the view's exception, so nothing else would."""


def _as_member(request: HttpRequest, get_response: GetResponse) -> HttpResponse:
    assert isinstance(request.user.pk, UUID)
    seats = entrance.open_seats(request, seats_of(request.user.pk))
    if not seats:
        return _without_membership(request, get_response)
    chosen = request.session.get(CHOSEN)
    seat = next((seat for seat in seats if str(seat.tenant_id) == chosen), seats[0])
    with acting_for(seat.tenant_id):
        with tenant_scope():
            tenant, provider = Tenant.objects.get(id=seat.tenant_id), IdentityProvider.objects.first()
        _VISITOR.put(request, Visitor(request.user.pk, tenant, seat.role, tuple(seats)))
        if _is_open(request) or request.path == reverse("admin:choose_tenant"):
            # The choice names the member's other tenants, each from a scope of its own.
            return get_response(request)
        refused = entrance.refusal(request, tenant=tenant, role=seat.role, provider=provider)
        if refused is not None:
            return refused
        if _waits(request):
            return get_response(request)
        return _in_scope(request, get_response)


def _in_scope(request: HttpRequest, get_response: GetResponse, local: dict[str, str] | None = None) -> HttpResponse:
    with suppress(_Failed), tenant_scope(local=local):
        response = get_response(request)
        if response.status_code >= 500:
            raise _Failed
    return response


def _is_open(request: HttpRequest) -> bool:
    """The way out, and what is the person's own: there whatever a tenant asks for, outside of its scope."""
    return entrance.is_the_persons_own(request.path) or request.path == reverse("admin:logout")


def _waits(request: HttpRequest) -> bool:
    """Whether the page is one that no transaction may wait for (`pages.DeskView.waits`)."""
    try:
        view = resolve(request.path_info).func
    except Resolver404:
        return False
    return getattr(getattr(view, "view_class", None), "waits", False)


def _without_membership(request: HttpRequest, get_response: GetResponse) -> HttpResponse:
    if _is_open(request):
        return get_response(request)
    context = {
        **admin.site.each_context(request),
        "title": "No access",
        "message": f"{request.user} is not a member of any tenant. Ask an owner of yours to add this address.",
        "offer_logout": True,
    }
    return render(request, "admin/notice.html", context, status=403)
