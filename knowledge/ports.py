"""What knowledge needs of the apps above it, declared here and wired by `config`."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from tenants.errors import AtriumError, ServiceUnavailable

DEFAULT_MODEL = "all-MiniLM-L6-v2"


class EmbedderUnavailable(ServiceUnavailable):
    """The embedding model is away for the moment; trying again later helps. Implementations raise it."""


class SpaceChanged(AtriumError):
    """A store's vectors are of another version of its model than the one that is served."""

    status = 409
    type = "invalid_request_error"
    code = "embedding_space_changed"

    def __init__(self, space: str) -> None:
        super().__init__(
            f"The store was made with {space}, which is no longer served. Set its 'embedding_model' to embed it anew."
        )


class Embedder(Protocol):
    """An embedding model. May be shared by threads; `embed` may take seconds, so it is never called in a scope."""

    #: The name that the catalogue and the prices use.
    @property
    def model(self) -> str: ...

    #: `model@version`: vectors are comparable within one space.
    @property
    def space(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    #: What one text may hold; more is not seen.
    @property
    def max_tokens(self) -> int: ...

    #: How many texts keep it busy for a second or so: a long document is cut into parts of as many.
    @property
    def texts_at_once(self) -> int: ...

    #: Whether its price counts the word pieces that chunking counts anyway.
    @property
    def counts_word_pieces(self) -> bool: ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (len(texts), dimensions), in the order of `texts`.

        Raises:
            EmbedderUnavailable: temporary.
        """

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` as they are priced."""


EmbedderSource = Callable[[str], Embedder]


class NotWired(RuntimeError):
    """A port was used before `config` gave it an implementation."""


_source: EmbedderSource | None = None


def wire(embedder_source: EmbedderSource) -> None:
    """Say where embedders come from: a function of the model's name, called inside `acting_for(tenant)`.

    It raises an AtriumError for a model that the current tenant may not use.
    """
    global _source
    _source = embedder_source


def embedder_for(model: str) -> Embedder:
    """The current tenant's embedder of this name."""
    if _source is None:
        raise NotWired("knowledge.ports.wire() was not called")
    return _source(model)
