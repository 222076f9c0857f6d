"""As whom a deployment at Amazon Bedrock calls."""

from .models import DeploymentBase, TenantDeployment
from .providers.bedrock import Account


def bedrock_account(deployment: DeploymentBase) -> Account:
    """Its own credentials; where it has none, the machine's, but never for a tenant's deployment."""
    return Account(
        region=deployment.region,
        endpoint_url=deployment.base_url,
        access_key_id=deployment.access_key_id,
        secret_access_key=deployment.secret_access_key,
        session_token=deployment.session_token,
        api_key=deployment.api_key,
        ambient=not isinstance(deployment, TenantDeployment),
    )
