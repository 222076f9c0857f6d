"""A search that somebody pays for: the tokens that models read for it are held, used and charged."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Unpack
from uuid import UUID

from billing.prices import UnpricedModel
from billing.reservations import release
from tenants.ids import uuid7

from ..metering import Hold, Payer, charge, charge_text, hold_search, hold_text, hold_tokens
from ..ports import TextModel
from .passages import SearchResult
from .provider_places import provider_place
from .questions import Options, Question, prepare
from .rewriting import rewritten
from .searching import answer

logger = logging.getLogger(__name__)
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
        if question.writer is not None:
            question = _rewritten(question, question.writer, payer, now)
        found = _embedded(question, payer, now)
        return _reranked(question, found, payer, now) if question.reranking and found.passages else found


def _rewritten(question: Question, writer: TextModel, payer: Payer, now: datetime) -> Question:
    """The question in the model's words; what the model used is paid for, also where nothing came of it."""
    most_input, most_output = writer.most_tokens(question.wordings)
    try:
        hold = hold_text(
            payer=payer,
            request_id=uuid7(),
            operation="search",
            model=writer.model,
            input_tokens=most_input,
            output_tokens=most_output,
            lease=_LEASE,
            now=now,
        )
    except UnpricedModel:
        logger.warning("queries are not rewritten: the model %s has no price", writer.model)
        return question
    try:
        written = writer.rewrite(question.wordings)
    except BaseException:
        release(hold)
        raise
    charge_text(
        hold,
        model=writer.model,
        input_tokens=sum(one.input_tokens for one in written),
        output_tokens=sum(one.output_tokens for one in written),
    )
    return rewritten(question, written)


def _embedded(question: Question, payer: Payer, now: datetime) -> SearchResult:
    hold = hold_search(
        payer=payer, request_id=uuid7(), operation="search", model=question.embedder.model, tokens=question.tokens,
        lease=_LEASE, now=now,
    )  # fmt: skip
    with _paid(hold):
        return answer(question)


def _reranked(question: Question, found: SearchResult, payer: Payer, now: datetime) -> SearchResult:
    assert question.reranking is not None  # the caller looked
    wording, reranking = question.wordings[0], question.reranking
    hold = hold_tokens(
        payer=payer, request_id=uuid7(), operation="rerank", model=reranking.reranker.model,
        tokens=reranking.tokens(wording, found.passages), lease=_LEASE, now=now,
    )  # fmt: skip
    with _paid(hold):
        return reranking.apply(wording, found)


@contextmanager
def _paid(hold: Hold | None) -> Iterator[None]:
    """Charge what is held if the block goes well."""
    try:
        yield
    except BaseException:
        if hold is not None:
            release(hold.reservation_id)
        raise
    if hold is not None:
        charge(hold)
