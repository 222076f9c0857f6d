"""Amazon Bedrock by boto3: Converse and ConverseStream, embeddings by InvokeModel, guardrails.

boto3 waits in threads (`calls`), a bounded number of them; everything outside this package is asynchronous.
"""

from .account import Account
from .chat import Bedrock
from .embeddings import BedrockEmbeddings
from .guardrails import GuardrailVerdict, apply_guardrail

__all__ = ["Account", "Bedrock", "BedrockEmbeddings", "GuardrailVerdict", "apply_guardrail"]
