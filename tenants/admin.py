"""Admin pages of access: members, API keys, the audit log, the tenant itself; users for platform staff."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django_ratelimit.core import is_ratelimited
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.views import ChangeList
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminTextareaWidget,
)

from . import api_keys, members, registry, signing_secrets
from .admin_base import ACCESS, PLATFORM, AtriumAdmin, TenantAdmin, TenantForm
from .admin_scope import Visitor
from .admin_secrets import shown_once
from .audit_trail import describe, name_actors
from .errors import AtriumError, InvalidRequest
from .ids import public_id
from .models import ApiKey, AuditEvent, Membership, Role, SigningSecret, Tenant, User
from .permissions import KEY_SCOPES
from .scope import acting_for
from .tags import check_tags, set_allocation_tags, set_key_tags
from .webhooks import admin as webhooks_admin  # noqa: F401  for effect: its pages register themselves

# Roles are of memberships; Django's groups would be a second truth.
admin.site.unregister(Group)


class TooManyKeys(AtriumError):
    """Somebody issues keys faster than a person does."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


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

    group, icon, label, area = ACCESS, "group", "Members", "members"
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


class TagsField(forms.CharField):
    """Allocation tags, a line for each: `name = value`."""

    def __init__(self) -> None:
        help_text = "One a line, name = value: by these its spending is told apart, and limited."
        super().__init__(
            required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}), help_text=help_text, initial=""
        )

    def prepare_value(self, value: Any) -> Any:
        """As lines."""
        return "\n".join(f"{name} = {text}" for name, text in value.items()) if isinstance(value, dict) else value

    def clean(self, value: Any) -> dict[str, str]:
        """By name."""
        lines = [line.partition("=") for line in super().clean(value).splitlines() if line.strip()]
        try:
            return check_tags({name.strip(): text.strip() for name, _, text in lines})
        except InvalidRequest as error:
            raise forms.ValidationError(error.message) from error


class KeyForm(TenantForm):
    """A new key."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in sorted(KEY_SCOPES)], widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    groups = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One a line: the most it may find beside what is open to all. Empty: nothing, or what a token says.",
    )

    tags = TagsField()

    def clean_groups(self) -> list[str]:
        """The lines."""
        return [line.strip() for line in self.cleaned_data["groups"].splitlines() if line.strip()]


class KeyChangeForm(forms.ModelForm):
    """What of a key can be changed."""

    tags = TagsField()


@admin.register(ApiKey)
class ApiKeyAdmin(TenantAdmin):
    """API keys: issued (the key is on that one page and nowhere else), looked at, tagged, revoked."""

    group, icon, label, area = ACCESS, "key", "API keys", "keys"
    offers = frozenset({"add", "change"})
    list_display = ("name", "shown_prefix", "state", "shown_scopes", "last_used_at", "expires_at")
    search_fields = ("name", "prefix")
    ordering = ("-created_at",)
    actions = ("revoke",)
    form, add_form = KeyChangeForm, KeyForm
    add_fields = (
        "name", "scopes", "groups", "tags", "expires_at", "requests_per_minute", "tokens_per_minute",
        "concurrent_calls",
    )  # fmt: skip
    fields = (
        "name", "shown_prefix", "state", "shown_scopes", "shown_groups", "tags", "created_at", "last_used_at",
        "expires_at", "revoked_at",
        "requests_per_minute", "tokens_per_minute", "concurrent_calls",
    )  # fmt: skip
    readonly_fields = tuple(name for name in fields if name != "tags")

    @display(description="Prefix")
    def shown_prefix(self, row: ApiKey) -> str:
        return f"sk-…-{row.prefix}-…"

    @display(description="Scopes")
    def shown_scopes(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)

    @display(description="Groups")
    def shown_groups(self, row: ApiKey) -> str:
        return ", ".join(row.groups)

    @display(description="State", label={"active": "success", "expired": "warning", "revoked": "danger"})
    def state(self, row: ApiKey) -> str:
        if row.revoked_at:
            return "revoked"
        return "expired" if row.expires_at and row.expires_at <= datetime.now(UTC) else "active"

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> ApiKey:
        """`api_keys.issue`; the key itself stays on this request until its answer is made."""
        if is_ratelimited(request, group="admin.keys", key="user", rate="30/h", increment=True):
            raise TooManyKeys("That is 30 new keys within the hour. Try again later.")
        values = {name: form.cleaned_data[name] for name in self.add_fields}
        row, request.issued_key = api_keys.issue(by=self._visitor(request).actor, **values)  # type: ignore[attr-defined]
        return row

    def change_row(self, request: HttpRequest, row: ApiKey, form: Any) -> ApiKey:
        """`tags.set_key_tags`."""
        return set_key_tags(key_id=row.id, tags=form.cleaned_data["tags"], by=self._visitor(request).actor)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The one page that shows the key."""
        return shown_once(self, request, obj, "Your new API key")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """For the action."""
        return self.may(request, "change")

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """`api_keys.revoke` each."""
        now, rows = datetime.now(UTC), list(queryset)
        for row in rows:
            with acting_for(row.tenant_id):
                api_keys.revoke(key_id=row.id, by=self._visitor(request).actor, now=now)
        self.message_user(request, f"Revoked: {', '.join(str(row) for row in rows)}. Calls with them now fail.")


@admin.register(SigningSecret)
class SigningSecretAdmin(TenantAdmin):
    """Signing secrets of end-user tokens, which speak for every group: owners make and revoke them, admins look."""

    group, icon, label, area = ACCESS, "signature", "Signing secrets", "settings"
    offers = frozenset({"add"})
    list_display = ("name", "kid", "state", "created_at", "expires_at")
    search_fields = ("name",)
    ordering = ("-created_at",)
    actions = ("revoke",)
    add_fields = ("name",)
    fields = ("name", "kid", "state", "created_at", "expires_at", "revoked_at")
    readonly_fields = ("kid", "state", "created_at", "expires_at", "revoked_at")

    @display(description="kid")
    def kid(self, row: SigningSecret) -> str:
        return public_id(signing_secrets.PREFIX, row.id)

    @display(description="State", label={"active": "success", "ended": "warning", "revoked": "danger"})
    def state(self, row: SigningSecret) -> str:
        if row.revoked_at:
            return "revoked"
        return "ended" if row.expires_at and row.expires_at <= datetime.now(UTC) else "active"

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> SigningSecret:
        """`signing_secrets.create_secret`; the secret itself stays on this request until its answer is made."""
        row, request.issued_key = signing_secrets.create_secret(  # type: ignore[attr-defined]
            name=form.cleaned_data["name"], by=self._visitor(request).actor, now=now
        )
        return row

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The one page that shows the secret, as for a key."""
        return shown_once(self, request, obj, "Your new signing secret")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """For the action."""
        return self.may(request, "change")

    @admin.action(description="Revoke the selected secrets", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[SigningSecret]) -> None:
        """`signing_secrets.revoke_secret` each."""
        now, rows = datetime.now(UTC), list(queryset)
        for row in rows:
            with acting_for(row.tenant_id):
                signing_secrets.revoke_secret(secret_id=row.id, by=self._visitor(request).actor, now=now)
        self.message_user(request, f"Revoked: {', '.join(str(row) for row in rows)}. Tokens signed with them now fail.")


class AuditChangeList(ChangeList):
    """A page of events, with the people behind them looked up at once."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Django's, each with its `actor_name`."""
        super().get_results(request)
        self.result_list = name_actors(self.result_list)


@admin.register(AuditEvent)
class AuditEventAdmin(TenantAdmin):
    """Who changed what. Append-only, so there is nothing but to read."""

    group, icon, label, area = ACCESS, "history", "Audit log", "audit"
    list_display = ("created_at", "actor", "action", "target", "shown_changes")
    list_filter = ("actor_type",)
    search_fields = ("action", "object_id", "actor_id")
    search_help_text = "An action such as api_key.issued, or the id of an object or actor."
    ordering = ("-created_at",)
    fields = ("created_at", "actor", "action", "target", "object_id", "shown_changes")
    readonly_fields = fields

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """With the actors' names."""
        return AuditChangeList

    @display(description="Who")
    def actor(self, row: AuditEvent) -> str:
        return getattr(row, "actor_name", None) or name_actors([row])[0].actor_name  # type: ignore[attr-defined]

    @display(description="On")
    def target(self, row: AuditEvent) -> str:
        return row.object_type.rpartition(".")[2]

    @display(description="Changes")
    def shown_changes(self, row: AuditEvent) -> str:
        return describe(row)


@admin.register(Tenant)
class TenantPageAdmin(TenantAdmin):
    """A tenant's own settings; for staff all tenants, which they make, suspend and resume."""

    group, icon, area = PLATFORM, "domain", "settings"
    offers = frozenset({"add", "change"})
    list_display = ("name", "slug", "shown_status", "currency", "created_at")
    list_filter = ("status",)
    search_fields = ("name", "slug", "external_id")
    ordering = ("slug",)
    actions = ("suspend", "resume")
    shows_tenant = False
    add_form = forms.ModelForm
    add_fields = ("slug", "name", "currency", "external_id", "content_retention_days")
    fields = (
        "name", "slug", "status", "currency", "external_id", "content_retention_days", "feedback_retention_days",
        "allocation_tags", "created_at",
    )  # fmt: skip
    readonly_fields = ("slug", "status", "currency", "external_id", "created_at")

    @display(description="Status", label={"active": "success", "suspended": "danger"})
    def shown_status(self, row: Tenant) -> str:
        return row.status

    def place(self, visitor: Visitor) -> tuple[str, str]:
        """For a tenant these are its settings."""
        return (PLATFORM, "Tenants") if visitor.staff else (ACCESS, "Settings")

    def owner_of(self, row: Tenant) -> UUID:
        """Itself."""
        return row.id

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The platform's to do."""
        return self._visitor(request).staff

    has_status_permission = has_add_permission

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
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "email", "password")}),
        (None, {"fields": ("is_active", "is_superuser", "last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "usable_password", "password1", "password2")}),)
