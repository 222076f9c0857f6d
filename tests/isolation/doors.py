"""The table of doors: every route and method of Atrium's API, with the scope its key needs and what its body names."""

import json
from dataclasses import dataclass, field
from typing import Any

from billing.usage_api.views import USAGE_VIEWS


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
