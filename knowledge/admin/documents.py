"""Files in stores, of all stores: how far the ingestion of each is. The page of a store has the same with its buttons."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import action, display

from tenants.desk.filters import WhenFilter, one_of
from tenants.desk.long_lists import LongListAdmin
from tenants.scope import acting_for

from .. import attachments, tasks
from ..file_names import SEARCH_HELP, named
from ..models import VectorStoreFile
from .described import NOBODY, AttributesField, GroupsField
from .file_rows import row_of


class DescriptionForm(forms.ModelForm):
    """What a search may filter a file by, and who finds it."""

    attributes = AttributesField(
        required=False, help_text="One a line: name = value, such as year = 2026. Searches can be narrowed to them."
    )
    allowed_groups = GroupsField(
        required=False,
        label="Only for these groups",
        help_text=f"One a line. Empty: whoever may search the store finds it. {NOBODY}: no app does.",
    )


@admin.register(VectorStoreFile)
class DocumentAdmin(LongListAdmin):
    """Files in stores: state, progress, why one failed, attributes and groups. Deleting takes a file out of its store, and
    keeps it.
    """

    icon, label, area = "article", "Documents", "documents"
    offers = frozenset({"change", "delete"})
    form = DescriptionForm
    list_display = ("filename", "store_name", "shown_state", "progress", "reason", "chunk_count", "created_at", "edit")
    list_display_links = None
    list_select_related = ("file", "store")
    list_filter = (one_of("state", VectorStoreFile.State.choices, "state"), WhenFilter)
    found_by = ("id", "file_id", "store_id")
    search_help_text = f"{SEARCH_HELP}, or an id of a file or store"
    empty_text = "No files in vector stores yet. Upload one to a store, and its progress appears here."
    actions = ("retry",)
    fields = (
        "filename", "store_name", "attributes", "allowed_groups", "shown_state", "progress", "reason", "chunk_count",
        "attempts", "created_at", "completed_at",
    )  # fmt: skip
    readonly_fields = (
        "filename", "store_name", "shown_state", "progress", "reason", "chunk_count", "attempts", "created_at",
        "completed_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[VectorStoreFile]:
        """With what they are named by, and without those of deleted stores, which are about to be removed."""
        rows = super().get_queryset(request).filter(store__deleted_at=None)
        return rows.select_related(*self.get_list_select_related(request))

    def with_text(self, rows: QuerySet, text: str) -> QuerySet:
        """By the file's name."""
        return named(rows, text, file="file__")

    @display(description="File")
    def filename(self, row: VectorStoreFile) -> str:
        return format_html('<a href="{}">{}</a>', row_of(row).preview, row.file.filename)

    @display(description="Vector store")
    def store_name(self, row: VectorStoreFile) -> str:
        return format_html('<a href="{}">{}</a>', reverse("admin:store_files", args=[row.store_id]), row.store)

    @display(
        description="State",
        label={"Ready": "success", "Failed": "danger", "Cancelled": "warning", "Waiting": "", "Being fetched": "info",
               "Reading": "info", "Cutting into chunks": "info", "Indexing": "info"},
    )  # fmt: skip
    def shown_state(self, row: VectorStoreFile) -> str:
        return row_of(row).word

    @display(description="Progress")
    def progress(self, row: VectorStoreFile) -> str:
        if not row_of(row).busy:
            return ""
        return format_html('<progress max="100" value="{0}" aria-label="progress"></progress> {0} %', row.percent)

    @display(description="Details")
    def reason(self, row: VectorStoreFile) -> str:
        return row_of(row).detail

    @display(description="Attributes and groups")
    def edit(self, row: VectorStoreFile) -> str:
        return format_html(
            '<a href="{}" aria-label="Attributes and groups of {}">Open</a>', row_of(row).edit, row.file.filename
        )

    @action(description="Retry those that failed", permissions=["delete"])
    def retry(self, request: HttpRequest, queryset: QuerySet[VectorStoreFile]) -> None:
        """`tasks.start_retry`, store by store; what did not fail stays as it is."""
        chosen: dict[tuple[Any, Any], list[Any]] = {}
        for row in queryset:
            chosen.setdefault((row.tenant_id, row.store_id), []).append(row.file_id)
        begun = 0
        for (tenant_id, store_id), file_ids in chosen.items():
            with acting_for(tenant_id):
                begun += tasks.start_retry(store_id=store_id, file_ids=file_ids, by=self._visitor(request).actor)
        self.message_user(request, f"{begun} file{'' if begun == 1 else 's'} will be tried again.")

    def change_row(self, request: HttpRequest, row: VectorStoreFile, form: Any) -> VectorStoreFile:
        """`attachments.describe`."""
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        if not changes:
            return row
        by = self._visitor(request).actor
        described = attachments.describe(store_id=row.store_id, file_id=row.file_id, by=by, **changes)
        described.store = row.store
        return described

    def response_post_save_change(self, request: HttpRequest, obj: VectorStoreFile) -> HttpResponse:
        """Then to the store's files."""
        return HttpResponseRedirect(reverse("admin:store_files", args=[obj.store_id]))

    def delete_row(self, request: HttpRequest, row: VectorStoreFile) -> None:
        """`attachments.detach`."""
        attachments.detach(store_id=row.store_id, file_id=row.file_id, by=self._visitor(request).actor)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Then to the store that the file was in."""
        row = self.get_object(request, object_id) if request.method == "POST" and self.may(request, "change") else None
        response = super().delete_view(request, object_id, extra_context)
        if row is None or response.status_code != 302:
            return response
        return HttpResponseRedirect(reverse("admin:store_files", args=[row.store_id]))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list]:
        """What goes, and what stays."""
        rows = list(objs)
        _, counts, forbidden, protected = super().get_deleted_objects(rows, request)
        told = [
            f"{row.file.filename} is taken out of {row.store}, with {row.chunk_count:,} chunks. The file itself stays."
            for row in rows
        ]
        return told, counts, forbidden, protected
