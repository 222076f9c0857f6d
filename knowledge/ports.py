"""What knowledge needs of the apps above it, declared here and wired by `config`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


class RerankerUnavailable(ServiceUnavailable):
    """The re-ranking model is away for the moment; trying again later helps. Implementations raise it."""

    code = "reranker_unavailable"


class Reranker(Protocol):
    """A model that reads a query and a passage together and scores how well it answers. Never called in a scope."""

    #: The name that the catalogue and the prices use.
    @property
    def model(self) -> str: ...

    def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """A score from 0 to 1 for each document, in their order; bounded in time.

        Raises:
            RerankerUnavailable: temporary.
        """

    def count_tokens(self, query: str, documents: Sequence[str]) -> int:
        """Tokens that it will read, as they are priced."""


@dataclass(frozen=True)
class Written:
    """What a model wrote, None where it failed, and the tokens that it is to be paid for."""

    text: str | None
    input_tokens: int = 0
    output_tokens: int = 0


class TextModel(Protocol):
    """A chat model that writes queries for the search. Never called in a scope."""

    #: The name that the catalogue and the prices use.
    @property
    def model(self) -> str: ...

    def most_tokens(self, queries: Sequence[str]) -> tuple[int, int]:
        """The most input and output tokens that rewriting may take."""

    def rewrite(self, queries: Sequence[str]) -> list[Written]:
        """What it wrote for each of `queries`, in their order, as it came; bounded in time, all together.

        A server that fails, refuses or is late is no error: nothing was written then.
        """


EmbedderSource = Callable[[str], Embedder]
RerankerSource = Callable[[str], Reranker | None]
RerankerNames = Callable[[], list[str]]
TextModelSource = Callable[[], TextModel | None]


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


_reranker_source: RerankerSource | None = None


def wire_reranker(reranker_source: RerankerSource) -> None:
    """Say where re-ranking models come from: a function of the alias; None where the tenant has no such grant."""
    global _reranker_source
    _reranker_source = reranker_source


def reranker_for(alias: str) -> Reranker | None:
    """The current tenant's re-ranking model of this alias; None where there is none."""
    if _reranker_source is None:
        raise NotWired("knowledge.ports.wire_reranker() was not called")
    return _reranker_source(alias)


_reranker_names: RerankerNames | None = None


def wire_reranker_names(names: RerankerNames) -> None:
    """Say which aliases of re-ranking models the current tenant has."""
    global _reranker_names
    _reranker_names = names


def reranker_names() -> list[str]:
    """The aliases of the current tenant's re-ranking models."""
    if _reranker_names is None:
        raise NotWired("knowledge.ports.wire_reranker_names() was not called")
    return _reranker_names()


_text_model_source: TextModelSource | None = None


def wire_text_model(text_model_source: TextModelSource) -> None:
    """Say where the model that rewrites queries comes from; None where the tenant has none that writes."""
    global _text_model_source
    _text_model_source = text_model_source


def text_model() -> TextModel | None:
    """The current tenant's model that rewrites queries; None where there is none."""
    if _text_model_source is None:
        raise NotWired("knowledge.ports.wire_text_model() was not called")
    return _text_model_source()
