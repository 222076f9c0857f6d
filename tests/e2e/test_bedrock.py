"""A model of Amazon Bedrock, granted and called through the running stack; boto3 speaks to a runtime on this machine."""

import json
from collections.abc import Iterator

import openai
import pytest

from tests.e2e.conftest import PRICE, Atrium, Tenant
from tests.inference.bedrock.runtime import WORDS, BedrockRuntime

pytestmark = pytest.mark.e2e

KEY = {"access_key_id": "AKIDE2EEXAMPLE", "secret_access_key": "e2e-secret-access-key"}
ARN = "arn:aws:bedrock:eu-central-1:123456789012:custom-model-deployment/abc123"


@pytest.fixture(scope="module")
def runtime() -> Iterator[BedrockRuntime]:
    server = BedrockRuntime()
    yield server
    server.close()


@pytest.fixture(scope="module")
def tenant(atrium: Atrium, runtime: BedrockRuntime) -> Tenant:
    common = ["--provider", "bedrock", "--base-url", runtime.url, "--region", "eu-central-1", "--credentials-stdin"]
    models = {
        "claude": ["--upstream-model", ARN, "--input-price", PRICE, "--output-price", PRICE],
        "titan": ["--upstream-model", "amazon.titan-embed-text-v2:0", "--kind", "embedding", "--embedding-price", PRICE,
                  "--dimensions", "3"],
    }  # fmt: skip
    for name, options in models.items():
        atrium.manage("register_model", "--name", name, *common, *options, stdin=json.dumps(KEY))
    return atrium.new_tenant(grants=tuple(models))


def ask(tenant: Tenant, said: str, **options: object) -> object:
    return tenant.sdk().chat.completions.create(
        model="claude", messages=[{"role": "user", "content": said}], max_tokens=50, **options
    )  # type: ignore[call-overload]


def test_a_granted_bedrock_model_answers_and_is_metered(
    atrium: Atrium, runtime: BedrockRuntime, tenant: Tenant
) -> None:
    whole = ask(tenant, "hello")
    assert whole.choices[0].message.content == "".join(WORDS)
    assert whole.usage.prompt_tokens_details.cached_tokens == 5
    chunks = list(ask(tenant, "hello", stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "".join(WORDS)
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (15, 10)
    assert [asked.path for asked in runtime.requests] == [f"/model/{ARN}/converse", f"/model/{ARN}/converse-stream"]
    assert all("Credential=AKIDE2EEXAMPLE/" in asked.headers["authorization"] for asked in runtime.requests)
    atrium.settled(tenant)
    # Twice 7 + 3 written to the prompt cache, 5 read from it, 10 written out; at a dollar a thousand of each.
    spent: dict[str, int] = {}
    for meter, quantity, _ in atrium.ledger(tenant):
        spent[meter] = spent.get(meter, 0) + int(quantity)
    assert spent == {"input_tokens": 20, "cached_input_tokens": 10, "output_tokens": 20}


def test_bedrocks_refusals_and_failures_are_told_and_its_account_is_not(
    atrium: Atrium, runtime: BedrockRuntime, tenant: Tenant
) -> None:
    with pytest.raises(openai.BadRequestError, match="range: 0"):
        ask(tenant, "fault:invalid")
    with pytest.raises(openai.BadRequestError) as refused:
        ask(tenant, "hello", n=2)
    assert refused.value.param == "n"
    with pytest.raises(openai.InternalServerError) as denied:
        ask(tenant, "fault:denied")
    assert denied.value.code == "upstream_credentials"
    assert "123456789012" not in str(denied.value.body)
    with pytest.raises(openai.APIError, match="model failed"):
        list(ask(tenant, "fault:fails_midway", stream=True))
    atrium.settled(tenant)


def test_a_client_that_leaves_hangs_up_on_bedrock(atrium: Atrium, runtime: BedrockRuntime, tenant: Tenant) -> None:
    runtime.gone.clear()
    stream = ask(tenant, "fault:hangs", stream=True)
    assert next(iter(stream)).choices
    stream.close()
    assert runtime.gone.wait(10)
    atrium.settled(tenant)


def test_bedrocks_embeddings_come_through_the_api(atrium: Atrium, runtime: BedrockRuntime, tenant: Tenant) -> None:
    runtime.answers["invoke"] = {"embedding": [0.5, -1.0, 2.0], "inputTextTokenCount": 31}
    found = tenant.sdk().embeddings.create(model="titan", input=["a longer text, of forty bytes in all ...."] * 2)
    assert [row.embedding for row in found.data] == [[0.5, -1.0, 2.0]] * 2
    # As Bedrock counts them, not as we would.
    assert found.usage.prompt_tokens == 62
    atrium.settled(tenant)
    assert [quantity for meter, quantity, _ in atrium.ledger(tenant) if meter == "embedding_tokens"] == [62]
