"""Calls: a list in which any is found by its ids, and a page that tells the whole story of one."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import display
from unfold.views import ChangeList

from billing.reservations import plain
from tenants.desk.filters import DeskFilter, TypedFilter, WhenFilter, as_uuid, exactly, one_of
from tenants.desk.lists import LongList
from tenants.desk.long_lists import LongListAdmin
from tenants.models import ApiKey, Work

from ..explorer.figures import with_figures
from ..explorer.story import story_of
from ..models import Generation, Grant

_MOST_CHOICES = 200
#: A blank at which a narrow column does not break.
_NARROW = "\u00a0"
_STATES = {"queued": "in progress", "running": "in progress"}


class StateFilter(DeskFilter):
    """How calls ended, or that they have not."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The endings, and none."""
        return [("completed", "Completed"), ("failed", "Failed"), ("cancelled", "Cancelled"), ("open", "In progress")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """What is in progress stands in the queue, which is short; of the rest most are completed."""
        if self.value() == "open":
            return queryset.filter(id__in=Work.objects.values("id"), finished_at=None)
        return queryset.filter(state=self.value()) if self.value() else queryset


class ModelFilter(DeskFilter):
    """The model, by the name that the call gave it."""

    title, parameter_name = "model", "alias"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What is granted now, and what the address names."""
        found = list(Grant.objects.order_by("alias").values_list("alias", flat=True).distinct()[:_MOST_CHOICES])
        named = [self.value()] if self.value() and self.value() not in found else []
        return [(str(alias), str(alias)) for alias in (*found, *named)]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Its calls."""
        return queryset.filter(alias=self.value()) if self.value() else queryset


class KeyFilter(DeskFilter):
    """The API key that called."""

    title, parameter_name = "key", "key_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The first two hundred by name; others are found by their id."""
        rows = ApiKey.objects.order_by("name").values_list("id", "name")[:_MOST_CHOICES]
        return [(str(ident), name) for ident, name in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Its calls."""
        ident = as_uuid(self.value() or "")
        return queryset.filter(key_id=ident) if ident else queryset


class ErrorFilter(TypedFilter):
    """Failed calls by the code of their error."""

    title, parameter_name, placeholder = "Error code", "error_code", "upstream_timeout"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Of those that failed, which are few."""
        return queryset.filter(state="failed", error__error__code=self.typed) if self.typed else queryset


class RequestList(LongList):
    """A page of calls, with what they used and cost read at once."""

    def get_results(self, request: HttpRequest) -> None:
        """Each with its figures."""
        super().get_results(request)
        self.result_list = with_figures(self.result_list)


@admin.register(Generation)
class GenerationAdmin(LongListAdmin):
    """Calls: which model, for whom, how it ended, how long it took, for how much. The list reads no contents."""

    icon, label, area = "bolt", "Requests", "requests"
    list_display = (
        "arrived", "shown_state", "model_name", "key", "end_user", "tokens", "cost", "took", "error_code",
    )  # fmt: skip
    list_filter = (
        StateFilter, WhenFilter, ModelFilter, KeyFilter,
        one_of("kind", [("chat", "Chat completion"), ("response", "Response"), ("embeddings", "Embeddings")], "kind"),
        exactly("end_user", "End user"), ErrorFilter,
    )  # fmt: skip
    found_by = ("id", "key_id")
    found_by_text = "end_user"
    search_help_text = "Request, response or error id, key id, end user"
    empty_text = "No requests yet. Make an API key, then make the first call: it appears here at once."
    nothing_found_text = (
        "Calls that were refused at the door (a wrong key, a limit, a malformed request) leave no request behind: "
        "their answer says why."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Generation]:
        """Without contents."""
        return super().get_queryset(request).defer("request", "answer", "terms", "trace", "found", "metadata")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Generation | None:
        """With them, for its own page."""
        ident = as_uuid(object_id)
        return None if ident is None else super().get_queryset(request).filter(id=ident).first()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """With figures."""
        return RequestList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Who looks for a call's id is at its page."""
        self._refuse_strangers(request)
        ident = as_uuid(request.GET.get("q", ""))
        if ident is not None and self.get_queryset(request).filter(id=ident).exists():
            return HttpResponseRedirect(reverse("admin:inference_generation_change", args=[ident]))
        return super().changelist_view(request, extra_context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The call's story; there is nothing to change."""
        self._refuse_strangers(request)
        row = self.get_object(request, object_id) if object_id and request.method == "GET" else None
        if row is None:
            return super().changeform_view(request, object_id, form_url, extra_context)
        visitor = self._visitor(request)
        sees = {name: visitor.may(f"{name}.view") for name in ("content", "feedback", "safety", "budgets", "prompts")}
        story = story_of(row, sees_contents=sees["content"], sees_feedback=sees["feedback"])
        context = {
            **self.admin_site.each_context(request),
            "title": "Request",
            "opts": self.opts,
            "story": story,
            "sees": sees,
            "playground": reverse("admin:playground") if visitor.may("playground.change") and sees["content"] else "",
        }
        return TemplateResponse(request, "desk/request.html", context)

    # --- columns ---

    @display(description="Time (UTC)")
    def arrived(self, row: Generation) -> str:
        return f"{row.created_at:%d %b %Y, %H:%M:%S}".replace(" ", _NARROW)

    @display(
        description="State",
        label={"completed": "success", "failed": "danger", "cancelled": "warning", "in progress": "info"},
    )
    def shown_state(self, row: Generation) -> str:
        return _STATES.get(row.state, row.state)

    @display(description="Model")
    def model_name(self, row: Generation) -> str:
        return row.alias

    @display(description="Key")
    def key(self, row: Any) -> str:
        return row.key_name

    @display(description="Tokens in / out")
    def tokens(self, row: Any) -> str:
        figures = row.figures
        if not figures.input_tokens and not figures.output_tokens:
            return "cached" if figures.cached else ""
        return f"{figures.input_tokens:,} / {figures.output_tokens:,}".replace(" ", _NARROW)

    @display(description="Cost")
    def cost(self, row: Any) -> str:
        return "" if row.figures.cost is None else f"{plain(row.figures.cost)}{_NARROW}{row.figures.currency}"

    @display(description="Took")
    def took(self, row: Generation) -> str:
        if row.finished_at is None:
            return ""
        return f"{(row.finished_at - row.created_at).total_seconds():,.2f}{_NARROW}s"

    @display(description="Error")
    def error_code(self, row: Generation) -> str:
        return str(((row.error or {}).get("error") or {}).get("code") or "")
