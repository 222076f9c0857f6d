"""Admin pages of knowledge: vector stores, files, and how far the ingestion of each file is."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from tenants.admin_base import KNOWLEDGE, TenantAdmin, TenantForm

from . import attachments, files, tasks
from .models import File, VectorStore, VectorStoreFile


@admin.register(VectorStore)
class VectorStoreAdmin(TenantAdmin):
    """Vector stores."""

    group, icon, area = KNOWLEDGE, "database", "documents"
    offers = frozenset({"add", "delete"})
    list_display = ("__str__", "embedding_model", "file_count", "chunk_count", "last_active_at", "created_at")
    search_fields = ("name",)
    ordering = ("-created_at",)
    add_fields = ("name", "description")
    fields = ("name", "description", "embedding_model", "file_count", "chunk_count", "last_active_at", "created_at")
    readonly_fields = ("file_count",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[VectorStore]:
        """With the number of files."""
        attached = VectorStoreFile.objects.filter(store_id=OuterRef("id"), tenant_id=OuterRef("tenant_id"))
        counted = attached.order_by().values("store_id").annotate(n=Count("id")).values("n")
        return super().get_queryset(request).annotate(files=Coalesce(Subquery(counted), 0))

    @display(description="Files")
    def file_count(self, row: Any) -> int:
        return row.files

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> VectorStore:
        """`tasks.start_store`."""
        data = form.cleaned_data
        return tasks.start_store(by=self._visitor(request).actor, name=data["name"], description=data["description"])

    def delete_row(self, request: HttpRequest, row: VectorStore) -> None:
        """`tasks.delete_store`."""
        tasks.delete_store(store_id=row.id, by=self._visitor(request).actor)


class UploadForm(TenantForm):
    """A file, and the store to search it in."""

    upload = forms.FileField(label="File", widget=UnfoldAdminFileFieldWidget)
    store: forms.ModelChoiceField = forms.ModelChoiceField(
        queryset=None, required=False, label="Vector store", help_text="Empty: kept, but not searched.",
        widget=UnfoldAdminSelectWidget,
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Staff see every tenant's stores, and would have to guess which are of the tenant they pick.
        stores = VectorStore.objects.none() if self.visitor.staff else VectorStore.objects.order_by("name")
        self.fields["store"].queryset = stores  # type: ignore[attr-defined]


@admin.register(File)
class FileAdmin(TenantAdmin):
    """Uploaded files. Their bytes are written while the request's scope is open: accepted, admins upload few."""

    group, icon, area = KNOWLEDGE, "draft", "documents"
    offers = frozenset({"add", "delete"})
    list_display = ("filename", "size", "mime_type", "purpose", "status", "created_at", "expires_at")
    search_fields = ("filename",)
    ordering = ("-created_at",)
    add_form = UploadForm
    add_fields = ("upload", "store")
    fields = (
        "filename", "size", "mime_type", "sha256", "purpose", "status", "status_details", "created_at", "expires_at",
    )  # fmt: skip
    readonly_fields = ("size",)

    @display(description="Size", ordering="bytes")
    def size(self, row: File) -> str:
        return filesizeformat(row.bytes)

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> File:
        """`files.create_file`, and `tasks.start_ingestion` where a store is named."""
        sent, by = form.cleaned_data["upload"], self._visitor(request).actor
        upload = files.Upload(filename=sent.name, content=sent, size=sent.size)
        file = files.create_file(upload=upload, purpose="assistants", by=by, now=now)
        if store := form.cleaned_data.get("store"):
            tasks.start_ingestion(store_id=store.id, file_id=file.id, by=by)
        return file

    def delete_row(self, request: HttpRequest, row: File) -> None:
        """`tasks.delete_file`: from every store too."""
        tasks.delete_file(file_id=row.id, by=self._visitor(request).actor)


@admin.register(VectorStoreFile)
class DocumentAdmin(TenantAdmin):
    """Files in stores: state, progress, and why one failed. Deleting takes the file out of the store, and keeps it."""

    group, icon, label, area = KNOWLEDGE, "article", "Documents", "documents"
    offers = frozenset({"delete"})
    list_display = ("filename", "store_name", "shown_state", "progress", "reason", "chunk_count", "created_at")
    list_select_related = ("file", "store")
    list_filter = ("state",)
    search_fields = ("file__filename", "store__name")
    ordering = ("-created_at",)
    fields = (
        "filename", "store_name", "shown_state", "progress", "reason", "chunk_count", "attempts", "created_at",
        "completed_at",
    )  # fmt: skip
    readonly_fields = ("filename", "store_name", "shown_state", "progress", "reason")

    def get_queryset(self, request: HttpRequest) -> QuerySet[VectorStoreFile]:
        """Without those of deleted stores, which are about to be removed."""
        return super().get_queryset(request).filter(store__deleted_at=None)

    @display(description="File", ordering="file__filename")
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

    @display(description="Progress", ordering="percent")
    def progress(self, row: VectorStoreFile) -> str:
        return format_html('<progress max="100" value="{0}" aria-label="progress"></progress> {0} %', row.percent)

    @display(description="Reason")
    def reason(self, row: VectorStoreFile) -> str:
        return row.error_message or row.error_code

    def delete_row(self, request: HttpRequest, row: VectorStoreFile) -> None:
        """`attachments.detach`."""
        attachments.detach(store_id=row.store_id, file_id=row.file_id, by=self._visitor(request).actor)
