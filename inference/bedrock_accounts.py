"""As whom a deployment at Amazon Bedrock calls."""

from .models import DeploymentBase, TenantDeployment
from .providers.bedrock import Account


def bedrock_account(deployment: DeploymentBase) -> Account:
    """Its own credentials; where it has none, the machine's.

    A tenant's deployment never gets the machine's, and always goes to its region's own address: another one would be
    reached from inside the platform's network.
    """
    tenants_own = isinstance(deployment, TenantDeployment)
    return Account(
        region=deployment.region,
        endpoint_url="" if tenants_own else deployment.base_url,
        access_key_id=deployment.access_key_id,
        secret_access_key=deployment.secret_access_key,
        session_token=deployment.session_token,
        api_key=deployment.api_key,
        ambient=not tenants_own,
    )
