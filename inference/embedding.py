"""Embedding models behind `knowledge.ports.Embedder`: the one inside Atrium, and those of servers."""

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import stamina
from django.conf import settings

from knowledge.ports import Embedder, EmbedderUnavailable
from tenants.errors import InvalidRequest

from .bedrock_accounts import bedrock_account
from .catalogue import NoDeployment, UnknownModel, deployments_of, granted_models
from .metering import count_tokens
from .models import DeploymentBase, Model
from .providers import minilm
from .providers.base import ProviderError
from .providers.bedrock import BedrockEmbeddings
from .providers.minilm import MiniLM
from .providers.openai_compatible import OpenAICompatible
from .requests import EmbeddingsRequest

_REQUEST_TEXTS = 128
_REQUESTS_AT_ONCE = 8
_ATTEMPTS = 3
_LONGEST_WAIT = 5.0  # seconds; a server that wants to be left alone for longer is asked again by the next run


@lru_cache(maxsize=1)
def _connections() -> ThreadPoolExecutor:
    """The threads of this process that wait for embedding servers."""
    return ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="embedding")


def _again(error: Exception) -> bool | float:
    """Whether another try may help, and after how many seconds where the server says it."""
    if not isinstance(error, ProviderError) or not error.temporary:
        return False
    if not error.retry_after:
        return True
    return error.retry_after if error.retry_after <= _LONGEST_WAIT else False


@lru_cache(maxsize=1)
def local_minilm() -> MiniLM:
    """The process's one copy of the embedded model; loaded on first use."""
    return MiniLM(settings.VAR / "models")


class LocalEmbedder:
    """all-MiniLM-L6-v2 inside this process."""

    model = "all-MiniLM-L6-v2"
    provider = str(DeploymentBase.Provider.LOCAL_MINILM)
    space = "all-MiniLM-L6-v2@1"
    dimensions = minilm.DIMENSIONS
    max_tokens = minilm.MAX_WORD_PIECES
    texts_at_once = 32
    counts_word_pieces = True

    def embed(self, passages: Sequence[str] | Sequence[list[int]]) -> np.ndarray:
        """float32 (n, 384), L2-normalised.

        Raises:
            InvalidRequest: token arrays, which are of another vocabulary than this model's.
        """
        texts = [passage for passage in passages if isinstance(passage, str)]
        if len(texts) < len(passages):
            raise InvalidRequest(
                f"'{self.model}' reads text, not token arrays: send 'input' as text (in LangChain: "
                "OpenAIEmbeddings(check_embedding_ctx_length=False)).",
                param="input",
            )
        return local_minilm().embed(texts)

    def embed_counted(self, passages: Sequence[str] | Sequence[list[int]]) -> tuple[np.ndarray, int]:
        """Also the word pieces of `passages`."""
        return self.embed(passages), _counted(self, passages)

    def count_tokens(self, text: str) -> int:
        """Word pieces of `text`."""
        return local_minilm().count_tokens(text)


def _counted(embedder: Embedder, passages: Sequence[str] | Sequence[list[int]]) -> int:
    return sum(embedder.count_tokens(passage) if isinstance(passage, str) else len(passage) for passage in passages)


class RemoteEmbedder:
    """An embedding model of an OpenAI-compatible server or of Amazon Bedrock."""

    max_tokens = 8_192
    texts_at_once = 512
    counts_word_pieces = True  # an estimate: the upstream's own tokenizer is not known here

    def __init__(self, model: str, dimensions: int, deployment: DeploymentBase) -> None:
        self.model = model
        self.provider = deployment.provider
        self.space = f"{model}@1"
        self.dimensions = dimensions
        self._client = _client_of(deployment, dimensions)

    def embed(self, passages: Sequence[str] | Sequence[list[int]]) -> np.ndarray:
        """float32 (n, dimensions), as the server gives them; many passages in several requests at once.

        Token arrays are passed on: their vocabulary is between the client and the server.

        A request that fails for the moment is tried again after a moment, which is longer where the server says so.

        Raises:
            EmbedderUnavailable: the server failed; temporary.
            InvalidRequest: it refused the passages, or answered with other dimensions.
        """
        return self.embed_counted(passages)[0]

    def embed_counted(self, passages: Sequence[str] | Sequence[list[int]]) -> tuple[np.ndarray, int]:
        """Also the tokens of `passages` as the server counted them; where it did not, by our own count."""
        requests = [passages[start : start + _REQUEST_TEXTS] for start in range(0, len(passages), _REQUEST_TEXTS)]
        try:
            answers = [self._ask(requests[0])] if len(requests) == 1 else list(_connections().map(self._ask, requests))
        except ProviderError as error:
            if error.status == 400:
                raise InvalidRequest(error.message, param=error.param) from error
            raise EmbedderUnavailable(error.message) from error
        if not answers:
            return np.empty((0, self.dimensions), np.float32), 0
        return np.concatenate([vectors for vectors, _ in answers]), sum(tokens for _, tokens in answers)

    def _ask(self, passages: Sequence[str] | Sequence[list[int]]) -> tuple[np.ndarray, int]:
        for attempt in stamina.retry_context(on=_again, attempts=_ATTEMPTS, wait_initial=0.2, wait_max=2.0):
            with attempt:
                vectors, tokens = self._client.embed(passages)
        try:
            found = np.asarray(vectors, dtype=np.float32)
        except (TypeError, ValueError):
            found = np.empty(0, np.float32)  # vectors of different lengths, or of something else than numbers
        if found.shape != (len(passages), self.dimensions) or not np.isfinite(found).all():
            raise InvalidRequest(f"'{self.model}' answered with vectors that are not {self.dimensions} finite numbers.")
        return found, tokens if tokens > 0 else _counted(self, passages)

    def count_tokens(self, text: str) -> int:
        """An estimate by Atrium's own tokenizer."""
        return count_tokens(text)


def _client_of(deployment: DeploymentBase, dimensions: int) -> BedrockEmbeddings | OpenAICompatible:
    model = deployment.upstream_model
    if deployment.provider == DeploymentBase.Provider.BEDROCK:
        return BedrockEmbeddings(bedrock_account(deployment), model, dimensions)
    return OpenAICompatible(base_url=deployment.base_url, model=model, api_key=deployment.api_key)


def embedder_for(model: str) -> LocalEmbedder | RemoteEmbedder:
    """The current tenant's embedder for a model of the catalogue.

    Raises:
        UnknownModel: it is not granted, or no embedding model.
        NoDeployment: nothing serves it.
    """
    if model == LocalEmbedder.model:
        return LocalEmbedder()
    grant = next((row for row in granted_models(Model.Kind.EMBEDDING) if row.model.name == model), None)
    if grant is None:
        raise UnknownModel(f"The embedding model '{model}' does not exist or is not granted.", param="embedding_model")
    deployments = deployments_of(model)
    if not deployments:
        raise NoDeployment(model)
    return RemoteEmbedder(model, grant.model.dimensions or 0, deployments[0])


def embeddings_json(request: EmbeddingsRequest, *, model: str, alias: str) -> tuple[dict[str, Any], int, str]:
    """The answer in OpenAI's shape, the tokens that were embedded, and who bills the platform for them.

    Raises:
        InvalidRequest: other dimensions than the model's were asked for, or it cannot read token arrays.
    """
    embedder = embedder_for(model)
    if request.dimensions not in (None, embedder.dimensions):
        raise InvalidRequest(f"'{alias}' has {embedder.dimensions} dimensions.", param="dimensions")
    passages = request.passages()
    vectors, tokens = embedder.embed_counted(passages)
    encode = _base64 if request.encoding_format == "base64" else _floats
    data = [{"object": "embedding", "index": index, "embedding": encode(row)} for index, row in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": alias, "usage": usage}, tokens, embedder.provider


def _floats(vector: np.ndarray) -> Any:
    return vector.tolist()


def _base64(vector: np.ndarray) -> str:
    """Little-endian float32, as the SDK decodes it."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
