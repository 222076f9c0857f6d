"""What a call or an ingestion would cost: worked out by hand, on each granted model, and nothing is made or held."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.models import Reservation, TenantAllowance, TenantPrice, UnitCounts, UsageRecord
from billing.prices.services import forget_services
from inference.catalogue import forget_terms
from inference.models import Generation
from knowledge.models import Document, File
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

URL = "/v1/estimates"
SAID = [{"role": "user", "content": "Hello there"}]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    forget_terms()
    forget_services()


def estimate(member: Member, **body: Any) -> dict[str, Any]:
    answer = member.client.post(URL, body, format="json")
    assert answer.status_code == 200, answer.content
    found = answer.json()
    assert (found["object"], found["currency"]) == ("estimate", "USD")
    return {one.pop("model"): one for one in found["data"]}


def call(member: Member, url: str, **body: Any) -> dict[str, Any]:
    return estimate(member, url=f"/v1/{url}", body=body)


def contract(member: Member, model: str, meter: str, amount: str, **more: Any) -> None:
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        TenantPrice.objects.create(
            tenant_id=tenant_id, model=model, meter=meter, currency="USD", amount=Decimal(amount), valid_from=LONG_AGO,
            **more,
        )  # fmt: skip


def test_calls_are_estimated_on_every_model_that_could_answer(acme: Member) -> None:
    chat = call(acme, "chat/completions", messages=SAID, max_tokens=100)
    # At 0.10 and 0.40 a million. At most 11 bytes and 8 of frame; likely 2 tokens and 4 of frame.
    assert chat == {
        "local-extractive": {
            "likely": "0.0000406", "most": "0.0000419", "units": {"input_tokens": 6, "output_tokens": 100}, "error": None,
        }
    }  # fmt: skip
    # At 0.02 a million: two tokens, or as many as there are bytes and two around them.
    vectors = call(acme, "embeddings", model="whatever", input="Hello there")["all-MiniLM-L6-v2"]
    assert (vectors["likely"], vectors["most"], vectors["units"]) == (
        "0.00000004",
        "0.00000026",
        {"embedding_tokens": 2},
    )
    response = call(acme, "responses", input="Hello there", max_output_tokens=100)["local-extractive"]
    assert response["units"]["output_tokens"] == 100
    assert Decimal("0.00004") < Decimal(response["likely"]) <= Decimal(response["most"]) == Decimal("0.0000419")
    # Passages are part of it: 6 of them at 800 tokens; and the question's vector.
    search = [{"type": "file_search", "vector_store_ids": ["vs_1"]}]
    found = call(acme, "chat/completions", messages=SAID, max_tokens=100, tools=search)["local-extractive"]
    assert found["units"]["input_tokens"] > 4_800 and found["units"]["embedding_tokens"] == 2
    with acting_for(acme.tenant.id), tenant_scope():
        assert not any(rows.objects.exists() for rows in (Reservation, Generation, UsageRecord))


def test_what_is_likely_counts_allowances_and_tiers_where_the_month_has_come_to(acme: Member) -> None:
    contract(acme, "local-extractive", "input_tokens", "1", tiers=[[3, "0.5"]])
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        included = TenantAllowance.objects.create(
            tenant_id=tenant_id, meter="input_tokens", quantity=2, valid_from=LONG_AGO.date()
        )
        month = datetime.now(UTC).date().replace(day=1)
        UnitCounts.objects.create(tenant_id=tenant_id, period_start=month, units={str(included.id): 1})
    found = call(acme, "chat/completions", messages=SAID, max_tokens=100)["local-extractive"]
    # Of 6 tokens one is included, three cost 1 a million and two half of that: 4 in all; and 100 at 0.4.
    assert found["likely"] == "0.000044"
    # At most the calls that come first leave no allowance, and all of the 19 are in the dearest tier.
    assert found["most"] == "0.000059"


def test_a_model_that_cannot_answer_says_why_and_a_body_that_none_could_is_refused(acme: Member) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    found = call(acme, "chat/completions", messages=SAID, tools=[tool])["local-extractive"]
    assert (found["error"]["code"], found["most"], found["likely"]) == ("unsupported_parameter", None, None)
    for body, param in (
        ({"url": "/v1/chat/completions", "body": {"messages": []}}, "body.messages"),
        ({"url": "/v1/embeddings", "body": {"input": ""}}, "body.input"),
        ({"url": "/v1/responses", "body": {}}, "body.input"),
        ({"url": "/v1/files", "body": {}}, "url"),
        ({"url": "/v1/embeddings"}, "url"),
        ({}, "url"),
        ({"ingestion": {}}, "ingestion.file_id"),
        ({"ingestion": {"bytes": 0}}, "ingestion"),
    ):
        refused = acme.client.post(URL, body, format="json")
        assert (refused.status_code, refused.json()["error"]["param"].split(".bytes")[0]) == (400, param), (
            refused.content
        )


def test_an_ingestion_is_estimated_by_size_by_file_and_by_what_a_file_says(acme: Member) -> None:
    contract(acme, "ocr", "ocr_pages", "2", per=1_000)
    by_size = estimate(acme, ingestion={"bytes": 8_000})["all-MiniLM-L6-v2"]
    # 2,000 tokens in chunks of 800 that share 400 with the next: 4,000 are embedded, at 0.02 a million; at most every
    # byte is a token, and every second chunk holds little that is new.
    assert (by_size["units"], by_size["likely"], by_size["most"]) == (
        {"embedding_tokens": 4_000},
        "0.00008",
        "0.000656",
    )
    sizes = {"type": "static", "static": {"max_chunk_size_tokens": 1_000, "chunk_overlap_tokens": 0}}
    assert estimate(acme, ingestion={"bytes": 8_000, "chunking_strategy": sizes})["all-MiniLM-L6-v2"]["units"] == {
        "embedding_tokens": 2_000
    }
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        own = {"tenant_id": tenant_id, "sha256": "", "storage_key": "", "purpose": "assistants", "bytes": 8_000}
        scan = File.objects.create(**own, filename="scan.pdf", mime_type="application/pdf")
        note = File.objects.create(**own, filename="note.txt", mime_type="text/plain")
    by_file = {"file_id": public_id("file-", note.id)}
    assert estimate(acme, ingestion=by_file)["all-MiniLM-L6-v2"] == by_size
    unread = {"file_id": public_id("file-", scan.id)}
    assert estimate(acme, ingestion=unread)["all-MiniLM-L6-v2"]["most"] is None
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        Document.objects.create(
            tenant_id=tenant_id, file=scan, text="x" * 400, mime_type="application/pdf", ocr_pages=3
        )
    read = estimate(acme, ingestion=unread)["all-MiniLM-L6-v2"]
    # 100 tokens at 0.02 a million, 3 pages at 2 a thousand.
    assert (read["units"], read["likely"]) == ({"embedding_tokens": 100, "ocr_pages": 3}, "0.006002")
    # 1,600 bytes at most, 4 times that in chunks, and a chunk.
    assert Decimal(read["most"]) == 3 * Decimal("0.002") + (1_600 * 4 + 800) * Decimal("0.00000002")


def test_a_key_that_may_not_read_files_learns_nothing_of_them(acme: Member) -> None:
    with acting_for(acme.tenant.id):
        key = issue(name="n", scopes=["inference"], by=COMMAND_LINE)[1]
    ident = public_id("file-", acme.tenant.id)
    refused = Member(acme.tenant, key).client.post(URL, {"ingestion": {"file_id": ident}}, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope")
    assert acme.client.post(URL, {"ingestion": {"file_id": ident}}, format="json").status_code == 404
