"""As whom deployments at Bedrock call, and that a deployment's row shows none of it."""

from typing import Any

import pytest

from inference.bedrock_accounts import bedrock_account
from inference.models import Deployment, TenantDeployment
from inference.providers.base import Prompt, ProviderError
from inference.routing import provider_of
from tests.inference.bedrock.runtime import BedrockRuntime

ASKED = Prompt({"messages": [{"role": "user", "content": "hi"}]}, 9)


def row(kind: type[Any], **more: Any) -> Any:
    return kind(name="d", provider="bedrock", region="eu-west-1", upstream_model="anthropic.claude", **more)


async def test_a_row_becomes_a_client_with_its_credentials_and_a_variants_model(bedrock: BedrockRuntime) -> None:
    deployment = row(
        Deployment, base_url=bedrock.url, access_key_id="AKID", secret_access_key="key", session_token="session"
    )
    await provider_of(deployment, model="arn:custom").complete(ASKED)
    [asked] = bedrock.requests
    assert asked.path == "/model/arn:custom/converse"
    assert "Credential=AKID/" in asked.headers["authorization"] and "/eu-west-1/" in asked.headers["authorization"]
    assert asked.headers["x-amz-security-token"] == "session"


async def test_a_tenants_deployment_has_neither_the_machines_credentials_nor_an_address_of_its_choice(
    bedrock: BedrockRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDPLATFORM")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-platforms-secret")
    with pytest.raises(ProviderError) as failed:
        await provider_of(row(TenantDeployment, base_url=bedrock.url)).complete(ASKED)
    assert failed.value.code == "upstream_credentials"
    assert bedrock.requests == []
    assert bedrock_account(row(TenantDeployment, base_url=bedrock.url)).endpoint_url == ""
    assert bedrock_account(row(Deployment)).ambient


def test_neither_rows_nor_accounts_show_credentials() -> None:
    secrets = {name: f"the-{name}" for name in Deployment.CREDENTIALS}
    for deployment in (row(Deployment, **secrets), row(TenantDeployment, **secrets)):
        account = bedrock_account(deployment)
        said = f"{deployment} {deployment!r} {account} {account!r} {provider_of(deployment)!r}"
        assert not any(secret in said for secret in secrets.values())


@pytest.fixture
def bedrock() -> Any:
    server = BedrockRuntime()
    yield server
    server.close()
