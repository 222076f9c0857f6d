"""Which deployment answers a call, and which the next, where trying again is safe.

`attempts` goes along with one call; `board` is what the workers know together, kept in Redis by `scripts`; `strategies`
put deployments in order; `health` asks those that failed whether they are back.
"""

from collections.abc import Sequence

from ..bedrock_accounts import bedrock_account
from ..catalogue import NoDeployment
from ..embedding import local_minilm
from ..metering import count_tokens
from ..models import DeploymentBase, TenantDeployment
from ..providers.base import TextProvider
from ..providers.bedrock import Bedrock
from ..providers.extractive import LocalExtractive
from ..providers.openai_chat import OpenAIChat
from ..providers.responses import OpenAIResponses
from .strategies import by_weight

MAX_ATTEMPTS = 3


def in_order(model: str, deployments: Sequence[DeploymentBase]) -> list[DeploymentBase]:
    """`deployments` of `model` in the order to try them, by weight; a lone one is tried again.

    For short texts inside a search; a call's own attempts are `routing.attempts`.

    Raises:
        NoDeployment: there is none.
    """
    if not deployments:
        raise NoDeployment(model)
    rows = by_weight(deployments)
    return [rows[attempt % len(rows)] for attempt in range(MAX_ATTEMPTS)]


def provider_of(deployment: DeploymentBase, *, model: str | None = None) -> TextProvider:
    """The client for a chat deployment; `model` is what it is asked for, where that is a variant.

    A tenant's own deployment is reached at public addresses only.
    """
    kind, model = deployment.provider, model or deployment.upstream_model
    if kind == DeploymentBase.Provider.LOCAL_EXTRACTIVE:
        return LocalExtractive(embed=local_minilm().embed, count_tokens=count_tokens)
    if kind == DeploymentBase.Provider.BEDROCK:
        return Bedrock(bedrock_account(deployment), model)
    client = OpenAIResponses if kind == DeploymentBase.Provider.OPENAI_RESPONSES else OpenAIChat
    public = isinstance(deployment, TenantDeployment)
    return client(base_url=deployment.base_url, model=model, api_key=deployment.api_key, public=public)
