"""Platform staff view a tenant as its owner sees it, and the log of who did so."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display

from ..desk.base import TenantAdmin
from ..desk.pages import DeskPage, desk_page
from ..desk.visitor import VIEWED, Visitor
from ..models import StaffView, Tenant
from ..viewing import end_view, start_view


@desk_page
class ViewAsTenant(DeskPage):
    """Where staff say why, and begin."""

    name, path = "view_as_tenant", "tenants/tenant/<uuid:tenant_id>/view-as/"
    template_name = "desk/view_as.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the tenant."""
        tenant = Tenant.objects.filter(id=kwargs["tenant_id"]).first()
        if tenant is None:
            raise Http404
        return {**super().get_context_data(**kwargs), "title": f"View as {tenant}", "tenant": tenant}

    def post(self, request: HttpRequest, tenant_id: UUID) -> HttpResponse:
        """`viewing.start_view`."""
        reason, now = request.POST.get("reason", ""), datetime.now(UTC)
        view = start_view(tenant_id=tenant_id, staff_id=self.visitor.user_id, reason=reason, now=now)
        request.session[VIEWED] = [str(tenant_id), str(view.id)]
        return redirect("admin:index")


@desk_page
class StopViewing(DeskPage):
    """Back to the own desk: the button in the banner."""

    name, path = "stop_viewing", "view-as/stop/"
    http_method_names = ["post"]

    @classmethod
    def may(cls, visitor: Visitor | None, method: str = "GET") -> bool:
        """For those who view."""
        return visitor is not None and visitor.viewing is not None

    def post(self, request: HttpRequest) -> HttpResponse:
        """`viewing.end_view`."""
        view = self.visitor.viewing
        assert view is not None
        now = datetime.now(UTC)
        end_view(tenant_id=view.tenant_id, view_id=view.id, staff_id=view.staff_id, how="stopped", now=now)
        request.session.pop(VIEWED, None)
        return redirect("admin:tenants_tenant_change", view.tenant_id)


@admin.register(StaffView)
class StaffViewAdmin(TenantAdmin):
    """The impersonation log, for platform staff; a tenant finds the same in its audit log."""

    icon, label = "visibility", "Impersonation log"
    empty_text = "Nobody of the platform's staff has viewed a tenant yet."
    list_display = ("started_at", "staff", "reason", "state", "ended_at")
    list_select_related = ("staff",)
    search_fields = ("reason", "staff__email")
    ordering = ("-started_at",)
    fields = readonly_fields = ("tenant", "staff", "reason", "started_at", "ends_at", "ended_at", "state")

    @display(description="State", label={"open": "warning", "ended": "success"})
    def state(self, row: StaffView) -> str:
        return "open" if row.ended_at is None and row.ends_at > datetime.now(UTC) else "ended"
