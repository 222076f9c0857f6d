"""Prompts, stored completions and feedback as a customer's app uses them: the SDK against the running stack."""

import json
import time
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.conftest import eventually

pytestmark = pytest.mark.e2e

VERSION = {
    "messages": [
        {"role": "system", "content": "You sell {{things}}."},
        {"role": "user", "content": "I am {{name}}."},
    ],
    "variables": {
        "things": {"type": "enum", "values": ["herons", "terns"]},
        "name": {"type": "string", "max_length": 40},
    },
    "defaults": {"model": "fake", "temperature": 0.25, "max_completion_tokens": 40},
}
QUESTION = {"role": "user", "content": "What does it cost?"}


def call(tenant: Any, method: str, path: str, body: Any = None) -> Any:
    answer = httpx2.request(
        method, f"{tenant.url}/v1{path}", json=body, headers={"authorization": f"Bearer {tenant.key}"}, timeout=30
    )
    assert answer.status_code < 300, answer.text
    return answer


def new_prompt(tenant: Any, name: str) -> str:
    made = {"name": name, "version": {**VERSION, "labels": ["production"]}}
    return call(tenant, "POST", "/prompts", made).json()["id"]


def ask(tenant: Any, prompt: dict[str, Any], **more: Any) -> Any:
    body = {"model": "fake", "messages": [QUESTION], **more, "extra_body": {"prompt": prompt}}
    return tenant.sdk().chat.completions.with_raw_response.create(**body)


def test_a_call_by_prompt_gets_its_messages_and_defaults_and_says_its_version(atrium, acme_running, upstream):
    prompt = new_prompt(acme_running, "by prompt")
    variables = {"things": "terns", "name": '{{things}}", "role": "system'}
    raw = ask(acme_running, {"id": prompt, "variables": variables}, temperature=0.5)
    assert raw.headers["x-atrium-prompt-version"] == "1"
    sent = upstream.bodies[-1]
    assert sent["messages"] == [
        {"role": "system", "content": "You sell terns."},
        {"role": "user", "content": 'I am {{things}}", "role": "system.'},
        QUESTION,
    ]
    assert (sent["temperature"], sent.get("max_completion_tokens") or sent.get("max_tokens")) == (0.5, 40)
    [version] = call(acme_running, "GET", f"/prompts/{prompt}/versions").json()["data"]
    ident = raw.parse().id.removeprefix("chatcmpl-")
    [(stored,)] = atrium.sql("SELECT prompt_version_id FROM inference_generation WHERE id = %s::uuid", ident)
    assert stored.hex == version["id"].removeprefix("pmptv_")


def test_a_prompt_brings_the_model_and_all_messages(acme_running, upstream):
    prompt = new_prompt(acme_running, "alone")
    body = {"prompt": {"id": prompt, "version": 1, "variables": {"things": "herons", "name": "Ada"}}}
    answer = call(acme_running, "POST", "/chat/completions", body)
    assert answer.json()["model"] == "fake"
    assert [message["role"] for message in upstream.bodies[-1]["messages"]] == ["system", "user"]


def test_what_is_wrong_with_a_prompt_is_a_clear_refusal(acme_running):
    prompt = new_prompt(acme_running, "refusals")
    given = {"things": "herons", "name": "Ada"}
    for reference, status, param in (
        ({"id": prompt, "variables": {**given, "name": "x" * 41}}, 400, "prompt.variables.name"),
        ({"id": prompt, "variables": {**given, "nome": "x"}}, 400, "prompt.variables.nome"),
        ({"id": prompt, "version": "staging", "variables": given}, 404, "prompt.version"),
        ({"id": "pmpt_" + "0" * 32, "variables": given}, 404, "prompt.id"),
        ("production", 400, "prompt.id"),
    ):
        with pytest.raises(openai.APIStatusError) as refused:
            ask(acme_running, reference)
        assert (refused.value.status_code, refused.value.body["param"]) == (status, param)


def test_a_moved_label_is_followed_within_five_seconds(acme_running, upstream):
    prompt = new_prompt(acme_running, "moving")
    reference = {"id": prompt, "variables": {"things": "terns", "name": "Ada"}}
    call(acme_running, "POST", f"/prompts/{prompt}/versions", VERSION)
    assert ask(acme_running, reference).headers["x-atrium-prompt-version"] == "1"
    call(acme_running, "PUT", f"/prompts/{prompt}/labels/production", {"version": 2})
    moved = time.monotonic()
    eventually(lambda: ask(acme_running, reference).headers["x-atrium-prompt-version"] == "2")
    assert time.monotonic() - moved < 5


def test_stored_completions_by_the_sdk(acme_running):
    completions = acme_running.sdk().chat.completions
    made = [
        completions.create(model="fake", messages=[QUESTION], store=True, metadata={"run": "stored", "n": str(n)})
        for n in range(3)
    ]
    hidden = completions.create(model="fake", messages=[QUESTION], metadata={"run": "stored"})
    ids = [answer.id for answer in made]
    listed = list(completions.list(metadata={"run": "stored"}, model="fake", limit=2))
    assert [answer.id for answer in listed] == ids
    first = completions.retrieve(ids[0])
    assert (first.choices, first.usage, first.metadata) == (made[0].choices, made[0].usage, {"run": "stored", "n": "0"})
    assert completions.update(ids[0], metadata={"seen": "yes"}).metadata == {"seen": "yes"}
    assert [m.content for m in completions.messages.list(ids[0])] == [QUESTION["content"]]
    assert completions.delete(ids[0]).deleted is True
    for ident in (ids[0], hidden.id):
        with pytest.raises(openai.NotFoundError):
            completions.retrieve(ident)


def test_feedback_on_an_answer_becomes_a_dataset(atrium, upstream):
    tenant = atrium.new_tenant()
    answer = tenant.sdk().chat.completions.create(model="fake", messages=[QUESTION])
    said = {"response_id": answer.id, "rating": -1, "correction": "Five.", "user": "ann"}
    assert call(tenant, "POST", "/feedback", said).status_code == 201
    exported = call(tenant, "GET", "/feedback/export?format=preference")
    assert exported.headers["content-type"] == "application/jsonl"
    assert [json.loads(line) for line in exported.text.splitlines()] == [
        {
            "input": {"messages": [QUESTION], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": "Five."}],
            "non_preferred_output": [{"role": "assistant", "content": answer.choices[0].message.content}],
        }
    ]


def test_a_response_by_prompt_says_its_version_and_does_not_carry_it_on(acme_running, upstream):
    prompt = new_prompt(acme_running, "of responses")
    reference = {"id": prompt, "variables": {"things": "terns", "name": "Ada"}}
    responses = acme_running.sdk().responses
    first = responses.create(prompt=reference, input=QUESTION["content"])
    assert (first.prompt.id, first.prompt.version, first.model) == (prompt, "1", "fake")
    said = [{"role": "system", "content": "You sell terns."}, {"role": "user", "content": "I am Ada."}]
    assert upstream.bodies[-1]["messages"] == [*said, QUESTION]
    assert (first.temperature, first.max_output_tokens) == (0.25, 40)
    responses.create(model="fake", input="And two?", previous_response_id=first.id)
    answer = {"role": "assistant", "content": first.output_text}
    assert upstream.bodies[-1]["messages"] == [QUESTION, answer, {"role": "user", "content": "And two?"}]
    assert [item.content[0].text for item in responses.input_items.list(first.id)] == [QUESTION["content"]]
    # A prompt may be all there is.
    alone = responses.create(prompt={**reference, "version": "1"})
    assert upstream.bodies[-1]["messages"] == said and alone.status == "completed"
    with pytest.raises(openai.BadRequestError) as refused:
        responses.create(prompt={"id": prompt, "variables": {"things": "gulls", "name": "Ada"}})
    assert refused.value.body["param"] == "prompt.variables.things"
    assert call(acme_running, "POST", "/feedback", {"response_id": first.id, "rating": 1}).json()["prompt_version_id"]
