"""Every route of Atrium as nobody, as a stranger, and with a key that may not: one table, complete by construction.

The routes come from Django's resolver and the hot path's table; a route or a method without a row here fails. The
admin's pages have `test_admin_doors`.
"""

import io
import json
import re
from asyncio import to_thread
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import URLPattern, URLResolver, get_resolver

from billing.charging import charge_spend
from billing.prices import UnitPrice
from billing.reservations import UsageLine
from billing.statements.closing import close_month
from billing.statements.credits import credit
from billing.usage_api.views import USAGE_VIEWS
from config.api_docs import DocsView
from inference.catalogue import forget_terms, grant
from inference.endpoints import ENDPOINTS
from inference.gateway import Gateway
from inference.models import Generation, Screening
from tenants.api_keys import issue
from tenants.api_view import PlatformAPIView, TenantAPIView
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id, uuid7
from tenants.permissions import KEY_SCOPES
from tenants.scope import acting_for, tenant_scope
from tenants.signing_secrets import create_secret
from tenants.webhooks import emit
from tests.conftest import Member
from tests.tenants.admin_desk import plain_static_files
from tests.tenants.committed import _django_db_helper, committed

__all__ = ["_django_db_helper", "committed", "plain_static_files"]

#: For the hot path, whose threads have connections of their own and so see no test's open transaction.
on_committed_rows = pytest.mark.django_db(databases=["default", "owner", "staff"])


@dataclass(frozen=True)
class Door:
    """A method on a route: the scope its key needs, a body, and the ids that the body names."""

    method: str
    route: str
    scope: str
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def names_an_object(self) -> bool:
        """Whether the route or the body holds an id that could be another tenant's."""
        return "<" in self.route or "{" in json.dumps(list(self.body.values()), default=str).replace("{}", "")

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


FILE, FILES = "v1/files/<str:file_id>", "v1/files"
STORE, STORES = "v1/vector_stores/<str:store_id>", "v1/vector_stores"
BATCHES = f"{STORE}/file_batches"
READ, WRITE = "vector_stores.read", "vector_stores.write"
SECRET, SECRETS = "v1/signing_secrets/<str:secret_id>", "v1/signing_secrets"
HOOK, HOOKS = "v1/webhook_endpoints/<str:endpoint_id>", "v1/webhook_endpoints"
USAGE = "v1/organization/usage"
BILL, BILLS = "v1/platform/bills/<str:bill_id>", "v1/platform/bills"
STATEMENTS, PLATFORM_STATEMENTS = "v1/statements", "v1/platform/statements"
CHAT = "v1/chat/completions"
PROMPT, PROMPTS = "v1/prompts/<str:prompt_id>", "v1/prompts"
BUCKET = {"type": "s3", "bucket": "acmemark", "region": "us-east-1", "access_key_id": "a", "secret_access_key": "b"}
RESPONSE, CONVERSATION = "v1/responses/<str:response_id>", "v1/conversations/<str:conversation_id>"
SAID = {"role": "user", "content": "acmemark"}
CALLS = {"input_file_id": "{calls}", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
ACCOUNT = {
    "name": "acmemark", "model": "local-extractive", "provider": "openai", "base_url": "https://llm.example.com/v1",
    "api_key": "sk-acmemark",
}  # fmt: skip
MESSAGES = [{"role": "user", "content": "What is kept?"}]

DOORS = [
    Door("GET", "v1/api_keys", "keys.write"),
    Door("POST", "v1/api_keys", "keys.write", {"name": "n", "scopes": ["inference"]}),
    Door("GET", "v1/api_keys/<str:key_id>", "keys.write"),
    Door("POST", "v1/api_keys/<str:key_id>", "keys.write", {"tags": {"team": "x"}}),
    Door("DELETE", "v1/api_keys/<str:key_id>", "keys.write"),
    Door("GET", "v1/allocation_tags", "budgets.read"),
    Door("POST", "v1/allocation_tags", "budgets.write", {"names": ["team"]}),
    Door("GET", "v1/limits", "budgets.read"),
    Door("GET", "v1/api_keys/<str:key_id>/limits", "keys.write"),
    Door("POST", "v1/api_keys/<str:key_id>/limits", "keys.write", {"limit": "requests_per_minute", "value": 5}),
    Door("GET", SECRETS, "end_users.write"),
    Door("POST", SECRETS, "end_users.write", {"name": "n"}),
    Door("GET", SECRET, "end_users.write"),
    Door("DELETE", SECRET, "end_users.write"),
    Door("POST", f"{SECRET}/rotate", "end_users.write"),
    Door("GET", HOOKS, "webhooks.read"),
    Door("POST", HOOKS, "webhooks.write", {"name": "n", "url": "https://example.org/", "event_types": ["*"]}),
    Door("GET", HOOK, "webhooks.read"),
    Door("POST", HOOK, "webhooks.write", {"name": "taken"}),
    Door("DELETE", HOOK, "webhooks.write"),
    Door("POST", f"{HOOK}/rotate_secret", "webhooks.write"),
    Door("POST", f"{HOOK}/test", "webhooks.write"),
    Door("GET", "v1/webhook_event_types", "webhooks.read"),
    Door("GET", "v1/webhook_deliveries", "webhooks.read"),
    Door("GET", "v1/webhook_deliveries/<str:delivery_id>", "webhooks.read"),
    Door("POST", "v1/webhook_deliveries/<str:delivery_id>/resend", "webhooks.write"),
    Door("GET", "v1/budgets", "budgets.read"),
    Door("POST", "v1/budgets", "budgets.write", {"name": "b", "limit": "5", "api_key_id": "{key}"}),
    Door("GET", "v1/budgets/<str:budget_id>", "budgets.read"),
    Door("POST", "v1/budgets/<str:budget_id>", "budgets.write", {"limit": "6"}),
    Door("DELETE", "v1/budgets/<str:budget_id>", "budgets.write"),
    Door("GET", "v1/budgets/<str:budget_id>/alerts", "budgets.read"),
    Door("GET", "v1/reports", "usage.read"),
    Door("POST", "v1/reports", "reports.write", {"kind": "costs", "start_time": 1_700_000_000}),
    Door("GET", "v1/reports/<str:report_id>", "usage.read"),
    Door("DELETE", "v1/reports/<str:report_id>", "reports.write"),
    Door("GET", "v1/report_schedules", "usage.read"),
    Door("POST", "v1/report_schedules", "reports.write", {"kind": "costs", "name": "n", "every": "month"}),
    Door("GET", "v1/report_schedules/<str:schedule_id>", "usage.read"),
    Door("POST", "v1/report_schedules/<str:schedule_id>", "reports.write", {"active": False}),
    Door("DELETE", "v1/report_schedules/<str:schedule_id>", "reports.write"),
    *(Door("GET", f"{USAGE}/{kind}", "usage.read") for kind in USAGE_VIEWS),
    Door("GET", "v1/organization/costs", "usage.read"),
    Door("GET", STATEMENTS, "usage.read"),
    Door("GET", f"{STATEMENTS}/upcoming", "usage.read"),
    Door("GET", f"{STATEMENTS}/<str:statement_id>", "usage.read"),
    Door("GET", f"{STATEMENTS}/<str:statement_id>/csv", "usage.read"),
    Door("GET", "v1/credit_notes", "usage.read"),
    Door("GET", "v1/credit_notes/<str:credit_id>", "usage.read"),
    Door("GET", FILES, "files.read"),
    Door("POST", FILES, "files.write"),
    Door("GET", FILE, "files.read"),
    Door("DELETE", FILE, "files.write"),
    Door("GET", f"{FILE}/content", "files.read"),
    Door("POST", f"{FILE}/replace", "files.write", {"file_id": "{file}"}),
    Door("POST", f"{FILE}/refresh", "files.write"),
    Door("GET", STORES, READ),
    Door("POST", STORES, WRITE, {"file_ids": ["{file}"]}),
    Door("GET", STORE, READ),
    Door("POST", STORE, WRITE, {"name": "taken"}),
    Door("DELETE", STORE, WRITE),
    Door("POST", f"{STORE}/search", READ, {"query": "heron"}),
    Door("GET", f"{STORE}/files", READ),
    Door("POST", f"{STORE}/files", WRITE, {"file_id": "{file}"}),
    Door("GET", f"{STORE}/files/<str:file_id>", READ),
    Door("POST", f"{STORE}/files/<str:file_id>", WRITE, {"attributes": {"a": 1}}),
    Door("DELETE", f"{STORE}/files/<str:file_id>", WRITE),
    Door("GET", f"{STORE}/files/<str:file_id>/content", READ),
    Door("POST", BATCHES, WRITE, {"file_ids": ["{file}"]}),
    Door("GET", f"{BATCHES}/<str:batch_id>", READ),
    Door("POST", f"{BATCHES}/<str:batch_id>/cancel", WRITE),
    Door("GET", f"{BATCHES}/<str:batch_id>/files", READ),
    Door("GET", f"{STORE}/sources", READ),
    Door("POST", f"{STORE}/sources", WRITE, BUCKET),
    Door("GET", f"{STORE}/sources/<str:source_id>", READ),
    Door("DELETE", f"{STORE}/sources/<str:source_id>", WRITE),
    Door("POST", f"{STORE}/sources/<str:source_id>/sync", WRITE),
    Door("GET", f"{STORE}/sources/<str:source_id>/objects", READ),
    Door("GET", RESPONSE, "inference"),
    Door("DELETE", RESPONSE, "inference"),
    Door("POST", f"{RESPONSE}/cancel", "inference"),
    Door("GET", f"{RESPONSE}/input_items", "inference"),
    Door(
        "POST",
        "v1/responses/input_tokens",
        "inference",
        {"model": "local-extractive", "input": "x", "previous_response_id": "{response}"},
    ),
    Door("POST", "v1/conversations", "inference"),
    Door("GET", CONVERSATION, "inference"),
    Door("POST", CONVERSATION, "inference", {"metadata": {"a": "b"}}),
    Door("DELETE", CONVERSATION, "inference"),
    Door("GET", f"{CONVERSATION}/items", "inference"),
    Door("POST", f"{CONVERSATION}/items", "inference", {"items": [SAID]}),
    Door("GET", f"{CONVERSATION}/items/<str:item_id>", "inference"),
    Door("DELETE", f"{CONVERSATION}/items/<str:item_id>", "inference"),
    Door("GET", "v1/response_cache", "usage.read"),
    Door("DELETE", "v1/response_cache", "budgets.write"),
    Door("POST", "v1/response_cache/policies/<path:model_id>", "budgets.write", {"ttl_seconds": 60}),
    Door("DELETE", "v1/response_cache/policies/<path:model_id>", "budgets.write"),
    Door("GET", CHAT, "inference"),
    Door("GET", f"{CHAT}/<str:completion_id>", "inference"),
    Door("POST", f"{CHAT}/<str:completion_id>", "inference", {"metadata": {"a": "b"}}),
    Door("DELETE", f"{CHAT}/<str:completion_id>", "inference"),
    Door("GET", f"{CHAT}/<str:completion_id>/messages", "inference"),
    Door("GET", PROMPTS, "prompts.read"),
    Door("POST", PROMPTS, "prompts.write", {"name": "p"}),
    Door("GET", PROMPT, "prompts.read"),
    Door("POST", PROMPT, "prompts.write", {"name": "taken"}),
    Door("DELETE", PROMPT, "prompts.write"),
    Door("GET", f"{PROMPT}/versions", "prompts.read"),
    Door("POST", f"{PROMPT}/versions", "prompts.write", {"messages": MESSAGES}),
    Door("GET", f"{PROMPT}/versions/<str:version_id>", "prompts.read"),
    Door("GET", f"{PROMPT}/labels", "prompts.read"),
    Door("GET", f"{PROMPT}/labels/<str:label_id>", "prompts.read"),
    Door("PUT", f"{PROMPT}/labels/<str:label_id>", "prompts.write", {"version": 1}),
    Door("DELETE", f"{PROMPT}/labels/<str:label_id>", "prompts.write"),
    Door("GET", f"{PROMPT}/label_moves", "prompts.read"),
    Door("POST", f"{PROMPT}/render", "prompts.read", {"version": "acmemark"}),
    Door("GET", "v1/feedback", "feedback.read"),
    Door("POST", "v1/feedback", "feedback.write", {"response_id": "{completion}", "rating": 1}),
    Door("DELETE", "v1/feedback", "feedback.write"),
    Door("GET", "v1/feedback/export", "feedback.read"),
    Door("GET", "v1/feedback/<str:feedback_id>", "feedback.read"),
    Door("DELETE", "v1/feedback/<str:feedback_id>", "feedback.write"),
    Door("GET", "v1/safety_policy", "safety.read"),
    Door("PUT", "v1/safety_policy", "safety.write"),
    Door("PATCH", "v1/safety_policy", "safety.write"),
    Door("DELETE", "v1/safety_policy", "safety.write"),
    Door("GET", "v1/safety_policy/versions", "safety.read"),
    Door("POST", "v1/safety_policy/try", "safety.read", {"text": "x"}),
    Door("GET", "v1/safety_screenings", "safety.read"),
    Door("GET", "v1/batches", "inference"),
    Door("POST", "v1/batches", "inference", CALLS),
    Door("GET", "v1/batches/<str:job_id>", "inference"),
    Door("POST", "v1/batches/<str:job_id>/cancel", "inference"),
    Door("POST", "v1/estimates", "inference", {"ingestion": {"file_id": "{file}"}}),
    Door("GET", "v1/grants", "models.read"),
    Door("POST", "v1/grants", "models.write", {"alias": "a", "target": "ft:local-extractive:{variant}"}),
    Door("GET", "v1/grants/<str:grant_id>", "models.read"),
    Door("POST", "v1/grants/<str:grant_id>", "models.write", {"fallbacks": False}),
    Door("DELETE", "v1/grants/<str:grant_id>", "models.write"),
    Door("GET", "v1/variants", "models.read"),
    Door("POST", "v1/variants", "models.write", {"name": "v", "base": "local-extractive"}),
    Door("GET", "v1/variants/<str:variant_id>", "models.read"),
    Door("POST", "v1/variants/<str:variant_id>", "models.write", {"state": "retired"}),
    Door("DELETE", "v1/variants/<str:variant_id>", "models.write"),
    Door("GET", "v1/deployments", "models.read"),
    Door("POST", "v1/deployments", "models.write", ACCOUNT),
    Door("GET", "v1/deployments/<str:deployment_id>", "models.read"),
    Door("POST", "v1/deployments/<str:deployment_id>", "models.write", {"weight": 2}),
    Door("DELETE", "v1/deployments/<str:deployment_id>", "models.write"),
    Door("GET", "v1/models", "inference"),
    Door("GET", "v1/models/<path:model_id>", "inference"),
]
PLATFORM_DOORS = [
    Door("GET", "v1/platform/reports", "platform"),
    Door("POST", "v1/platform/reports", "platform", {"kind": "costs", "start_time": 1_700_000_000}),
    Door("GET", "v1/platform/reports/<str:report_id>", "platform"),
    Door("DELETE", "v1/platform/reports/<str:report_id>", "platform"),
    Door("GET", "v1/platform/report_schedules", "platform"),
    Door("POST", "v1/platform/report_schedules", "platform", {"kind": "costs", "name": "n", "every": "month"}),
    Door("GET", "v1/platform/report_schedules/<str:schedule_id>", "platform"),
    Door("POST", "v1/platform/report_schedules/<str:schedule_id>", "platform", {"active": False}),
    Door("DELETE", "v1/platform/report_schedules/<str:schedule_id>", "platform"),
    Door("GET", "v1/platform/tenants/<str:tenant_id>/limits", "platform"),
    Door("POST", "v1/platform/tenants/<str:tenant_id>/limits", "platform", {"limit": "documents", "value": 5}),
    Door("GET", "v1/platform/tenants", "platform"),
    Door("POST", "v1/platform/tenants", "platform", {"external_id": "x", "slug": "x", "name": "x"}),
    Door("GET", "v1/platform/tenants/<str:tenant_id>", "platform"),
    Door("POST", "v1/platform/tenants/<str:tenant_id>/suspend", "platform"),
    Door("POST", "v1/platform/tenants/<str:tenant_id>/resume", "platform"),
    Door("GET", "v1/platform/prices", "platform"),
    Door(
        "POST", "v1/platform/prices", "platform", {"model": "m", "meter": "ocr_pages", "amount": "1", "currency": "USD"}
    ),
    Door("GET", "v1/platform/provider_prices", "platform"),
    Door("POST", "v1/platform/provider_prices", "platform", {"model": "m", "meter": "ocr_pages", "amount": "1"}),
    Door("GET", "v1/platform/allowances", "platform"),
    Door("POST", "v1/platform/allowances", "platform", {"meter": "ocr_pages", "quantity": 1, "plan": "standard"}),
    Door("GET", BILLS, "platform"),
    Door("POST", BILLS, "platform"),
    Door("GET", BILL, "platform"),
    Door("DELETE", BILL, "platform"),
    Door("GET", f"{BILL}/comparison", "platform"),
    Door("GET", f"{BILL}/corrections", "platform"),
    Door("POST", f"{BILL}/approve", "platform"),
    Door("GET", "v1/platform/sku_mappings", "platform"),
    Door("POST", "v1/platform/sku_mappings", "platform"),
    Door("DELETE", "v1/platform/sku_mappings/<str:mapping_id>", "platform"),
    Door("GET", PLATFORM_STATEMENTS, "platform"),
    Door("POST", PLATFORM_STATEMENTS, "platform", {"tenant_id": "x", "month": "2026-10"}),
    Door("GET", f"{PLATFORM_STATEMENTS}/<str:statement_id>", "platform"),
    Door("GET", f"{PLATFORM_STATEMENTS}/<str:statement_id>/csv", "platform"),
    Door("GET", "v1/platform/margins", "platform"),
    Door("GET", "v1/platform/margins/csv", "platform"),
    Door("GET", "v1/platform/credit_notes", "platform"),
    Door("POST", "v1/platform/credit_notes", "platform", {"tenant_id": "x", "amount": "1", "reason": "r"}),
]
HOT_DOORS = [
    Door("POST", "v1/chat/completions", "inference", {"model": "local-extractive", "messages": MESSAGES}),
    Door("POST", "v1/embeddings", "inference", {"model": "all-MiniLM-L6-v2", "input": "x"}),
    Door("POST", "v1/responses", "inference", {"model": "local-extractive", "input": "x"}),
]
#: They answer the same to everybody and hold nothing of a tenant.
PUBLIC = {"healthz", "readyz", "metrics", "v1/openapi.json", "v1/docs"}
#: A signature opens them, to whoever has it: what is tried there is in `tests/billing/test_exports_api.py`.
SIGNED = {"v1/report_files/<str:token>"}
MISSING = "0" * 32


def routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(route, view) of every pattern, included ones too, without the admin's."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^")
        if route.startswith("admin/"):
            continue
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback


def methods(view: Any) -> set[str]:
    """What a class-based view answers to, OPTIONS aside."""
    return {name.upper() for name in ("get", "post", "put", "patch", "delete") if hasattr(view.cls, name)}


def test_every_route_and_method_has_a_row() -> None:
    found: dict[str, set[tuple[str, str]]] = {"tenant": set(), "platform": set(), "public": set()}
    for route, view in routes(get_resolver().url_patterns):
        cls = getattr(view, "cls", None)
        if cls is not None and issubclass(cls, TenantAPIView):
            found["tenant"] |= {(method, route) for method in methods(view)}
        elif cls is not None and issubclass(cls, PlatformAPIView):
            found["platform"] |= {(method, route) for method in methods(view)}
        else:
            found["public"].add(("", route))
    assert found["tenant"] == {(door.method, door.route) for door in DOORS}
    assert found["platform"] == {(door.method, door.route) for door in PLATFORM_DOORS}
    assert {route for _, route in found["public"]} == PUBLIC | SIGNED
    assert {path.lstrip("/") for path in ENDPOINTS} == {door.route for door in HOT_DOORS}
    assert DocsView.authentication_classes == []


def test_every_scope_is_needed_somewhere() -> None:
    assert {door.scope for door in [*DOORS, *HOT_DOORS]} == KEY_SCOPES


@pytest.fixture(autouse=True)
def _files_of_this_test(settings: Any, tmp_path: Path) -> None:
    options = {**settings.STORAGES["default"], "OPTIONS": {"location": tmp_path / "files"}}
    settings.STORAGES = {**settings.STORAGES, "default": options}
    forget_terms()
    cache.clear()  # of failed attempts, which are counted by address


def key_without(member: Member, scope: str) -> str:
    """A key that may do everything else."""
    with acting_for(member.tenant.id):
        return issue(name="all but one", scopes=sorted(KEY_SCOPES - {scope}), by=COMMAND_LINE)[1]


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


@pytest.fixture
def theirs(acme: Member) -> dict[str, str]:
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


def knock(member: Member, door: Door, ids: dict[str, str]) -> tuple[int, str]:
    """(status, body) with the ids that were asked for left out."""
    url = "/" + re.sub(r"<\w+:(\w+)_id>", lambda match: ids[match[1]], door.route)
    text = re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], json.dumps(door.body))
    body = text if door.method in ("POST", "PUT") else ""
    answer = member.client.generic(door.method, url, body, content_type="application/json")
    text = answer.getvalue().decode()
    for value in ids.values():
        text = text.replace(value, "ID")
    return answer.status_code, text


def failures(doors: Iterable[Door], problem: Callable[[Door], object]) -> dict[str, object]:
    """door → what is wrong with its answers, for those where `problem` found something.

    One cast and one of each object serve all doors: making them anew for each would take most of the suite's time here.
    """
    found = {str(door): problem(door) for door in doors}
    return {door: wrong for door, wrong in found.items() if wrong}


def test_without_a_key_a_door_stays_shut(acme: Member, theirs: dict[str, str]) -> None:
    wrong = ("", "sk-wrong", acme.key[:-1], acme.key.replace("sk-", "pk-"), acme.key + "x")

    def opened(door: Door) -> object:
        cache.clear()  # wrong platform keys are counted by address, and soon answered 429
        answers = [knock(Member(acme.tenant, key), door, theirs) for key in wrong]
        return [answer for answer in answers if answer[0] != 401 or "acmemark" in answer[1]]

    assert failures([*DOORS, *PLATFORM_DOORS], opened) == {}


def test_a_key_without_the_scope_is_refused(acme: Member, theirs: dict[str, str]) -> None:
    keys = {scope: key_without(acme, scope) for scope in KEY_SCOPES}

    def opened(door: Door) -> object:
        status, body = knock(Member(acme.tenant, keys[door.scope]), door, theirs)
        refused = (status, json.loads(body)["error"]["code"]) == (403, "insufficient_scope")
        return None if refused and door.scope in body and "acmemark" not in body else (status, body)

    assert failures(DOORS, opened) == {}


def test_a_foreign_id_answers_like_a_missing_one(theirs: dict[str, str], globex: Member) -> None:
    def differs(door: Door) -> object:
        missing, foreign = knock(globex, door, NOBODYS), knock(globex, door, theirs)
        expected = 400 if door.route == "v1/budgets" else 404
        return None if foreign == missing and missing[0] == expected else (foreign, missing)

    assert failures([door for door in DOORS if door.names_an_object], differs) == {}


def test_a_foreign_file_or_batch_in_an_own_store_is_missing_too(theirs: dict[str, str], globex: Member) -> None:
    own = globex.client.post("/v1/vector_stores", {"name": "own"}, format="json").json()["id"]

    def differs(door: Door) -> object:
        missing, foreign = [knock(globex, door, {**ids, "store": own}) for ids in (NOBODYS, theirs)]
        return None if foreign == missing and missing[0] == 404 else (foreign, missing)

    assert failures([door for door in DOORS if door.route.count("<") == 2 and STORE in door.route], differs) == {}


def test_lists_and_reports_hold_nothing_of_another_tenant(theirs: dict[str, str], globex: Member) -> None:
    query = {
        "start_time": 1,
        "after": theirs["file"],
        "limit": 100,
        "project_ids[]": theirs["tenant"],
        "api_key_ids[]": theirs["key"],
    }
    marks = {"acmemark", *(value for name, value in theirs.items() if name != "tenant")}

    def told(door: Door) -> object:
        answers = [globex.client.get(f"/{door.route}", asked) for asked in ({}, {"start_time": 1}, query)]
        return [mark for answer in answers for mark in marks if mark in answer.getvalue().decode()]

    assert failures([door for door in DOORS if door.method == "GET" and "<" not in door.route], told) == {}


def test_after_a_stranger_knocked_everywhere_nothing_has_changed(
    theirs: dict[str, str], acme: Member, globex: Member
) -> None:
    urls = [
        f"/v1/files/{theirs['file']}",
        f"/v1/vector_stores/{theirs['store']}",
        f"/v1/api_keys/{theirs['key']}",
        f"/v1/signing_secrets/{theirs['secret']}",
        f"/v1/batches/{theirs['job']}",
        f"/v1/responses/{theirs['response']}",
        f"/v1/conversations/{theirs['conversation']}",
        f"/v1/conversations/{theirs['conversation']}/items",
        "/v1/safety_policy",
        "/v1/safety_screenings",
        "/v1/budgets",
        f"/v1/budgets/{theirs['budget']}/alerts",
        "/v1/allocation_tags",
        f"/v1/chat/completions/{theirs['completion']}",
        f"/v1/prompts/{theirs['prompt']}",
        f"/v1/feedback/{theirs['feedback']}",
        f"/v1/webhook_endpoints/{theirs['endpoint']}",
        f"/v1/webhook_deliveries/{theirs['delivery']}",
    ]
    before = [acme.client.get(url).json() for url in urls]
    for door in DOORS:
        knock(globex, door, theirs)
    assert [acme.client.get(url).json() for url in urls] == before


def test_a_tenants_key_opens_no_door_of_the_operator(acme: Member, theirs: dict[str, str], globex: Member) -> None:
    def opened(door: Door) -> bool:
        cache.clear()  # of wrong platform keys, as above
        return any(knock(member, door, theirs)[0] != 401 for member in (acme, globex))

    assert failures(PLATFORM_DOORS, opened) == {}


@pytest.mark.usefixtures("plain_static_files")
def test_public_pages_hold_nothing_of_a_tenant(acme: Member, theirs: dict[str, str]) -> None:
    for route in sorted(PUBLIC):
        text = acme.client.get(f"/{route}", format="json").getvalue().decode()
        assert text and not any(mark in text for mark in (str(acme.tenant.id), acme.tenant.id.hex, "acmemark")), route


# the hot path --------------------------------------------------------------------------------------------------------


async def post(door: Door, key: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """(status, error) of a request that must not get as far as a worker."""
    sent: list[dict[str, Any]] = []
    inbound = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict[str, Any]:
        return next(inbound, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    scope = {"type": "http", "method": door.method, "path": f"/{door.route}", "headers": headers}
    gateway = Gateway()
    await gateway.start()
    try:
        await gateway(scope, receive, send)
    finally:
        await gateway.stop()
    error = json.loads(sent[1]["body"])["error"]
    assert dict(sent[0]["headers"])[b"x-request-id"].decode() == error.pop("request_id")
    return sent[0]["status"], error


@on_committed_rows
async def test_the_hot_path_needs_a_key(committed: Callable[[str], Member]) -> None:
    acme = await to_thread(committed, "acme")
    for door in HOT_DOORS:
        for key in ("", "sk-wrong", acme.key[:-1]):
            assert (await post(door, key, json.dumps(door.body).encode()))[0] == 401


@on_committed_rows
async def test_the_hot_path_needs_its_scope(committed: Callable[[str], Member]) -> None:
    acme = await to_thread(committed, "acme")
    key = await to_thread(key_without, acme, "inference")
    for door in HOT_DOORS:
        # Before anything of the body is looked at.
        for body in (json.dumps(door.body).encode(), b"{", b""):
            status, error = await post(door, key, body)
            assert (status, error["code"]) == (403, "insufficient_scope")


@on_committed_rows
async def test_another_tenants_model_is_unknown_to_the_hot_path(committed: Callable[[str], Member]) -> None:
    acme, globex = await to_thread(committed, "acme"), await to_thread(committed, "globex")
    await to_thread(share_a_model, acme)
    for door in HOT_DOORS:
        theirs, nobodys = [
            await post(door, globex.key, json.dumps({**door.body, "model": name}).encode())
            for name in ("acmemark", "nobodys")
        ]
        assert theirs[0] == 404
        assert json.dumps(theirs).replace("acmemark", "nobodys") == json.dumps(nobodys)
