"""A file of a store as the desk shows it: what it is doing, how far it is, and in plain words why it failed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from tenants.ids import public_id

from ..models import File, VectorStoreFile
from ..removal import IN_PROGRESS

State = VectorStoreFile.State
#: State → what it is called, and how it looks.
WORDS: dict[str, tuple[str, str]] = {
    State.QUEUED: ("Waiting", ""),
    State.PARSING: ("Reading", ""),
    State.CHUNKING: ("Cutting into chunks", ""),
    State.EMBEDDING: ("Indexing", ""),
    State.COMPLETED: ("Ready", "good"),
    State.FAILED: ("Failed", "bad"),
    State.CANCELLED: ("Cancelled", "warn"),
}
#: Files of a store are counted no further: a count of a million reads a million.
MOST_COUNTED = 10_000
_NOT_THE_FILE = "This is not the file's fault. Retry it; if it fails again, tell whoever runs this platform."


@dataclass(frozen=True)
class FileRow:
    """What a row of the list shows; `tone` is a class of desk.css, `detail` how far it is or why it ended."""

    file_id: str
    public_id: str
    name: str
    bytes: int
    state: str
    word: str
    tone: str
    percent: int
    detail: str
    busy: bool
    may_retry: bool
    chunks: int
    pages: int | None
    groups: list[str] | None
    attributes: dict[str, Any]
    attached_at: datetime
    completed_at: datetime | None
    store_id: str
    store_name: str
    attachment_id: str

    @property
    def size(self) -> str:
        """In the unit that suits it."""
        return filesizeformat(self.bytes).replace("\xa0", " ")

    @property
    def preview(self) -> str:
        """Where its text is."""
        return f"{reverse('admin:file_preview', args=[self.file_id])}?store={self.store_id}"

    @property
    def edit(self) -> str:
        """Where its attributes and groups are."""
        return reverse("admin:knowledge_vectorstorefile_change", args=[self.attachment_id])

    @property
    def remove(self) -> str:
        """Where it is taken out of the store."""
        return reverse("admin:knowledge_vectorstorefile_delete", args=[self.attachment_id])


def row_of(attachment: VectorStoreFile) -> FileRow:
    """A file of a store, which comes with its file and its store."""
    file = attachment.file
    word, tone = WORDS[attachment.state]
    if attachment.state == State.QUEUED and file.status == File.Status.UPLOADED:
        word = "Being fetched"
    return FileRow(
        file_id=str(file.id),
        public_id=public_id("file-", file.id),
        name=file.filename,
        bytes=file.bytes,
        state=attachment.state,
        word=word,
        tone=tone,
        percent=100 if attachment.state == State.COMPLETED else attachment.percent,
        detail=_detail(attachment),
        busy=attachment.state in IN_PROGRESS,
        may_retry=attachment.state in (State.FAILED, State.CANCELLED),
        chunks=attachment.chunk_count,
        pages=attachment.pages_total,
        groups=attachment.allowed_groups,
        attributes=attachment.attributes,
        attached_at=attachment.created_at,
        completed_at=attachment.completed_at,
        store_id=str(attachment.store_id),
        store_name=str(attachment.store),
        attachment_id=str(attachment.id),
    )


def number_said(counted: int) -> str:
    """A number of files, of which at most one more than `MOST_COUNTED` was counted."""
    return f"{counted:,}" if counted <= MOST_COUNTED else f"more than {MOST_COUNTED:,}"


def _detail(attachment: VectorStoreFile) -> str:
    if attachment.state == State.FAILED:
        said = attachment.error_message or "It failed without saying why."
        return f"{said} {_NOT_THE_FILE}" if attachment.error_code == "server_error" else said
    if attachment.state == State.CANCELLED:
        return "It was stopped before it was ready. Retry it to begin again."
    if attachment.state == State.QUEUED and attachment.error_message:
        return f"It is tried again shortly: {attachment.error_message}"
    if attachment.state == State.PARSING and attachment.pages_total:
        return f"Page {attachment.pages_done:,} of {attachment.pages_total:,}"
    return ""
