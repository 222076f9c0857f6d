"""A search that somebody pays for: the tokens of its wordings are held, used and charged."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from billing.reservations import release
from tenants.ids import uuid7

from . import retrieval
from .metering import Payer, charge, hold_tokens

_LEASE = timedelta(minutes=2)


def metered_search(
    *,
    payer: Payer,
    now: datetime,
    store_ids: Sequence[UUID],
    query: str | Sequence[str],
    limit: int = 10,
    filters: Mapping[str, Any] | None = None,
    ranker: str = "auto",
    score_threshold: float = 0.0,
) -> retrieval.SearchResult:
    """`retrieval.search`, paid by `payer`; raises as it does, and where a budget does not allow it."""
    question = retrieval.prepare(
        store_ids=store_ids, query=query, limit=limit, filters=filters, ranker=ranker, score_threshold=score_threshold
    )
    if not question.tokens:
        return retrieval.answer(question)
    hold = hold_tokens(
        payer=payer,
        request_id=uuid7(),
        operation="search",
        model=question.embedder.model,
        tokens=question.tokens,
        lease=_LEASE,
        now=now,
    )
    try:
        result = retrieval.answer(question)
    except BaseException:
        release(hold.reservation_id)
        raise
    charge(hold)
    return result
