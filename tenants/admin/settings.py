"""A tenant's own settings; for staff all tenants."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.decorators import action, display

from .. import registry
from ..desk.base import TenantAdmin
from ..desk.visitor import Visitor
from ..models import Tenant
from ..tags import set_allocation_tags


@admin.register(Tenant)
class TenantPageAdmin(TenantAdmin):
    """A tenant's own settings; for staff all tenants, which they make, suspend and resume."""

    icon, area = "domain", "settings"
    offers = frozenset({"add", "change"})
    list_display = ("name", "slug", "shown_status", "currency", "created_at")
    list_filter = ("status",)
    search_fields = ("name", "slug", "external_id")
    ordering = ("slug",)
    actions = ("suspend", "resume")
    actions_detail = ("view_as",)
    shows_tenant = False
    add_form = forms.ModelForm
    add_fields = ("slug", "name", "currency", "external_id", "content_retention_days")
    fields = (
        "name", "slug", "status", "currency", "external_id", "content_retention_days", "feedback_retention_days",
        "allocation_tags", "requires_mfa", "created_at",
    )  # fmt: skip
    readonly_fields = ("slug", "status", "currency", "external_id", "created_at")

    @display(description="Status", label={"active": "success", "suspended": "danger"})
    def shown_status(self, row: Tenant) -> str:
        return row.status

    def name_for(self, visitor: Visitor) -> str:
        """For a tenant these are its settings."""
        return "Tenant settings" if visitor.staff else "Settings"

    def link_for(self, visitor: Visitor) -> str:
        """To a tenant's own, which are the only ones it has."""
        if visitor.tenant is None:
            return super().link_for(visitor)
        return reverse("admin:tenants_tenant_change", args=[visitor.tenant.id])

    def owner_of(self, row: Tenant) -> UUID:
        """Itself."""
        return row.id

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The platform's to do."""
        return self._visitor(request).staff

    has_status_permission = has_add_permission

    def has_view_as_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Staff's."""
        return self._visitor(request).staff

    @action(description="View as this tenant", url_path="view", permissions=["view_as"], icon="visibility")
    def view_as(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that asks why."""
        return redirect("admin:view_as_tenant", object_id)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """`registry.create_tenant`, or a change of the tenant's own settings."""
        if change:
            super().save_model(request, obj, form, change)
            return
        values = {name: form.cleaned_data[name] for name in self.add_fields}
        values["external_id"] = values["external_id"] or None
        vars(obj).update(vars(registry.create_tenant(by=self._visitor(request).actor, **values)))

    def change_row(self, request: HttpRequest, row: Tenant, form: Any) -> Tenant:
        """The settings as they are; the allocation tags by `tags.set_allocation_tags`."""
        if "allocation_tags" in form.changed_data:
            form.changed_data.remove("allocation_tags")
            names = form.cleaned_data["allocation_tags"]
            row.allocation_tags = set_allocation_tags(names=names, by=self._visitor(request).actor)
        if form.changed_data:
            super().change_row(request, row, form)
        return row

    @admin.action(description="Suspend: its keys stop working", permissions=["status"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        """`registry.set_status` each."""
        self._set_status(request, queryset, Tenant.Status.SUSPENDED)

    @admin.action(description="Resume", permissions=["status"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        """`registry.set_status` each."""
        self._set_status(request, queryset, Tenant.Status.ACTIVE)

    def _set_status(self, request: HttpRequest, tenants: Iterable[Tenant], status: Tenant.Status) -> None:
        for tenant in tenants:
            registry.set_status(tenant=tenant, status=status, by=self._visitor(request).actor)
        self.message_user(request, f"Status: {status.label.lower()}.")
