"""Vector stores: the list, a new one, and the settings of one."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from tenants.desk.base import TenantAdmin

from .. import tasks
from ..lifetime import expires_at, has_expired
from ..models import BucketSource, VectorStore, VectorStoreFile
from ..preparation.settings import name_of
from ..reembedding import progress_of
from ..removal import IN_PROGRESS
from .file_rows import MOST_COUNTED, number_said
from .store_page import tabs_of

State = VectorStoreFile.State


class StoreForm(forms.ModelForm):
    """The settings of a store."""

    expires_after_days = forms.IntegerField(
        min_value=1,
        max_value=365,
        required=False,
        label="Expires after days without use",
        help_text="Empty: never. An expired store loses its contents; the files themselves stay.",
        widget=UnfoldAdminIntegerFieldWidget,
    )


@admin.register(VectorStore)
class VectorStoreAdmin(TenantAdmin):
    """Vector stores. The name leads to the files of one; this form has its settings."""

    class Media:
        """The tabs' look."""

        css = {"all": ["knowledge/knowledge.css"]}

    icon, area = "database", "documents"
    empty_text = "No vector store yet. Add one, then upload documents to it."
    offers = frozenset({"add", "change", "delete"})
    form = StoreForm
    list_display = ("shown_name", "file_count", "busy_count", "failed_count", "model_name", "used", "made")
    list_display_links = None
    search_fields = ("name",)
    ordering = ("-created_at",)
    add_fields = ("name", "description")
    fields = (
        "name",
        "description",
        "expires_after_days",
        "expiry",
        "model_name",
        "reembedding",
        "prepared",
        "chunks",
        "used",
        "made",
    )
    readonly_fields = ("expiry", "model_name", "reembedding", "prepared", "chunks", "used", "made")
    warn_unsaved_form = True
    change_form_outer_before_template = "desk/store_settings_tabs.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[VectorStore]:
        """With the number of files, of those on their way, and of those that failed."""
        attached = VectorStoreFile.objects.filter(store_id=OuterRef("id"), tenant_id=OuterRef("tenant_id"))
        return (
            super()
            .get_queryset(request)
            .annotate(
                files=_number(attached),
                busy=_number(attached.filter(state__in=IN_PROGRESS)),
                failed=_number(attached.filter(state__in=(State.FAILED, State.CANCELLED))),
            )
        )

    @display(description="Name", ordering="name")
    def shown_name(self, row: VectorStore) -> str:
        expired = " (expired)" if has_expired(row, datetime.now(UTC)) else ""
        return format_html('<a href="{}">{}</a>{}', reverse("admin:store_files", args=[row.id]), row, expired)

    @display(description="Files")
    def file_count(self, row: Any) -> str:
        return number_said(row.files)

    @display(description="In progress")
    def busy_count(self, row: Any) -> str:
        return _narrowed(row, "busy", row.busy)

    @display(description="Failed")
    def failed_count(self, row: Any) -> str:
        return _narrowed(row, "failed", row.failed)

    @display(description="Expires (UTC)")
    def expiry(self, row: VectorStore) -> str:
        until = expires_at(row)
        return f"{until:%-d %b %Y, %H:%M}, unless it is used before" if until else "never"

    @display(description="Embedding model")
    def model_name(self, row: VectorStore) -> str:
        return row.embedding_model

    @display(description="Chunks")
    def chunks(self, row: VectorStore) -> str:
        return f"{row.chunk_count:,}"

    @display(description="Last used (UTC)", ordering="last_active_at")
    def used(self, row: VectorStore) -> str:
        return f"{row.last_active_at:%-d %b %Y, %H:%M}"

    @display(description="Made (UTC)", ordering="created_at")
    def made(self, row: VectorStore) -> str:
        return f"{row.created_at:%-d %b %Y, %H:%M}"

    @display(description="Change of model")
    def reembedding(self, row: VectorStore) -> str:
        progress = progress_of([row]).get(row.id)
        if progress is None:
            return "none under way"
        return f"to {progress.embedding_model}: " + (progress.error if progress.failed else f"{progress.percent} %")

    @display(description="Personal data in its texts")
    def prepared(self, row: VectorStore) -> str:
        return (
            f"replaced before anything is stored ({name_of(row.preparation)})" if row.preparation else "kept as it is"
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With the tabs of the store."""
        store = self.get_object(request, object_id) if self.may(request, "view") else None
        tabs = tabs_of(store, "knowledge_vectorstore_change") if store is not None else []
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "tabs": tabs})

    def response_add(
        self, request: HttpRequest, obj: VectorStore, post_url_continue: str | None = None
    ) -> HttpResponse:
        """To the new store, whose next step is to add files."""
        response = super().response_add(request, obj, post_url_continue)
        again = {"_addanother", "_continue", "_popup"} & set(request.POST)
        return response if again else HttpResponseRedirect(reverse("admin:store_files", args=[obj.pk]))

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> VectorStore:
        """`tasks.start_store`."""
        data = form.cleaned_data
        return tasks.start_store(by=self._visitor(request).actor, name=data["name"], description=data["description"])

    def change_row(self, request: HttpRequest, row: VectorStore, form: Any) -> VectorStore:
        """`tasks.update_store`."""
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        return tasks.update_store(store_id=row.id, changes=changes, by=self._visitor(request).actor) if changes else row

    def delete_row(self, request: HttpRequest, row: VectorStore) -> None:
        """`tasks.delete_store`."""
        tasks.delete_store(store_id=row.id, by=self._visitor(request).actor)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list]:
        """With what goes with each store, and what stays."""
        rows = list(objs)
        _, counts, forbidden, protected = super().get_deleted_objects(rows, request)
        sources = dict(
            BucketSource.objects.filter(store__in=rows).values_list("store_id").annotate(n=Count("id")).order_by()
        )
        told = [
            f"{row}, with {row.chunk_count:,} chunks and {sources.get(row.id, 0)} sources. Its files stay, under Files."
            for row in rows
        ]
        return told, counts, forbidden, protected


class _Number(Subquery):
    """How many rows there are, to a bound."""

    template = "(SELECT count(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


def _number(rows: QuerySet[VectorStoreFile]) -> _Number:
    return _Number(rows.order_by().values("id")[: MOST_COUNTED + 1])


def _narrowed(row: VectorStore, state: str, count: int) -> str:
    if not count:
        return "0"
    return format_html(
        '<a href="{}?state={}">{}</a>', reverse("admin:store_files", args=[row.id]), state, number_said(count)
    )
