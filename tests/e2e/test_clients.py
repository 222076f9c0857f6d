"""LangChain's and LlamaIndex's OpenAI clients against the running stack: programs as a customer writes them.

They run in an environment of their own (`make verify-clients`), with an address and a key. One thing more is set:
`TIKTOKEN_CACHE_DIR`, because tiktoken would download the vocabulary that LlamaIndex's wheel holds.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from config.supervisor import ROOT
from tests.e2e.conftest import PRICE, Atrium, Tenant
from tests.e2e.upstream import WORDS

pytestmark = [pytest.mark.e2e, pytest.mark.clients]

PYTHON = ROOT / ".clients/bin/python"
TEXT = "".join(WORDS)
#: What the fake upstream says of each call.
ANSWER = {"text": TEXT, "usage": [7, 10]}
CALL = ["weather", {"city": "Oslo"}]
WEATHER = {"city": "Oslo", "degrees": 4}


@pytest.fixture(scope="module")
def tenant(atrium: Atrium) -> Tenant:
    """Its grants are called as OpenAI's models are, because LlamaIndex refuses other names before it asks."""
    register = ("register_model", "--base-url", atrium.upstream.url, "--name")
    atrium.manage(*register, "gpt-4o-mini", "--input-price", PRICE, "--output-price", PRICE)
    # It sees, which an operator says in the admin.
    atrium.sql(
        "UPDATE inference_model SET capabilities = capabilities || '{vision}' WHERE name = 'gpt-4o-mini' RETURNING 1"
    )
    embedding = ("--kind", "embedding", "--dimensions", "4", "--embedding-price", PRICE)
    atrium.manage(*register, "text-embedding-3-small", *embedding)
    made = atrium.new_tenant(budget="1000")
    for model in ("gpt-4o-mini", "text-embedding-3-small"):
        atrium.manage("grant_model", "--tenant", made.slug, "--model", model)
    return made


def run(program: str, tenant: Tenant) -> dict[str, Any]:
    """What the program printed."""
    cache = next((PYTHON.parent.parent / "lib").glob("python3*/site-packages/llama_index/core/_static/tiktoken_cache"))
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ended = subprocess.run(
        [PYTHON, Path(__file__).parents[1] / "clients" / program, f"{tenant.url}/v1", tenant.key],
        env=environment | {"TIKTOKEN_CACHE_DIR": str(cache)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_langchain_works_unchanged(atrium: Atrium, tenant: Tenant) -> None:
    found = run("langchain_app.py", tenant)
    assert found["invoke"] == found["ainvoke"] == found["responses"] == ANSWER
    assert found["stream"] == found["responses_stream"] == {**ANSWER, "parts": len(WORDS)}
    assert (found["batch"], found["image"], found["astream"]) == ([TEXT, TEXT], TEXT, TEXT)
    assert found["tools"] == {"call": CALL, "streamed": [CALL], "answer": TEXT}
    assert found["structured"] == WEATHER
    assert found["refused"] == [[404, "model_not_found"], [401, "invalid_api_key"]]
    # The upstream's vectors begin with how many tokens each text had, by cl100k_base.
    assert found["embeddings"] == {
        "documents": [[2, 0.5, 0.5, 0.5], [5, 0.5, 0.5, 0.5]], "query": [2, 0.5, 0.5, 0.5], "built_in": 384,
    }  # fmt: skip
    atrium.settled(tenant)
    query = (
        "SELECT quantity FROM billing_usagerecord WHERE tenant_id = %s AND model = 'text-embedding-3-small' ORDER BY 1"
    )
    # Metered by the server's own count: three a text.
    assert atrium.sql(query, tenant.id) == [(3,), (3 + 3,)]


def test_llama_index_works_unchanged(tenant: Tenant) -> None:
    found = run("llama_index_app.py", tenant)
    plain = ("complete", "stream_complete", "chat", "stream_chat", "achat", "acomplete", "astream_chat")
    assert {found[name] for name in (*plain, "responses", "responses_stream")} == {TEXT}
    assert found["tools"] == {"call": CALL, "answer": "4 degrees in Oslo"}
    assert found["structured"] == WEATHER
    # These are sent as text; the upstream's vectors begin with its length.
    assert found["embeddings"] == {
        "documents": [[11, 0.5, 0.5, 0.5], [23, 0.5, 0.5, 0.5]], "query": [11, 0.5, 0.5, 0.5], "async": [11, 0.5, 0.5, 0.5],
    }  # fmt: skip
