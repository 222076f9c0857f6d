"""Where a store's files come from by themselves: buckets that it follows, and web addresses."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from tenants.desk.pages import desk_page
from tenants.errors import InvalidRequest
from tenants.guarded_http import MAX_URL_LENGTH

from .. import tasks
from ..attachments import attachments_of
from ..models import BucketSource, File
from ..sources import bucket_sources
from ..sources.buckets import Place
from ..sources.remote_files import shown_url
from .store_page import StorePage

_OBJECTS_SHOWN = 50
_ADDRESSES_SHOWN = 100
_COUNTS = (
    ("seen", "seen"),
    ("added", "added"),
    ("changed", "changed"),
    ("removed", "removed"),
    ("skipped", "left out"),
)


class BucketForm(forms.Form):
    """A bucket to follow."""

    bucket = forms.CharField(max_length=255, label="Bucket", help_text="Its name, without s3://")
    folder = forms.CharField(
        label="Only keys that begin with",
        max_length=1024,
        required=False,
        strip=False,
        help_text="Such as manuals/. Empty: all of it.",
    )
    region = forms.CharField(max_length=64, initial="eu-central-1")
    endpoint_url = forms.CharField(
        max_length=500, required=False, label="Address of the server", help_text="Empty for Amazon S3."
    )
    access_key_id = forms.CharField(max_length=512, label="Access key ID")
    secret_access_key = forms.CharField(
        max_length=512,
        label="Secret access key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Kept encrypted, never shown again. It needs to list and read the bucket, nothing else.",
    )
    sync_every_minutes = forms.TypedChoiceField(
        label="Look for changes",
        coerce=lambda text: int(text) if text else None,
        empty_value=None,
        required=False,
        choices=[("", "when I ask"), ("15", "every 15 minutes"), ("60", "every hour"), ("1440", "every day")],
    )

    def place(self) -> Place:
        """Where the bucket is, and how to get in."""
        values = dict(self.cleaned_data)
        values.pop("sync_every_minutes")
        return Place(prefix=values.pop("folder"), **values)


class AddressForm(forms.Form):
    """A document on the web."""

    url = forms.CharField(max_length=MAX_URL_LENGTH, label="Web address of a document")


@dataclass(frozen=True)
class SourceRow:
    """A bucket as the page shows it."""

    id: UUID
    place: str
    word: str
    tone: str
    error: str
    counts: str
    completed_at: datetime | None
    next_sync_at: datetime | None
    every: int | None
    left_out: list[tuple[str, str, str]]


def source_row(source: BucketSource) -> SourceRow:
    """A source with what became of its last synchronisation; inside a scope."""
    failed = bool(source.last_error) and source.sync_id is None
    word, tone = ("Synchronising", "") if source.sync_id else ("Failed", "bad") if failed else ("In step", "good")
    counts = [f"{source.counts[key]:,} {said}" for key, said in _COUNTS if source.counts.get(key)]
    objects = bucket_sources.objects_of(source, skipped=True)[:_OBJECTS_SHOWN] if source.counts.get("skipped") else []
    return SourceRow(
        id=source.id,
        place=f"{source.bucket}/{source.prefix}",
        word=word,
        tone=tone,
        error=source.last_error,
        counts=", ".join(counts),
        completed_at=source.last_completed_at,
        next_sync_at=source.next_sync_at,
        every=source.sync_every_minutes,
        left_out=[(str(row), filesizeformat(row.size), row.reason) for row in objects],
    )


def _address_row(file: File) -> dict[str, Any]:
    word, tone = {"uploaded": ("Being fetched", ""), "error": ("Failed", "bad")}.get(file.status, ("Fetched", "good"))
    return {
        "id": file.id, "name": file.filename, "url": shown_url(file.source_url), "fetched_at": file.fetched_at,
        "word": "Being fetched" if file.fetch_id else word, "tone": "" if file.fetch_id else tone,
        "detail": file.status_details, "preview": f"{reverse('admin:file_preview', args=[file.id])}",
    }  # fmt: skip


@desk_page
class StoreSources(StorePage):
    """Buckets and addresses, each with its last synchronisation."""

    name, path = "store_sources", "knowledge/vectorstore/<uuid:store_id>/sources/"
    template_name = "desk/store_sources.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the store follows, and forms for more."""
        sources = bucket_sources.sources_of(store_id=self.store.id).order_by("-created_at")
        remote = attachments_of(self.store).exclude(
            file__fetch_id=None, file__fetched_at=None, file__storage_key__gt=""
        )
        files = [row.file for row in remote.order_by("-file_id")[: 5 * _ADDRESSES_SHOWN]]
        shown = {
            "sources": [source_row(source) for source in sources],
            "addresses": [_address_row(file) for file in files if file.source_url][:_ADDRESSES_SHOWN],
            "bucket_form": kwargs.pop("bucket_form", None) or BucketForm(),
            "address_form": kwargs.pop("address_form", None) or AddressForm(),
        }
        return {**super().get_context_data(**kwargs), **shown}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Follow, synchronise now, stop following; fetch an address, or fetch it again."""
        do = {
            "follow": self._follow, "sync": self._sync, "stop": self._stop, "fetch": self._fetch, "refresh": self._refresh,
        }.get(request.POST.get("do", ""))  # fmt: skip
        if do is None:
            raise InvalidRequest("Nothing was asked for. Use the buttons of the page.", param="do")
        return do() or HttpResponseRedirect(request.get_full_path())

    def _follow(self) -> HttpResponse | None:
        form = BucketForm(self.request.POST)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(bucket_form=form))
        every = form.cleaned_data["sync_every_minutes"]
        try:
            with transaction.atomic():
                tasks.start_source(
                    store_id=self.store.id, place=form.place(), sync_every_minutes=every, by=self.visitor.actor
                )
        except InvalidRequest as error:
            field = "folder" if error.param == "prefix" else error.param
            form.add_error(field if field in form.fields else None, error.message)
            return self.render_to_response(self.get_context_data(bucket_form=form))
        messages.success(self.request, "The store follows the bucket. The first synchronisation has begun.")
        return None

    def _sync(self) -> None:
        tasks.start_sync(store_id=self.store.id, source_id=self._id("source"), by=self.visitor.actor)
        messages.success(self.request, "The synchronisation has begun.")

    def _stop(self) -> None:
        bucket_sources.delete_source(store_id=self.store.id, source_id=self._id("source"), by=self.visitor.actor)
        messages.success(self.request, "The store no longer follows this bucket. The files that it brought stay.")

    def _fetch(self) -> HttpResponse | None:
        form = AddressForm(self.request.POST)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(address_form=form))
        by, now = self.visitor.actor, datetime.now(UTC)
        try:
            with transaction.atomic():
                file = tasks.start_fetch(url=form.cleaned_data["url"], purpose="assistants", by=by, now=now)
                tasks.start_ingestion(store_id=self.store.id, file_id=file.id, by=by)
        except InvalidRequest as error:
            form.add_error("url", error.message)
            return self.render_to_response(self.get_context_data(address_form=form))
        messages.success(self.request, "The document is being fetched, and read when it is there.")
        return None

    def _refresh(self) -> None:
        tasks.start_refresh(file_id=self._id("file"), by=self.visitor.actor)
        messages.success(self.request, "The address is asked again. A newer version takes the place of the old one.")

    def _id(self, name: str) -> UUID:
        try:
            return UUID(self.request.POST.get(name, ""))
        except ValueError as error:
            raise InvalidRequest("This is not on the page any more. Load it again.", param=name) from error
