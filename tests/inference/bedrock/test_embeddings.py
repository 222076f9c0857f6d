"""Embeddings at Bedrock: what Titan and Cohere are sent, and what comes back."""

from typing import Any

import pytest

from inference.providers.base import ProviderError
from inference.providers.bedrock import Account, BedrockEmbeddings
from tests.inference.bedrock.runtime import BedrockRuntime


def test_titan_reads_a_text_a_request_and_keeps_their_order(runtime: BedrockRuntime, account: Account) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        return {"embedding": [float(len(body["inputText"])), 0.5], "inputTextTokenCount": len(body["inputText"])}

    runtime.answers["invoke"] = answer
    texts = ["a" * length for length in range(1, 12)]
    vectors, tokens = BedrockEmbeddings(account, "amazon.titan-embed-text-v2:0", 256).embed(texts)
    assert vectors == [[float(length), 0.5] for length in range(1, 12)]
    assert tokens == 66
    assert {asked.body["dimensions"] for asked in runtime.requests} == {256}
    assert runtime.requests[0].path == "/model/amazon.titan-embed-text-v2:0/invoke"


def test_titans_first_generation_is_not_asked_for_dimensions(runtime: BedrockRuntime, account: Account) -> None:
    runtime.answers["invoke"] = {"embedding": [1.0], "inputTextTokenCount": 1}
    BedrockEmbeddings(account, "amazon.titan-embed-text-v1", 1536).embed(["x"])
    assert runtime.requests[0].body == {"inputText": "x"}


@pytest.mark.parametrize("by_type", [True, False])
def test_cohere_reads_many_texts_a_request(runtime: BedrockRuntime, account: Account, by_type: bool) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        vectors = [[float(text)] for text in body["texts"]]
        return {"embeddings": {"float": vectors} if by_type else vectors}

    runtime.answers["invoke"] = answer
    texts = [str(number) for number in range(100)]
    vectors, tokens = BedrockEmbeddings(account, "cohere.embed-multilingual-v3", 1024).embed(texts)
    assert vectors == [[float(number)] for number in range(100)]
    assert sorted(len(asked.body["texts"]) for asked in runtime.requests) == [4, 96]
    # The server counts 6 in the header of each of two answers.
    assert tokens == 12
    assert runtime.requests[0].body["input_type"] == "search_document"


@pytest.mark.parametrize("answer", [[], {}, {"embeddings": {}}, {"embeddings": []}])
def test_an_answer_without_vectors_is_garbage(runtime: BedrockRuntime, account: Account, answer: Any) -> None:
    runtime.answers["invoke"] = answer
    with pytest.raises(ProviderError) as failed:
        BedrockEmbeddings(account, "cohere.embed-v4:0", 256).embed(["a", "b"])
    assert failed.value.code == "upstream_garbage"


def test_tokens_and_a_model_of_another_family_are_refused_before_anything_is_sent(
    runtime: BedrockRuntime, account: Account
) -> None:
    with pytest.raises(ProviderError, match="no arrays of tokens") as refused:
        BedrockEmbeddings(account, "amazon.titan-embed-text-v2:0", 3).embed([[1, 2]])
    assert (refused.value.status, refused.value.param) == (400, "input")
    with pytest.raises(ProviderError, match="Titan and Cohere"):
        BedrockEmbeddings(account, "mystery.embed", 3).embed(["a"])
    assert runtime.requests == []
