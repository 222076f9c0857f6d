"""Members: people and their roles. New ones are invited (`invitations`)."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminRadioSelectWidget

from .. import members
from ..desk.base import TenantAdmin
from ..desk.visitor import Visitor
from ..models import Invitation, Membership, Role

_MOST_SHOWN = 50

#: What each role is for, in the words of the form that gives it.
ROLES_SAY = {
    Role.OWNER: "Owner: everything, also settings and other owners",
    Role.ADMIN: "Admin: everything but settings and owners",
    Role.DEVELOPER: "Developer: documents, prompts, playground, keys, webhooks; sees what was asked and answered",
    Role.FINANCE: "Finance: usage, costs, budgets, statements, reports and the audit log; sees no contents",
    Role.VIEWER: "Viewer: looks at documents, models, requests and usage; changes nothing, sees no contents",
}


class RoleForm(forms.ModelForm):
    """A role to choose: only owners make owners."""

    visitor: Visitor
    role = forms.ChoiceField(
        choices=list(ROLES_SAY.items()), initial=Role.VIEWER, widget=UnfoldAdminRadioSelectWidget
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" in self.fields and not may_name_owners(self.visitor):
            field: Any = self.fields["role"]
            field.choices = [choice for choice in field.choices if choice[0] != Role.OWNER]


class MemberForm(RoleForm):
    """A member's role."""

    class Meta:
        model = Membership
        fields = ("role",)


def may_name_owners(visitor: Visitor) -> bool:
    """Whether the visitor makes, changes and removes owners."""
    return visitor.staff or visitor.role == Role.OWNER


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    """Members and their roles. The last owner stays; the person (`User`) is not the tenant's to edit."""

    icon, label, area = "group", "Members", "members"
    offers = frozenset({"change", "delete"})
    list_display = ("email", "shown_role", "created_at")
    list_select_related = ("user",)
    list_filter = ("role",)
    search_fields = ("user__email",)
    ordering = ("user__email",)
    form = MemberForm
    fields = ("email", "role", "created_at")
    readonly_fields = ("email", "created_at")
    actions_list = ("invite",)
    list_before_template = "desk/open_invitations.html"

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
        return row is None or row.role != Role.OWNER or may_name_owners(self._visitor(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With those who are invited and have not come yet."""
        now, found = datetime.now(UTC), Invitation.objects.filter(accepted_at=None, revoked_at=None)
        context = {"invitations": found.select_related("tenant").order_by("-sent_at")[:_MOST_SHOWN], "now": now}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def has_invite_permission(self, request: HttpRequest) -> bool:
        """For the button."""
        return self.may(request, "change")

    @action(description="Invite a colleague", url_path="invite", permissions=["invite"], icon="person_add")
    def invite(self, request: HttpRequest) -> HttpResponse:
        """To the form."""
        return redirect("admin:tenants_invitation_add")

    def change_row(self, request: HttpRequest, row: Membership, form: Any) -> Membership:
        """`members.change_role`."""
        role = Role(form.cleaned_data["role"])
        return members.change_role(membership_id=row.id, role=role, by=self._visitor(request).actor)

    def delete_row(self, request: HttpRequest, row: Membership) -> None:
        """`members.remove_member`."""
        members.remove_member(membership_id=row.id, by=self._visitor(request).actor)
