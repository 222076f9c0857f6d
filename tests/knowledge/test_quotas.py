"""What a plan lets a tenant hold, and have read in a month: refused at the door or in the run, with nothing half-written."""

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from billing.limits.in_force import forget_limits
from billing.limits.overrides import NewOverride, add_override
from billing.limits.quotas import QuotaExceeded, require_in_month, take_from_month, used_in_month
from billing.models import Limit
from knowledge import ingestion
from knowledge.ingestion import documents
from knowledge.ingestion.beginnings import begin
from knowledge.ingestion.units import Job
from knowledge.models import Document, File, VectorStoreFile
from knowledge.parsing.documents import ParsedDocument
from tenants.audit import COMMAND_LINE
from tenants.models import Lane
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.knowledge.conftest import attach, make_store, upload
from tests.tenants.committed import _django_db_helper, committed, pytest_collection_modifyitems

__all__ = ["_django_db_helper", "committed", "pytest_collection_modifyitems"]


def limit_to(value: int | None, limit: Limit) -> None:
    """For the current tenant, from now on."""
    add_override(NewOverride(limit.value, value), by=COMMAND_LINE, now=datetime.now(UTC))
    forget_limits()


def send(member: Member, size: int) -> Any:
    content = io.BytesIO(b"x" * size)
    content.name = "x.txt"
    return member.client.post("/v1/files", {"file": content, "purpose": "assistants"}, format="multipart")


def test_bytes_beyond_the_quota_are_refused_and_leave_no_row(acme: Member) -> None:
    with acting_for(acme.tenant.id):
        limit_to(100, Limit.STORED_BYTES)
        assert send(acme, 60).status_code == 200
        refused = send(acme, 41)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], refused["x-should-retry"]) == (429, "insufficient_quota", "false")
        assert error["quota"] == {
            "quota": "stored_bytes", "limit": 100, "used": 60, "needed": 41, "resets_at": None
        }  # fmt: skip
        assert "60 of 100 stored bytes" in error["message"] and "Delete what you no longer need" in error["message"]
        assert send(acme, 40).status_code == 200
        with tenant_scope():
            assert sorted(File.objects.values_list("bytes", flat=True)) == [40, 60]
            gone = File.objects.get(bytes=60).id
        assert acme.client.delete(f"/v1/files/file-{gone.hex}").status_code == 200
        assert send(acme, 60).status_code == 200


def test_documents_beyond_the_quota_are_refused_all_or_nothing(acme: Member) -> None:
    with acting_for(acme.tenant.id):
        store, other = make_store(), make_store()
        files = [upload(f"the heron number {number}") for number in range(3)]
        limit_to(2, Limit.DOCUMENTS)
        attach(store, files[0])
        attach(store, files[0])  # again: nothing new
        ids = [f"file-{file.id.hex}" for file in files[1:]]
        answer = acme.client.post(f"/v1/vector_stores/vs_{other.id.hex}/file_batches", {"file_ids": ids}, format="json")
        assert answer.status_code == 429, answer.json()
        assert answer.json()["error"]["quota"]["used"] == 1 and answer.json()["error"]["quota"]["needed"] == 2
        with tenant_scope():
            assert VectorStoreFile.objects.count() == 1
        # A new version takes the place of the old one, and no other.
        attach(store, files[1], replaces=files[0].id)
        attach(other, files[2])
        with pytest.raises(QuotaExceeded):
            attach(other, files[1])


def test_pages_beyond_the_months_quota_are_kept_with_no_text(acme: Member) -> None:
    scan = ParsedDocument(text="Harbour regulations", pages=(), title=None, mime_type="image/png", ocr_pages=2)
    with acting_for(acme.tenant.id):
        take_from_month(Limit.OCR_PAGES_PER_MONTH, 4)  # counted without a limit too
        limit_to(5, Limit.OCR_PAGES_PER_MONTH)
        attach(make_store(), upload("a scan", "scan.png"))
        claim = ingestion.claim_next(worker="w")
        assert claim is not None
        job = begin(claim)
        assert isinstance(job, Job)
        with pytest.raises(
            QuotaExceeded, match="4 of 5 pages read by OCR this month, and this needs 2 more"
        ) as refused:
            with tenant_scope():
                documents.keep(job, documents.just_read(job, scan))
        month = datetime.now(UTC).date().replace(day=1)
        assert refused.value.data["quota"]["resets_at"] == (month + timedelta(days=31)).replace(day=1).isoformat()
        with tenant_scope():
            assert not Document.objects.exists()
        with pytest.raises(QuotaExceeded):  # a long scan, before any of its pages is read
            require_in_month(Limit.OCR_PAGES_PER_MONTH, 2)
        limit_to(6, Limit.OCR_PAGES_PER_MONTH)
        with tenant_scope():
            text = documents.just_read(job, scan)
            documents.keep(job, text)
            documents.keep(job, text)  # once
            assert Document.objects.get().ocr_pages == 2
        assert used_in_month(Limit.OCR_PAGES_PER_MONTH) == (month, 6)


def test_what_a_plan_says_of_weight_and_priority_reaches_the_queue(acme: Member) -> None:
    with acting_for(acme.tenant.id):
        limit_to(3, Limit.WEIGHT)
        limit_to(7, Limit.PRIORITY)
        attach(make_store(), upload("the heron"))
        with tenant_scope():
            assert Lane.objects.values_list("queue", "weight", "head_start").get() == ("ingestion", 3, 7)


def test_uploads_at_once_take_no_more_than_the_quota(committed: Any) -> None:
    member = committed("acme")
    with acting_for(member.tenant.id):
        limit_to(30, Limit.STORED_BYTES)

    def one(_: int) -> int:
        try:
            return send(member, 10).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        answers = sorted(threads.map(one, range(6)))
    assert answers == [200] * 3 + [429] * 3
    with acting_for(member.tenant.id), tenant_scope():
        assert File.objects.count() == 3
