"""A Bedrock runtime on this machine, and an account there."""

from collections.abc import Iterator

import pytest

from inference.providers.bedrock import Account
from tests.inference.bedrock.runtime import BedrockRuntime


@pytest.fixture
def runtime() -> Iterator[BedrockRuntime]:
    server = BedrockRuntime()
    yield server
    server.close()


@pytest.fixture
def account(runtime: BedrockRuntime) -> Account:
    return Account("eu-central-1", runtime.url, access_key_id="AKIDEXAMPLE", secret_access_key="a-secret-key")
