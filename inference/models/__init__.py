"""What it says: the catalogue of models and deployments, the tenants' grants and variants, generations, batches."""

from .attempts import InferenceAttempt
from .batches import Batch, BatchLine
from .call_sums import CallHour, CallMark
from .catalogue import Capability, Deployment, DeploymentBase, Fallback, Grant, Model, OwnAccountPrice, TenantDeployment
from .conversations import Conversation, ConversationItem
from .feedback import Feedback
from .generations import Generation
from .prompts import Prompt, PromptLabel, PromptLabelMove, PromptVersion
from .response_cache import CachedResponse, CachePolicy
from .safety import SafetyPolicy, Screening
from .variants import VARIANT_PREFIX, Variant

__all__ = [
    "VARIANT_PREFIX",
    "Batch",
    "BatchLine",
    "CachePolicy",
    "CachedResponse",
    "CallHour",
    "CallMark",
    "Capability",
    "Conversation",
    "ConversationItem",
    "Deployment",
    "DeploymentBase",
    "Fallback",
    "Feedback",
    "Generation",
    "Grant",
    "InferenceAttempt",
    "Model",
    "OwnAccountPrice",
    "Prompt",
    "PromptLabel",
    "PromptLabelMove",
    "PromptVersion",
    "SafetyPolicy",
    "Screening",
    "TenantDeployment",
    "Variant",
]
