"""Stopping a response that is made in the background: out of the queue, or through its worker."""

import time
from functools import lru_cache

import redis
from django.conf import settings

from tenants.scope import tenant_scope

from .. import generations
from ..calls import Admitted
from ..models import Generation
from ..relay import CANCELLATIONS, broken_off
from .kept import UNDER_WAY

#: How long a cancelled response is waited for, so that the answer says how it ended; the worker needs a fraction.
_SECONDS = 3.0
#: How often the row is looked at besides: a call that ends by itself at this moment tells nobody.
_LOOK_EVERY = 0.5


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL)


def stop(row: Generation) -> None:
    """End a response that is under way: withdraw it, or have its worker break it off, and wait for that a moment."""
    if generations.withdraw(tenant_id=row.tenant_id, generation_id=row.id):
        admitted = Admitted.from_json(row.terms)
        release = admitted.release(row.tenant_id, row.id, refund=admitted.estimated_tokens)
        _redis().eval(*release)
        return
    with _redis().pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(broken_off(row.id))
        _redis().publish(CANCELLATIONS, row.id.bytes)
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline and _is_under_way(row):
            channel.get_message(timeout=_LOOK_EVERY)


def _is_under_way(row: Generation) -> bool:
    with tenant_scope():
        return Generation.objects.filter(id=row.id, state__in=UNDER_WAY).exists()
