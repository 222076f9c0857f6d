"""Prompts over REST: versions, labels, roll-back, who did it; and what a call's reference stands for."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from inference.models import PromptLabelMove, PromptVersion
from inference.prompts import Reference, expand, forget_prompts
from inference.prompts.library import PromptNotFound
from inference.prompts.references import REMEMBER_SECONDS
from tenants.errors import AtriumError
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

GREETING = {
    "messages": [{"role": "system", "content": "Greet {{name}} in {{words}} words."}],
    "variables": {
        "name": {"type": "string", "max_length": 20},
        "words": {"type": "integer", "maximum": 9, "default": 3},
    },
    "defaults": {"model": "local-extractive", "temperature": 0.5},
}


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    forget_prompts()
    yield
    forget_prompts()


def ask(member: Member, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = getattr(member.client, method)(f"/v1/prompts{path}", body, format="json")
    return answer.status_code, answer.json()


def made(member: Member, **more: Any) -> str:
    version = {**GREETING, "labels": ["production"], "note": "the first", **more.pop("version", {})}
    status, prompt = ask(member, "post", "", {"name": "greeting", "version": version, **more})
    assert status == 201, prompt
    return prompt["id"]


def second_version(member: Member, prompt: str, **more: Any) -> Any:
    content = {**GREETING, "messages": [{"role": "user", "content": "Hail {{name}}!"}]}
    status, version = ask(member, "post", f"/{prompt}/versions", {**content, **more})
    assert status == 201, version
    return version


def test_a_prompt_its_versions_and_labels(acme: Member) -> None:
    prompt = made(acme, description="says hello")
    version = second_version(acme, prompt, labels=["staging"])
    assert ask(acme, "get", f"/{prompt}")[1] | {"created_at": 0, "updated_at": 0} == {
        "id": prompt,
        "object": "prompt",
        "name": "greeting",
        "description": "says hello",
        "newest_version": 2,
        "labels": {"production": 1, "staging": 2},
        "created_at": 0,
        "updated_at": 0,
    }
    assert version["version"] == 2 and version["prompt_id"] == prompt and version["created_by"]["type"] == "api_key"
    assert version["created_by"]["id"].startswith("key_")
    first = ask(acme, "get", f"/{prompt}/versions/1")[1]
    assert ask(acme, "get", f"/{prompt}/versions/production")[1] == first
    assert (first["messages"], first["defaults"], first["note"]) == (
        GREETING["messages"],
        GREETING["defaults"],
        "the first",
    )
    assert [row["version"] for row in ask(acme, "get", f"/{prompt}/versions")[1]["data"]] == [2, 1]
    assert [row["name"] for row in ask(acme, "get", "")[1]["data"]] == ["greeting"]
    assert ask(acme, "post", f"/{prompt}", {"name": "hail"})[1]["name"] == "hail"


def test_a_label_rolls_out_and_back_and_its_moves_are_kept(acme: Member) -> None:
    prompt = made(acme)
    second_version(acme, prompt)
    for number in (2, 2, 1):
        status, label = ask(acme, "put", f"/{prompt}/labels/production", {"version": number})
        assert (status, label["version"]) == (200, number)
    assert [(row["name"], row["version"]) for row in ask(acme, "get", f"/{prompt}/labels")[1]["data"]] == [
        ("production", 1)
    ]
    assert ask(acme, "get", f"/{prompt}/labels/production")[1]["version"] == 1
    assert ask(acme, "delete", f"/{prompt}/labels/production")[0] == 200
    assert ask(acme, "get", f"/{prompt}/labels/production")[0] == 404
    moves = ask(acme, "get", f"/{prompt}/label_moves?order=asc")[1]["data"]
    # Pointing it again where it points is no move.
    assert [(move["from_version"], move["to_version"]) for move in moves] == [(None, 1), (1, 2), (2, 1), (1, None)]
    assert all(move["moved_by"]["type"] == "api_key" for move in moves)
    with acting_for(acme.tenant.id), tenant_scope():
        actions = (
            AuditEvent.objects.filter(action__startswith="prompt.").order_by("id").values_list("action", flat=True)
        )
        assert list(actions) == [
            "prompt.created", "prompt.version_added", "prompt.label_moved", "prompt.version_added", "prompt.label_moved",
            "prompt.label_moved", "prompt.label_removed",
        ]  # fmt: skip


def test_a_prompt_in_use_is_not_deleted(acme: Member) -> None:
    prompt = made(acme)
    status, body = ask(acme, "delete", f"/{prompt}")
    assert (status, body["error"]["code"], body["error"]["labels"]) == (409, "prompt_in_use", ["production"])
    ask(acme, "delete", f"/{prompt}/labels/production")
    assert ask(acme, "delete", f"/{prompt}") == (200, {"id": prompt, "object": "prompt.deleted", "deleted": True})
    for method, path in (("get", ""), ("get", "/versions/1"), ("delete", ""), ("post", "/render"), ("get", "/labels")):
        assert ask(acme, method, f"/{prompt}{path}", {} if method == "post" else None)[0] == 404
    # Its name is free again.
    assert made(acme) != prompt


def test_versions_and_moves_cannot_be_changed_even_by_sql(acme: Member) -> None:
    made(acme)
    for model in (PromptVersion, PromptLabelMove):
        for statement in ("UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}"):
            with acting_for(acme.tenant.id), tenant_scope(), connection.cursor() as cursor:
                with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                    cursor.execute(statement.format(model._meta.db_table))


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("post", "", {}, 400, "name"),
        ("post", "", {"name": "greeting"}, 409, "name"),
        ("post", "", {"name": "x", "version": {"messages": []}}, 400, "version.messages"),
        ("post", "/versions", {"messages": [{"role": "user", "content": "{{x}}"}]}, 400, "messages.0.content"),
        ("post", "/versions", {"messages": [{"role": "user", "content": "{{"}]}, 400, "messages.0.content"),
        ("post", "/versions", {**GREETING, "labels": ["7"]}, 400, "labels"),
        ("post", "/versions", {**GREETING, "variables": {"name": {"type": "text"}}}, 400, "variables.name"),
        (
            "post",
            "/versions",
            {**GREETING, "variables": {"name": {"type": "integer", "minimum": "x"}}},
            400,
            "variables.name.integer.minimum",
        ),
        ("put", "/labels/production", {"version": 3}, 404, "version"),
        ("put", "/labels/1st", {"version": 1}, 400, "labels"),
        ("put", "/labels/production", {}, 400, "version"),
        ("delete", "/labels/nowhere", None, 404, None),
        ("get", "/versions/nowhere", None, 404, None),
        ("get", "/versions/99999999999999999999", None, 404, None),
        ("post", "/render", {"variables": {"name": "x" * 21}}, 400, "prompt.variables.name"),
        ("post", "/render", {"variables": {"name": "x", "words": 10}}, 400, "prompt.variables.words"),
        ("post", "/render", {"variables": {"nome": "x"}}, 400, "prompt.variables.nome"),
        ("post", "/render", {}, 400, "prompt.variables.name"),
        ("post", "/render", {"version": "staging"}, 404, "prompt.version"),
    ],
)
def test_bad_requests_name_what_is_wrong(
    acme: Member, method: str, path: str, body: Any, status: int, param: str | None
) -> None:
    prompt = made(acme)
    answer = ask(acme, method, (f"/{prompt}{path}") if path else "", body)
    assert (answer[0], answer[1]["error"]["param"]) == (status, param), answer
    assert ask(acme, "get", f"/{prompt}")[1]["newest_version"] == 1


def test_rendering_shows_what_a_call_would_say(acme: Member) -> None:
    prompt = made(acme)
    status, shown = ask(acme, "post", f"/{prompt}/render", {"variables": {"name": "{{words}}"}})
    assert status == 200
    tokens = shown.pop("tokens")
    assert shown == {
        "object": "prompt.rendered",
        "prompt_id": prompt,
        "version": 1,
        "messages": [{"role": "system", "content": "Greet {{words}} in 3 words."}],
        "defaults": GREETING["defaults"],
    }
    # "greet", two braces, "words", two braces, "in", "3", "words", "." and a frame of 4.
    assert tokens == 14


def test_a_moved_label_takes_effect_when_what_is_remembered_ends(acme: Member) -> None:
    prompt = made(acme)
    second_version(acme, prompt)
    reference = Reference.read({"id": prompt, "variables": {"name": "Ada"}})
    now = time.monotonic()
    with acting_for(acme.tenant.id):
        assert expand(reference, now=now).number == 1
        ask(acme, "put", f"/{prompt}/labels/production", {"version": 2})
        assert expand(reference, now=now + REMEMBER_SECONDS - 0.01).number == 1
        moved = expand(reference, now=now + REMEMBER_SECONDS)
        assert (moved.number, moved.messages) == (2, [{"role": "user", "content": "Hail Ada!"}])
        # Others are not held back, and a number means what it says.
        assert expand(Reference.read({"id": prompt, "version": 1, "variables": {"name": "Ada"}}), now=now).number == 1
    assert REMEMBER_SECONDS < 5


def test_another_tenant_expands_nothing_even_where_it_is_remembered(acme: Member, globex: Member) -> None:
    reference = Reference.read({"id": made(acme), "variables": {"name": "Ada"}})
    with acting_for(acme.tenant.id):
        expand(reference, now=0.0)
    with acting_for(globex.tenant.id), pytest.raises(PromptNotFound):
        expand(reference, now=0.0)


@pytest.mark.parametrize(
    ("data", "status", "param"),
    [
        ("pmpt_x", 400, "prompt.id"),
        ({}, 400, "prompt.id"),
        ({"id": "pmpt_x"}, 404, "prompt.id"),
        ({"id": "pmpt_" + "0" * 32, "version": {}}, 400, "prompt.version"),
        ({"id": "pmpt_" + "0" * 32, "version": True}, 400, "prompt.version"),
        ({"id": "pmpt_" + "0" * 32, "variables": []}, 400, "prompt.variables"),
    ],
)
def test_what_is_no_reference_is_refused(data: Any, status: int, param: str) -> None:
    with pytest.raises(AtriumError) as refused:
        Reference.read(data)
    assert (refused.value.status, refused.value.param) == (status, param)
