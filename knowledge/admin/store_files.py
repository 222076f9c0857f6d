"""The files of a vector store: added by hand, how far each is, why one failed, and again."""

from datetime import UTC, datetime
from typing import Any, BinaryIO, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from tenants.desk.pages import desk_page
from tenants.errors import AtriumError, InvalidRequest
from tenants.groups import check_groups

from .. import tasks
from ..attachments import attachments_of
from ..attributes import MAX_VALUE_LENGTH
from ..chunking import MAX_CHUNK_TOKENS, MIN_CHUNK_TOKENS, ChunkingStrategy
from ..file_names import SEARCH_HELP, named
from ..files import Upload
from ..lifetime import has_expired
from ..models import VectorStoreFile
from ..parsing.failures import SUPPORTED
from ..removal import IN_PROGRESS
from .file_rows import MOST_COUNTED, State, number_said, row_of
from .store_page import StoreData, StorePage

PER_PAGE = 50
_MOST_ASKED = 200
#: What the list can be narrowed to.
FILTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("All", ()),
    "busy": ("In progress", IN_PROGRESS),
    "ready": ("Ready", (State.COMPLETED,)),
    "failed": ("Failed", (State.FAILED, State.CANCELLED)),
}


def counts_of(rows: QuerySet[VectorStoreFile]) -> dict[str, str]:
    """How many of a store's files each filter shows; inside a scope."""
    counts = {}
    for name, (_, states) in FILTERS.items():
        narrowed = rows.filter(state__in=states) if states else rows
        counts[name] = number_said(narrowed.order_by()[: MOST_COUNTED + 1].count())
    return counts


@desk_page
class StoreFiles(StorePage):
    """The list, and where files are added. `?state=` narrows it, `q` is a part of a name, `after` turns the page."""

    name, path = "store_files", "knowledge/vectorstore/<uuid:store_id>/files/"
    template_name = "desk/store_files.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """A page of the files."""
        query = self.request.GET
        state = query.get("state", "") if query.get("state", "") in FILTERS else ""
        words = query.get("q", "").replace("\0", "").strip()
        rows = attachments_of(self.store).select_related("file", "store")
        found = self._page(rows, state, words)
        counts = counts_of(rows)
        shown = {
            "rows": [row_of(row) for row in found[:PER_PAGE]],
            "next_after": found[PER_PAGE - 1].file_id if len(found) > PER_PAGE else None,
            "after": query.get("after"),
            "filters": [(name, label, counts[name], name == state) for name, (label, _) in FILTERS.items()],
            "state": state,
            "words": words,
            "search_help": SEARCH_HELP,
            "expired": has_expired(self.store, datetime.now(UTC)),
            "largest": settings.MAX_FILE_BYTES,
            "largest_said": filesizeformat(settings.MAX_FILE_BYTES).replace("\xa0", " ").replace(".0 ", " "),
            "supported": SUPPORTED,
            "least_tokens": MIN_CHUNK_TOKENS,
            "most_tokens": MAX_CHUNK_TOKENS,
        }
        return {**super().get_context_data(**kwargs), **shown}

    def _page(self, rows: QuerySet[VectorStoreFile], state: str, words: str) -> list[VectorStoreFile]:
        """One more than a page, the latest first; the files' ids are in the order of their making."""
        if state:
            rows = rows.filter(state__in=FILTERS[state][1])
        if words:
            rows = named(rows, words, file="file__", key="file_id")
        try:
            after = UUID(self.request.GET.get("after", ""))
        except ValueError:
            after = None
        if after is not None:
            rows = rows.filter(file_id__lt=after)
        return list(rows.order_by("-file_id")[: PER_PAGE + 1])

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Retry one file, or all that failed."""
        wanted = request.POST.getlist("file")
        begun = tasks.start_retry(
            store_id=self.store.id,
            file_ids=None if request.POST.get("retry") == "all" else [_id_in(text) for text in wanted],
            by=self.visitor.actor,
        )
        messages.success(request, f"{begun} file{'' if begun == 1 else 's'} will be tried again.")
        return HttpResponseRedirect(request.get_full_path())


def _id_in(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidRequest("This is not the id of a file.", param="file") from error


@desk_page
class StoreProgress(StoreData):
    """How far files are (`?file=`, as often as there are files), and how many are where; for all that a page shows."""

    name, path = "store_progress", "knowledge/vectorstore/<uuid:store_id>/progress/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The rows by file."""
        ids = [_id_in(text) for text in request.GET.getlist("file")[:_MOST_ASKED]]
        rows = attachments_of(self.store).select_related("file", "store")
        files = {str(row.file_id): _json(row) for row in rows.filter(file_id__in=ids)}
        return JsonResponse({"files": files, "counts": counts_of(rows)})


def _json(attachment: VectorStoreFile) -> dict[str, Any]:
    row = row_of(attachment)
    names = (
        "file_id",
        "name",
        "size",
        "state",
        "word",
        "tone",
        "percent",
        "detail",
        "busy",
        "may_retry",
        "preview",
        "edit",
        "remove",
    )
    return {name: getattr(row, name) for name in names} | {
        "chunks": f"{row.chunks:,}" if row.chunks else "",
        "pages": f"{row.pages:,}" if row.pages else "",
    }


@desk_page
class StoreRetry(StoreData):
    """Retry without leaving the page."""

    name, path = "store_retry", "knowledge/vectorstore/<uuid:store_id>/retry/"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """`tasks.start_retry` for the files that are named."""
        ids = [_id_in(text) for text in request.POST.getlist("file")]
        tasks.start_retry(store_id=self.store.id, file_ids=ids, by=self.visitor.actor)
        rows = attachments_of(self.store).select_related("file", "store").filter(file_id__in=ids)
        return JsonResponse({"files": {str(row.file_id): _json(row) for row in rows}})


@desk_page
class StoreUpload(StoreData):
    """Takes files as a form sends them: by the page's script one at a time, without it as many as were chosen."""

    name, path = "store_upload", "knowledge/vectorstore/<uuid:store_id>/upload/"
    waits = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Store and attach them; the answer is the row of the last, or the list with a message for each refused."""
        sent = request.FILES.getlist("file")
        if not sent:
            raise InvalidRequest("No file was sent. Choose one.", param="file")
        if "text/html" not in request.headers.get("Accept", ""):
            return JsonResponse(self._take(request, sent[0]))
        for file in sent:
            try:
                self._take(request, file)
            except AtriumError as error:
                messages.error(request, f"{file.name}: {error.message}")
        return HttpResponseRedirect(reverse("admin:store_files", args=[self.store.id]))

    def refused(self, request: HttpRequest, error: AtriumError) -> HttpResponse:
        """As a script expects it, or a browser."""
        if "text/html" not in request.headers.get("Accept", ""):
            return super().refused(request, error)
        messages.error(request, error.message)
        return HttpResponseRedirect(reverse("admin:store_files", args=[self.store.id]))

    def _take(self, request: HttpRequest, sent: UploadedFile) -> dict[str, Any]:
        form = request.POST
        folder = form.get("path", "").replace("\0", "")[:MAX_VALUE_LENGTH]
        replaced = form.get("replaces", "")
        uploaded = tasks.start_upload(
            store_id=self.store.id,
            upload=Upload(filename=sent.name or "", content=cast(BinaryIO, sent.file), size=sent.size or 0),
            by=self.visitor.actor,
            now=datetime.now(UTC),
            attributes={"path": folder} if folder else None,
            strategy=_strategy(form.get("chunk_tokens", ""), form.get("overlap_tokens", "")),
            allowed_groups=_groups(form.get("groups", "")),
            replaces=_id_in(replaced) if replaced else None,
        )
        return _json(uploaded.attachment) | {"known": not uploaded.begun}


def _strategy(chunk: str, overlap: str) -> ChunkingStrategy | None:
    if not chunk and not overlap:
        return None
    try:
        return ChunkingStrategy(int(chunk or 800), int(overlap or 0))
    except ValueError as error:
        least, most = MIN_CHUNK_TOKENS, MAX_CHUNK_TOKENS
        text = f"A chunk has {least} to {most:,} tokens, of which at most half are shared with the next."
        raise InvalidRequest(text, param="chunking_strategy") from error


def _groups(text: str) -> list[str] | None:
    groups = [part.strip() for part in text.split(",") if part.strip()]
    return check_groups(groups, param="allowed_groups") if groups else None
