"""The page of one call, and the ways to it: by any of its ids, for each role what it may see."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from billing.models import Budget, BudgetAccount, Reservation, UsageRecord
from inference.models import Feedback, Generation, InferenceAttempt, Screening
from tenants.ids import public_id, uuid7
from tenants.models import ApiKey
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

LIST = "/admin/inference/generation/"
ASKED, ANSWERED = "how long may I be away?", "Thirty days [1]."
ARRIVED = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def made(member: Member, **more: Any) -> Generation:
    """A completed call, with what a call leaves behind."""
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        own = {"tenant_id": tenant_id}
        values: dict[str, Any] = {
            "kind": "chat", "state": "completed", "key_id": ApiKey.objects.get().id, "alias": "handbook", "model": "small",
            "terms": {"retention_days": 30}, "inbox": "x", "end_user": "ada",
            "request": {"messages": [{"role": "user", "content": ASKED}]},
            "answer": {"choices": [{"message": {"content": ANSWERED}, "finish_reason": "stop"}]},
            "finished_at": ARRIVED + timedelta(milliseconds=1500),
            "trace": {"began_at": (ARRIVED + timedelta(milliseconds=20)).isoformat(), "ms": 1400,
                      "steps": [{"step": "search", "at_ms": 5, "ms": 180}]},
            "found": [passage(1), passage(None)],
        }  # fmt: skip
        row = Generation.objects.create(**own, **(values | more))
        Generation.objects.filter(id=row.id).update(created_at=ARRIVED)
        attempt = {"generation_id": row.id, "deployment": "east", "model": "small", "latency_ms": 300}
        InferenceAttempt.objects.create(
            **own, **attempt, number=1, started_at=ARRIVED + timedelta(milliseconds=210), code="upstream_timeout",
            category="timeout",
        )  # fmt: skip
        InferenceAttempt.objects.create(
            **own, **attempt, number=2, started_at=ARRIVED + timedelta(milliseconds=520), ttft_ms=40, input_tokens=1200
        )
        _billed(own, row)
        Screening.objects.create(
            **own,
            generation_id=row.id,
            stage="input",
            screen="personal_data",
            action="mask",
            count=2,
            categories=["email"],
        )
        Feedback.objects.create(
            **own, generation_id=row.id, kind="chat", rater="user:ada", end_user="ada", alias="handbook", rating=-1,
            comment="It is twenty-eight.", answered_at=ARRIVED,
        )  # fmt: skip
    return row


def passage(number: int | None) -> dict[str, Any]:
    return {
        "file_id": str(uuid7()), "filename": "handbook.pdf", "store_file_id": str(uuid7()), "chunk_id": str(uuid7()),
        "page": 7, "start": 100, "end": 220, "score": 0.8125, "number": number,
    }  # fmt: skip


def _billed(own: dict[str, Any], row: Generation) -> None:
    budget = Budget.objects.create(**own, name="Team budget", limit=5, currency="USD")
    account = BudgetAccount.objects.create(**own, budget=budget, period_start="2026-05-01")
    Reservation.objects.create(
        **own, id=row.id, request_id=row.id, operation="completions", hold=Decimal("0.02"), currency="USD", prices=[],
        accounts=[str(account.id)], period_start="2026-05-01", expires_at=ARRIVED, state="settled", settled_at=ARRIVED,
    )  # fmt: skip
    for meter, quantity, cost in (("input_tokens", 1200, "0.003"), ("output_tokens", 40, "0.0004")):
        UsageRecord.objects.create(
            **own, reservation_id=row.id, request_id=row.id, attempt=2, operation="completions", model="small", meter=meter,
            quantity=quantity, unit_price=Decimal("2.5"), per=1_000_000, cost=Decimal(cost), currency="USD",
            period_start="2026-05-01", occurred_at=ARRIVED,
        )  # fmt: skip


def page_of(client: Client, row: Generation) -> str:
    answer = client.get(f"{LIST}{row.id}/change/")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


@pytest.mark.parametrize("prefix", ["", "chatcmpl-"])
def test_any_of_its_ids_leads_to_its_page(acme: Member, globex: Member, prefix: str) -> None:
    row, client = made(acme), desk(seat(acme, "developer"))
    typed = public_id(prefix, row.id) if prefix else str(row.id)
    answer = client.get(LIST, {"q": f" {typed} "})
    assert (answer.status_code, answer["Location"]) == (302, f"{LIST}{row.id}/change/")
    strangers = desk(seat(globex, "owner")).get(LIST, {"q": typed})
    assert strangers.status_code == 200 and "Nothing matches" in strangers.content.decode()


def test_it_answers_why_it_said_that_and_why_it_cost_that(acme: Member) -> None:
    row = made(acme)
    page = page_of(desk(seat(acme, "developer")), row)
    for shown in (
        ASKED, ANSWERED, "handbook.pdf, page 7", "score 0.813", "[1]", "not used",
        "upstream_timeout", "east", "1.50 s", "first token after 40 ms",
        "0.0034", "2.50 USD per 1,000,000", "Team budget", "up to 0.02 USD",
        "personal_data", "It is twenty-eight.", row.id.hex, public_id("chatcmpl-", row.id),
    ):  # fmt: skip
        assert shown in page, shown


def test_the_first_token_is_counted_from_the_arrival(acme: Member) -> None:
    # 520 ms until the second attempt began, and 40 of its own.
    assert "<dd>560 ms</dd>" in page_of(desk(seat(acme, "owner")), made(acme))


@pytest.mark.parametrize("role", ["finance", "viewer"])
def test_who_may_not_see_contents_sees_how_it_went(acme: Member, role: str) -> None:
    page = page_of(desk(seat(acme, role)), made(acme))
    assert "0.0034" in page and "1.50 s" in page and "Your role sees how a request went" in page
    for hidden in (ASKED, ANSWERED, "handbook.pdf", "twenty-eight", "personal_data"):
        assert hidden not in page


@pytest.mark.parametrize(("days", "said"), [(30, "No longer kept"), (0, "Not kept")])
def test_contents_that_are_gone_are_said_to_be(acme: Member, days: int, said: str) -> None:
    row = made(acme, request=None, answer=None, found=None, terms={"retention_days": days})
    page = page_of(desk(seat(acme, "owner")), row)
    assert said in page and "0.0034" in page


def test_an_error_says_what_to_do(acme: Member) -> None:
    error = {"error": {"code": "context_length_exceeded", "message": "Too long.", "param": "messages"}}
    row = made(acme, state="failed", answer=None, error=error)
    page = page_of(desk(seat(acme, "owner")), row)
    assert "Too long." in page and "do not fit the model's context window" in page.replace("&#x27;", "'")
    assert "will fail in the same way" in page


def shown_in(client: Client, **query: str) -> list[UUID]:
    return [row.id for row in client.get(LIST, query).context["cl"].result_list]


def test_calls_are_found_by_what_is_known_of_them(acme: Member) -> None:
    failed = made(acme, state="failed", end_user="", error={"error": {"code": "upstream_timeout"}})
    client = desk(seat(acme, "viewer"))
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        key = failed.key_id
        other = Generation.objects.create(
            tenant_id=tenant_id, kind="embeddings", key_id=uuid7(), alias="vectors", model="m", terms={}, inbox="x",
            end_user="bob", state="completed",
        ).id  # fmt: skip
    assert shown_in(client) == [other, failed.id]
    assert shown_in(client, state="failed") == shown_in(client, error_code="upstream_timeout") == [failed.id]
    assert shown_in(client, key_id=str(key)) == shown_in(client, q=public_id("key_", key)) == [failed.id]
    assert (
        shown_in(client, end_user="bob") == shown_in(client, q="bob") == shown_in(client, kind="embeddings") == [other]
    )
    assert shown_in(client, alias="vectors", when="1h") == [other]
    assert shown_in(client, until="2026-01-01T00:00") == shown_in(client, state="open") == []
