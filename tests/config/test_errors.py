"""One shape for every error: OpenAI's where its clients ask, a problem document around it on our own endpoints."""

import json

import pytest
from django.test import Client, RequestFactory
from redis.exceptions import ConnectionError as RedisConnectionError

from config.errors import handle, server_error, speaks_openai
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]


def openai_error(answer, status: int) -> dict:
    """The error object of an answer that is OpenAI's and nothing else."""
    assert answer.status_code == status
    assert answer["content-type"] == "application/json"
    body = json.loads(answer.content)
    assert body.keys() == {"error"}
    assert {"message", "type", "param", "code"} <= body["error"].keys()
    return body["error"]


def problem_error(answer, status: int) -> dict:
    """The error object of a problem document (RFC 9457)."""
    assert answer.status_code == status
    assert answer["content-type"] == "application/problem+json"
    body = json.loads(answer.content)
    assert body.keys() == {"type", "title", "status", "detail", "error"}
    assert (body["status"], body["detail"]) == (status, body["error"]["message"])
    assert (body["type"], bool(body["title"])) == ("about:blank", True)
    return body["error"]


def test_an_unknown_url_is_404_in_the_shape_of_its_neighbours(client: Client) -> None:
    known = openai_error(client.get("/v1/vector_stores/x/no/such/thing"), 404)
    assert (known["code"], known["message"]) == (
        "unknown_url",
        "Unknown request URL: GET /v1/vector_stores/x/no/such/thing.",
    )
    ours = problem_error(client.post("/v1/nothing-of-openais"), 404)
    assert ours["code"] == "unknown_url"


def test_a_browser_in_the_admin_gets_pages(acme: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    client, page = desk(seat(acme, "viewer")), {"accept": "text/html,*/*"}
    absent = client.get("/admin/nothing/", headers=page)
    assert (absent.status_code, "Back to the admin" in absent.content.decode()) == (404, True)
    monkeypatch.setattr("config.admin_site.AtriumAdminSite.each_context", None)
    client.raise_request_exception = False
    failed = client.get("/admin/", headers=page)
    assert (failed.status_code, failed["x-request-id"] in failed.content.decode()) == (500, True)


def test_a_method_that_is_not_there_is_405(acme: Member) -> None:
    answer = acme.client.delete("/v1/models")
    assert openai_error(answer, 405)["code"] == "method_not_allowed"
    assert "GET" in answer["allow"]
    assert problem_error(acme.client.put("/v1/api_keys"), 405)["code"] == "method_not_allowed"


def test_a_body_of_another_type_is_415(acme: Member) -> None:
    answer = acme.client.post("/v1/api_keys", data="name=x", content_type="application/x-www-form-urlencoded")
    assert problem_error(answer, 415)["code"] == "unsupported_media_type"


def nested(depth: int) -> bytes:
    return b'{"name": ' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    "body",
    [b'{"name": ', b"\xff", b'{"name": NaN}', nested(5000), nested(65), rb'{"a\u0000": 1}', rb'{"a": ["\ud800"]}'],
)
def test_malformed_json_is_400(acme: Member, body: bytes) -> None:
    answer = acme.client.post("/v1/api_keys", data=body, content_type="application/json")
    error = problem_error(answer, 400)
    assert (error["type"], error["param"]) == ("invalid_request_error", None)
    assert error["message"].startswith("We could not parse the JSON body of your request: ")


def test_json_within_the_bounds_is_read(acme: Member) -> None:
    answer = acme.client.post("/v1/api_keys", data=nested(63), content_type="application/json")
    assert problem_error(answer, 400)["param"] == "name"
    emoji = acme.client.post(
        "/v1/api_keys", data=rb'{"name": "\ud83d\ude00", "scopes": ["inference"]}', content_type="application/json"
    )
    assert emoji.status_code < 300


def test_a_wrong_type_names_its_parameter(acme: Member) -> None:
    answer = acme.client.post("/v1/api_keys", data={"name": {"a": 1}, "scopes": ["inference"]}, format="json")
    assert problem_error(answer, 400)["param"] == "name"


def test_no_key_is_401_in_both_shapes(client: Client) -> None:
    assert openai_error(client.get("/v1/models"), 401)["code"] == "invalid_api_key"
    assert problem_error(client.get("/v1/api_keys"), 401)["code"] == "invalid_api_key"
    assert problem_error(client.get("/v1/platform/tenants"), 401)["code"] == "invalid_api_key"


def test_a_service_that_is_away_is_503_with_retry_after() -> None:
    request = RequestFactory().get("/v1/models")
    answer = handle(RedisConnectionError("Error 111 connecting to redis.internal:6379"), {"request": request})
    assert answer is not None
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "redis.internal" not in str(answer.data)


def test_a_defect_of_ours_is_500_and_says_nothing_of_it() -> None:
    error = openai_error(server_error(RequestFactory().get("/v1/models")), 500)
    assert (error["code"], error["type"]) == ("internal_error", "server_error")


@pytest.mark.parametrize(
    ("path", "openais"),
    [
        ("/v1/models", True),
        ("/v1/models/a/b", True),
        ("/v1/organization/costs", True),
        ("/v1/modelsx", False),
        ("/v1/platform/tenants", False),
        ("/v1/budgets", False),
        ("/healthz", False),
    ],
)
def test_openais_paths_are_told_by_their_first_part(path: str, openais: bool) -> None:
    assert speaks_openai(path) is openais
