"""What was read from a file, a window at a time: borders, places, and how it is shown."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from knowledge.admin.preview import blocks_of
from knowledge.models import Chunk, Document, VectorStoreFile
from knowledge.previews import WINDOW_CHARACTERS, Place, attachments_of_file, window
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.knowledge.conftest import attach, make_store, upload
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]


@pytest.fixture
def here(acme: Member, words: Any) -> Iterator[UUID]:
    with acting_for(acme.tenant.id):
        yield acme.tenant.id


def read(text: str, *, page_size: int = 0, chunk: int = 3000, overlap: int = 1000) -> VectorStoreFile:
    """A file of a store as if it had been ingested: `text` with pages and overlapping chunks of so many characters."""
    attachment = attach(make_store(name="Handbook"), upload(text[:50], "manual.pdf"))
    starts = range(0, max(1, len(text) - overlap), chunk - overlap)
    pages = [
        [n + 1, at, min(at + page_size, len(text))] for n, at in enumerate(range(0, len(text), page_size or 10**9))
    ]
    with tenant_scope() as tenant_id:
        Document.objects.create(
            tenant_id=tenant_id,
            file=attachment.file,
            text=text,
            pages=pages if page_size else [],
            mime_type="text/plain",
        )
        for number, start in enumerate(starts):
            end = min(start + chunk, len(text))
            Chunk.objects.create(
                tenant_id=tenant_id, store_file=attachment, ordinal=number, text=text[start:end], start=start, end=end,
                page=start // page_size + 1 if page_size else None, heading="Guide > Setup", tokens=700,
            )  # fmt: skip
        VectorStoreFile.objects.filter(id=attachment.id).update(state="completed", percent=100, chunk_count=len(starts))
    return attachments_of_file(attachment.file_id)[0]


TEXT = "".join(f"{number:05d} " for number in range(10_000))  # 60,000 characters, each six of them say where they are


@pytest.mark.parametrize("page_size", [0, 2_500, 40_000])
def test_the_windows_put_together_are_the_text(here, page_size):
    attachment, at, pieces = read(TEXT, page_size=page_size), 0, []
    while at is not None:
        found = window(attachment, Place(at=at))
        assert (found.start, found.length) == (at, len(TEXT))
        assert 0 < len(found.text) <= WINDOW_CHARACTERS
        pieces.append(found.text)
        at = found.following
    assert "".join(pieces) == TEXT


def test_the_windows_backwards_leave_nothing_out(here):
    attachment = read(TEXT, page_size=2_500)
    found = window(attachment, Place(at=len(TEXT) - 1))
    while found.previous is not None:
        before = window(attachment, Place(at=found.previous))
        assert before.start < found.start <= before.end
        found = before
    assert found.start == 0


@pytest.mark.parametrize("page_size", [0, 2_500, 40_000])
def test_a_citation_opens_at_its_place(here, page_size):
    found = window(read(TEXT, page_size=page_size), Place(start=30_006, end=30_018))
    assert found.cited == (30_006, 30_018)
    cited = ["".join(text for text, is_cited in block.runs if is_cited) for block in blocks_of(found)]
    assert "".join(cited) == TEXT[30_006:30_018] == "05001 05002 "


def test_a_citation_without_an_end_is_the_chunk_that_begins_there(here):
    attachment = read(TEXT)
    assert window(attachment, Place(start=4_000)).cited == (4_000, 7_000)
    assert window(attachment, Place(chunk=2)).cited == (4_000, 7_000)


def test_a_page_is_found_and_marks_nothing(here):
    found = window(read(TEXT, page_size=2_500), Place(page=7))
    assert found.pages[0].number == 7
    assert found.text.startswith(TEXT[15_000:15_010])
    assert found.cited is None


def test_a_place_that_is_nowhere_is_the_beginning(here):
    attachment = read(TEXT, page_size=2_500)
    for place in (Place(page=999), Place(start=10**8), Place(chunk=10**9), Place(at=10**8)):
        found = window(attachment, place)
        assert (found.start, found.cited) == (0, None)


def test_blocks_say_where_chunks_and_pages_begin_and_what_is_shared(here):
    blocks = list(blocks_of(window(read(TEXT[:6_000], page_size=2_500), Place())))
    # Borders: 0, 2000 (chunk 2), 2500 (page 2), 3000 (end of 1), 4000 (chunk 3), 5000 (page 3 and the end of 2), 6000.
    assert [[chunk.ordinal for chunk in block.begins] for block in blocks] == [[0], [1], [], [], [2], []]
    assert [block.page for block in blocks if block.page] == [1, 2, 3]
    shared = [block for block in blocks if len(block.inside) == 2]
    assert "".join(text for block in shared for text, _ in block.runs) == TEXT[2_000:3_000] + TEXT[4_000:5_000]


def test_the_page_shows_the_text_as_text(acme, here):
    attachment = read("<script>alert(1)</script> " + TEXT[:3_000])
    page = desk(seat(acme, "viewer")).get(f"/admin/knowledge/file/{attachment.file_id}/preview/?start=0&page=1")
    text = page.content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "<script>alert(1)" not in text
    assert "Chunk 1 begins" in text and "700 tokens" in text and "Guide &gt; Setup" in text


def test_what_has_no_text_yet_says_so(acme, here):
    client = desk(seat(acme, "viewer"))
    alone = upload("text")
    assert "in no vector store" in client.get(f"/admin/knowledge/file/{alone.id}/preview/").content.decode()
    attachment = attach(make_store(), alone)
    assert "Waiting" in client.get(f"/admin/knowledge/file/{alone.id}/preview/").content.decode()
    with tenant_scope():
        VectorStoreFile.objects.filter(id=attachment.id).update(
            state="failed", error_code="invalid_file", error_message="The file is damaged."
        )
    assert "The file is damaged." in client.get(f"/admin/knowledge/file/{alone.id}/preview/").content.decode()
