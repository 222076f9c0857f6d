"""Thin tasks: claim, run, sweep. A doorbell carries nothing; the claim says for whom the worker acts."""

from functools import lru_cache
from typing import Any

import orjson
import redis
import structlog
from celery import shared_task
from django.conf import settings
from django.db import connections, transaction
from kombu.exceptions import OperationalError

from billing.limits import release_arguments
from tenants import work
from tenants.scope import acting_for

from . import answering, generations
from .relay import Outbox, Sender
from .running import running

log = structlog.get_logger("atrium.generation")


@lru_cache(maxsize=1)
def _sender() -> Sender:
    """This process's way to the web tier; thread-safe."""
    return Sender(redis.Redis.from_url(settings.REDIS_URL))


def start_generation(**admission: Any) -> Any:
    """Admit a generation and ring for a worker on commit; see `generations.admit`. Returns the hold."""
    hold = generations.admit(**admission)
    if connections["default"].in_atomic_block:
        transaction.on_commit(ring)
    else:
        # on_commit would ring at once too, but take a connection from the pool to find that out, and keep it.
        ring()
    return hold


def ring() -> None:
    """Wake a worker. A bell that cannot be rung is not lost work: the sweep rings again."""
    try:
        generate.apply_async(ignore_result=True)
    except OperationalError:
        log.warning("doorbell could not be rung")


@shared_task(acks_late=False)
def generate() -> None:
    """Claim the next generation and run it. The row has the lease, so the message need not be kept."""
    call = generations.claim_next(worker=running.worker)
    if call is None:
        return
    with acting_for(call.tenant_id), running.enter(call.id) as live:
        answering.execute(call, live, _sender())


@shared_task
def sweep_generations() -> None:
    """Settle generations whose worker died, tell their clients, and ring for work whose bell was lost."""
    for lost in generations.settle_lost():
        outbox = Outbox(_sender(), lost.inbox, lost.id)
        release = release_arguments(tenant_id=lost.tenant_id, call_id=lost.id, refund=0, levels=lost.admitted.levels)
        outbox.last("error", orjson.dumps(lost.error), status=generations.WorkerLost.status, command=tuple(release))
    depth = work.tend(work.GENERATION)
    if depth.oldest_seconds > 1.0:
        for _ in range(min(depth.queued, 100)):
            ring()


@shared_task
def erase_expired_contents() -> None:
    """Null prompts and answers whose retention ended."""
    while generations.erase_expired_contents() == 500:
        pass
