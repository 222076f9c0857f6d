"""Asking deployments whether they are there: those that opted in, and those whose breaker is open.

A list of models is a cheap thing to ask for. Who answers it is tried again by the next call at once (its breaker
becomes half open: whether it can answer calls, only a call can tell); who opted in and does not answer is taken out
before a call finds out. Servers that have no such list, and those of Amazon Bedrock, are left to calls.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import aiohttp
import redis
import structlog
from django.conf import settings
from django.db import connections
from redis.exceptions import RedisError

from tenants.scope import acting_for, tenant_scope

from ..models import Deployment, DeploymentBase, TenantDeployment
from ..providers import public_only
from ..providers.base import ProviderError
from ..providers.openai_http import close_session, headers_with, session
from . import scripts

log = structlog.get_logger("atrium.routing")

_SECONDS = 5.0
_AT_ONCE = 20
#: Until the check after the next: one that is late lets no call find out.
_OPEN_MS = 75_000
_ASKED = (DeploymentBase.Provider.OPENAI_COMPATIBLE, DeploymentBase.Provider.OPENAI_RESPONSES)


@dataclass(frozen=True)
class Known:
    """What Redis says of a deployment: `open`, `half open` or `resting`, and for how many seconds more."""

    state: str
    seconds: float


def states(client: redis.Redis) -> dict[str, Known]:
    """Every deployment that is not simply closed, by id; empty where Redis is away."""
    try:
        now_ms, rows, _ = client.eval(*scripts.snapshot())
    except RedisError:
        log.warning("the breakers cannot be read", exc_info=True)
        return {}
    found: dict[str, Known] = {}
    for name, value in zip(rows[::2], rows[1::2], strict=True):
        ident, _, rest = name.decode().partition(":")
        seconds = (int(value.decode().split(":")[1]) - now_ms) / 1000
        if rest and seconds > 0:
            found.setdefault(ident, Known("resting", seconds))
        elif not rest:
            found[ident] = Known("open" if seconds > 0 else "half open", max(0.0, seconds))
    return found


def calls_under_way(client: redis.Redis) -> dict[str, int] | None:
    """How many calls the workers are making of each deployment, by id, a second ago; None where Redis is away."""
    try:
        found = client.eval(*scripts.read_underway())
    except RedisError:
        log.warning("the calls under way cannot be read", exc_info=True)
        return None
    return {name.decode(): calls for name, calls in zip(found[::2], found[1::2], strict=True)}


def check_deployments(client: redis.Redis) -> int:
    """Ask all that are to be asked and tell the breakers; returns how many answered."""
    known = states(client)
    failing = [ident for ident, state in known.items() if state.state == "open"]
    rows = [row for row in _to_check(failing) if row.provider in _ASKED]
    answers = asyncio.run(_ask_all(rows))
    for row, alive in zip(rows, answers, strict=True):
        _tell(client, str(row.pk), alive=alive, opted_in=row.health_check)
    return sum(answers)


def _to_check(failing: Sequence[str]) -> list[DeploymentBase]:
    enabled = Deployment.objects.filter(enabled=True)
    rows: list[DeploymentBase] = list(enabled.filter(health_check=True) | enabled.filter(id__in=failing))
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT tenant_id, id FROM deployments_to_check(%s::uuid[])", [list(failing)])
        found: list[tuple[UUID, UUID]] = cursor.fetchall()
    for tenant_id, ident in found:
        with acting_for(tenant_id), tenant_scope():
            rows += TenantDeployment.objects.filter(id=ident)
    return rows


async def _ask_all(rows: Sequence[DeploymentBase]) -> list[bool]:
    places = asyncio.Semaphore(_AT_ONCE)
    try:
        return list(await asyncio.gather(*(_is_there(row, places) for row in rows)))
    finally:
        await close_session()


async def _is_there(row: DeploymentBase, places: asyncio.Semaphore) -> bool:
    """Whether it lists its models, or at least answers as a server that works: one that has no list says 404 or 405."""
    url, kind = row.base_url.rstrip("/") + "/models", "any"
    async with places:
        try:
            if isinstance(row, TenantDeployment):
                public_only.check_before_call(url)
                kind = f"public {url.partition(':')[0].lower()}"
            timeout = aiohttp.ClientTimeout(total=_SECONDS, sock_connect=settings.UPSTREAM_CONNECT_SECONDS)
            async with session(kind).get(
                url, headers=headers_with(row.api_key), timeout=timeout, allow_redirects=False
            ) as answer:
                return answer.status in (404, 405) or answer.status < 400
        except (aiohttp.ClientError, ProviderError, TimeoutError, OSError, ValueError) as error:
            log.info("a deployment does not answer", deployment_id=str(row.pk), error=type(error).__name__)
            return False


def _tell(client: redis.Redis, ident: str, *, alive: bool, opted_in: bool) -> None:
    """Alive: it may be tried. Gone: whoever opted in is taken out, the others' breakers are open anyway."""
    try:
        if alive:
            client.eval(*scripts.breaker("ready", ident))
        elif opted_in:
            client.eval(*scripts.breaker("trip", ident, 0, 0, 0, _OPEN_MS, _OPEN_MS))
    except RedisError:
        log.warning("a breaker could not be told", deployment_id=ident, exc_info=True)
