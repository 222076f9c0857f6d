"""A tenant's own account and fine-tune through the running stack, and the id that leads from an answer to its attempts."""

import httpx2
import openai
import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def rest(atrium):
    """POST to a tenant's REST endpoints."""

    def post(tenant, path, **body):
        headers = {"authorization": f"Bearer {tenant.key}"}
        answer = httpx2.post(f"{tenant.url}/v1/{path}", json=body, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    return post


def ask(tenant, model, said="hello", **options):
    messages = [{"role": "user", "content": said}]
    return tenant.sdk().chat.completions.with_raw_response.create(model=model, messages=messages, **options)


def test_an_own_account_and_a_variant_are_asked_as_the_tenant_named_them(atrium, rest):
    tenant, other = atrium.new_tenant(), atrium.new_tenant()
    own = {"name": "ours", "model": "fake", "provider": "openai", "base_url": atrium.upstream.url, "api_key": "sk-ours"}
    rest(tenant, "deployments", **own)
    variant = rest(tenant, "variants", name="tone", base="fake", adapter="tone-lora")
    for state in ("evaluating", "candidate", "canary", "live"):
        variant = rest(tenant, f"variants/{variant['id']}", state=state)
    rest(tenant, "grants", alias="acme/support:v1", target="ft:fake:tone", max_temperature=0.5)
    answer = ask(tenant, "acme/support:v1", "which model?")
    assert [body["model"] for body in atrium.upstream.bodies if body["messages"][-1]["content"] == "which model?"] == [
        "tone-lora"
    ]
    assert answer.parse().model == "acme/support:v1"
    # What the client was given leads to the attempts and to the ledger.
    request_id = answer.headers["x-request-id"]
    atrium.settled(tenant)
    [(number, deployment, model, tokens, cost)] = atrium.sql(
        "SELECT number, deployment, model, output_tokens, cost FROM inference_inferenceattempt WHERE generation_id = %s",
        request_id,
    )
    assert (number, deployment, model, tokens) == (1, "ours", "ft:fake:tone", 10)
    [(charged,)] = atrium.sql("SELECT sum(cost) FROM billing_usagerecord WHERE request_id = %s", request_id)
    assert cost == charged > 0
    with pytest.raises(openai.BadRequestError, match=r"from 0 to 0\.5") as refused:
        ask(tenant, "acme/support:v1", temperature=1)
    assert refused.value.body["request_id"] == refused.value.response.headers["x-request-id"]
    # Nobody else sees either.
    with pytest.raises(openai.NotFoundError):
        ask(other, "acme/support:v1")
    ask(other, "fake")
    atrium.settled(other)
    asked = atrium.sql("SELECT deployment FROM inference_inferenceattempt WHERE tenant_id = %s", other.id)
    assert [name.startswith("fake at ") for (name,) in asked] == [True]


def test_a_request_may_allow_itself_less_time_than_the_platform(atrium):
    slow = atrium.new_model("hangs")
    tenant = atrium.new_tenant(budget="100", grants=(slow,))
    with pytest.raises(openai.APIStatusError) as late:
        ask(tenant, slow, extra_body={"timeout": 0.8})
    assert (late.value.status_code, late.value.code) == (504, "deadline_exceeded")
    atrium.settled(tenant)
    attempts = atrium.sql(
        "SELECT code, latency_ms FROM inference_inferenceattempt WHERE generation_id = %s",
        late.value.response.headers["x-request-id"],
    )
    assert [code for code, _ in attempts] == ["cancelled"] and attempts[0][1] < 2_000
