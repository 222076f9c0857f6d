"""A search that somebody pays for: the tokens that models read for it are held, used and charged."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Unpack
from uuid import UUID

from billing.reservations import release
from tenants.ids import uuid7

from ..metering import Payer, charge, hold_tokens
from .passages import SearchResult
from .provider_places import provider_place
from .questions import Options, Question, prepare
from .searching import answer

_LEASE = timedelta(minutes=2)


def metered_search(
    *,
    payer: Payer,
    now: datetime,
    store_ids: Sequence[UUID],
    query: str | Sequence[str],
    **options: Unpack[Options],
) -> SearchResult:
    """`search`, paid by `payer`; raises as it does, and where a budget does not allow it."""
    question = prepare(store_ids=store_ids, query=query, **options)
    with provider_place() if question.asks_provider else nullcontext():
        found = _embedded(question, payer, now)
        return _reranked(question, found, payer, now) if question.reranking and found.passages else found


def _embedded(question: Question, payer: Payer, now: datetime) -> SearchResult:
    if not question.tokens:
        return answer(question)
    with _paid(payer, "search", question.embedder.model, question.tokens, now):
        return answer(question)


def _reranked(question: Question, found: SearchResult, payer: Payer, now: datetime) -> SearchResult:
    assert question.reranking is not None  # the caller looked
    wording, reranking = question.wordings[0], question.reranking
    with _paid(payer, "rerank", reranking.reranker.model, reranking.tokens(wording, found.passages), now):
        return reranking.apply(wording, found)


@contextmanager
def _paid(payer: Payer, operation: str, model: str, tokens: int, now: datetime) -> Iterator[None]:
    """Hold the price of `tokens` while the block uses them; charge it if that went well."""
    hold = hold_tokens(
        payer=payer, request_id=uuid7(), operation=operation, model=model, tokens=tokens, lease=_LEASE, now=now
    )
    try:
        yield
    except BaseException:
        release(hold.reservation_id)
        raise
    charge(hold)
