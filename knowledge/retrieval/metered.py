"""A search that somebody pays for: the tokens of its wordings are held, used and charged."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Unpack
from uuid import UUID

from billing.reservations import release
from tenants.ids import uuid7

from ..metering import Payer, charge, hold_tokens
from .passages import SearchResult
from .questions import Options, prepare
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
    if not question.tokens:
        return answer(question)
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
        result = answer(question)
    except BaseException:
        release(hold.reservation_id)
        raise
    charge(hold)
    return result
