"""Uploaded files."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from unfold.decorators import display

from tenants.desk.long_lists import LongListAdmin
from tenants.desk.visitor import visitor_of
from tenants.scope import acting_for

from .. import tasks
from ..file_names import SEARCH_HELP, named
from ..models import File
from ..previews import attachments_of_file
from .download import FileDownload
from .file_rows import FileRow, row_of


@admin.register(File)
class FileAdmin(LongListAdmin):
    """Uploaded files. They are added on the page of a vector store, where no transaction waits for their bytes."""

    class Media:
        """The look of where a file is."""

        css = {"all": ["knowledge/knowledge.css"]}

    icon, area = "draft", "documents"
    change_form_outer_before_template = "desk/file_places.html"
    offers = frozenset({"delete"})
    list_before_template = "desk/files_head.html"
    list_display = ("filename", "size", "purpose", "status", "created_at", "expires_at")
    search_help_text = f"{SEARCH_HELP}, or its id"
    empty_text = "No files yet. Upload some to a vector store."
    fields = (
        "filename", "size", "mime_type", "sha256", "purpose", "status", "status_details", "created_at", "expires_at",
    )  # fmt: skip
    readonly_fields = ("size",)

    def with_text(self, rows: QuerySet, text: str) -> QuerySet:
        """By its name."""
        return named(rows, text)

    @display(description="Size")
    def size(self, row: File) -> str:
        return filesizeformat(row.bytes)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With the stores that the file is in."""
        file = self.get_object(request, object_id) if self.may(request, "view") else None
        places = self._places(file) if file is not None else []
        shown = {"places": places, "may_download": FileDownload.may(visitor_of(request))}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    def _places(self, file: File) -> list[FileRow]:
        with acting_for(file.tenant_id):
            return [row_of(attachment) for attachment in attachments_of_file(file.id)]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list]:
        """With the stores that lose it."""
        rows = list(objs)
        _, counts, forbidden, protected = super().get_deleted_objects(rows, request)
        told = [f"{file}: {self._told(file)}" for file in rows]
        return told, counts, forbidden, protected

    def _told(self, file: File) -> str:
        places = self._places(file)
        stores = ", ".join(row.store_name for row in places)
        chunks = sum(row.chunks for row in places)
        return f"with its {chunks:,} chunks in {stores}" if places else "it is in no vector store"

    def delete_row(self, request: HttpRequest, row: File) -> None:
        """`tasks.delete_file`: from every store too."""
        tasks.delete_file(file_id=row.id, by=self._visitor(request).actor)
