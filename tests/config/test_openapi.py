"""The one OpenAPI 3.1 document: valid, complete, the hot path included; and the page that shows it."""

import json
from pathlib import Path
from typing import Any

import drf_spectacular.validation
import jsonschema_rs
import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from config.api_docs import document
from inference.requests import ChatRequest
from tenants.api_view import PlatformAPIView, TenantAPIView

_METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return json.loads(document())


def operations(api: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in api["paths"].items()
        for method, operation in item.items()
        if method in _METHODS
    ]


def test_it_is_made_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", "--fail-on-warn", "--format", "openapi-json", "--file", str(tmp_path / "openapi.json"))


def test_it_is_valid_by_the_schema_of_openapi_3_1_and_so_is_every_schema_in_it(api: dict[str, Any]) -> None:
    official = Path(drf_spectacular.validation.__file__).parent / "openapi_3_1_schema.json"
    assert api["openapi"].startswith("3.1.")
    jsonschema_rs.Draft202012Validator(json.loads(official.read_text())).validate(api)
    for schema in api["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_reference_leads_somewhere(api: dict[str, Any]) -> None:
    def references(node: Any) -> Any:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in set(references(api)):
        target: Any = api
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_every_view_under_v1_is_in_it(api: dict[str, Any]) -> None:
    def views(resolver: URLResolver) -> Any:
        for entry in resolver.url_patterns:
            if isinstance(entry, URLResolver):
                yield from views(entry)
            elif isinstance(entry, URLPattern) and hasattr(entry.callback, "cls"):
                yield entry.callback.cls

    expected = {
        (view, method)
        for view in views(get_resolver())
        if issubclass(view, TenantAPIView | PlatformAPIView)
        for method in _METHODS
        if hasattr(view, method)
    }
    hot_path = 3
    assert len(operations(api)) == len(expected) + hot_path


def test_every_operation_has_an_id_of_its_own_a_tag_security_and_errors(api: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(api)]
    assert len(ids) == len(set(ids))
    schemes = set(api["components"]["securitySchemes"])
    assert schemes >= {"apiKey"}
    for path, method, operation in operations(api):
        where = f"{method} {path}"
        assert operation["tags"], where
        assert operation["security"] and all(set(entry) <= schemes for entry in operation["security"]), where
        assert {"4XX", "5XX"} <= operation["responses"].keys(), where


def test_the_error_shape_is_openais_where_its_clients_ask_and_a_problem_elsewhere(api: dict[str, Any]) -> None:
    for path, _, operation in operations(api):
        first = path.removeprefix("/v1/").partition("/")[0]
        ours = first in (
            "api_keys", "signing_secrets", "platform", "budgets", "prompts", "feedback", "safety_policy",
            "safety_screenings", "allocation_tags", "response_cache", "webhook_deliveries",
            "reports", "report_schedules", "statements", "credit_notes", "grants", "variants", "deployments",
            "estimates", "limits",
        )  # fmt: skip
        expected = "Problem" if ours else "Error"
        assert operation["responses"]["4XX"] == {"$ref": f"#/components/responses/{expected}"}, path
    problem = api["components"]["responses"]["Problem"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}
    assert api["components"]["schemas"]["Problem"]["properties"]["error"] == {
        "$ref": "#/components/schemas/ErrorDetail"
    }


def test_the_hot_path_is_described_by_what_validates_it(api: dict[str, Any]) -> None:
    chat = api["paths"]["/v1/chat/completions"]["post"]
    schema = chat["requestBody"]["content"]["application/json"]["schema"]
    described = api["components"]["schemas"]["ChatRequest"]
    assert schema == {"$ref": "#/components/schemas/ChatRequest"}
    assert described["properties"].keys() == ChatRequest.model_fields.keys()
    assert described["required"] == ["model", "messages"]
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "/v1/embeddings" in api["paths"]


def test_creates_take_an_idempotency_key(api: dict[str, Any]) -> None:
    reference = {"$ref": "#/components/parameters/IdempotencyKey"}
    with_key = {(path, method) for path, method, found in operations(api) if reference in found.get("parameters", [])}
    assert {("/v1/chat/completions", "post"), ("/v1/embeddings", "post"), ("/v1/api_keys", "post")} <= with_key
    assert all(method == "post" for _, method in with_key)


def test_the_document_is_served_to_everybody_as_json(client: Client) -> None:
    answer = client.get("/v1/openapi.json")
    assert (answer.status_code, answer["content-type"]) == (200, "application/json")
    assert "/v1/chat/completions" in answer.json()["paths"]


def test_the_page_loads_nothing_from_another_host_and_has_no_inline_script(
    client: Client, settings: LazySettings
) -> None:
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    page, script = client.get("/v1/docs"), client.get("/v1/docs?script=")
    assert (page.status_code, script.status_code) == (200, 200)
    text = page.content.decode()
    assert "//" not in text.replace("<!DOCTYPE", "")
    assert text.count("<script") == text.count("<script src=")
    assert "/v1/openapi.json" in script.content.decode()
    assert '"validatorUrl": null' in script.content.decode()
    assert "script-src 'self';" in page["content-security-policy"]
