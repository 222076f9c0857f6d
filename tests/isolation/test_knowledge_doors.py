"""globex's owner tries acme's stores and files through the desk's own pages; each answers as for a missing id."""

import re
from typing import Any

import pytest
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
