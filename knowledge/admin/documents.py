"""Files in stores: how far the ingestion of each is."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from tenants.desk.filters import WhenFilter, one_of
from tenants.desk.long_lists import LongListAdmin

from .. import attachments
from ..models import VectorStoreFile


@admin.register(VectorStoreFile)
class DocumentAdmin(LongListAdmin):
    """Files in stores: state, progress, and why one failed. Deleting takes the file out of the store, and keeps it."""

    icon, label, area = "article", "Documents", "documents"
    offers = frozenset({"delete"})
    list_display = ("filename", "store_name", "shown_state", "progress", "reason", "chunk_count", "created_at")
    list_select_related = ("file", "store")
    list_filter = (one_of("state", VectorStoreFile.State.choices, "state"), WhenFilter)
    found_by = ("id", "file_id", "store_id")
    found_by_text = "file__filename__icontains"
    search_help_text = "Part of a file's name, or an id of a file or store"
    empty_text = "No files in vector stores yet. Upload one to a store, and its progress appears here."
    fields = (
        "filename", "store_name", "shown_state", "progress", "reason", "chunk_count", "attempts", "created_at",
        "completed_at",
    )  # fmt: skip
    readonly_fields = ("filename", "store_name", "shown_state", "progress", "reason")

    def get_queryset(self, request: HttpRequest) -> QuerySet[VectorStoreFile]:
        """Without those of deleted stores, which are about to be removed."""
        return super().get_queryset(request).filter(store__deleted_at=None)

    @display(description="File")
    def filename(self, row: VectorStoreFile) -> str:
        return row.file.filename

    @display(description="Vector store")
    def store_name(self, row: VectorStoreFile) -> str:
        return str(row.store)

    @display(
        description="State",
        label={"completed": "success", "failed": "danger", "cancelled": "warning", "queued": "", "parsing": "info",
               "chunking": "info", "embedding": "info"},
    )  # fmt: skip
    def shown_state(self, row: VectorStoreFile) -> str:
        return row.state

    @display(description="Progress")
    def progress(self, row: VectorStoreFile) -> str:
        return format_html('<progress max="100" value="{0}" aria-label="progress"></progress> {0} %', row.percent)

    @display(description="Reason")
    def reason(self, row: VectorStoreFile) -> str:
        return row.error_message or row.error_code

    def delete_row(self, request: HttpRequest, row: VectorStoreFile) -> None:
        """`attachments.detach`."""
        attachments.detach(store_id=row.store_id, file_id=row.file_id, by=self._visitor(request).actor)
