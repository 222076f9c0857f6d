"""A tenant with one of everything, every name and text of it marked, so that a trace of it is recognised anywhere."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
from django.apps import apps

from billing.models import (
    BillCorrection,
    Budget,
    BudgetAlert,
    CreditNote,
    Limit,
    LimitOverride,
    MeterEvent,
    QuotaUse,
    Statement,
    StatementLine,
    TenantAllowance,
    TenantPrice,
    TokenAccount,
    UnitCounts,
)
from inference.models import (
    Batch,
    BatchLine,
    CachedResponse,
    CachePolicy,
    Grant,
    Model,
    OwnAccountPrice,
    TenantDeployment,
)
from knowledge.models import BucketObject, BucketSource, IngestionPart, Reembedding, VectorStore, VectorStoreFile
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id
from tenants.managers import TenantModel
from tenants.members import add_member
from tenants.models import IdentityProvider, Invitation, Letter, ProviderIdentity, Role, StaffView, Tenant, User, Work
from tenants.scope import acting_for, tenant_scope
from tests.e2e.conftest import Tenant as Running
from tests.e2e.conftest import eventually
from tests.prove.ground import Ground

#: Sums that tasks of the clock make of other rows, whoever did something.
BY_THE_CLOCK = frozenset(
    {"billing_usagehour", "billing_usageday", "billing_modelday", "billing_userday", "inference_callhour"}
)
TENANT_MODELS = sorted((m for m in apps.get_models() if issubclass(m, TenantModel)), key=lambda m: m._meta.db_table)


@dataclass(frozen=True)
class Furnished:
    """`ids` are public ids by the name that URLs give them (`file_id`, `store_id`, …)."""

    tenant: Running
    mark: str
    owner: User
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        """The tenant's id."""
        return UUID(self.tenant.id)


def furnish(ground: Ground, mark: str) -> Furnished:
    """A new tenant with a document in a store and a batch, a bucket that the store follows, a webhook, a budget, a second
    key, an owner, a model, a price and a deployment of its own, a stored call with feedback, a response, a conversation, a
    prompt, a safety policy and what it found, and a dead letter."""
    tenant = ground.new_tenant(budget="1000")
    with httpx2.Client(
        base_url=ground.stack.url, headers={"authorization": f"Bearer {tenant.key}"}, timeout=30
    ) as client:

        def post(path: str, **request: Any) -> dict[str, Any]:
            answer = client.post(f"/v1/{path}", **request)
            answer.raise_for_status()
            return answer.json()

        text = f"# The vault of {mark}\n\nThe codeword of the vault is {mark}.\n".encode()
        file = post("files", files={"file": (f"{mark}.md", text)}, data={"purpose": "assistants"})
        store = post(
            "vector_stores", json={"name": mark, "file_ids": [file["id"]]}, headers={"idempotency-key": f"store {mark}"}
        )
        batch = post(f"vector_stores/{store['id']}/file_batches", json={"file_ids": [file["id"]]})
        bucket = {"type": "s3", "bucket": mark, "region": "us-east-1", "endpoint_url": f"https://{mark}.invalid"}
        bucket |= {"access_key_id": mark, "secret_access_key": mark}  # whose name leads nowhere
        source = post(f"vector_stores/{store['id']}/sources", json=bucket)
        key = post("api_keys", json={"name": mark, "scopes": ["inference"]})
        secret = post("signing_secrets", json={"name": mark})
        hook = {"name": mark, "url": f"https://{mark}.invalid", "event_types": ["statement.closed"]}
        endpoint = post("webhook_endpoints", json=hook)
        client.post(f"/v1/webhook_endpoints/{endpoint['id']}/test", json={})  # reaches nobody, and that is kept
        [delivery] = client.get("/v1/webhook_deliveries").json()["data"]
        budget = post("budgets", json={"name": mark, "limit": "5", "api_key_id": key["id"]})
        report = post("reports", json={"kind": "ledger", "start_time": 1_700_000_000, "models": [mark]})
        schedule = post("report_schedules", json={"kind": "focus", "name": mark, "every": "month"})
        model = f"{mark}-model"
        upstream = ground.upstream.url
        ground.manage(
            "register_model", "--name", model, "--base-url", upstream, "--input-price", "1", "--output-price", "1"
        )  # fmt: skip
        ground.manage("grant_model", "--tenant", tenant.slug, "--model", model)
        said = [{"role": "user", "content": f"I am {mark}"}]
        # The call below is the first of the alias, so the policy is in force; what it finds is a row too.
        policy = {"input": {"deny_list": {"action": "flag"}}, "deny_list": [mark]}
        client.put("/v1/safety_policy", json=policy).raise_for_status()
        completion = post("chat/completions", json={"model": model, "messages": said, "store": True})
        feedback = post("feedback", json={"response_id": completion["id"], "rating": 1, "comment": mark})
        prompt = post("prompts", json={"name": mark, "version": {"messages": said, "labels": [mark]}})
        conversation = post("conversations", json={"items": said, "metadata": {"mark": mark}})
        items = client.get(f"/v1/conversations/{conversation['id']}/items").json()
        response = post("responses", json={"model": model, "input": f"I am {mark}"})
        alias = post("grants", json={"alias": f"{mark}-alias", "target": "local-extractive"})
        variant = post("variants", json={"name": mark, "base": "local-extractive"})
        call = {"custom_id": mark, "method": "POST", "url": "/v1/chat/completions", "body": {"metadata": {"a": mark}}}
        calls = post("files", files={"file": (f"{mark}.jsonl", orjson.dumps(call))}, data={"purpose": "batch"})
        job = post(
            "batches",
            json={"input_file_id": calls["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"},
        )
        eventually(lambda: client.get(f"/v1/batches/{job['id']}").json()["status"] in ("completed", "failed"))
        eventually(lambda: client.get(f"/v1/reports/{report['id']}").json()["status"] == "completed")
        eventually(lambda: client.get(f"/v1/vector_stores/{store['id']}").json()["file_counts"]["completed"] == 1)
    ground.sql("UPDATE tenants_tenant SET name = %s WHERE id = %s RETURNING id", mark, tenant.id)
    email = f"{mark}@example.org"
    with acting_for(UUID(tenant.id)), tenant_scope() as tenant_id:
        add_member(email=email, role=Role.OWNER, by=COMMAND_LINE)
        _money(tenant_id, mark, model)
        account = _models(tenant_id, mark, model, upstream)
        _under_way(tenant_id, mark, email)
        _people(tenant_id, mark, User.objects.get(email=email))
        statement, credit = _close_a_month(tenant_id, mark)
    ids = {
        "file_id": file["id"],
        "store_id": store["id"],
        "batch_id": batch["id"],
        "source_id": source["id"],
        "key_id": key["id"],
        "budget_id": budget["id"],
        "secret_id": secret["id"],
        "endpoint_id": endpoint["id"],
        "delivery_id": delivery["id"],
        "model_id": model,
        "completion_id": completion["id"],
        "feedback_id": feedback["id"],
        "prompt_id": prompt["id"],
        "conversation_id": conversation["id"],
        "item_id": items["first_id"],
        "response_id": response["id"],
        "grant_id": alias["id"],
        "variant_id": variant["id"],
        "deployment_id": public_id("deployment_", account.id),
        "job_id": job["id"],
        "report_id": report["id"],
        "schedule_id": schedule["id"],
        "statement_id": public_id("stmt_", statement.id),
        "credit_id": public_id("credit_", credit.id),
        # The operator's own: no tenant has one.
        "bill_id": public_id("bill_", uuid4()),
        "mapping_id": public_id("skumap_", uuid4()),
        "version_id": mark,
        "label_id": mark,
    }
    ids["tenant_id"] = public_id("tenant_", UUID(tenant.id))
    return Furnished(tenant, mark, User.objects.get(email=email), ids)


def _money(tenant_id: UUID, mark: str, model: str) -> None:
    """Prices, limits and counts that no request of its own brings about."""
    price = {
        "model": model,
        "meter": "input_tokens",
        "currency": "USD",
        "amount": 1,
        "valid_from": datetime.now(UTC),
    }
    TenantPrice.objects.create(tenant_id=tenant_id, **price)
    OwnAccountPrice.objects.create(tenant_id=tenant_id, **price)
    LimitOverride.objects.create(
        tenant_id=tenant_id, limit=Limit.DOCUMENTS, value=1_000_000, valid_from=datetime.now(UTC), reason=mark
    )
    month = datetime.now(UTC).date().replace(day=1)
    QuotaUse.objects.create(tenant_id=tenant_id, quota=Limit.OCR_PAGES_PER_MONTH, period_start=month, used=1)
    UnitCounts.objects.create(tenant_id=tenant_id, period_start=month)
    TenantAllowance.objects.create(
        tenant_id=tenant_id, model=model, meter="input_tokens", quantity=1, valid_from="2026-01-01", source=mark
    )
    BudgetAlert.objects.create(
        tenant_id=tenant_id, budget=Budget.objects.get(name=mark), period_start="2026-01-01", kind="share", share=80,
        limit=5, spent=4,
    )  # fmt: skip
    TokenAccount.objects.create(tenant_id=tenant_id, period_start="2026-01-01")
    BillCorrection.objects.create(
        tenant_id=tenant_id, bill_id=uuid4(), line_id=uuid4(), model=model, day=month, quantity=0, cost=0,
        provider_cost=1, reason=mark,
    )  # fmt: skip
    MeterEvent.objects.create(tenant_id=tenant_id, start=datetime.now(UTC), meter="input_tokens", quantity=1, events=1)


def _models(tenant_id: UUID, mark: str, model: str, upstream: str) -> TenantDeployment:
    """A deployment of the tenant's own, which is returned, and a kept answer."""
    served = Model.objects.get(name=model)
    account = TenantDeployment.objects.create(
        tenant_id=tenant_id, model=served, name=mark, provider="openai", base_url=upstream
    )
    keeping = {"tenant_id": tenant_id, "grant": Grant.objects.get(alias=model)}
    CachePolicy.objects.create(**keeping, ttl_seconds=3_600)
    CachedResponse.objects.create(
        **keeping,
        key=mark.encode(),
        answer={"mark": mark},
        size_bytes=1,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )
    return account


def _under_way(tenant_id: UUID, mark: str, recipient: str) -> None:
    """What stands only while something is under way or went wrong; in states that no worker takes up."""
    BucketObject.objects.create(
        tenant_id=tenant_id, source=BucketSource.objects.get(), key=mark.encode(), etag=mark, size=1, reason=mark
    )
    Letter.objects.create(tenant_id=tenant_id, recipient=recipient, subject=mark, text=mark)
    Work.objects.create(tenant_id=tenant_id, queue="ingestion", state=Work.State.DEAD, reason=mark)
    part = {"store_file": VectorStoreFile.objects.get(), "kind": IngestionPart.Kind.READ, "number": 1, "done": True}
    IngestionPart.objects.create(tenant_id=tenant_id, **part)
    kept = VectorStore.objects.get()
    Reembedding.objects.create(
        tenant_id=tenant_id, store=kept, space=kept.space, embedding_model=mark, unit_id=uuid4(),
        state=Reembedding.State.FAILED,
    )  # fmt: skip
    line = {"batch": Batch.objects.get(), "number": 2, "state": BatchLine.State.DROPPED}
    BatchLine.objects.create(tenant_id=tenant_id, **line, custom_id=mark, body=mark.encode())


def _people(tenant_id: UUID, mark: str, owner: User) -> None:
    """Who is invited, who looked in, and who says who they are."""
    Invitation.objects.create(
        tenant_id=tenant_id, email=f"{mark}@example.net", role=Role.VIEWER, token_hash=mark, sent_at=datetime.now(UTC),
        expires_at=datetime.now(UTC),
    )  # fmt: skip
    StaffView.objects.create(
        tenant_id=tenant_id, staff=owner, reason=mark,
        started_at=datetime.now(UTC), ends_at=datetime.now(UTC), ended_at=datetime.now(UTC),
    )  # fmt: skip
    provider = IdentityProvider.objects.create(
        tenant_id=tenant_id, issuer=f"https://{mark}.invalid", client_id=mark, client_secret=mark
    )
    ProviderIdentity.objects.create(tenant_id=tenant_id, provider=provider, subject=mark, user=owner)


def _close_a_month(tenant_id: UUID, mark: str) -> tuple[Statement, CreditNote]:
    """A month of long ago, in which one thing was used and credited: its statement, and the credit note."""
    month, now = date(2020, 1, 1), datetime.now(UTC)
    own = {"tenant_id": tenant_id, "currency": "USD", "period_start": month}
    statement = Statement.objects.create(
        **own, usage=1, corrections=0, credits=0, total=1, records=1, closed_at=now,
        closed_by_type="user", closed_by_id=mark,
    )  # fmt: skip
    StatementLine.objects.create(
        tenant_id=tenant_id, statement=statement, position=1, kind="usage", model=mark, meter="input_tokens",
        quantity=1, included=0, cost=1, records=1,
    )  # fmt: skip
    credit = CreditNote.objects.create(
        **own, statement_id=statement.id, records=[], amount=1, reason=mark,
        created_by_type="user", created_by_id=mark,
    )  # fmt: skip
    return statement, credit


def row_of(ground: Ground, model: Any, owner: Furnished) -> Any:
    """The key of one of a tenant's rows of a model (any row where it has no tenant); None where there is none."""
    table, pk = model._meta.db_table, model._meta.pk.column
    if model is Tenant:
        return owner.id
    if model is User:
        return owner.owner.pk
    where = "WHERE tenant_id = %s" if issubclass(model, TenantModel) else "WHERE %s::uuid IS NOT NULL"
    rows = ground.sql(f'SELECT "{pk}" FROM "{table}" {where} ORDER BY 1 LIMIT 1', owner.id)
    return rows[0][0] if rows else None


def fingerprint(ground: Ground, owner: Furnished) -> dict[str, str]:
    """A digest of all that a tenant has, table by table."""
    digest = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY id), '')) FROM {} t WHERE tenant_id = %s"
    found = {
        model._meta.db_table: ground.sql(digest.format(model._meta.db_table), owner.id)[0][0] for model in TENANT_MODELS
    }
    return {**found, "tenant": str(ground.sql("SELECT t::text FROM tenants_tenant t WHERE id = %s", owner.id))}
