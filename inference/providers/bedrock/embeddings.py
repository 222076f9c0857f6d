"""Embedding models at Amazon Bedrock, by InvokeModel: Amazon's Titan and Cohere's Embed.

Called from threads, like every embedder. Titan reads one text a request, Cohere up to 96.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, cast

import orjson

from ..base import ProviderError
from ..refusing import cannot
from .account import Account, runtime
from .failures import translated

_COHERE_TEXTS = 96
_REQUESTS_AT_ONCE = 8
_TOKEN_COUNT = "x-amzn-bedrock-input-token-count"


@lru_cache(maxsize=1)
def _connections() -> ThreadPoolExecutor:
    """Apart from the threads of chats, which ingestion must not crowd out."""
    return ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="bedrock-embedding")


class BedrockEmbeddings:
    """One deployment. `dimensions`: what the catalogue says; asked of the models that can give several."""

    def __init__(self, account: Account, model: str, dimensions: int) -> None:
        self._account = account
        self._model = model
        self._dimensions = dimensions

    def embed(self, texts: Sequence[str] | Sequence[list[int]]) -> tuple[list[Any], int]:
        """(vectors, prompt tokens) of `texts`, in their order.

        Raises:
            ProviderError: it failed; or the model's id names neither family, so that nobody knows what to send it.
        """
        if not all(isinstance(text, str) for text in texts):
            raise cannot("Amazon Bedrock", "reads texts, no arrays of tokens", "input")
        bodies = self._bodies(cast(Sequence[str], texts))
        asked = [self._invoke(bodies[0])] if len(bodies) == 1 else _connections().map(self._invoke, bodies)
        vectors, tokens = [], 0
        for found, count in asked:
            vectors += found
            tokens += count
        if len(vectors) != len(texts):
            raise ProviderError("Amazon Bedrock sent another number of embeddings.", code="upstream_garbage")
        return vectors, tokens

    def _bodies(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        if "titan-embed" in self._model:
            return [{"inputText": text, **self._titan_options()} for text in texts]
        if "cohere.embed" in self._model:
            starts = range(0, len(texts), _COHERE_TEXTS)
            return [{"texts": list(texts[start : start + _COHERE_TEXTS]), **self._cohere_options()} for start in starts]
        text = "Of Amazon Bedrock's embedding models Titan and Cohere are known, by their model ids or ARNs."
        raise ProviderError(text, code="upstream_model_missing", temporary=False)

    def _titan_options(self) -> dict[str, Any]:
        # The first generation gives 1,536 numbers and refuses to be asked for any number.
        return {"dimensions": self._dimensions} if "titan-embed-text-v2" in self._model else {}

    def _cohere_options(self) -> dict[str, Any]:
        options = {"input_type": "search_document", "embedding_types": ["float"], "truncate": "END"}
        return {**options, "output_dimension": self._dimensions} if "embed-v4" in self._model else options

    def _invoke(self, body: dict[str, Any]) -> tuple[list[Any], int]:
        with translated():
            answer = runtime(self._account).invoke_model(
                modelId=self._model, body=orjson.dumps(body), contentType="application/json", accept="application/json"
            )
            counted = answer["ResponseMetadata"]["HTTPHeaders"].get(_TOKEN_COUNT) or 0
            read = orjson.loads(answer["body"].read())
            if "embedding" in read:
                return [read["embedding"]], int(read.get("inputTextTokenCount") or counted)
            found = read["embeddings"]
            return (found["float"] if isinstance(found, dict) else found), int(counted)
