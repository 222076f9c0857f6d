"""globex's owner tries acme's stores and files through the desk's own pages; each answers as for a missing id."""

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from knowledge.models import File, Space, VectorStore, VectorStoreFile
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

MARK = "acmemark"
FILE_PAGES = ["file_preview"]
STORE_PAGES = ["store_files", "store_search", "store_sources", "store_progress", "store_retry", "store_upload"]


@pytest.fixture
def theirs(acme: Member) -> VectorStoreFile:
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        own = {"tenant_id": tenant_id}
        space = Space.objects.create(**own, name=MARK, dimensions=3)
        store = VectorStore.objects.create(**own, name=MARK, embedding_model=MARK, space=space)
        file = File.objects.create(
            **own, filename=f"{MARK}.txt", bytes=1, mime_type="text/plain", sha256="", storage_key="", purpose="assistants"
        )  # fmt: skip
        return VectorStoreFile.objects.create(**own, store=store, file=file, chunking={}, state="failed")


@pytest.fixture
def stranger(globex: Member) -> Client:
    return desk(seat(globex, "owner"))


def answer(client: Client, method: str, url: str, data: Any = None) -> tuple[int, str, list[str]]:
    """What can be told apart, without the ids that were asked for."""
    client.cookies.pop("messages", None)
    response = getattr(client, method)(url, data or {})
    messages = [str(message) for message in response.wsgi_request._messages]
    assert MARK not in response.content.decode() and not any(MARK in message for message in messages)
    blank = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
    return response.status_code, blank.sub("", response.get("Location", "")), messages


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("page", FILE_PAGES)
def test_a_files_pages_answer_like_missing_ones(theirs, stranger, page, method):
    foreign = answer(stranger, method, reverse(f"admin:{page}", args=[theirs.file_id]))
    assert foreign == answer(stranger, method, reverse(f"admin:{page}", args=[uuid7()]))
    assert foreign[0] in (302, 404, 405)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("page", STORE_PAGES)
def test_a_stores_pages_answer_like_missing_ones(theirs, stranger, page, method):
    form = {
        "file": str(theirs.file_id),
        "retry": "all",
        "query": MARK,
        "modes": ["lexical"],
        "limit": "5",
        "do": "sync",
    }
    foreign = answer(stranger, method, reverse(f"admin:{page}", args=[theirs.store_id]), form)
    assert foreign == answer(stranger, method, reverse(f"admin:{page}", args=[uuid7()]), form)
    assert foreign[0] in (302, 404, 405)


@pytest.mark.parametrize("page", STORE_PAGES + FILE_PAGES)
def test_a_role_that_may_not_see_documents_learns_nothing(theirs, acme, page):
    client, row = desk(seat(acme, "finance")), theirs.file_id if page in FILE_PAGES else theirs.store_id
    for method, key in (("get", row), ("get", uuid7()), ("post", row), ("post", uuid7())):
        assert getattr(client, method)(reverse(f"admin:{page}", args=[key])).status_code == 403


def test_their_files_cannot_be_retried_or_replaced_through_a_store_of_ones_own(theirs, stranger, globex):
    with acting_for(globex.tenant.id), tenant_scope() as tenant_id:
        space = Space.objects.create(tenant_id=tenant_id, name="own", dimensions=3)
        own = VectorStore.objects.create(tenant_id=tenant_id, name="own", embedding_model="x", space=space)
    for key in (theirs.file_id, uuid7()):
        retried = answer(stranger, "post", reverse("admin:store_retry", args=[own.id]), {"file": str(key)})
        sent = {"file": SimpleUploadedFile("a.txt", b"text"), "replaces": str(key)}
        assert (retried[0], answer(stranger, "post", reverse("admin:store_upload", args=[own.id]), sent)[0]) == (
            404,
            404,
        )
        assert stranger.get(reverse("admin:store_progress", args=[own.id]), {"file": str(key)}).json()["files"] == {}
    with acting_for(theirs.tenant_id), tenant_scope():
        assert VectorStoreFile.objects.get().state == "failed"
