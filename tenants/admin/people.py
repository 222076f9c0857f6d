"""Users, for platform staff; among them whoever has lost the second factor."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from ..accounts.lost_factor import has_second_factor, take_off
from ..desk.base import AtriumAdmin
from ..desk.pages import DeskPage, desk_page
from ..doorbells import ring_on_commit
from ..models import User
from ..tasks import send_mail

# Global tables that no page shows: rows of people's accounts are theirs, on `tenants.accounts`' pages.
admin.site.unregister([Group, EmailAddress, Authenticator, UserSession])


@admin.register(User)
class UserAdmin(AtriumAdmin, DjangoUserAdmin):  # type: ignore[misc]  # the same paginator, said twice
    """People, for platform staff: passwords, and who is staff. Never deleted, only taken out of service."""

    icon = "person"
    offers = frozenset({"add", "change"})
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ("email", "username", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser")
    search_fields = ("email", "username")
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined", "second_factor")
    actions_detail = ("second_factor_off",)
    fieldsets = (
        (None, {"fields": ("username", "email", "password")}),
        (None, {"fields": ("is_active", "is_superuser", "second_factor", "last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "usable_password", "password1", "password2")}),)

    @display(description="Two-factor authentication", boolean=True)
    def second_factor(self, row: User) -> bool:
        return has_second_factor(row)

    def has_second_factor_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """For the button: where there is one to turn off."""
        person = self.get_object(request, str(object_id)) if self.may(request, "change") else None
        return isinstance(person, User) and has_second_factor(person)

    @action(
        description="Turn off two-factor authentication",
        url_path="second-factor",
        permissions=["second_factor"],
        icon="phonelink_erase",
    )
    def second_factor_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the page that says what it does, and asks why."""
        return redirect("admin:second_factor_off", object_id)


@desk_page
class SecondFactorOff(DeskPage):
    """Takes off the second factor of somebody who has lost it."""

    name, path = "second_factor_off", "tenants/user/<uuid:person_id>/second-factor/off/"
    title, template_name = "Turn off two-factor authentication", "desk/second_factor_off.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the person."""
        person = User.objects.filter(id=self.kwargs["person_id"]).first()
        if person is None:
            raise Http404
        return {**super().get_context_data(**kwargs), "person": person, "is_on": has_second_factor(person)}

    def post(self, request: HttpRequest, person_id: UUID) -> HttpResponse:
        """`lost_factor.take_off`."""
        reason, now = request.POST.get("reason", ""), datetime.now(UTC)
        person = take_off(person_id=person_id, by=self.visitor.actor, reason=reason, now=now)
        ring_on_commit(send_mail)
        messages.success(request, f"Turned off. {person.email} is logged out everywhere and logs in with the password.")
        return redirect("admin:tenants_user_change", person_id)
