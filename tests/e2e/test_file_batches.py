"""File batches, new versions and deletion through the `openai` SDK, plain and async, on the running stack."""

import asyncio
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import openai
import pytest

from tests.e2e.conftest import Atrium, Tenant, eventually
from tests.e2e.test_sdk_files import valid

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def tenant(atrium: Atrium) -> Tenant:
    return atrium.new_tenant()


@pytest.fixture(scope="module")
def sdk(tenant: Tenant) -> openai.OpenAI:
    return tenant.sdk()


def documents(*birds: str) -> list[tuple[str, bytes]]:
    return [(f"{bird}.txt", f"The {bird} nests on the northern island.".encode()) for bird in birds]


def uploaded(sdk: openai.OpenAI, *birds: str) -> list[str]:
    return [sdk.files.create(file=file, purpose="assistants").id for file in documents(*birds)]


def test_upload_and_poll_ends_with_every_file_searchable(sdk: openai.OpenAI) -> None:
    store = sdk.vector_stores.create()
    batch = valid(
        sdk.vector_stores.file_batches.upload_and_poll(
            store.id, files=documents("heron", "owl", "tern"), file_ids=uploaded(sdk, "gull"), poll_interval_ms=50
        )
    )
    counts = batch.file_counts
    assert (batch.status, counts.in_progress, counts.completed, counts.total) == ("completed", 0, 4, 4)
    assert batch.vector_store_id == store.id
    assert {hit.filename for hit in sdk.vector_stores.search(store.id, query="Where does it nest?")} == {
        "heron.txt", "owl.txt", "tern.txt", "gull.txt",
    }  # fmt: skip


def test_create_and_poll_counts_partial_failures_and_lists_by_status(sdk: openai.OpenAI) -> None:
    store = sdk.vector_stores.create()
    bad = sdk.files.create(file=("program.bin", b"\x7fELF\0\0\0\0"), purpose="assistants").id
    good = uploaded(sdk, "heron", "owl")
    described: list[Any] = [{"file_id": good[0], "attributes": {"n": 1}}, {"file_id": good[1]}, {"file_id": bad}]
    batch = valid(sdk.vector_stores.file_batches.create_and_poll(store.id, files=described, poll_interval_ms=50))
    counts = batch.file_counts
    assert (batch.status, counts.completed, counts.failed, counts.total) == ("completed", 2, 1, 3)
    assert valid(sdk.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id)) == batch

    def listed(**options: Any) -> list[str]:
        files = sdk.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, **options)
        return [valid(file).id for file in files]

    assert listed(order="asc", limit=1) == [bad, *good]  # in the order in which the files were made
    assert listed(filter="failed") == [bad]
    assert set(listed(filter="completed")) == set(good)
    assert sdk.vector_stores.files.retrieve(good[0], vector_store_id=store.id).attributes == {"n": 1}


def test_the_async_client_polls_batches_too(tenant: Tenant) -> None:
    async def run() -> None:
        async with tenant.async_sdk() as sdk:
            store = await sdk.vector_stores.create()
            batch = await sdk.vector_stores.file_batches.upload_and_poll(
                store.id, files=documents("heron", "owl"), poll_interval_ms=50
            )
            assert (valid(batch).status, batch.file_counts.completed) == ("completed", 2)
            again = await sdk.vector_stores.file_batches.create_and_poll(
                store.id,
                file_ids=[file.id async for file in sdk.vector_stores.files.list(store.id)],
                poll_interval_ms=50,
            )
            assert (again.status, again.file_counts.completed, again.file_counts.total) == ("completed", 2, 2)

    asyncio.run(run())


def test_cancelling_stops_what_is_left_of_a_large_batch(sdk: openai.OpenAI, atrium: Atrium, tenant: Tenant) -> None:
    store = sdk.vector_stores.create()
    text = "The heron eats eels, and the gull eats what it finds. " * 400
    files = [sdk.files.create(file=(f"{n}.txt", f"{n}. {text}".encode()), purpose="assistants").id for n in range(12)]
    batch = sdk.vector_stores.file_batches.create(store.id, file_ids=files)
    cancelled = valid(sdk.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id))
    counts = cancelled.file_counts
    assert (cancelled.status, counts.in_progress, counts.total) == ("cancelled", 0, 12)
    assert counts.cancelled > 0 and counts.cancelled + counts.completed == 12
    atrium.settled(tenant)
    assert sdk.vector_stores.file_batches.poll(batch.id, vector_store_id=store.id) == cancelled
    completed = sdk.vector_stores.retrieve(store.id).file_counts.completed
    chunks = atrium.sql("SELECT chunk_count > 0 FROM knowledge_vectorstore WHERE tenant_id = %s AND id::text = %s",
                        tenant.id, _uuid(store.id, "vs_"))  # fmt: skip
    assert chunks == [(completed > 0,)]


def _uuid(public: str, prefix: str) -> str:
    return str(UUID(hex=public.removeprefix(prefix)))


def test_a_new_version_takes_over_while_searches_go_on(sdk: openai.OpenAI) -> None:
    [old] = uploaded(sdk, "heron")
    store = sdk.vector_stores.create(file_ids=[old])
    sdk.vector_stores.files.poll(old, vector_store_id=store.id, poll_interval_ms=50)
    new = sdk.files.create(file=("heron2.txt", b"The heron nests on the southern island."), purpose="assistants").id
    sdk.vector_stores.files.create(store.id, file_id=new, extra_body={"replaces": old})
    seen = set()

    def switched() -> bool:
        hits = [hit.file_id for hit in sdk.vector_stores.search(store.id, query="Where does the heron nest?")]
        assert len(hits) == 1  # never both, never neither
        seen.add(hits[0])
        return hits == [new]

    eventually(switched)
    assert seen <= {old, new}
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.files.retrieve(old, vector_store_id=store.id)


def test_deletion_leaves_no_row_and_no_bytes(sdk: openai.OpenAI, atrium: Atrium, tenant: Tenant) -> None:
    [file] = uploaded(sdk, "bittern")
    store = sdk.vector_stores.create()
    sdk.vector_stores.file_batches.create_and_poll(store.id, file_ids=[file], poll_interval_ms=50)
    sdk.vector_stores.delete(store.id)
    sdk.files.delete(file)
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.search(store.id, query="bittern")
    tables = (
        "file",
        "document",
        "vectorstore",
        "vectorstorefile",
        "filebatch",
        "filebatchentry",
        "embedding",
        "storeterm",
    )
    named = " + ".join(f"(SELECT count(*) FROM knowledge_{table} t WHERE t::text ~ %s)" for table in tables)
    either = f"{_uuid(store.id, 'vs_')}|{_uuid(file, 'file-')}"
    eventually(lambda: atrium.sql(f"SELECT {named}", *[either] * len(tables)) == [(0,)])
    assert not list(Path(os.environ["ATRIUM_VAR"]).rglob(f"{_uuid(file, 'file-')}*"))
