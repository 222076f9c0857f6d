"""The bytes of a file as they were uploaded, for a person to keep."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from tenants.desk.pages import DeskView, desk_page
from tenants.desk.visitor import Visitor
from tenants.downloads import Download
from tenants.errors import AtriumError, NotFound
from tenants.scope import acting_for

from .. import files
from .owners import file_or_none


@desk_page
class FileDownload(DeskView):
    """Whoever may read a file's text may have the file; it leaves after the audit row is written, in no transaction."""

    name, path, area = "file_download", "knowledge/file/<uuid:file_id>/download/", "documents"
    waits = True

    @classmethod
    def may(cls, visitor: Visitor | None, method: str = "GET") -> bool:
        """Not for staff who view a tenant: they write nothing, an audit row neither."""
        return super().may(visitor, method) and visitor is not None and visitor.viewing is None

    def get(self, request: HttpRequest, *args: Any, file_id: UUID, **kwargs: Any) -> HttpResponseBase:
        """`files.download`."""
        try:
            return self._download(file_id)
        except AtriumError as error:
            return self.refused(request, error)

    def _download(self, file_id: UUID) -> Download:
        owned = file_or_none(file_id)
        if owned is None:
            raise NotFound("This file does not exist. Perhaps it was deleted.")
        with acting_for(owned.tenant_id):
            file, content = files.download(file_id=file_id, by=self.visitor.actor)
        return Download(content, filename=file.filename)

    def refused(self, request: HttpRequest, error: AtriumError) -> HttpResponse:
        """A message on the list of files."""
        messages.error(request, error.message)
        return HttpResponseRedirect(reverse("admin:knowledge_file_changelist"))
