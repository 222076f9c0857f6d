"""Chat completions and embeddings as a customer's app sees them: the `openai` SDK against the running stack."""

import base64
import struct
import uuid
from dataclasses import replace

import httpx2
import openai
import pytest

pytestmark = pytest.mark.e2e

MESSAGES = [{"role": "user", "content": "hello"}]


def test_a_plain_answer_has_text_usage_and_headers(acme_running):
    raw = acme_running.sdk().chat.completions.with_raw_response.create(model="fake", messages=MESSAGES)
    answer = raw.parse()
    assert answer.choices[0].message.content.split() == [f"word{n}" for n in range(10)]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 10)
    assert answer.model == "fake" and answer.id.startswith("chatcmpl-")
    assert len(raw.headers["x-request-id"]) == 32
    assert int(raw.headers["x-ratelimit-remaining-requests"]) > 0
    assert raw.headers["ratelimit-policy"].startswith('"rpm";q=')
    left = int(raw.headers["x-ratelimit-remaining-requests"])
    # A request that is refused before it takes anything says where the limits stand too; a search takes one.
    with pytest.raises(openai.NotFoundError) as refused:
        acme_running.sdk().chat.completions.create(model="nobody's", messages=MESSAGES)
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == str(left)
    for path, taken in (("/vector_stores", 0), ("/vector_stores/vs_none/search", 1), ("/vector_stores", 1)):
        with acme_running.sdk() as sdk:
            answer = sdk._client.request(
                "POST" if "search" in path else "GET",
                f"{sdk.base_url}{path[1:]}",
                json={"query": "x"},
                headers=sdk.auth_headers,
            )
        assert answer.headers["x-ratelimit-remaining-requests"] == str(left - taken), path


def test_a_stream_has_a_role_words_a_finish_and_usage(acme_running):
    stream = acme_running.sdk().chat.completions.create(
        model="fake", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).split() == [
        f"word{n}" for n in range(10)
    ]
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 10
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_the_async_client_streams_too(acme_running):
    async with acme_running.async_sdk() as client:
        stream = await client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text.split()[-1] == "word9"


def test_the_ledger_has_what_the_upstream_reported_at_the_price(atrium):
    tenant = atrium.new_tenant(budget="100")
    tenant.sdk().chat.completions.create(model="fake", messages=MESSAGES)
    # 7 and 10 tokens at 1,000 per million: 0.007 and 0.010.
    lines = [(meter, quantity, str(cost.normalize())) for meter, quantity, cost in atrium.ledger(tenant)]
    assert lines == [("input_tokens", 7, "0.007"), ("output_tokens", 10, "0.01")]
    accounts = atrium.sql("SELECT spent, held FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id)
    assert [(str(spent.normalize()), held) for spent, held in accounts] == [("0.017", 0)]


def test_the_upstream_gets_its_own_model_name_and_a_limit(atrium, acme_running):
    acme_running.sdk().chat.completions.create(
        model="fake", messages=MESSAGES, temperature=0.5, max_tokens=50, user="u1", metadata={"a": "b"}
    )
    body = atrium.upstream.bodies[-1]
    assert body["temperature"] == 0.5 and body["max_tokens"] == 50 and body["model"] == "fake"
    assert "user" not in body and "metadata" not in body and "tools" not in body


def test_embeddings_come_as_base64_floats_of_length_one(acme_running):
    raw = acme_running.sdk().embeddings.with_raw_response.create(
        model="all-MiniLM-L6-v2", input=["hello", "world"], encoding_format="base64"
    )
    import json

    body = json.loads(raw.text)
    vector = struct.unpack("<384f", base64.b64decode(body["data"][0]["embedding"]))
    assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-3)
    answer = acme_running.sdk().embeddings.create(model="all-MiniLM-L6-v2", input=["hello", "world"])
    assert len(answer.data) == 2 and answer.data[0].embedding == pytest.approx(vector, abs=1e-6)
    assert answer.usage.prompt_tokens == 2


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": 10**9}, "max_tokens", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages.0", "invalid_value"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", "invalid_value"),
        ({"messages": [{"role": "user", "content": "word " * 20_000}]}, "messages", "context_length_exceeded"),
        ({"n": 1000}, "n", "invalid_value"),
        ({"tools": [{"type": "file_search"}]}, "tools.vector_store_ids", "invalid_value"),
    ],
)
def test_bad_parameters_answer_400_naming_the_parameter(acme_running, change, param, code):
    with pytest.raises(openai.BadRequestError) as refused:
        acme_running.sdk().chat.completions.create(**{"model": "fake", "messages": MESSAGES, **change})
    assert refused.value.body["param"] == param and refused.value.code == code


def test_an_unknown_model_answers_404_naming_those_granted(acme_running):
    with pytest.raises(openai.NotFoundError, match="Granted: fake, local-extractive"):
        acme_running.sdk().chat.completions.create(model="gpt-99", messages=MESSAGES)


@pytest.mark.parametrize("key", ["sk-wrong", "sk-" + "0" * 32 + "-00000000-" + "0" * 48])
def test_a_bad_key_answers_401(acme_running, key):
    with pytest.raises(openai.AuthenticationError):
        replace(acme_running, key=key).sdk().chat.completions.create(model="fake", messages=MESSAGES)


def test_a_key_without_the_scope_answers_403(atrium, acme_running):
    key = atrium.manage("issue_api_key", "--tenant", acme_running.slug, "--name", "files", "--scopes", "files.read")[
        "key"
    ]
    with pytest.raises(openai.PermissionDeniedError, match="inference"):
        replace(acme_running, key=key).sdk().chat.completions.create(model="fake", messages=MESSAGES)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model": 7}', b"\xff\xfe"])
def test_a_malformed_body_answers_400_in_the_right_shape(acme_running, body):
    answer = httpx2.post(
        f"{acme_running.url}/v1/chat/completions", content=body, headers={"authorization": f"Bearer {acme_running.key}"}
    )
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


def test_an_idempotency_key_answers_the_first_answer_again(atrium):
    tenant = atrium.new_tenant()
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first, second = (
        tenant.sdk().chat.completions.create(model="fake", messages=MESSAGES, extra_headers=headers) for _ in range(2)
    )
    assert first.id == second.id and first.choices == second.choices
    assert len(atrium.ledger(tenant)) == 2  # one call's input and output lines
    with pytest.raises(openai.UnprocessableEntityError):
        tenant.sdk().chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "other"}], extra_headers=headers
        )


def test_with_zero_retention_prompts_and_answers_are_gone_at_settlement(atrium):
    tenant = atrium.new_tenant(retention_days=0)
    tenant.sdk().chat.completions.create(model="fake", messages=[{"role": "user", "content": "a secret"}])
    rows = atrium.sql("SELECT request, answer, state FROM inference_generation WHERE tenant_id = %s", tenant.id)
    assert rows == [(None, None, "completed")]
    assert len(atrium.ledger(tenant)) == 2
