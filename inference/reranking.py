"""Re-ranking models of servers that speak as Cohere, Jina and vLLM do: `POST {base}/rerank`, scores by index."""

import math
from collections.abc import Sequence
from typing import Any

import orjson
import urllib3
from django.conf import settings
from urllib3.exceptions import HTTPError

from knowledge.ports import RerankerUnavailable

from .catalogue import NoDeployment, deployments_of, granted_models
from .metering import count_tokens
from .models import DeploymentBase, Model

_MAX_ANSWER_BYTES = 1 << 20
_pool = urllib3.PoolManager(num_pools=20, maxsize=16, block=False, retries=False)


class RemoteReranker:
    """A re-ranking model behind one deployment."""

    def __init__(self, model: str, deployment: DeploymentBase) -> None:
        self.model = model
        self._url = deployment.base_url.rstrip("/") + "/rerank"
        self._upstream_model = deployment.upstream_model
        self._headers = {"content-type": "application/json"}
        if deployment.api_key:
            self._headers["authorization"] = f"Bearer {deployment.api_key}"

    def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """A score from 0 to 1 for each document, in their order.

        Raises:
            RerankerUnavailable: the server failed, refused, or did not answer in `SEARCH_PROVIDER_SECONDS`.
        """
        body = {"model": self._upstream_model, "query": query, "documents": list(documents), "top_n": len(documents)}
        return _scores(self._post(orjson.dumps(body)), len(documents))

    def count_tokens(self, query: str, documents: Sequence[str]) -> int:
        """An estimate by Atrium's own tokenizer: the model reads the query with each document."""
        return count_tokens(query) * len(documents) + sum(count_tokens(text) for text in documents)

    def _post(self, body: bytes) -> Any:
        timeout = urllib3.Timeout(connect=settings.UPSTREAM_CONNECT_SECONDS, total=settings.SEARCH_PROVIDER_SECONDS)
        try:
            answer = _pool.request(
                "POST",
                self._url,
                body=body,
                headers=self._headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
            )
            try:
                data = answer.read(_MAX_ANSWER_BYTES + 1)
            finally:
                answer.close()
        except HTTPError as error:
            raise RerankerUnavailable(f"The re-ranking model '{self.model}' cannot be reached.") from error
        if answer.status != 200 or len(data) > _MAX_ANSWER_BYTES:
            raise RerankerUnavailable(f"The server of the re-ranking model '{self.model}' answered {answer.status}.")
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise RerankerUnavailable(
                f"The re-ranking model '{self.model}' sent something that is not JSON."
            ) from error


def _scores(answer: Any, count: int) -> list[float]:
    """Scores by index. Some servers answer logits: where one lies outside 0 to 1, the logistic function maps them all."""
    try:
        found = {int(row["index"]): float(row["relevance_score"]) for row in answer["results"]}
        scores = [found[index] for index in range(count)]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RerankerUnavailable("The re-ranking model did not score every passage.") from error
    if not all(map(math.isfinite, scores)):
        raise RerankerUnavailable("The re-ranking model sent scores that are not numbers.")
    if all(0 <= score <= 1 for score in scores):
        return scores
    return [1 / (1 + math.exp(-max(-60.0, min(60.0, score)))) for score in scores]


def reranker_names() -> list[str]:
    """The aliases under which the current tenant has re-ranking models."""
    return sorted(row.alias for row in granted_models(Model.Kind.RERANK))


def reranker_for(alias: str) -> RemoteReranker | None:
    """The current tenant's re-ranking model of this alias; None where it has no such grant.

    Raises:
        NoDeployment: nothing serves it.
    """
    granted = next((row for row in granted_models(Model.Kind.RERANK) if row.alias == alias), None)
    if granted is None:
        return None
    deployments = deployments_of(granted.model.name)
    if not deployments:
        raise NoDeployment(granted.model.name)
    return RemoteReranker(granted.model.name, deployments[0])
