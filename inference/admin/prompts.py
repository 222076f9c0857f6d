"""Admin pages of prompts and feedback: what there is and who made it. What prompts say is written in their editor."""

import json
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.decorators import display

from tenants.desk.base import TenantAdmin
from tenants.desk.filters import WhenFilter, exactly, one_of
from tenants.desk.long_lists import LongListAdmin
from tenants.scope import acting_for

from ..feedback.exchanges import exchange_about
from ..feedback.giving import answer_id_of
from ..models import Feedback, Prompt, PromptLabel, PromptVersion
from ..prompts.library import create_prompt


@admin.register(Prompt)
class PromptAdmin(TenantAdmin):
    """Prompts and where their labels point."""

    icon, area = "edit_note", "prompts"
    empty_text = "No prompt yet. Prompts keep a text in one place, with versions; calls name them by an id."
    offers = frozenset({"add"})
    list_display = ("name", "newest", "shown_labels", "description", "updated_at")
    search_fields = ("name", "description")
    ordering = ("name",)
    add_fields = ("name", "description")
    fields = ("name", "description", "newest", "shown_labels", "created_at", "updated_at")
    readonly_fields = ("newest", "shown_labels", "created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prompt]:
        """Those that are not deleted, with their labels."""
        labels = Prefetch("labels", PromptLabel.objects.select_related("version").order_by("name"))
        return super().get_queryset(request).filter(deleted_at__isnull=True).prefetch_related(labels)

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> Prompt:
        """`library.create_prompt`, without a version yet."""
        return create_prompt(**form.cleaned_data, by=self._visitor(request).actor, now=now)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """On to its first version."""
        if self._visitor(request).staff:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, "The prompt is made. Write its first version, then point a label at it.")
        return HttpResponseRedirect(reverse("admin:prompt_editor", args=[obj.pk]))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A member's is the editor."""
        self._refuse_strangers(request)
        if self._visitor(request).staff or self.get_object(request, unquote(object_id)) is None:
            return super().change_view(request, object_id, form_url, extra_context)
        return HttpResponseRedirect(reverse("admin:prompt_editor", args=[unquote(object_id)]))

    @display(description="Labels")
    def shown_labels(self, row: Prompt) -> str:
        return ", ".join(f"{label.name} → {label.version.number}" for label in row.labels.all())


@admin.register(PromptVersion)
class PromptVersionAdmin(TenantAdmin):
    """What prompts say, version by version."""

    icon, label, area = "history", "Prompt versions", "prompts"
    list_display = ("prompt", "number", "note", "author", "created_at")
    list_select_related = ("prompt",)
    search_fields = ("prompt__name", "note")
    ordering = ("-id",)
    fields = ("prompt", "number", "note", "shown_definition", "author", "created_at")
    readonly_fields = ("shown_definition", "author", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PromptVersion]:
        """Those of prompts that are not deleted."""
        return super().get_queryset(request).filter(prompt__deleted_at__isnull=True)

    @display(description="Messages, variables, defaults")
    def shown_definition(self, row: PromptVersion) -> str:
        return json.dumps(row.definition, indent=2, ensure_ascii=False)

    @display(description="By")
    def author(self, row: PromptVersion) -> str:
        return f"{row.created_by_type} {row.created_by_id}"


@admin.register(Feedback)
class FeedbackAdmin(LongListAdmin):
    """What people said of answers. A row's page shows the answer beside it, as long as that is kept."""

    icon, label, area = "thumbs_up_down", "Feedback", "feedback"
    list_display = ("created_at", "shown_rating", "said", "answer", "corrected", "tags", "alias", "end_user")
    list_filter = (
        one_of("rating", [("1", "Good"), ("0", "Neither"), ("-1", "Bad")], "rating"),
        exactly("alias", "Model"),
        exactly("end_user", "End user"),
        WhenFilter,
    )  # fmt: skip
    found_by = ("generation_id", "id")
    found_by_text = "end_user"
    search_help_text = "The id of an answer, or an end user"
    empty_text = "No feedback yet. Apps send it with POST /v1/feedback, by the id of an answer."
    fields = (
        "answer", "choice", "shown_rating", "comment", "shown_correction", "tags", "alias", "end_user", "created_at",
        "updated_at",
    )  # fmt: skip
    readonly_fields = ("answer", "shown_rating", "shown_correction", "created_at", "updated_at")
    change_form_outer_after_template = "desk/feedback_exchange.html"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With what was asked and answered."""
        row = self.get_object(request, unquote(object_id)) if object_id and self.may(request, "view") else None
        shown = self._exchange(request, row) if isinstance(row, Feedback) else {}
        return super().changeform_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def _exchange(self, request: HttpRequest, row: Feedback) -> dict[str, Any]:
        visitor = self._visitor(request)
        if not visitor.may("content.view"):
            return {}
        with acting_for(row.tenant_id):
            found = exchange_about(row)
        return {"exchange": found, "feedback": row, "may_try": visitor.may("playground.view") and not visitor.staff}

    @display(description="Comment")
    def said(self, row: Feedback) -> str:
        return Truncator(row.comment).chars(80)

    @display(description="Answer")
    def answer(self, row: Feedback) -> str:
        url = reverse("admin:inference_generation_change", args=[row.generation_id])
        return format_html('<a href="{}"><code>{}</code></a>', url, answer_id_of(row))

    @display(description="Rating", label={"up": "success", "down": "danger", "neither": "info"})
    def shown_rating(self, row: Feedback) -> str:
        return {1: "up", 0: "neither", -1: "down"}.get(row.rating, "") if row.rating is not None else ""

    @display(description="Corrected")
    def corrected(self, row: Feedback) -> str:
        return "yes" if row.correction is not None else ""

    @display(description="Better answer")
    def shown_correction(self, row: Feedback) -> str:
        return "" if row.correction is None else json.dumps(row.correction, indent=2, ensure_ascii=False)
