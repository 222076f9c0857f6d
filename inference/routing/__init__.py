"""Which deployment answers: by weight, the next one where trying again is safe."""

import random
from collections.abc import Iterator

from ..catalogue import NoDeployment, deployments_of
from ..embedding import local_minilm
from ..metering import count_tokens
from ..models import DeploymentBase
from ..providers.base import TextProvider
from ..providers.extractive import LocalExtractive
from ..providers.openai_compatible import OpenAICompatible

MAX_ATTEMPTS = 3


def candidates(model: str) -> Iterator[DeploymentBase]:
    """Deployments of `model` for the current tenant, in the order to try them; a lone one is tried again.

    Raises:
        NoDeployment: there is none.
    """
    rows = list(deployments_of(model))
    if not rows:
        raise NoDeployment(model)
    # Weighted order without replacement (Efraimidis and Spirakis, 2006).
    rows.sort(key=lambda row: random.random() ** (1 / row.weight), reverse=True)
    for attempt in range(MAX_ATTEMPTS):
        yield rows[attempt % len(rows)]


def provider_of(deployment: DeploymentBase) -> TextProvider:
    """The client for a chat deployment."""
    if deployment.provider == DeploymentBase.Provider.LOCAL_EXTRACTIVE:
        return LocalExtractive(embed=local_minilm().embed, count_tokens=count_tokens)
    return OpenAICompatible(base_url=deployment.base_url, model=deployment.upstream_model, api_key=deployment.api_key)
