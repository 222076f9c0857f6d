"""`/v1/files` and `/v1/vector_stores`."""

from django.urls import path

from .attachments_api import AttachmentContentView, AttachmentsView, AttachmentView
from .files_api import FileContentView, FilesView, FileView
from .vector_stores_api import VectorStoreSearchView, VectorStoresView, VectorStoreView

_STORE = "vector_stores/<str:store_id>"

urlpatterns = [
    path("files", FilesView.as_view()),
    path("files/<str:file_id>", FileView.as_view()),
    path("files/<str:file_id>/content", FileContentView.as_view()),
    path("vector_stores", VectorStoresView.as_view()),
    path(_STORE, VectorStoreView.as_view()),
    path(f"{_STORE}/search", VectorStoreSearchView.as_view()),
    path(f"{_STORE}/files", AttachmentsView.as_view()),
    path(f"{_STORE}/files/<str:file_id>", AttachmentView.as_view()),
    path(f"{_STORE}/files/<str:file_id>/content", AttachmentContentView.as_view()),
]
