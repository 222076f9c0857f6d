"""Which deployment answers: by weight, the next one where trying again is safe."""

import random
from collections.abc import Sequence

from tenants.scope import current_tenant

from ..bedrock_accounts import bedrock_account
from ..catalogue import NoDeployment, deployments_of, remembered_deployments
from ..embedding import local_minilm
from ..metering import count_tokens
from ..models import DeploymentBase
from ..providers.base import TextProvider
from ..providers.bedrock import Bedrock
from ..providers.extractive import LocalExtractive
from ..providers.openai_chat import OpenAIChat
from ..providers.responses import OpenAIResponses
from ..threads import in_thread

MAX_ATTEMPTS = 3


async def candidates(model: str) -> list[DeploymentBase]:
    """Deployments of `model` for the current tenant, in the order to try them; a lone one is tried again.

    Raises:
        NoDeployment: there is none.
    """
    known = remembered_deployments(current_tenant(), model)
    return in_order(model, known if known is not None else await in_thread(deployments_of, model))


def in_order(model: str, deployments: Sequence[DeploymentBase]) -> list[DeploymentBase]:
    """The same, of `deployments`."""
    if not deployments:
        raise NoDeployment(model)
    # Weighted order without replacement (Efraimidis and Spirakis, 2006).
    rows = sorted(deployments, key=lambda row: random.random() ** (1 / row.weight), reverse=True)
    return [rows[attempt % len(rows)] for attempt in range(MAX_ATTEMPTS)]


def provider_of(deployment: DeploymentBase, *, model: str | None = None) -> TextProvider:
    """The client for a chat deployment; `model` is what it is asked for, where that is a variant."""
    kind, model = deployment.provider, model or deployment.upstream_model
    if kind == DeploymentBase.Provider.LOCAL_EXTRACTIVE:
        return LocalExtractive(embed=local_minilm().embed, count_tokens=count_tokens)
    if kind == DeploymentBase.Provider.BEDROCK:
        return Bedrock(bedrock_account(deployment), model)
    if kind == DeploymentBase.Provider.OPENAI_RESPONSES:
        return OpenAIResponses(base_url=deployment.base_url, model=model, api_key=deployment.api_key)
    return OpenAIChat(base_url=deployment.base_url, model=model, api_key=deployment.api_key)
