"""Members: people and their roles."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
)

from .. import members
from ..desk.base import TenantAdmin, TenantForm
from ..desk.visitor import Visitor
from ..models import Membership, Role


class MemberForm(forms.ModelForm):
    """A member's role: only owners make owners."""

    class Meta:
        model = Membership
        fields = ("role",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" not in self.fields:
            return
        if not self.instance.role:
            self.initial.setdefault("role", Role.VIEWER)
        if not _may_name_owners(self.visitor):  # type: ignore[attr-defined]
            field: Any = self.fields["role"]
            field.choices = [choice for choice in field.choices if choice[0] != Role.OWNER]


def _may_name_owners(visitor: Visitor) -> bool:
    return visitor.staff or visitor.role == Role.OWNER


class MemberAddForm(MemberForm, TenantForm):
    """Who, and as what."""

    email = forms.EmailField(label="E-mail", widget=UnfoldAdminEmailInputWidget)


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    """Members and their roles. The last owner stays; the person (`User`) is not the tenant's to edit."""

    icon, label, area = "group", "Members", "members"
    offers = frozenset({"add", "change", "delete"})
    list_display = ("email", "shown_role", "created_at")
    list_select_related = ("user",)
    list_filter = ("role",)
    search_fields = ("user__email",)
    ordering = ("user__email",)
    form, add_form = MemberForm, MemberAddForm
    fields = ("email", "role", "created_at")
    readonly_fields = ("email", "created_at")
    add_fields = ("email", "role")

    @display(description="E-mail", ordering="user__email")
    def email(self, row: Membership) -> str:
        return row.user.email

    @display(description="Role", label={"owner": "primary", "admin": "info"})
    def shown_role(self, row: Membership) -> str:
        return row.role

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Owners are for owners to change."""
        return super().has_change_permission(request, obj) and self._not_above(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Owners are for owners to remove."""
        return super().has_delete_permission(request, obj) and self._not_above(request, obj)

    def _not_above(self, request: HttpRequest, row: Membership | None) -> bool:
        return row is None or row.role != Role.OWNER or _may_name_owners(self._visitor(request))

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> Membership:
        """`members.add_member`."""
        data = form.cleaned_data
        return members.add_member(email=data["email"], role=Role(data["role"]), by=self._visitor(request).actor)

    def change_row(self, request: HttpRequest, row: Membership, form: Any) -> Membership:
        """`members.change_role`."""
        role = Role(form.cleaned_data["role"])
        return members.change_role(membership_id=row.id, role=role, by=self._visitor(request).actor)

    def delete_row(self, request: HttpRequest, row: Membership) -> None:
        """`members.remove_member`."""
        members.remove_member(membership_id=row.id, by=self._visitor(request).actor)
