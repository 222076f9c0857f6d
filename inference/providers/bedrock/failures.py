"""What botocore raises, as a `ProviderError`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.eventstream import ParserError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from urllib3.exceptions import HTTPError
from urllib3.exceptions import ReadTimeoutError as StreamReadTimeout

from ..base import ProviderError

_CREDENTIALS = frozenset(
    {
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "InvalidClientTokenId",
        "ExpiredTokenException",
        "ExpiredToken",
        "MissingAuthenticationTokenException",
        "IncompleteSignature",
    }
)
_OVERLOADED = frozenset(
    {"ThrottlingException", "TooManyRequestsException", "ServiceQuotaExceededException", "ModelNotReadyException"}
)
_TOO_LONG = ("input is too long", "maximum context length", "exceeds the context", "prompt is too long")
_NO_SUCH_MODEL = ("model identifier", "on-demand throughput", "end of its life")


@contextmanager
def translated() -> Iterator[None]:
    """Whatever boto3 raises inside comes out as a `ProviderError`."""
    try:
        yield
    except ClientError as error:
        raise refusal(error.response) from error
    except (NoCredentialsError, CredentialRetrievalError) as error:
        text = "The platform has no credentials for Amazon Bedrock."
        raise ProviderError(text, code="upstream_credentials", temporary=False) from error
    except (ReadTimeoutError, StreamReadTimeout) as error:
        raise ProviderError("Amazon Bedrock did not answer in time.", code="upstream_timeout", status=504) from error
    except (ConnectTimeoutError, EndpointConnectionError) as error:
        raise ProviderError("Amazon Bedrock cannot be reached.", code="upstream_unreachable", status=503) from error
    except ParamValidationError as error:
        text = f"Amazon Bedrock does not take this request: {error.kwargs.get('report', '')}"
        raise ProviderError(text[:2000], code="upstream_refused", status=400, temporary=False) from error
    except ParserError as error:
        raise ProviderError("Amazon Bedrock sent a damaged event.", code="upstream_garbage") from error
    except (HTTPClientError, HTTPError, OSError) as error:
        raise ProviderError("The connection to Amazon Bedrock broke.", code="upstream_broke_off") from error
    except (BotoCoreError, ValueError, KeyError, TypeError, AttributeError) as error:
        # What boto3 makes of bytes that are no answer: it assumes that the service keeps to its model.
        raise ProviderError("Amazon Bedrock sent an answer that is none.", code="upstream_garbage") from error


def refusal(response: dict[str, Any]) -> ProviderError:
    """An error that Bedrock answered, also in the middle of a stream, where its name begins with a small letter."""
    error = response.get("Error") or {}
    code, message = str(error.get("Code") or ""), str(error.get("Message") or "")[:2000]
    code = code[:1].upper() + code[1:]
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    if code in _CREDENTIALS or status in (401, 403):
        text = "The credentials for this model were refused by Amazon Bedrock."
        return ProviderError(text, code="upstream_credentials", temporary=False)
    if code in _OVERLOADED or status == 429:
        return ProviderError(
            "The model is overloaded at Amazon Bedrock.", code="upstream_rate_limited", status=503,
            retry_after=_retry_after(response),
        )  # fmt: skip
    if code == "ModelTimeoutException":
        return ProviderError("The model took too long at Amazon Bedrock.", code="upstream_timeout", status=504)
    if code == "ResourceNotFoundException" or (code == "ValidationException" and _says(message, _NO_SUCH_MODEL)):
        return ProviderError("Amazon Bedrock does not know the model.", code="upstream_model_missing", temporary=False)
    if code == "ValidationException":
        reason = "context_length_exceeded" if _says(message, _TOO_LONG) else "upstream_refused"
        text = message or "Amazon Bedrock refused the request."
        return ProviderError(text, code=reason, status=400, temporary=False)
    return ProviderError("The model failed at Amazon Bedrock.", code="upstream_error")


def _says(message: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in message.lower() for phrase in phrases)


def _retry_after(response: dict[str, Any]) -> float:
    headers = (response.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
    after = str(headers.get("retry-after", ""))
    return float(after) if after.replace(".", "", 1).isdecimal() and after.isascii() else 1.0
