"""Signing secrets of end-user tokens."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from .. import signing_secrets
from ..desk.base import TenantAdmin
from ..desk.shown_once import ISSUED, shown_once
from ..ids import public_id
from ..models import SigningSecret
from ..scope import acting_for


@admin.register(SigningSecret)
class SigningSecretAdmin(TenantAdmin):
    """Signing secrets of end-user tokens, which speak for every group: owners make and revoke them, admins look."""

    icon, label, area = "signature", "Signing secrets", "settings"
    empty_text = "No signing secret yet. A server signs tokens for its end users with one."
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
        name, by = form.cleaned_data["name"], self._visitor(request).actor
        row, secret = signing_secrets.create_secret(name=name, by=by, now=now)
        ISSUED.put(request, secret)
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
