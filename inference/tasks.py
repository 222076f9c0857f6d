"""Thin tasks: ring, sweep. A bell carries nothing; the claim says for whom the worker acts (`inference/engine`)."""

from datetime import UTC, datetime
from functools import lru_cache

import redis
import structlog
from celery import shared_task
from django.conf import settings
from redis.exceptions import RedisError

from tenants import work

from . import bells, call_sums, generations, lost_calls, response_cache
from .responses import conversations
from .routing import health

log = structlog.get_logger("atrium.generation")


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    """This process's connections; thread-safe."""
    return redis.Redis.from_url(settings.REDIS_URL)


def ring(*, times: int = 1) -> None:
    """Wake workers. A bell that cannot be rung is not lost work: workers look by themselves, and the sweep rings again."""
    try:
        bells.ring(_redis(), times=times)
    except RedisError:
        log.warning("bell could not be rung", exc_info=True)


@shared_task
def sweep_generations() -> None:
    """Settle generations whose worker died, tell their clients, and ring for work whose bell was lost."""
    lost_calls.settle_and_tell(_redis())
    depth = work.tend(work.GENERATION)
    if depth.oldest_seconds > 1.0:
        ring(times=min(depth.queued, 100))


@shared_task
def erase_expired_contents() -> None:
    """Null prompts and answers whose retention ended, and take items out of conversations."""
    for erase in (generations.erase_expired_contents, conversations.erase_expired):
        while erase() == 500:
            pass


@shared_task
def roll_up_calls() -> None:
    """Add the calls that have ended to the sums by hour."""
    call_sums.roll_up()


@shared_task
def check_deployments() -> None:
    """Ask deployments that failed, and those that opted in, whether they are there."""
    health.check_deployments(_redis())


@shared_task
def sweep_response_cache() -> None:
    """Let go of kept answers whose time is over."""
    now = datetime.now(UTC)
    while response_cache.sweep_expired(now=now):
        pass
