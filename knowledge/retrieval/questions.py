"""A search, checked before anything is spent on it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from django.db.models import Exists, OuterRef

from tenants.errors import InvalidRequest, NotFound
from tenants.scope import tenant_scope

from ..attributes import storable
from ..lifetime import StoreExpired, has_expired
from ..models import VectorStore, VectorStoreFile
from ..ports import DEFAULT_MODEL, Embedder, SpaceChanged, TextModel, embedder_for, reranker_for, text_model
from .reranking import READ, Reranking

MAX_RESULTS, MAX_NEIGHBORS = 50, 5
MAX_WORDINGS, MAX_QUERY_CHARACTERS = 8, 8192
#: What `ranker` may be. OpenAI's three all mean the fusion of both lists.
HYBRID = ("auto", "default-2024-11-15", "none", "hybrid")
DENSE, LEXICAL = "dense", "lexical"
_ACTIVE_EVERY = timedelta(hours=1)


class Options(TypedDict, total=False):
    """What a search may be told beside stores and query; what is left out has the default of `prepare`."""

    limit: int
    filters: Mapping[str, Any] | None
    ranker: str
    score_threshold: float
    mmr_lambda: float
    neighbors: int
    groups: Collection[str]
    rewrite: bool


@dataclass(frozen=True)
class Question:
    """A checked search. `languages` are those of the stores' chunks, counted (see `languages`)."""

    store_ids: list[UUID]
    chunks: int  # in these stores
    wordings: list[str]
    languages: dict[str, int]
    space_id: UUID
    embedder: Embedder
    tokens: int
    limit: int
    ranker: str
    score_threshold: float
    mmr_lambda: float
    neighbors: int
    reranking: Reranking | None
    filters: Mapping[str, Any] | None
    groups: list[str]
    #: Who writes the wordings anew before they are searched (see `rewriting`); None: they are searched as they are.
    writer: TextModel | None
    #: Whether any file of the stores is kept to groups. Most stores have none, and pay nothing for those that do.
    restricted: bool

    @property
    def asks_provider(self) -> bool:
        """Whether another server has to answer before this search can."""
        remote = self.tokens > 0 and self.embedder.model != DEFAULT_MODEL
        return self.writer is not None or self.reranking is not None or remote

    def reworded(self, wordings: list[str]) -> "Question":
        """The same search for other wordings."""
        return replace(self, wordings=wordings, tokens=_tokens(self.ranker, self.embedder, wordings))


def prepare(
    *,
    store_ids: Sequence[UUID],
    query: str | Sequence[str],
    limit: int = 10,
    filters: Mapping[str, Any] | None = None,
    ranker: str = "auto",
    score_threshold: float = 0.0,
    mmr_lambda: float = 1.0,
    neighbors: int = 0,
    groups: Collection[str] = (),
    rewrite: bool = False,
) -> Question:
    """Check a search and count the tokens it will embed.

    Args:
        query: one wording, or several of the same question.
        filters: OpenAI's comparison and compound filters on the files' attributes.
        ranker: one of `HYBRID`, `dense` or `lexical`, or the alias of a granted re-ranking model (see `reranking`).
        score_threshold: what scores below is left out; `fusion` says what scores mean.
        mmr_lambda: below 1, passages unlike each other are preferred (see `diversity`).
        neighbors: how many chunks before and after a passage are answered with it.
        groups: the caller's; files that are kept to other groups do not take part (see `access`).
        rewrite: the tenant's text model writes the wordings anew, where it has one (see `rewriting`).

    Raises:
        NotFound: a store that this tenant does not have.
        InvalidRequest: anything out of range, or stores of different embedding models.
    """
    wordings = [query] if isinstance(query, str) else list(query)
    _check_query(wordings)
    _check_ranking(limit, score_threshold, mmr_lambda, neighbors)
    reranking = _reranking(ranker, limit, score_threshold)
    if reranking is not None:
        ranker, limit, score_threshold = HYBRID[0], max(limit, READ), 0.0
    stores, restricted = _stores(store_ids)
    if len({store.space_id for store in stores}) > 1:
        raise InvalidRequest(
            "These vector stores have different embedding models. Search them one at a time.", param="vector_store_ids"
        )
    embedder = embedder_for(stores[0].embedding_model)
    if embedder.space != stores[0].space.name:
        raise SpaceChanged(stores[0].space.name)
    return Question(
        store_ids=[store.id for store in stores],
        chunks=sum(store.chunk_count for store in stores),
        wordings=wordings,
        languages=_languages(stores),
        space_id=stores[0].space_id,
        embedder=embedder,
        tokens=_tokens(ranker, embedder, wordings),
        limit=limit,
        ranker=ranker,
        score_threshold=score_threshold,
        mmr_lambda=mmr_lambda,
        neighbors=neighbors,
        reranking=reranking,
        filters=filters,
        groups=sorted(groups),
        restricted=restricted,
        writer=text_model() if rewrite else None,
    )


def _tokens(ranker: str, embedder: Embedder, wordings: Sequence[str]) -> int:
    """What will be embedded."""
    return 0 if ranker == LEXICAL else sum(embedder.count_tokens(wording) for wording in wordings)


def _check_query(wordings: list[str]) -> None:
    if not 0 < len(wordings) <= MAX_WORDINGS:
        raise InvalidRequest(f"Invalid 'query': 1 to {MAX_WORDINGS} wordings.", param="query")
    if not all(0 < len(text.strip()) <= len(text) <= MAX_QUERY_CHARACTERS and storable(text) for text in wordings):
        raise InvalidRequest(f"Invalid 'query': 1 to {MAX_QUERY_CHARACTERS} characters.", param="query")


def _check_ranking(limit: int, score_threshold: float, mmr_lambda: float, neighbors: int) -> None:
    _check_range("max_num_results", limit, 1, MAX_RESULTS)
    _check_range("ranking_options.score_threshold", score_threshold, 0, 1)
    _check_range("ranking_options.mmr_lambda", mmr_lambda, 0, 1)
    _check_range("ranking_options.neighbors", neighbors, 0, MAX_NEIGHBORS)


def _reranking(ranker: str, limit: int, score_threshold: float) -> Reranking | None:
    """What a model does after the lists; None for the rankers that need none.

    Raises:
        InvalidRequest: neither a ranker nor a granted model.
    """
    if ranker in (*HYBRID, DENSE, LEXICAL):
        return None
    reranker = reranker_for(ranker) if 0 < len(ranker) <= 200 and storable(ranker) else None
    if reranker is None:
        known = ", ".join((*HYBRID, DENSE, LEXICAL))
        message = f"Invalid 'ranker': must be one of {known}, or a re-ranking model that is granted to you."
        raise InvalidRequest(message, param="ranking_options.ranker")
    return Reranking(reranker, limit, score_threshold)


def _check_range(param: str, value: float, least: int, most: int) -> None:
    # Written so that NaN, which is below and above nothing, does not pass.
    if not least <= value <= most:
        name = param.rpartition(".")[2]
        raise InvalidRequest(f"Invalid '{name}': must be from {least} to {most}.", param=param)


def _stores(store_ids: Sequence[UUID]) -> tuple[list[VectorStore], bool]:
    """The stores that are asked, in use from now on, and whether any of their files is kept to groups.

    Raises:
        NotFound: one is missing, or another tenant's.
        StoreExpired: the time of one is over.
    """
    wanted, now = set(store_ids), datetime.now(UTC)
    with tenant_scope():
        kept = VectorStoreFile.objects.filter(store=OuterRef("pk"), allowed_groups__isnull=False)
        stores = list(
            VectorStore.objects.filter(id__in=wanted).select_related("space").annotate(restricted=Exists(kept))
        )
        if not wanted or len(stores) != len(wanted):
            raise NotFound("No such VectorStore object.", param="vector_store_id")
        if any(has_expired(store, now) for store in stores):
            raise StoreExpired
        idle = [store.id for store in stores if store.expires_after_days and store.last_active_at < now - _ACTIVE_EVERY]
        if idle:
            VectorStore.objects.filter(id__in=idle).update(last_active_at=now)
    return [*stores], any(store.restricted for store in stores)


def _languages(stores: Sequence[VectorStore]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for store in stores:
        counted.update(store.languages)
    return dict(counted)
