"""As whom Bedrock is called, and what of it can be seen."""

import dataclasses

import pytest

from inference.providers.base import Prompt, ProviderError
from inference.providers.bedrock import Account, Bedrock
from tests.inference.bedrock.runtime import BedrockRuntime

ASKED = Prompt({"messages": [{"role": "user", "content": "hi"}]}, 9)


async def authorization(runtime: BedrockRuntime, account: Account) -> dict[str, str]:
    await Bedrock(account, "m").complete(ASKED)
    return runtime.requests[-1].headers


async def test_a_deployments_own_credentials_sign_whatever_the_machine_has(
    runtime: BedrockRuntime, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "the-platforms-token")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDPLATFORM")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-platforms-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:1")
    sent = await authorization(runtime, dataclasses.replace(account, session_token="the-session"))
    assert sent["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-central-1/bedrock/aws4_request" in sent["authorization"]
    assert sent["x-amz-security-token"] == "the-session"


async def test_a_bedrock_api_key_goes_as_a_bearer(runtime: BedrockRuntime) -> None:
    sent = await authorization(runtime, Account("eu-central-1", runtime.url, api_key="bedrock-key"))
    assert sent["authorization"] == "Bearer bedrock-key"


async def test_the_machines_credentials_serve_the_platforms_deployments_only(
    runtime: BedrockRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDPLATFORM")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-platforms-secret")
    bare = Account("eu-central-1", runtime.url)
    sent = await authorization(runtime, dataclasses.replace(bare, ambient=True))
    assert "Credential=AKIDPLATFORM/" in sent["authorization"]
    for account in (bare, dataclasses.replace(bare, access_key_id="AKIDHALF")):
        with pytest.raises(ProviderError) as failed:
            await Bedrock(account, "m").complete(ASKED)
        assert (failed.value.code, failed.value.temporary) == ("upstream_credentials", False)
    assert len(runtime.requests) == 1


async def test_a_machine_without_credentials_says_so(runtime: BedrockRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ProviderError) as failed:
        await Bedrock(Account("eu-west-3", runtime.url, ambient=True), "m").complete(ASKED)
    assert (failed.value.code, failed.value.message) == (
        "upstream_credentials",
        "The platform has no credentials for Amazon Bedrock.",
    )


async def test_secrets_are_no_part_of_an_accounts_text(account: Account) -> None:
    whole = dataclasses.replace(account, session_token="the-session", api_key="bedrock-key")
    for secret in ("AKIDEXAMPLE", "a-secret-key", "the-session", "bedrock-key"):
        assert secret not in repr(whole) and secret not in str(Bedrock(whole, "m"))
