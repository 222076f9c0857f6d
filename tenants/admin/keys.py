"""API keys: issued, looked at, changed, revoked."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django_ratelimit.core import is_ratelimited
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
)

from .. import api_keys
from ..desk.base import TenantAdmin, TenantForm
from ..desk.shown_once import shown_once
from ..errors import AtriumError, InvalidRequest
from ..models import ApiKey
from ..permissions import KEY_SCOPES
from ..scope import acting_for
from ..tags import check_tags, set_key_tags


class TooManyKeys(AtriumError):
    """Somebody issues keys faster than a person does."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


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

    icon, label, area = "key", "API keys", "keys"
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Without the playground's, which make and end themselves."""
        return super().get_queryset(request).filter(purpose=ApiKey.Purpose.APPLICATION)

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
