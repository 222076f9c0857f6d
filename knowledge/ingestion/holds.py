"""One hold for a document, taken when its tokens are counted, for exactly what they cost."""

from datetime import UTC, datetime, timedelta

from tenants.scope import tenant_scope

from ..metering import Hold, hold_tokens
from .jobs import Job, State, fenced
from .leases import LeaseLost
from .progress import CHUNKED

_SLOWEST_TOKENS_PER_SECOND = 200
_SHORTEST_HOLD = timedelta(minutes=10)


def hold(job: Job, tokens: int) -> Hold:
    lease = max(_SHORTEST_HOLD, timedelta(seconds=tokens / _SLOWEST_TOKENS_PER_SECOND))
    now = datetime.now(UTC)
    with tenant_scope():
        taken = hold_tokens(
            payer=job.payer, request_id=job.id, operation="ingestion", model=job.embedding_model, tokens=tokens,
            lease=lease, now=now,
        )  # fmt: skip
        held = {"reservation_id": taken.reservation_id, "state": State.EMBEDDING, "percent": CHUNKED}
        if not fenced(job).update(**held):
            raise LeaseLost
    return taken
