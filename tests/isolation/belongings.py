"""What acme owns when a stranger comes: one of each kind of object, and ids of the same form that nobody has."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

from billing.charging import charge_spend
from billing.prices import UnitPrice
from billing.reservations import UsageLine
from billing.statements.closing import close_month
from billing.statements.credits import credit
from inference.catalogue import grant
from inference.models import Generation, Screening
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id, uuid7
from tenants.scope import acting_for, tenant_scope
from tenants.signing_secrets import create_secret
from tenants.webhooks import emit
from tests.conftest import Member
from tests.isolation.doors import ACCOUNT, BUCKET, CALLS, MESSAGES, SAID

MISSING = "0" * 32


def share_a_model(member: Member) -> None:
    """Grant `acmemark`, an alias that only this tenant has."""
    with acting_for(member.tenant.id):
        grant(alias="acmemark", model_name="local-extractive", by=COMMAND_LINE)


def screen_something(member: Member) -> None:
    """A policy that names `acmemark`, and something that it found."""
    assert member.client.put("/v1/safety_policy", {"deny_list": ["acmemark"]}, format="json").status_code == 200
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        Screening.objects.create(
            tenant_id=tenant_id, generation_id=uuid7(), stage="input", screen="deny_list", action="flag", count=1,
            categories=["acmemark"],
        )  # fmt: skip


def a_conversation(member: Member) -> dict[str, str]:
    """A response, a conversation and an item of it."""
    made = member.client.post(
        "/v1/conversations", {"items": [SAID], "metadata": {"a": "acmemark"}}, format="json"
    ).json()
    items = member.client.get(f"/v1/conversations/{made['id']}/items").json()
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        row = Generation.objects.create(
            tenant_id=tenant_id, kind="response", state="completed", key_id=uuid7(), alias="m", model="m", inbox="",
            request={"model": "m", "input": [{"type": "message", **SAID}]}, answer={"id": "acmemark"}, terms={},
        )  # fmt: skip
    return {"conversation": made["id"], "item": items["first_id"], "response": public_id("resp_", row.id)}


def a_stored_completion(member: Member) -> str:
    """The id of a chat completion with `store: true`."""
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        row = Generation.objects.create(
            tenant_id=tenant_id, kind="chat", state="completed", key_id=uuid7(), alias="acmemark", model="acmemark",
            terms={}, inbox="x", stored=True, request={"messages": MESSAGES}, answer={"choices": [{"message": {}}]},
        )  # fmt: skip
    return public_id("chatcmpl-", row.id)


def a_batch(member: Member) -> tuple[str, str]:
    """(the file, the batch) of a call that nobody has made yet."""
    call = {"custom_id": "acmemark", "method": "POST", "url": "/v1/chat/completions", "body": {}}
    sent = io.BytesIO(json.dumps(call).encode())
    sent.name = "acmemark.jsonl"
    file = member.client.post("/v1/files", {"file": sent, "purpose": "batch"}, format="multipart").json()["id"]
    return file, member.client.post("/v1/batches", {**CALLS, "input_file_id": file}, format="json").json()["id"]


def a_webhook(member: Member) -> dict[str, str]:
    """An endpoint, and a delivery that is on its way to it."""
    hook = {"name": "acmemark", "url": "https://acmemark.example/", "event_types": ["report.ready"]}
    endpoint = member.client.post("/v1/webhook_endpoints", hook, format="json").json()["id"]
    with acting_for(member.tenant.id), tenant_scope():
        emit(type="report.ready", data={}, object_id="acmemark")
    [delivery] = member.client.get("/v1/webhook_deliveries").json()["data"]
    return {"endpoint": endpoint, "delivery": delivery["id"]}


def a_report(member: Member) -> dict[str, str]:
    """A report that was asked for, and a schedule."""
    asked = {"kind": "costs", "start_time": 1_700_000_000}
    report = member.client.post("/v1/reports", {**asked, "models": ["acmemark"]}, format="json").json()["id"]
    again = {"kind": "costs", "name": "acmemark", "every": "month"}
    return {
        "report": report,
        "schedule": member.client.post("/v1/report_schedules", again, format="json").json()["id"],
    }


def a_closed_month(member: Member) -> tuple[str, str]:
    """(its statement, a credit note on it), all of long ago: budgets forecast what is new."""
    now = datetime(2020, 3, 1, tzinfo=UTC)
    line = {
        "request_id": uuid7(), "operation": "chat", "currency": "USD", "at": datetime(2020, 2, 29, tzinfo=UTC),
        "lines": [UsageLine("m", "ocr_pages", 1)],
        "quote": {("m", "ocr_pages"): UnitPrice(uuid7(), "m", "ocr_pages", Decimal(1), 1)},
    }  # fmt: skip
    with acting_for(member.tenant.id):
        charge_spend(**line)
        statement = close_month(month=date(2020, 2, 1), by=COMMAND_LINE, now=now).statement
        note = credit(statement_id=statement.id, amount=Decimal("0.5"), reason="acmemark", by=COMMAND_LINE, now=now)
    return public_id("stmt_", statement.id), public_id("credit_", note.id)


def one_of_each(acme: Member) -> dict[str, str]:
    """The ids of one of each of acme's objects, as acme's own client sees them."""
    sent = io.BytesIO(b"acmemark: the heron nests on the northern island")
    sent.name = "acmemark.txt"
    file = acme.client.post("/v1/files", {"file": sent, "purpose": "assistants"}, format="multipart").json()["id"]
    store = acme.client.post("/v1/vector_stores", {"name": "acmemark", "file_ids": [file]}, format="json").json()["id"]
    batches = f"/v1/vector_stores/{store}/file_batches"
    batch = acme.client.post(batches, {"file_ids": [file]}, format="json").json()["id"]
    source = acme.client.post(f"/v1/vector_stores/{store}/sources", BUCKET, format="json").json()["id"]
    with acting_for(acme.tenant.id):
        key, _ = issue(name="acmemark", scopes=["inference"], by=COMMAND_LINE)
        secret, _ = create_secret(name="acmemark", by=COMMAND_LINE, now=datetime.now(UTC))
    share_a_model(acme)
    calls, job = a_batch(acme)
    completion = a_stored_completion(acme)
    said = {"response_id": completion, "rating": 1, "comment": "acmemark"}
    feedback = acme.client.post("/v1/feedback", said, format="json").json()["id"]
    version = {"messages": [{"role": "user", "content": "acmemark"}], "labels": ["acmemark"]}
    prompt = acme.client.post("/v1/prompts", {"name": "acmemark", "version": version}, format="json").json()["id"]
    screen_something(acme)
    deployment = acme.client.post("/v1/deployments", ACCOUNT, format="json").json()["id"]
    made = {"name": "acmemark", "base": "local-extractive"}
    variant = acme.client.post("/v1/variants", made, format="json").json()["id"]
    alias = {"alias": "acmemark-2", "target": "local-extractive"}
    grant_id = acme.client.post("/v1/grants", alias, format="json").json()["id"]
    tenant = public_id("tenant_", acme.tenant.id)
    key_id = public_id("key_", key.id)
    budget = acme.client.post("/v1/budgets", {"name": "acmemark", "limit": "5"}, format="json").json()["id"]
    statement, note = a_closed_month(acme)
    return {
        "file": file, "store": store, "batch": batch, "key": key_id, "model": "acmemark", "tenant": tenant,
        "secret": public_id("esk_", secret.id), "bill": f"bill_{tenant[7:]}", "mapping": f"skumap_{tenant[7:]}",
        "source": source, **a_conversation(acme),
        "completion": completion, "feedback": feedback, "calls": calls, "job": job,
        "prompt": prompt, "version": "acmemark", "label": "acmemark",
        "deployment": deployment, "variant": variant, "grant": grant_id, **a_webhook(acme),
        **a_report(acme), "budget": budget,
        "statement": statement, "credit": note,
    }  # fmt: skip


NOBODYS = {
    "file": f"file-{MISSING}", "store": f"vs_{MISSING}", "batch": f"vsfb_{MISSING}", "key": f"key_{MISSING}",
    "model": "nobodys", "tenant": f"tenant_{MISSING}", "secret": f"esk_{MISSING}",
    "source": f"src_{MISSING}", "response": f"resp_{MISSING}", "conversation": f"conv_{MISSING}",
    "item": f"msg_{MISSING}", "completion": f"chatcmpl-{MISSING}", "feedback": f"fb_{MISSING}",
    "prompt": f"pmpt_{MISSING}", "version": "nobodys", "label": "nobodys", "calls": f"file-{MISSING}",
    "job": f"batch_{MISSING}",
    "bill": f"bill_{MISSING}", "mapping": f"skumap_{MISSING}", "endpoint": f"we_{MISSING}", "delivery": f"wd_{MISSING}",
    "deployment": f"deployment_{MISSING}", "variant": f"variant_{MISSING}",
    "grant": f"grant_{MISSING}",
    "report": f"report_{MISSING}", "schedule": f"schedule_{MISSING}", "budget": f"budget_{MISSING}",
    "statement": f"stmt_{MISSING}", "credit": f"credit_{MISSING}",
}  # fmt: skip
