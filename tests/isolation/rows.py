"""One row of each of acme's objects that has a page in the admin, with a mark in every name."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from billing.models import Budget, BudgetAlert, CreditNote, Report, ReportSchedule, Statement, UsageRecord
from inference.models import (
    Feedback,
    Generation,
    Grant,
    InferenceAttempt,
    Model,
    Prompt,
    PromptVersion,
    SafetyPolicy,
    Screening,
    Variant,
)
from knowledge.models import File, Space, VectorStore, VectorStoreFile
from tenants.audit import COMMAND_LINE, record
from tenants.ids import uuid7
from tenants.models import ApiKey, Invitation, Membership, SigningSecret, Tenant, WebhookDelivery, WebhookEndpoint
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks import emit
from tests.conftest import Member

#: Stands in every name that acme's objects have: no answer to globex may hold it.
MARK = "acmemark"
_LONG_AGO, _NEVER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


def one_row_of_each(acme: Member) -> dict[type, Any]:
    """Model → a row of acme's; its tenant, its key and its members' rows are marked too."""
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        Tenant.objects.update(name=MARK)
        ApiKey.objects.update(name=MARK)
        for grant in Grant.objects.all():
            Grant.objects.filter(id=grant.id).update(alias=f"{MARK} {grant.alias}")
        rows = [
            *_documents(tenant_id), *_budget(tenant_id), *_month(tenant_id), *_reports(tenant_id), *_prompt(tenant_id),
            *_call(tenant_id), *_guards(tenant_id), *_hook(tenant_id), *_people(tenant_id),
            Variant.objects.create(
                tenant_id=tenant_id, name=MARK, base=Model.objects.get(name="local-extractive")
            ),
            ApiKey.objects.get(), Membership.objects.get(), Tenant.objects.get(), Grant.objects.first(),
        ]  # fmt: skip
    return {type(row): row for row in rows}


def _documents(tenant_id: UUID) -> list[Any]:
    own = {"tenant_id": tenant_id}
    space = Space.objects.create(**own, name=MARK, dimensions=3)
    store = VectorStore.objects.create(**own, name=MARK, embedding_model=MARK, space=space)
    file = File.objects.create(
        **own, filename=f"{MARK}.txt", bytes=1, mime_type="text/plain", sha256="", storage_key="", purpose="assistants"
    )
    document = VectorStoreFile.objects.create(**own, store=store, file=file, chunking={})
    return [store, file, document, record(by=COMMAND_LINE, action=MARK, target=store)]


def _budget(tenant_id: UUID) -> list[Any]:
    budget = Budget.objects.create(tenant_id=tenant_id, name=MARK, limit=5, currency="USD")
    alert = BudgetAlert.objects.create(
        tenant_id=tenant_id, budget=budget, period_start="2026-01-01", kind="share", share=80, limit=5, spent=4
    )
    return [budget, alert]


def _month(tenant_id: UUID) -> list[Any]:
    """A line of the ledger, the statement of its month, and a credit on that."""
    month = {"tenant_id": tenant_id, "period_start": "2026-01-01", "currency": "USD"}
    usage = UsageRecord.objects.create(
        **month, reservation_id=uuid7(), request_id=uuid7(), attempt=1, operation="chat", model=MARK,
        meter="input_tokens", quantity=1, unit_price=1, per=1, cost=1,
    )  # fmt: skip
    statement = Statement.objects.create(
        **month, usage=1, corrections=0, credits=0, total=1, records=1, closed_by_type=MARK, closed_by_id=MARK,
        closed_at=datetime.now(UTC),
    )  # fmt: skip
    note = CreditNote.objects.create(
        **month, statement_id=statement.id, records=[], amount=1, reason=MARK, created_by_type=MARK, created_by_id=MARK
    )
    return [usage, statement, note]


def _reports(tenant_id: UUID) -> list[Any]:
    wanted = {
        "tenant_id": tenant_id, "kind": "costs", "format": "csv", "options": {"models": [MARK]}, "asked_by_type": "x",
        "asked_by_id": MARK,
    }  # fmt: skip
    report = Report.objects.create(**wanted, start=_LONG_AGO, end=datetime(2026, 2, 1, tzinfo=UTC))
    schedule = ReportSchedule.objects.create(**wanted, name=MARK, every="day", next_start="2026-01-01", due_at=_NEVER)
    return [report, schedule]


def _prompt(tenant_id: UUID) -> list[Any]:
    prompt = Prompt.objects.create(tenant_id=tenant_id, name=MARK, description=MARK)
    version = PromptVersion.objects.create(
        tenant_id=tenant_id, prompt=prompt, number=1, definition={"messages": [MARK]}, note=MARK, created_by_type="x",
        created_by_id=MARK,
    )  # fmt: skip
    return [prompt, version]


def _call(tenant_id: UUID) -> list[Any]:
    """A call, its attempt, what somebody said of it and what a screen found in it."""
    own = {"tenant_id": tenant_id}
    call = Generation.objects.create(**own, kind="chat", key_id=uuid7(), alias=MARK, model=MARK, terms={}, inbox="x")
    attempt = InferenceAttempt.objects.create(
        **own, generation_id=call.id, number=1, deployment=MARK, model=MARK, started_at=datetime.now(UTC), latency_ms=1
    )
    feedback = Feedback.objects.create(
        **own, generation_id=call.id, kind="chat", rater="x", end_user=MARK, alias=MARK, comment=MARK, rating=1,
        answered_at=datetime.now(UTC),
    )  # fmt: skip
    screening = Screening.objects.create(
        **own, generation_id=call.id, stage="input", screen=MARK, action="flag", count=1, categories=[MARK]
    )
    return [call, attempt, feedback, screening]


def _guards(tenant_id: UUID) -> list[Any]:
    policy = SafetyPolicy.objects.create(tenant_id=tenant_id, alias=MARK, version=1, settings={"deny_list": [MARK]})
    secret = SigningSecret.objects.create(tenant_id=tenant_id, name=MARK, secret="not a secret")
    return [policy, secret]


def _hook(tenant_id: UUID) -> list[Any]:
    hook = WebhookEndpoint.objects.create(
        tenant_id=tenant_id, name=MARK, url=f"https://{MARK}.example", event_types=["*"], secret="not a secret"
    )
    emit(type="report.ready", data={}, object_id=MARK)
    return [hook, WebhookDelivery.objects.get()]


def _people(tenant_id: UUID) -> list[Any]:
    now = datetime.now(UTC)
    invitation = Invitation.objects.create(
        tenant_id=tenant_id, email=f"{MARK}@other.example", role="viewer", sent_at=now, expires_at=now
    )
    return [invitation]
