"""The paths of the hot path."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import generations
from .admission import Asker, Offer, offer_chat, offer_embeddings
from .http_answer import chat_error
from .prompts import Expanded
from .prompts.calls import chat_body
from .responses import kept
from .responses.asking import needs_reading, offer_response
from .responses.prompted import response_body
from .responses.transcript import response_error
from .terms import Terms


@dataclass(frozen=True)
class Endpoint:
    """A path of the hot path: the key scope it needs, and what it reserves for."""

    kind: str
    model_kind: str
    offer: Callable[[bytes, Terms, Asker], Offer]
    #: A body that names a prompt, as the one it stands for.
    expand: Callable[[dict[str, Any], Expanded], dict[str, Any]] | None = None
    #: Whether the offer for this body may have to read the database, so that it belongs into a thread.
    reads: Callable[[dict[str, Any]], bool] = lambda data: False
    #: An error's body and the events before it → the last event of a stream that broke off.
    stream_error: Callable[[bytes, bytes], bytes] = chat_error
    #: The first answer to an idempotency key that was used before.
    replay: Callable[..., dict[str, Any]] = generations.replay


ENDPOINTS = {
    "/v1/chat/completions": Endpoint("chat", "chat", lambda body, terms, _: offer_chat(body, terms), chat_body),
    "/v1/embeddings": Endpoint("embeddings", "embedding", lambda body, terms, _: offer_embeddings(body, terms)),
    "/v1/responses": Endpoint(
        "response", "chat", offer_response, response_body, needs_reading, response_error, kept.replay
    ),
}
