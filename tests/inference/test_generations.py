"""Generations: admitted with their hold, claimed by one worker, settled once; a lost lease writes nothing."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from billing.budgets.quotas import Quotas
from billing.budgets.refusals import QuotaHeld
from billing.budgets.setting import set_budget
from billing.limits import Level, Rates
from billing.models import BudgetAccount, Reservation, UsageRecord
from billing.reservations import BudgetExhausted, BudgetHeld, UsageLine, settle_expired
from inference import generations, lost_calls
from inference.calls import Admission, Admitted, Call, Outcome, Settlement
from inference.catalogue import forget_terms, terms
from inference.generations import AnswerGone, Replay
from inference.models import Generation, InferenceAttempt
from tenants import work
from tenants.audit import COMMAND_LINE
from tenants.idempotency import KeyReused, StillInFlight
from tenants.ids import uuid7
from tenants.models import ApiKey, IdempotencyRecord, Lane, Work
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

#: 0.10 and 0.40 a million: 100 tokens in cost 0.00001, 50 out 0.00002.
LINES = [UsageLine("local-extractive", "input_tokens", 100), UsageLine("local-extractive", "output_tokens", 50)]
COST = Decimal("0.00003")
REQUEST = b'{"model":"local-extractive","messages":[{"role":"user","content":"hello"}]}'
ANSWER = {"id": "chatcmpl-1", "choices": []}


@pytest.fixture(autouse=True)
def _no_remembered_terms() -> None:
    forget_terms()


class Desk:
    """A tenant whose generations are watched."""

    def __init__(self, member: Member) -> None:
        self.tenant_id = member.tenant.id
        with acting_for(self.tenant_id), tenant_scope():
            self.key_id = ApiKey.objects.values_list("id", flat=True).get()

    def budget(self, limit: str) -> None:
        with acting_for(self.tenant_id):
            set_budget(name="monthly", limit=Decimal(limit), by=COMMAND_LINE)

    def admit(
        self, *, hold: str = "1", least: str | None = None, retention_days: int = 30, idempotency_key: str | None = None,
        fingerprint: str = "f", request: bytes = REQUEST, prompt_version: UUID | None = None, **more: Any,
    ) -> UUID:  # fmt: skip
        """Admit a chat; returns its id. Undone as a whole where it is refused, as a request's transaction would be."""
        ident = uuid7()
        level = Level("key", self.key_id, Rates(60, 1_000, 5))
        with acting_for(self.tenant_id):
            prices = terms(alias="local-extractive", kind="chat", currency="USD").prices
        with transaction.atomic():
            [hold] = generations.admit_all([Admission(
                tenant_id=self.tenant_id, generation_id=ident, key_id=self.key_id, kind="chat", alias="local-extractive",
                model="local-extractive", request=request, admitted=Admitted(
                    [level], 20, Decimal("0.25"), 100, retention_days, prompt_version=prompt_version
                ),
                inbox="inbox:1", share=work.Share(1, 3), hold_min=Decimal(least or hold), hold=Decimal(hold),
                currency="USD", quote=prices,
                idempotency_key=idempotency_key, fingerprint=fingerprint if idempotency_key else None, **more,
            )])  # fmt: skip
            if isinstance(hold, Exception):
                raise hold
        return ident

    def replay(self, key: str, fingerprint: str = "f") -> dict[str, Any]:
        return generations.replay(
            tenant_id=self.tenant_id, key_id=self.key_id, idempotency_key=key, fingerprint=fingerprint
        )

    def row(self, ident: UUID) -> Generation:
        with acting_for(self.tenant_id), tenant_scope():
            return Generation.objects.get(id=ident)

    def ledger(self) -> list[tuple[str, int, Decimal]]:
        with acting_for(self.tenant_id), tenant_scope():
            return list(UsageRecord.objects.order_by("meter").values_list("meter", "quantity", "cost"))

    def account(self) -> tuple[Decimal, Decimal]:
        """(spent, held)."""
        with acting_for(self.tenant_id), tenant_scope():
            return BudgetAccount.objects.values_list("spent", "held").get()

    def reservation(self, ident: UUID) -> str:
        with acting_for(self.tenant_id), tenant_scope():
            return Reservation.objects.values_list("state", flat=True).get(id=ident)

    def expire(self, ident: UUID) -> None:
        """Let the lease of a claimed generation run out, as if its worker were long dead."""
        with acting_for(self.tenant_id), tenant_scope():
            Work.objects.filter(id=ident).update(lease_until=datetime.now(UTC) - timedelta(seconds=1))


@pytest.fixture
def desk(acme: Member) -> Desk:
    return Desk(acme)


def test_a_call_is_held_with_its_tags_and_its_tokens(desk):
    plain = desk.admit()
    tagged = desk.admit(tags={"team": "ads"}, tokens_min=10, tokens=120, quotas=Quotas(tenant=200))
    with pytest.raises(QuotaHeld):
        desk.admit(tokens_min=100, tokens=120, quotas=Quotas(tenant=200))
    with acting_for(desk.tenant_id), tenant_scope():
        rows = Reservation.objects.in_bulk([plain, tagged])
        assert Reservation.objects.count() == Generation.objects.count() == 2
    assert [(row.tags, row.batch, row.tokens) for row in (rows[plain], rows[tagged])] == [
        ({}, False, 0), ({"team": "ads"}, False, 120),
    ]  # fmt: skip


@pytest.fixture
def other(globex: Member) -> Desk:
    return Desk(globex)


def claim_all() -> list[Call]:
    with connection.cursor() as cursor:
        cursor.execute(generations.CLAIM, generations.claim_parameters(worker="w", most=1))
        return [generations.claimed(row) for row in cursor.fetchall()]


def claim() -> Call:
    [call] = claim_all()
    return call


def settle(call: Call, state: str = "completed", lines: Sequence[UsageLine] = LINES, **options: Any) -> Decimal | None:
    outcome = Outcome(state, lines=list(lines), answer=ANSWER if state == "completed" else None, **options)
    ticket = work.Claim(call.tenant_id, call.id, call.attempt)
    return generations.settle(Settlement(ticket, call.key_id, outcome, call.admitted.retention_days))


def test_an_admitted_generation_is_queued_with_its_hold(desk: Desk) -> None:
    desk.budget("10")
    ident = desk.admit(hold="3")
    row = desk.row(ident)
    assert (row.state, row.request["messages"][0]["content"], row.inbox) == ("queued", "hello", "inbox:1")
    assert desk.account() == (0, 3)
    assert generations.ended(tenant_id=desk.tenant_id, generation_id=ident) is None
    with acting_for(desk.tenant_id), tenant_scope():
        assert Lane.objects.values_list("queue", "weight", "head_start").get() == ("generation", 1, 3)


def test_a_claim_loads_all_that_the_worker_needs(desk: Desk) -> None:
    ident = desk.admit(hold="3")
    call = claim()
    assert (call.tenant_id, call.id, call.attempt, call.kind, call.key_id) == (
        desk.tenant_id,
        ident,
        1,
        "chat",
        desk.key_id,
    )
    assert (call.alias, call.model, call.hold, call.inbox) == ("local-extractive", "local-extractive", 3, "inbox:1")
    assert json.loads(call.request)["messages"] == [{"role": "user", "content": "hello"}]
    level = Level("key", desk.key_id, Rates(60, 1_000, 5))
    assert call.admitted == Admitted([level], 20, Decimal("0.25"), 100, 30)
    prices = {price["meter"]: Decimal(price["amount"]) / price["per"] for price in call.prices}
    assert (prices["input_tokens"], prices["output_tokens"]) == (Decimal("0.0000001"), Decimal("0.0000004"))
    assert claim_all() == []


def test_tenants_take_turns_however_many_calls_one_of_them_has_queued(desk: Desk, other: Desk) -> None:
    for _ in range(5):
        desk.admit()
    other.admit()
    assert {claim().tenant_id, claim().tenant_id} == {desk.tenant_id, other.tenant_id}


def test_the_oldest_call_of_a_tenant_comes_first(desk: Desk) -> None:
    idents = [desk.admit() for _ in range(3)]
    assert [claim().id for _ in range(3)] == idents


def test_settling_writes_ledger_answer_and_budget_and_returns_the_cost(desk: Desk) -> None:
    desk.budget("10")
    ident = desk.admit(hold="3")
    assert settle(claim()) == COST
    row = desk.row(ident)
    assert (row.state, row.answer, row.error) == ("completed", ANSWER, None)
    assert row.contents_until - row.finished_at == pytest.approx(timedelta(days=30), abs=timedelta(seconds=1))
    assert desk.ledger() == [("input_tokens", 100, Decimal("0.00001")), ("output_tokens", 50, Decimal("0.00002"))]
    assert desk.account() == (COST, 0)
    assert generations.ended(tenant_id=desk.tenant_id, generation_id=ident) == {"answer": ANSWER, "error": None}


def test_each_attempt_is_a_row_with_what_it_cost(desk: Desk) -> None:
    ident = desk.admit(hold="3")
    common = {"deployment": "d", "model": "local-extractive", "started_at": "2026-11-21T08:00:00+00:00"}
    failed = {"number": 1, "latency_ms": 5.5, "category": "upstream", "code": "upstream_error", "retryable": True}
    failed |= {"deployment_id": str(ident), "error_class": "ProviderError"}
    answered = {"number": 2, "latency_ms": 9.0, "ttft_ms": 4.0, "input_tokens": 100, "output_tokens": 50}
    lines = [replace(line, attempt=2) for line in LINES] + [UsageLine("all-MiniLM-L6-v2", "embedding_tokens", 5, 2)]
    settle(claim(), lines=lines, attempts=[common | failed, common | answered])
    with acting_for(desk.tenant_id), tenant_scope():
        first, second = InferenceAttempt.objects.filter(generation_id=ident).order_by("number")
    assert (first.deployment_id, first.latency_ms, first.ttft_ms, first.cost) == (ident, 5.5, None, None)
    assert (first.category, first.code, first.error_class, first.retryable) == (
        "upstream", "upstream_error", "ProviderError", True,
    )  # fmt: skip
    # What the question cost is not the model's.
    assert (second.ttft_ms, second.input_tokens, second.output_tokens, second.cost) == (4.0, 100, 50, COST)
    assert (second.category, second.code, second.retryable) == ("", "", None)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("a\0b\0\0c", "abc"), ("write \\u0000", "write \\u0000"), ("\\\0", "\\"), ("\\\\u0000\0", "\\\\u0000")],
)
def test_an_answer_is_kept_without_what_postgres_cannot_hold(desk: Desk, said: str, kept: str) -> None:
    ident = desk.admit()
    call = claim()
    outcome = Outcome("completed", lines=LINES, answer={"text": said})
    assert generations.settle(Settlement(work.Claim(call.tenant_id, call.id, 1), call.key_id, outcome, 1)) == COST
    assert desk.row(ident).answer == {"text": kept}


def test_a_call_is_settled_once(desk: Desk) -> None:
    desk.budget("10")
    ident = desk.admit(hold="3")
    call = claim()
    assert settle(call) == COST
    assert settle(call) is None
    assert settle(call, "failed", [], error={"error": {}}) is None
    assert (len(desk.ledger()), desk.account(), desk.row(ident).state) == (2, (COST, 0), "completed")


def test_what_used_nothing_releases_its_hold(desk: Desk) -> None:
    desk.budget("10")
    ident = desk.admit(hold="3")
    error = {"error": {"code": "upstream_error"}}
    assert settle(claim(), "failed", [], error=error) == 0
    assert (desk.ledger(), desk.account(), desk.reservation(ident)) == ([], (0, 0), "released")
    assert (desk.row(ident).state, desk.row(ident).error) == ("failed", error)


def test_a_call_that_was_broken_off_pays_for_what_was_made(desk: Desk) -> None:
    ident = desk.admit()
    assert settle(claim(), "cancelled") == COST
    assert (desk.row(ident).state, desk.reservation(ident)) == ("cancelled", "settled")


def test_a_lost_lease_is_charged_at_its_hold_and_its_worker_writes_nothing_more(desk: Desk) -> None:
    desk.budget("10")
    ident = desk.admit(hold="3")
    call = claim()
    assert lost_calls.settle_lost() == []
    desk.expire(ident)
    [lost] = lost_calls.settle_lost()
    assert (lost.id, lost.inbox, lost.tenant_id) == (ident, "inbox:1", desk.tenant_id)
    assert lost.error["error"]["code"] == "worker_lost" and lost.admitted == call.admitted
    assert settle(call) is None
    row = desk.row(ident)
    assert (row.state, row.answer, row.error["error"]["code"]) == ("failed", None, "worker_lost")
    assert desk.ledger() == [("unreconciled", 1, 3)]
    assert (desk.account(), desk.reservation(ident)) == ((3, 0), "unknown")
    assert lost_calls.settle_lost() == []


def test_a_call_whose_hold_ended_while_it_waited_is_claimed_without_one(desk: Desk) -> None:
    desk.budget("10")
    ident = desk.admit(hold="3")
    with acting_for(desk.tenant_id), tenant_scope():
        Reservation.objects.filter(id=ident).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    settle_expired()
    call = claim()
    assert (call.id, call.held) == (ident, False)
    assert settle(call, "failed", lines=[]) is None
    assert (desk.row(ident).state, desk.account(), desk.ledger()) == ("failed", (0, 0), [])
    assert claim_all() == []


def test_a_unit_whose_generation_is_gone_leaves_the_queue(desk: Desk) -> None:
    ident = desk.admit()
    claim()
    desk.expire(ident)
    with acting_for(desk.tenant_id), tenant_scope():
        Generation.objects.filter(id=ident).delete()
    assert lost_calls.settle_lost() == []
    with acting_for(desk.tenant_id), tenant_scope():
        assert not Work.objects.filter(id=ident).exists()


def test_a_waiting_call_is_withdrawn_and_its_hold_released(desk: Desk) -> None:
    desk.budget("10")
    ident = desk.admit(hold="3")
    assert generations.withdraw(tenant_id=desk.tenant_id, generation_id=ident)
    assert (desk.row(ident).state, desk.account(), desk.reservation(ident)) == ("cancelled", (0, 0), "released")
    assert claim_all() == []
    assert not generations.withdraw(tenant_id=desk.tenant_id, generation_id=ident)


def test_a_claimed_call_is_not_withdrawn(desk: Desk) -> None:
    ident = desk.admit()
    call = claim()
    assert not generations.withdraw(tenant_id=desk.tenant_id, generation_id=ident)
    assert settle(call) == COST


def test_nobody_withdraws_another_tenants_call(desk: Desk, other: Desk) -> None:
    ident = desk.admit()
    assert not generations.withdraw(tenant_id=other.tenant_id, generation_id=ident)
    assert desk.row(ident).state == "queued"


def test_without_retention_contents_are_gone_at_the_end_and_usage_stays(desk: Desk) -> None:
    ident, withdrawn = desk.admit(retention_days=0), desk.admit(retention_days=0)
    settle(claim())
    generations.withdraw(tenant_id=desk.tenant_id, generation_id=withdrawn)
    for row in (desk.row(ident), desk.row(withdrawn)):
        assert (row.request, row.answer) == (None, None)
    assert len(desk.ledger()) == 2


def test_contents_are_erased_when_their_retention_ends_and_not_before(desk: Desk) -> None:
    early, late = desk.admit(retention_days=1), desk.admit(retention_days=30)
    settle(claim())
    settle(claim())
    assert generations.erase_expired_contents() == 0
    with acting_for(desk.tenant_id), tenant_scope():
        Generation.objects.filter(id=early).update(
            contents_until=datetime.now(UTC) - timedelta(seconds=1), found=[{"filename": "a.pdf"}], trace={"ms": 1}
        )
    assert generations.erase_expired_contents() == 1
    gone = desk.row(early)
    assert (gone.request, gone.answer, gone.found, gone.trace) == (None, None, None, {"ms": 1})
    assert desk.row(late).answer == ANSWER and desk.row(late).request is not None
    assert len(desk.ledger()) == 4
    assert generations.erase_expired_contents() == 0


def test_what_is_to_be_stored_is_marked_where_anything_is_kept(desk: Desk) -> None:
    def marks(store: str, retention_days: int = 30) -> tuple[bool, Any]:
        request = b'{"metadata":{"a":"b"},"store":' + store.encode() + b"," + REQUEST[1:]
        row = desk.row(desk.admit(request=request, retention_days=retention_days))
        return row.stored, row.metadata

    assert marks("true") == (True, {"a": "b"})
    assert marks("false") == marks("true", retention_days=0) == (False, None)
    with acting_for(desk.tenant_id), tenant_scope():
        Generation.objects.update(contents_until=datetime.now(UTC) - timedelta(seconds=1))
    assert generations.erase_expired_contents() == 3
    with acting_for(desk.tenant_id), tenant_scope():
        assert not Generation.objects.filter(metadata__isnull=False).exists()


def test_the_version_of_a_prompt_stands_in_the_row_and_its_terms(desk: Desk) -> None:
    version = uuid7()
    ident = desk.admit(prompt_version=version)
    assert desk.row(ident).prompt_version_id == version == claim().admitted.prompt_version
    assert desk.row(desk.admit()).prompt_version_id is None


@pytest.mark.parametrize(("limit", "error"), [("0.5", BudgetExhausted), ("3.5", BudgetHeld)])
def test_a_refused_call_leaves_no_row(desk: Desk, limit: str, error: type[Exception]) -> None:
    desk.budget(limit)
    if error is BudgetHeld:
        desk.admit(hold="3")
    with pytest.raises(error):
        desk.admit(hold="1")
    with acting_for(desk.tenant_id), tenant_scope():
        kept = Generation.objects.count(), Work.objects.count(), Reservation.objects.count()
    assert kept == ((1, 1, 1) if error is BudgetHeld else (0, 0, 0))


def test_a_nearly_spent_budget_shortens_the_hold(desk: Desk) -> None:
    desk.budget("2")
    desk.admit(hold="3", least="1.5")
    assert claim().hold == 2


def test_an_idempotency_key_answers_its_first_answer(desk: Desk) -> None:
    desk.admit(idempotency_key="k")
    with pytest.raises(Replay):
        desk.admit(idempotency_key="k")
    with pytest.raises(StillInFlight):
        desk.replay("k")
    settle(claim())
    with pytest.raises(Replay):
        desk.admit(idempotency_key="k")
    assert desk.replay("k") == ANSWER
    with pytest.raises(KeyReused):
        desk.replay("k", "other body")
    with acting_for(desk.tenant_id), tenant_scope():
        assert Generation.objects.count() == 1


def test_an_answer_that_was_not_kept_is_said_to_be_gone(desk: Desk) -> None:
    desk.admit(idempotency_key="k", retention_days=0)
    settle(claim())
    with pytest.raises(AnswerGone):
        desk.replay("k")


@pytest.mark.parametrize("end", ["failed", "cancelled", "withdrawn", "lost"])
def test_a_call_that_did_not_complete_may_be_tried_again_under_its_key(desk: Desk, end: str) -> None:
    ident = desk.admit(idempotency_key="k")
    if end == "withdrawn":
        generations.withdraw(tenant_id=desk.tenant_id, generation_id=ident)
    elif end == "lost":
        claim()
        desk.expire(ident)
        lost_calls.settle_lost()
    else:
        settle(claim(), end, [])
    with acting_for(desk.tenant_id), tenant_scope():
        assert not IdempotencyRecord.objects.exists()
    desk.admit(idempotency_key="k", fingerprint="another body")


def test_tenants_do_not_meet_under_an_idempotency_key(desk: Desk, other: Desk) -> None:
    desk.admit(idempotency_key="k")
    other.admit(idempotency_key="k", fingerprint="another body")
    with acting_for(other.tenant_id), tenant_scope():
        assert Generation.objects.count() == 1


def test_what_admission_fixed_comes_back_from_json() -> None:
    levels = [Level("key", uuid7(), Rates(1, 2, 3)), Level("tenant", uuid7(), Rates(0, 0, 0))]
    admitted = Admitted(levels, 7, Decimal("0.000000000001"), 9, 0)
    assert Admitted.from_json(admitted.as_json()) == admitted


def test_the_groups_of_a_row_are_the_admissions_and_none_where_it_says_nothing() -> None:
    admitted = Admitted([], 20, Decimal("0.25"), 100, 30, groups=frozenset({"sales", "board"}))
    kept = admitted.as_json()
    assert kept["groups"] == ["board", "sales"]
    assert Admitted.from_json(kept).groups == {"sales", "board"}
    del kept["groups"]  # as rows were written before there were groups
    assert Admitted.from_json(kept).groups == frozenset()
