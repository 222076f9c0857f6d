"""The hot path: chat completions, responses and embeddings, as lean ASGI beside Django, over the same domain functions.

    authenticate → admit (limits; then one reservation) → enqueue → relay tokens

Django's own path costs a new thread per request for its sync signal receivers, a quarter of the time measured; here a
request takes no thread hop, and one round trip each to Redis and Postgres that it shares with those that come at the same
time. The web tier never calls a provider: it waits for the worker's entries in its inbox. A client that leaves cancels
the call.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import orjson
import psycopg
import structlog
from django.conf import settings
from django.db import OperationalError
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError

from billing.limits import Limiter, Limits, RateLimited, levels_for, limits_in_force
from tenants.api_keys import Caller
from tenants.authentication import bearer, remembered, should_verify_again, verify_key
from tenants.call_log import CallLog
from tenants.end_users import END_USER_HEADER, with_end_user
from tenants.errors import AtriumError, PermissionDenied, ServiceUnavailable
from tenants.idempotency import fingerprint
from tenants.redis_line import RedisLine
from tenants.scope import acting_for

from . import catalogue, generations
from .admission import Asker, Offer
from .admitting import admission_of
from .calls import Taken
from .door import Door
from .endpoints import ENDPOINTS, Endpoint
from .http_answer import HttpAnswer, Send
from .http_request import Receive, alias_of, client_left, decoded, headers_of, idempotency_key_of, read_body
from .lookups import Lookups
from .metrics import Observed, observe
from .prompts import Expanded, Reference, expand
from .relay import CANCELLATIONS, Entry, Inbox
from .response_cache import CACHE_HEADER
from .responses import event_log
from .terms import Terms, sticks_to

log = structlog.get_logger("atrium.request")
_calls = CallLog("atrium.request")
T = TypeVar("T")

END_USER = END_USER_HEADER.lower()
#: The number of the version that a call's prompt meant.
PROMPT_HEADER = "x-atrium-prompt-version"
_KEEPALIVE_SECONDS = 10.0
_GONE = Entry("gone", b"")
_IDLE = Entry("idle", b"")


class Gateway:
    """One per web process; `start` on its event loop, `stop` at its end."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(settings.GATEWAY_THREADS, thread_name_prefix="lookup")
        self._lookups = Lookups(self._threads)
        self._line: RedisLine
        self._inbox: Inbox
        self._limiter: Limiter
        self._door: Door
        self._reader: asyncio.Task[None]

    async def start(self) -> None:
        """Open the inbox."""
        self._line = RedisLine(settings.REDIS_URL)
        self._limiter = Limiter(self._line)
        self._door = Door(self._line)
        self._inbox = Inbox(RedisLine(settings.REDIS_URL, timeout=None))
        self._reader = asyncio.create_task(self._inbox.read_forever())

    async def stop(self) -> None:
        """Close it."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        await self._inbox.close()
        await self._door.close()
        await self._line.close()
        self._threads.shutdown(wait=False)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one POST to one of `ENDPOINTS`."""
        endpoint = ENDPOINTS[scope["path"]]
        answer = HttpAnswer(send, stream_error=endpoint.stream_error)
        headers = headers_of(scope["headers"])
        seen = Observed(path=scope["path"])
        try:
            await self._serve(endpoint, headers, receive, answer, seen)
        except AtriumError as error:
            await answer.refuse(error)
        except (OperationalError, psycopg.OperationalError, PoolTimeout, RedisError):
            log.exception("a service is away", request_id=answer.request_id)
            await answer.refuse(ServiceUnavailable("A part of the service is away for the moment. Try again shortly."))
        except Exception:  # the last boundary: log with the trace, answer in the right shape
            log.exception("request failed", request_id=answer.request_id)
            await answer.refuse(AtriumError("The server had an error. Quote the x-request-id when reporting it."))
        seen.status, seen.cache = answer.status, answer.headers.get(CACHE_HEADER)
        observe(seen)
        _calls.write(
            "request",
            request_id=answer.request_id,
            path=seen.path,
            status=answer.status,
            tenant_id=seen.tenant_id,
            generation_id=seen.generation_id,
            ms=round((time.perf_counter() - seen.started) * 1000, 1),
        )

    async def _serve(
        self, endpoint: Endpoint, headers: dict[str, str], receive: Receive, answer: HttpAnswer, seen: Observed
    ) -> None:
        key = bearer(headers.get("authorization"))
        caller = await self._caller(key)
        seen.tenant_id = str(caller.tenant_id)
        try:
            await self._serve_caller(endpoint, caller, headers, receive, answer, seen)
        except RateLimited:
            raise
        except AtriumError:
            if not answer.knows_limits:
                answer.headers |= await self._look(caller)
            raise

    async def _serve_caller(
        self,
        endpoint: Endpoint,
        caller: Caller,
        headers: dict[str, str],
        receive: Receive,
        answer: HttpAnswer,
        seen: Observed,
    ) -> None:
        if END_USER in headers:
            caller = await self._in_thread(partial(with_end_user, caller, headers[END_USER], now=datetime.now(UTC)))
        if "inference" not in caller.scopes:
            raise PermissionDenied("This API key lacks the scope 'inference'. Ask for a key that has it.")
        sent = body = await read_body(receive)
        data, prompt = decoded(body), None
        if data.get("prompt") is not None and endpoint.expand is not None:
            prompt = await self._in_thread(_expanded, caller, data["prompt"])
            data = endpoint.expand(data, prompt)
            body = orjson.dumps(data)
            answer.headers[PROMPT_HEADER] = str(prompt.number)
        terms = await self._terms(caller, alias_of(data), endpoint.model_kind)
        catalogue.check_key(terms, caller.key_id)
        if terms.canary is not None:
            terms = terms.chosen_for(sticks_to(data, end_user=caller.end_user, key_id=caller.key_id))
        # One id for both: what a client quotes leads to the call and its attempts.
        generation_id = UUID(hex=answer.request_id)
        seen.generation_id = str(generation_id)
        asker = Asker(caller, generation_id, datetime.now(UTC))
        if len(body) >= 100_000 or endpoint.reads(data):
            offer = await self._in_thread(endpoint.offer, body, terms, asker)
        else:
            offer = endpoint.offer(body, terms, asker)
        if offer.cache is not None:
            # Chat completions alone are kept.
            asked = offer.cache.asked(headers.get("cache-control", "")) if endpoint.kind == "chat" else None
            offer = replace(offer, cache=asked and asked.within(caller.retention_days))
            if offer.cache is not None:
                answer.headers[CACHE_HEADER] = "miss"  # unless the worker says otherwise
        admitted = False
        try:
            idempotency_key = idempotency_key_of(headers, stream=offer.stream)
            async with self._inbox.wait_for(generation_id) as entries:
                taken = await self._admit(
                    endpoint, caller, terms, offer, generation_id, idempotency_key, sent, prompt, answer
                )
                admitted = not answer.complete
                if admitted:
                    await self._answer(caller, taken, offer, generation_id, entries, receive, answer)
        finally:
            if offer.take_back is not None and not admitted:
                await self._in_thread(offer.take_back)

    async def _answer(
        self,
        caller: Caller,
        taken: Taken,
        offer: Offer,
        generation_id: UUID,
        entries: "asyncio.Queue[Entry]",
        receive: Receive,
        answer: HttpAnswer,
    ) -> None:
        """Wait with the client for what the worker says; a call in the background does without the client."""
        if offer.at_once:
            await answer.json(200, offer.at_once)
            return
        beside = [asyncio.create_task(_watch_for_leaving(receive, entries))]
        if offer.background:
            key = event_log.log_key(caller.tenant_id, generation_id)
            beside.append(asyncio.create_task(event_log.pour(settings.REDIS_URL, key, entries)))
        try:
            finished = await self._relay(caller, generation_id, entries, answer, offer.stream)
        finally:
            for task in beside:
                task.cancel()
        if not finished and not offer.background:
            await self._leave(caller, taken, offer, generation_id)

    async def _caller(self, key: str) -> Caller:
        """The caller, remembered; looked up again before it is forgotten, so that requests seldom wait for that."""
        known = remembered(key)
        if known is None:
            return await self._lookups.find(key, verify_key, key)
        if should_verify_again(key):
            self._lookups.renew(key, verify_key, key)
        return known

    async def _terms(self, caller: Caller, alias: str, kind: str) -> Terms:
        """The terms of a grant, remembered likewise."""
        wanted = (caller.tenant_id, alias, kind)
        known = catalogue.remembered_terms(*wanted)
        if known is None:
            return await self._lookups.find(wanted, _read_terms, caller, alias, kind)
        if catalogue.should_read_again(*wanted):
            self._lookups.renew(wanted, _read_terms, caller, alias, kind)
        return known

    async def _admit(
        self,
        endpoint: Endpoint,
        caller: Caller,
        terms: Terms,
        offer: Offer,
        generation_id: UUID,
        idempotency_key: str | None,
        sent: bytes,
        prompt: Expanded | None,
        answer: HttpAnswer,
    ) -> Taken:
        """Pass the limits, then reserve and enqueue; a used idempotency key answers the first answer instead."""
        levels = levels_for(caller, terms.limits, end_user=offer.end_user)
        admission = await self._limiter.admit(
            tenant_id=caller.tenant_id,
            call_id=generation_id,
            tokens=offer.estimated_tokens,
            levels=levels,
            lease_ms=int(settings.GENERATION_DEADLINE_SECONDS * 1000) + 30_000,
        )
        answer.headers |= admission.headers
        taken = Taken(levels, admission.taken_at)
        mark = fingerprint(endpoint.kind.encode(), caller.identity, sent) if idempotency_key else None
        try:
            await self._door.admit(
                admission_of(
                    endpoint,
                    caller,
                    terms,
                    offer,
                    generation_id,
                    taken,
                    await self._inbox_of(caller, generation_id, offer),
                    idempotency_key,
                    mark,
                    prompt,
                )
            )
        except BaseException as error:
            await self._give_back(caller, taken, offer, generation_id)
            if not isinstance(error, generations.Replay):
                raise
            first = await self._in_thread(
                partial(
                    endpoint.replay,
                    tenant_id=caller.tenant_id,
                    key_id=caller.key_id,
                    idempotency_key=idempotency_key or "",
                    fingerprint=mark or "",
                )
            )
            answer.headers["idempotent-replayed"] = "true"
            # The first answer's may have been another.
            answer.headers.pop(PROMPT_HEADER, None)
            await answer.json(200, orjson.dumps(first))
        return taken

    async def _look(self, caller: Caller) -> dict[str, str]:
        """The rate-limit headers of an answer for which nothing was taken."""
        levels = levels_for(caller, await self._in_thread(_read_limits, caller))
        try:
            return (await self._limiter.look(tenant_id=caller.tenant_id, levels=levels)).headers
        except RedisError:
            # What the client is told about its request does not depend on it.
            log.warning("limits could not be looked at", exc_info=True)
            return {}

    async def _inbox_of(self, caller: Caller, generation_id: UUID, offer: Offer) -> str:
        """Where the worker answers: this process's inbox, or the log of a stream that others may listen to later."""
        if not offer.background or offer.at_once:
            return self._inbox.name
        key = event_log.log_key(caller.tenant_id, generation_id)
        await event_log.begin(self._line, key)
        return key

    async def _relay(
        self, caller: Caller, generation_id: UUID, entries: "asyncio.Queue[Entry]", answer: HttpAnswer, stream: bool
    ) -> bool:
        """Pass the worker's entries on until the last; keep a stream alive in between. False: the client left."""
        deadline = time.monotonic() + settings.GENERATION_DEADLINE_SECONDS + 30
        loop = asyncio.get_running_loop()
        while True:
            # A timer of our own: asyncio.wait_for would make a task for every chunk.
            idle = loop.call_later(_KEEPALIVE_SECONDS, entries.put_nowait, _IDLE)
            entry = await entries.get()
            idle.cancel()
            if entry is _IDLE:
                late = await self._in_thread(
                    partial(generations.ended, tenant_id=caller.tenant_id, generation_id=generation_id)
                )
                if late is not None or time.monotonic() > deadline:
                    # It ended, but its entry was lost with Redis; the row knows what became of it.
                    await answer.from_row(late, stream=stream)
                    return True
                await answer.keep_alive()
                continue
            if entry.headers:
                answer.headers |= entry.headers
            match entry.kind:
                case "chunk":
                    await answer.chunk(entry.data)
                case "end":
                    await answer.end(entry.data, entry.total)
                    return True
                case "answer":
                    await answer.json(200, entry.data)
                    return True
                case "error":
                    await answer.fail(entry)
                    return True
                case "gone":
                    return False

    async def _leave(self, caller: Caller, taken: Taken, offer: Offer, generation_id: UUID) -> None:
        """The client left: withdraw the call and give its limits back, or have its worker break it off and do so."""
        withdrawn = await self._in_thread(
            partial(generations.withdraw, tenant_id=caller.tenant_id, generation_id=generation_id)
        )
        if withdrawn:
            await self._give_back(caller, taken, offer, generation_id)
        else:
            await self._line.ask(("PUBLISH", CANCELLATIONS, generation_id.bytes))

    async def _give_back(self, caller: Caller, taken: Taken, offer: Offer, generation_id: UUID) -> None:
        """All that a call took of the limits, but for the request itself."""
        await self._limiter.release(
            tenant_id=caller.tenant_id,
            call_id=generation_id,
            refund=offer.estimated_tokens,
            levels=taken.levels,
            taken_at=taken.at,
        )

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _expanded(caller: Caller, named: Any) -> Expanded:
    """In a thread: what a request's `prompt` stands for."""
    with acting_for(caller.tenant_id):
        return expand(Reference.read(named), now=time.monotonic())


def _read_limits(caller: Caller) -> Limits:
    with acting_for(caller.tenant_id):
        return limits_in_force()


def _read_terms(caller: Caller, alias: str, kind: str) -> Terms:
    with acting_for(caller.tenant_id):
        return catalogue.read_terms(alias=alias, kind=kind, currency=caller.currency)


async def _watch_for_leaving(receive: Receive, entries: "asyncio.Queue[Entry]") -> None:
    await client_left(receive)
    entries.put_nowait(_GONE)
