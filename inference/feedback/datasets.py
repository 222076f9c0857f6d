"""Examples for fine-tuning and evaluation, made of exchanges and what was said of them.

Three forms, each a JSON object a line. `chat`: `messages` with the answer to learn, the correction or what was rated
up. `preference`: `input`, `preferred_output` (the correction), `non_preferred_output` (the answer). `evaluation`: an
`item` of everything. Feedback whose exchange is no longer kept, or that has nothing to teach, makes no line.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from inference.models import Feedback, Generation
from tenants.scope import tenant_scope

from .exchanges import Exchange, exchange_of
from .giving import answer_id_of

BATCH = 100

Line = dict[str, Any]


def lines(
    *, form: str, since: datetime | None, until: datetime | None, after: UUID | None
) -> tuple[bytes, UUID | None]:
    """The next lines of a dataset, and the id after which it goes on; None at its end. One short scope a batch.

    Args:
        form: one of `FORMS`.
        since, until: when feedback was first given, the end left out.
        after: what the batch before ended with.
    """
    with tenant_scope():
        rows = Feedback.objects.order_by("id")
        if since is not None:
            rows = rows.filter(created_at__gte=since)
        if until is not None:
            rows = rows.filter(created_at__lt=until)
        if after is not None:
            rows = rows.filter(id__gt=after)
        found = list(rows[:BATCH])
        generations = Generation.objects.filter(state=Generation.State.COMPLETED, request__isnull=False)
        kept = generations.in_bulk([row.generation_id for row in found])
    made = _made(FORMS[form], found, kept)
    return b"".join(orjson.dumps(line) + b"\n" for line in made), found[-1].id if len(found) == BATCH else None


def _made(
    form: Callable[[Feedback, Exchange], Line | None], found: list[Feedback], kept: dict[UUID, Generation]
) -> Iterator[Line]:
    for row in found:
        generation = kept.get(row.generation_id)
        exchange = exchange_of(generation, row.choice) if generation is not None else None
        line = form(row, exchange) if exchange is not None else None
        if line is not None:
            yield line


def _chat(row: Feedback, exchange: Exchange) -> Line | None:
    learnt = row.correction or (exchange.answer if row.rating == 1 else None)
    if learnt is None:
        return None
    return {"messages": [*exchange.messages, learnt], **_tools(exchange)}


def _preference(row: Feedback, exchange: Exchange) -> Line | None:
    if row.correction is None or row.correction == exchange.answer:
        return None
    return {
        "input": {"messages": exchange.messages, **(_tools(exchange) or {"tools": [], "parallel_tool_calls": True})},
        "preferred_output": [row.correction],
        "non_preferred_output": [exchange.answer],
    }


def _evaluation(row: Feedback, exchange: Exchange) -> Line:
    item = {
        "input": exchange.messages,
        "output": exchange.answer,
        "reference": row.correction,
        "rating": row.rating,
        "comment": row.comment,
        "tags": row.tags,
        "model": row.alias,
        "response_id": answer_id_of(row),
        "prompt_version_id": str(row.prompt_version_id) if row.prompt_version_id else None,
    }
    return {"item": item}


def _tools(exchange: Exchange) -> Line:
    return {"tools": exchange.tools, "parallel_tool_calls": exchange.parallel_tool_calls} if exchange.tools else {}


FORMS: dict[str, Callable[[Feedback, Exchange], Line | None]] = {
    "chat": _chat,
    "preference": _preference,
    "evaluation": _evaluation,
}
