"""Vector stores."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from unfold.decorators import display

from tenants.desk.base import TenantAdmin

from .. import tasks
from ..models import VectorStore, VectorStoreFile


@admin.register(VectorStore)
class VectorStoreAdmin(TenantAdmin):
    """Vector stores."""

    icon, area = "database", "documents"
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
