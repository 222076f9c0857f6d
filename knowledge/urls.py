"""`/v1/files` and `/v1/vector_stores`."""

from django.urls import path

from .attachments_api import AttachmentContentView, AttachmentsView, AttachmentView
from .file_batches_api import FileBatchCancelView, FileBatchesView, FileBatchFilesView, FileBatchView
from .files_api import FileContentView, FileRefreshView, FilesView, FileView
from .replacement_api import FileReplacementView
from .sources_api import SourceObjectsView, SourcesView, SourceSyncView, SourceView
from .vector_stores_api import VectorStoreSearchView, VectorStoresView, VectorStoreView

_STORE = "vector_stores/<str:store_id>"

urlpatterns = [
    path("files", FilesView.as_view()),
    path("files/<str:file_id>", FileView.as_view()),
    path("files/<str:file_id>/content", FileContentView.as_view()),
    path("files/<str:file_id>/replace", FileReplacementView.as_view()),
    path("files/<str:file_id>/refresh", FileRefreshView.as_view()),
    path("vector_stores", VectorStoresView.as_view()),
    path(_STORE, VectorStoreView.as_view()),
    path(f"{_STORE}/search", VectorStoreSearchView.as_view()),
    path(f"{_STORE}/files", AttachmentsView.as_view()),
    path(f"{_STORE}/files/<str:file_id>", AttachmentView.as_view()),
    path(f"{_STORE}/files/<str:file_id>/content", AttachmentContentView.as_view()),
    path(f"{_STORE}/sources", SourcesView.as_view()),
    path(f"{_STORE}/sources/<str:source_id>", SourceView.as_view()),
    path(f"{_STORE}/sources/<str:source_id>/sync", SourceSyncView.as_view()),
    path(f"{_STORE}/sources/<str:source_id>/objects", SourceObjectsView.as_view()),
    path(f"{_STORE}/file_batches", FileBatchesView.as_view()),
    path(f"{_STORE}/file_batches/<str:batch_id>", FileBatchView.as_view()),
    path(f"{_STORE}/file_batches/<str:batch_id>/cancel", FileBatchCancelView.as_view()),
    path(f"{_STORE}/file_batches/<str:batch_id>/files", FileBatchFilesView.as_view()),
]
