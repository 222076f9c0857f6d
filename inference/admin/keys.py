"""API keys: made (with the models and the budget that bound them), looked at, rotated, revoked.

The page stands here and not beside the keys themselves because it is about models and money too.
"""

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django_ratelimit.core import is_ratelimited
from unfold.decorators import display

from billing.admin.columns import this_month
from billing.amounts import plain
from billing.limits.in_force import limits_in_force
from billing.models import Budget, BudgetAccount, Limit
from tenants import api_keys
from tenants.authentication import forget_verified_keys
from tenants.desk.base import TenantAdmin
from tenants.desk.pages import DeskPage, desk_page
from tenants.desk.shown_once import ISSUED
from tenants.errors import AtriumError, NotFound
from tenants.models import ApiKey
from tenants.scope import acting_for
from tenants.tags import set_key_tags

from ..issuing import issue_with_bounds
from .key_forms import LIMITS, KeyChangeForm, KeyForm
from .key_snippets import snippets

OVERLAPS = {
    "0": (timedelta(), "None: the old secret stops at once"),
    "1": (timedelta(hours=1), "1 hour"),
    "24": (timedelta(days=1), "24 hours"),
    "168": (timedelta(days=7), "7 days"),
}


class TooManyKeys(AtriumError):
    """Somebody issues keys faster than a person does."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


def _count(request: HttpRequest) -> None:
    if is_ratelimited(request, group="admin.keys", key="user", rate="30/h", increment=True):
        raise TooManyKeys("That is 30 new keys within the hour. Try again later.")


def issued_page(request: HttpRequest, row: ApiKey, key: str, *, title: str, note: str = "") -> HttpResponse:
    """The one page that shows a key. No redirect: a message would keep it in a cookie or the session."""
    with acting_for(row.tenant_id):
        ready = snippets(base_url=request.build_absolute_uri("/v1"), key=row)
    context = {
        **admin.site.each_context(request),
        "title": title,
        "row": row,
        "key": key,
        "snippets": ready,
        "note": note,
    }
    return TemplateResponse(request, "desk/key_issued.html", context, headers={"Cache-Control": "no-store"})


@admin.register(ApiKey)
class ApiKeyAdmin(TenantAdmin):
    """API keys of applications. The key itself is on the page that makes it and nowhere else."""

    icon, label, area = "key", "API keys", "keys"
    empty_text = "No API key yet. An application needs one to call a model."
    offers = frozenset({"add", "change"})
    add_words = "Make the key"
    list_display = ("name", "shown_prefix", "state", "left", "last_used_at", "expires_at")
    search_fields = ("name", "prefix")
    ordering = ("-created_at",)
    actions = ("revoke",)
    form, add_form = KeyChangeForm, KeyForm
    add_fields = ("name", "models", "monthly_budget", "expires_in", "scopes", *LIMITS, "groups", "tags")
    fields = (
        "name", "shown_prefix", "state", "models", "left", "shown_scopes", "shown_groups", "tags", "created_at",
        "last_used_at", "expires_at", "previous_ends_at", "revoked_at", *LIMITS,
    )  # fmt: skip
    readonly_fields = tuple(name for name in fields if name != "tags")
    change_form_outer_before_template = "desk/key_actions.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Without the playground's, which make and end themselves; with what is left of a monthly budget."""
        own = Budget.objects.filter(
            tenant_id=OuterRef("tenant_id"), key_id=OuterRef("id"), period=Budget.Period.MONTH, tag_name=""
        ).order_by("limit")
        accounts = BudgetAccount.objects.filter(
            tenant_id=OuterRef("tenant_id"), budget_id=OuterRef("budget_id"), period_start=this_month()
        )
        spent = Subquery(accounts.values(used=F("spent") + F("held"))[:1])
        rows = super().get_queryset(request).filter(purpose=ApiKey.Purpose.APPLICATION)
        return rows.annotate(
            budget_id=Subquery(own.values("id")[:1]),
            budget_limit=Subquery(own.values("limit")[:1]),
            budget_currency=Subquery(own.values("currency")[:1]),
        ).annotate(used=Coalesce(spent, Decimal(0)))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new key's questions in three parts; what most leave as it is comes last."""
        if obj is not None:
            return super().get_fieldsets(request, obj)
        rest: list[str] = ["models"] if not self._visitor(request).staff else []
        whose = ["for_tenant"] if self._visitor(request).staff else []
        return (
            (None, {"fields": (*whose, "name", *rest, "monthly_budget", "expires_in")}),
            ("What it may do", {"fields": ("scopes",)}),
            ("Limits, groups and tags", {"fields": (*LIMITS, "groups", "tags"), "classes": ("collapse",)}),
        )

    @display(description="Key")
    def shown_prefix(self, row: ApiKey) -> str:
        return f"sk-…-{row.prefix}-…"

    @display(description="May")
    def shown_scopes(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)

    @display(description="Groups")
    def shown_groups(self, row: ApiKey) -> str:
        return ", ".join(row.groups) or "none"

    @display(description="Models")
    def models(self, row: ApiKey) -> str:
        with acting_for(row.tenant_id):
            names: Any = limits_in_force().of_key(row.id, Limit.ALLOWED_MODELS)
        return ", ".join(names) if names else "all that the tenant may use"

    @display(description="Left this month")
    def left(self, row: Any) -> str:
        if row.budget_limit is None:
            return "no budget of its own"
        return f"{plain(row.budget_limit - row.used)} of {plain(row.budget_limit)} {row.budget_currency}"

    @display(description="State", label={"active": "success", "expired": "warning", "revoked": "danger"})
    def state(self, row: ApiKey) -> str:
        if row.revoked_at:
            return "revoked"
        return "expired" if row.expires_at and row.expires_at <= datetime.now(UTC) else "active"

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> ApiKey:
        """`issuing.issue_with_bounds`; the key itself stays on this request until its answer is made."""
        _count(request)
        data = form.cleaned_data
        limits = {name: data[name] for name in (*LIMITS, "groups", "tags")}
        limits["expires_at"] = now + timedelta(days=int(data["expires_in"])) if data["expires_in"] else None
        row, secret = issue_with_bounds(
            name=data["name"],
            scopes=data["scopes"],
            models=data.get("models") or (),
            monthly_budget=data["monthly_budget"],
            limits=limits,
            by=self._visitor(request).actor,
            now=now,
        )
        ISSUED.put(request, secret)
        return row

    def change_row(self, request: HttpRequest, row: ApiKey, form: Any) -> ApiKey:
        """`tags.set_key_tags`."""
        return set_key_tags(key_id=row.id, tags=form.cleaned_data["tags"], by=self._visitor(request).actor)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The one page that shows the key."""
        return issued_page(request, obj, ISSUED.by(request) or "", title="Your new API key")

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
        forget_verified_keys()
        self.message_user(request, f"Revoked: {', '.join(str(row) for row in rows)}. Calls with them now fail.")


class _OneKey(DeskPage, ABC):
    """A page about one key of an application, for those who make keys."""

    area, reads = "keys", "change"
    row: ApiKey

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the key."""
        row = self._row()
        if row is None:
            raise Http404
        return {**super().get_context_data(**kwargs), "row": row, "overlaps": OVERLAPS}

    def _row(self) -> ApiKey | None:
        return ApiKey.objects.filter(id=self.kwargs["key_id"], purpose=ApiKey.Purpose.APPLICATION).first()

    def post(self, request: HttpRequest, key_id: UUID) -> HttpResponse:
        """On behalf of the key's tenant."""
        row = self._row()
        if row is None:
            raise NotFound("No such API key.")
        with acting_for(row.tenant_id):
            return self.do(row)

    @abstractmethod
    def do(self, row: ApiKey) -> HttpResponse:
        """Returns what to show next."""

    def refused(self, request: HttpRequest, error: AtriumError) -> HttpResponse:
        """Among the keys, for there may be no page of this one."""
        messages.error(request, error.message)
        return redirect("admin:tenants_apikey_changelist")


@desk_page
class RotateKey(_OneKey):
    """A new secret, while the old one goes on for a while."""

    name, path = "rotate_key", "tenants/apikey/<uuid:key_id>/rotate/"
    title, template_name = "Rotate an API key", "desk/key_rotate.html"

    def do(self, row: ApiKey) -> HttpResponse:
        """`api_keys.rotate`, and the page that shows the key."""
        _count(self.request)
        overlap, _ = OVERLAPS.get(self.request.POST.get("overlap", ""), OVERLAPS["24"])
        row, key = api_keys.rotate(key_id=row.id, overlap=overlap, by=self.visitor.actor, now=datetime.now(UTC))
        forget_verified_keys()
        until = f"works until {row.previous_ends_at:%d %B %Y, %H:%M} UTC" if overlap else "no longer works"
        return issued_page(
            self.request, row, key, title="The key's new secret", note=f"The old secret {until}."
        )  # fmt: skip


@desk_page
class RevokeKey(_OneKey):
    """The end of a key."""

    name, path = "revoke_key", "tenants/apikey/<uuid:key_id>/revoke/"
    title, template_name = "Revoke an API key", "desk/key_revoke.html"

    def do(self, row: ApiKey) -> HttpResponse:
        """`api_keys.revoke`."""
        api_keys.revoke(key_id=row.id, by=self.visitor.actor, now=datetime.now(UTC))
        forget_verified_keys()
        messages.success(self.request, f"Revoked {row.name}. Calls with it are refused within five seconds.")
        return redirect("admin:tenants_apikey_changelist")
