"""What it says: the catalogue of models and deployments, the tenants' grants, and generations."""

from .catalogue import Deployment, DeploymentBase, Grant, Model, TenantDeployment
from .generations import Generation

__all__ = ["Deployment", "DeploymentBase", "Generation", "Grant", "Model", "TenantDeployment"]
