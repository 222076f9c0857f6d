"""Invitations: sent, sent again, revoked."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django_ratelimit.core import is_ratelimited
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget

from .. import invitations
from ..desk.base import TenantAdmin, TenantForm
from ..desk.pages import DeskPage, desk_page
from ..errors import AtriumError, NotFound
from ..models import Invitation, Role
from ..scope import acting_for
from .members import RoleForm


class TooManyInvitations(AtriumError):
    """Somebody invites faster than a person does."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


def link_of(request: HttpRequest) -> invitations.Link:
    """The address of an invitation on the host that the visitor uses."""
    return lambda token: request.build_absolute_uri(reverse("admin:invitation", args=[token]))


def _count(request: HttpRequest) -> None:
    if is_ratelimited(request, group="admin.invitations", key="user", rate="60/h", increment=True):
        raise TooManyInvitations("That is 60 letters within the hour. Try again later.")


class InvitationForm(RoleForm, TenantForm):
    """Who, and as what."""

    email = forms.EmailField(label="E-mail", widget=UnfoldAdminEmailInputWidget(attrs={"autofocus": True}))


@admin.register(Invitation)
class InvitationAdmin(TenantAdmin):
    """Who was invited, as what, and what became of it."""

    icon, area = "mail", "members"
    empty_text = "Nobody has been invited yet."
    offers = frozenset({"add"})
    add_words = "Send invitation"
    list_display = ("email", "shown_role", "state", "sent_at", "expires_at")
    list_filter = ("role",)
    search_fields = ("email",)
    ordering = ("-sent_at",)
    actions = ("send_again", "revoke")
    add_form = InvitationForm
    add_fields = ("email", "role")
    fields = readonly_fields = ("email", "shown_role", "state", "sent_at", "expires_at", "accepted_at", "revoked_at")

    @display(description="Role", label={"Owner": "primary", "Admin": "info"})
    def shown_role(self, row: Invitation) -> str:
        return row.get_role_display()

    @display(description="State", label={"waiting": "info", "accepted": "success", "expired": "warning"})
    def state(self, row: Invitation) -> str:
        if row.accepted_at or row.revoked_at:
            return "accepted" if row.accepted_at else "revoked"
        return "expired" if row.expires_at <= datetime.now(UTC) else "waiting"

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> Invitation:
        """`invitations.invite`."""
        _count(request)
        email, role = form.cleaned_data["email"], Role(form.cleaned_data["role"])
        return invitations.invite(
            email=email, role=role, by=self._visitor(request).actor, link=link_of(request), now=now
        )  # fmt: skip

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Back to the members, among whom it is shown."""
        text = f"Invited {obj.email} as {obj.get_role_display().lower()}. The letter is on its way; its link works for 7 days."
        messages.success(request, text)
        return redirect("admin:tenants_membership_changelist")

    def has_letters_permission(self, request: HttpRequest) -> bool:
        """For the actions."""
        return self.may(request, "change")

    @admin.action(description="Send again", permissions=["letters"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        """`invitations.resend` each."""
        self._each(request, queryset, lambda row: _resend(self, request, row), "Sent again")

    @admin.action(description="Revoke: the link stops working", permissions=["letters"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        """`invitations.revoke` each."""
        by, now = self._visitor(request).actor, datetime.now(UTC)
        self._each(
            request, queryset, lambda row: invitations.revoke(invitation_id=row.id, by=by, now=now), "Revoked"
        )  # fmt: skip

    def _each(
        self, request: HttpRequest, rows: QuerySet[Invitation], do: Callable[[Invitation], Any], done: str
    ) -> None:
        found = list(rows)
        for row in found:
            with acting_for(row.tenant_id):
                do(row)
        self.message_user(request, f"{done}: {', '.join(row.email for row in found)}.")


def _resend(page: InvitationAdmin, request: HttpRequest, row: Invitation) -> None:
    _count(request)
    by = page._visitor(request).actor
    invitations.resend(invitation_id=row.id, by=by, link=link_of(request), now=datetime.now(UTC))


class _OneInvitation(DeskPage, ABC):
    """A button beside an open invitation on the page of members."""

    area, reads, http_method_names = "members", "change", ["post"]

    def post(self, request: HttpRequest, invitation_id: UUID) -> HttpResponse:
        """Do it on behalf of the invitation's tenant, and go back."""
        row = Invitation.objects.filter(id=invitation_id).first()
        if row is None:
            raise NotFound("No such invitation.")
        with acting_for(row.tenant_id):
            messages.success(request, self.do(row))
        return redirect("admin:tenants_membership_changelist")

    @abstractmethod
    def do(self, row: Invitation) -> str:
        """Returns what to say."""

    def refused(self, request: HttpRequest, error: AtriumError) -> HttpResponse:
        """There is no page of its own to go back to."""
        messages.error(request, error.message)
        return redirect("admin:tenants_membership_changelist")


@desk_page
class SendInvitationAgain(_OneInvitation):
    """`invitations.resend`."""

    name, path = "invitation_send_again", "tenants/invitation/<uuid:invitation_id>/send-again/"

    def do(self, row: Invitation) -> str:
        """A new link."""
        _count(self.request)
        now, by = datetime.now(UTC), self.visitor.actor
        invitations.resend(invitation_id=row.id, by=by, link=link_of(self.request), now=now)
        return f"Sent again to {row.email}. The link in the older letter no longer works."


@desk_page
class RevokeInvitation(_OneInvitation):
    """`invitations.revoke`."""

    name, path = "invitation_revoke", "tenants/invitation/<uuid:invitation_id>/revoke/"

    def do(self, row: Invitation) -> str:
        """The link is dead."""
        invitations.revoke(invitation_id=row.id, by=self.visitor.actor, now=datetime.now(UTC))
        return f"Revoked: the link that {row.email} has no longer works."
