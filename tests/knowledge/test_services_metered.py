"""What is metered beside tokens, where it has a price: recognised pages, searches, and bytes by the hour."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from billing.budgets import setting
from billing.models import BudgetAccount, Meter, TenantPrice, UsageRecord
from billing.prices.services import OCR, SEARCH, STORAGE, forget_services
from knowledge import metering, storage_hours
from knowledge.chunking import ChunkingStrategy
from knowledge.metering import Payer
from knowledge.models import Document, File, VectorStoreFile
from knowledge.retrieval import metered_search
from tenants.audit import COMMAND_LINE
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.knowledge.conftest import attach, ingest, make_store, upload

NOW = datetime(2026, 11, 30, 23, 40, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    forget_services()
    metering._remembered.clear()


@pytest.fixture
def acting(acme: Member, words: Any) -> Iterator[Member]:
    with acting_for(acme.tenant.id):
        yield acme


def priced(service: tuple[str, str], amount: str, *, per: int = 1) -> None:
    model, meter = service
    with tenant_scope() as tenant_id:
        TenantPrice.objects.create(
            tenant_id=tenant_id, model=model, meter=meter, currency="USD", amount=Decimal(amount), per=per,
            valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        )  # fmt: skip


def ledger(*meters: str) -> list[tuple[Any, ...]]:
    with tenant_scope():
        rows = UsageRecord.objects.filter(meter__in=meters) if meters else UsageRecord.objects.all()
        return list(rows.order_by("id").values_list("operation", "model", "meter", "quantity", "cost", "leads"))


def budget(limit: str) -> None:
    setting.set_budget(name="monthly", limit=Decimal(limit), by=COMMAND_LINE)


def spent() -> Decimal:
    with tenant_scope():
        return BudgetAccount.objects.values_list("spent", flat=True).get()


def scanned(pages: int) -> File:
    """A file that was read, as the parser leaves it: with its text, and how many pages had to be recognised."""
    file = upload("the bytes of a scan", "scan.txt")
    with tenant_scope() as tenant_id:
        text = "Harbour regulations for the winter season. " * 20
        Document.objects.create(tenant_id=tenant_id, file=file, text=text, mime_type="text/plain", ocr_pages=pages)
    return file


def test_recognised_pages_are_held_before_and_charged_once_for_a_file(acting: Member) -> None:
    priced(OCR, "2", per=1_000)
    scan = scanned(3)
    budget("0.0059")
    refused = attach(make_store(), scan)
    ingest()
    with tenant_scope():
        refused.refresh_from_db()
    # Its tokens alone would have been paid for.
    assert refused.state == VectorStoreFile.State.FAILED and "0.0059" in refused.error_message
    assert ledger() == []
    budget("1")
    store = make_store()
    attach(store, scan, key_id=uuid4())
    ingest()
    lines = ledger("ocr_pages")
    assert lines == [("ingestion", "ocr", "ocr_pages", 3, Decimal("0.006"), True)]
    # In another store, cut otherwise, the text is the same: no page is recognised again.
    attach(make_store(), scan, strategy=ChunkingStrategy(100, 0))
    # Another file of the same content gets its text from the first.
    twin = upload("the bytes of a scan", "scan.txt")
    attach(store, twin)
    ingest()
    assert ledger("ocr_pages") == lines
    with tenant_scope():
        assert Document.objects.get(file=twin).ocr_pages == 0
    assert spent() == sum(line[4] for line in ledger())


def test_searches_are_charged_beside_the_tokens_that_they_read(acting: Member) -> None:
    store = make_store()
    attach(store, upload("one two three four five"))
    ingest()
    payer, asked = Payer(uuid4(), "USD"), {"store_ids": [store.id], "query": "one two", "now": datetime.now(UTC)}
    metered_search(payer=payer, **asked)
    assert [line[:4] for line in ledger()][1:] == [("search", "all-MiniLM-L6-v2", "embedding_tokens", 2)]
    priced(SEARCH, "2.5", per=1_000)
    metering._remembered.clear()
    metered_search(payer=payer, **asked)
    found = ledger()[2:]
    assert [line[:4] for line in found] == [
        ("search", "all-MiniLM-L6-v2", "embedding_tokens", 2), ("search", "file-search", "search_calls", 1),
    ]  # fmt: skip
    assert found[1][4:] == (Decimal("0.0025"), True)
    # Words alone read no token, and are a search all the same.
    metered_search(payer=payer, ranker="lexical", **asked)
    assert [line[:4] for line in ledger()[4:]] == [("search", "file-search", "search_calls", 1)]


def test_storage_is_charged_once_an_hour_in_its_month(acting: Member) -> None:
    text = "one two three four five"
    attach(make_store(), upload(text))
    ingest()
    meter = str(Meter.STORAGE_BYTE_HOURS)
    assert storage_hours.charge_hour(now=NOW) == 0 and ledger(meter) == []
    priced(STORAGE, "0.0001", per=1_000)
    forget_services()
    with tenant_scope():
        chunks = VectorStoreFile.objects.get().usage_bytes
        assert File.objects.get().bytes == len(text) and chunks > len(text)
    for later in (timedelta(0), timedelta(minutes=19), timedelta(minutes=20)):
        storage_hours.charge_hour(now=NOW + later)
    size = len(text) + chunks
    line = ("storage", "file-storage", meter, size, round(Decimal("0.0001") * size / 1_000, 12), True)
    assert ledger(meter) == [line, line]
    with tenant_scope():
        rows = UsageRecord.objects.filter(meter=meter).order_by("id")
        hours = list(rows.values_list("occurred_at", "period_start"))
    # The second is the first of December, and so the first of its month.
    assert [(at.isoformat(), month.isoformat()) for at, month in hours] == [
        ("2026-11-30T23:00:00+00:00", "2026-11-01"), ("2026-12-01T00:00:00+00:00", "2026-12-01"),
    ]  # fmt: skip
