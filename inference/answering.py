"""One generation, from claim to ledger.

    load → screen → look into the cache → retrieve passages → screen → build prompt → call provider (retry, fall back)
    → screen → stream tokens → settle

Each call is a task on the worker's event loop; what blocks (search, local models) runs in threads. No transaction is
open while a provider is called. Whatever happens, the call is settled once: what was produced is
metered, the rest of the hold released, and the client gets an answer or an error in the right shape.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

import orjson
import structlog

from billing.reservations import HoldGone
from knowledge.retrieval import Passage, search
from knowledge.retrieval.questions import DENSE, HYBRID, LEXICAL
from tenants import work
from tenants.call_log import CallLog
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.ids import parse_public_id

from . import prompting, routing
from .calls import Call, Outcome, Settlement, WorkerLost
from .catalogue import UnknownModel
from .embedding import embeddings_json
from .engine.desk import Desk
from .engine.live_calls import LiveCall
from .forms import Answer, Form, form_of
from .grounded_output import GroundedOutput
from .metering import CallMeter, estimate_of
from .outbound import Allowed
from .providers.base import Cancelled, Completion, Prompt, ProviderError, TextProvider, Usage
from .relay import Outbox
from .requests import ChatRequest, EmbeddingsRequest, FileSearch
from .response_cache import CACHE_HEADER, place_of
from .response_cache.replay import as_stream
from .routing.attempts import Attempt, Route
from .routing.board import board
from .safety.guarding import Guard
from .structured_output.enforcing import enforced
from .threads import in_thread
from .tracing import Trace

log = structlog.get_logger("atrium.generation")
_calls = CallLog("atrium.generation")


class UpstreamFailed(AtriumError):
    """The model could not answer; `code` says why, in terms that do not change with the provider."""

    def __init__(self, error: ProviderError) -> None:
        headers = {"retry-after": str(max(1, round(error.retry_after)))} if error.retry_after else {}
        super().__init__(error.message, param=error.param, headers=headers)
        self.status = error.status
        self.code = error.code
        self.type = "invalid_request_error" if error.status == 400 else "server_error"


class DeadlinePassed(AtriumError):
    """The call took longer than the platform allows."""

    status = 504
    code = "deadline_exceeded"


@dataclass
class Ending:
    """How a call ended, and the last message to its client (see `relay`); `keep` puts its answer into the cache."""

    outcome: Outcome
    kind: str
    data: bytes
    status: int = 200
    headers: dict[str, str] | None = None
    keep: Callable[[], Awaitable[None]] | None = None

    @classmethod
    def failed(cls, error: AtriumError) -> "Ending":
        """The client reads `error`."""
        body = error.body()
        return cls(Outcome("failed", error=body), "error", orjson.dumps(body), error.status, error.headers)


async def execute(call: Call, live: LiveCall, desk: Desk) -> None:
    """Run a claimed generation to its end. Nothing is raised for what a provider or a client did.

    Raises:
        psycopg.Error: it could not be settled; the sweep will, when its lease has run out.
    """
    started = time.perf_counter()
    meter = CallMeter(call)
    outbox = Outbox(desk.sender, call.inbox, call.id)
    attempts: list[Attempt] = []
    guard = Guard(tenant_id=call.tenant_id, call_id=call.id, alias=call.alias)
    trace = Trace()
    ending = await _ending(call, live, outbox, meter, attempts, guard, trace)
    await guard.record()
    ending.outcome.lines, ending.outcome.attempts = meter.lines, [attempt.as_json() for attempt in attempts]
    ending.outcome.trace, ending.outcome.found = trace.as_json(), trace.found()
    claim = work.Claim(call.tenant_id, call.id, call.attempt)
    cost = await desk.settle(Settlement(claim, call.key_id, ending.outcome, call.admitted.retention_days))
    if cost is None and call.held:
        log.warning("lease was lost; nothing written", generation_id=str(call.id))
        return
    if ending.keep is not None:
        await ending.keep()
    _tell(call, ending, meter, outbox)
    _note(call, ending, meter, cost or Decimal(0), seconds=time.perf_counter() - started)


def _note(call: Call, ending: Ending, meter: CallMeter, cost: Decimal, *, seconds: float) -> None:
    """Into the log. Of usage above the hold the alert is raised elsewhere, once an hour (`billing.variance`)."""
    if meter.full_cost() > call.hold:
        log.warning("usage above the hold", generation_id=str(call.id), model=call.model, hold=str(call.hold))
    error = ending.outcome.error
    _calls.write(
        "generation",
        tenant_id=str(call.tenant_id),
        generation_id=str(call.id),
        state=ending.outcome.state,
        model=call.model,
        code=error["error"]["code"] if error else None,
        tokens=meter.tokens,
        cost=str(cost),
        ms=round(seconds * 1000, 1),
    )


async def _ending(
    call: Call,
    live: LiveCall,
    outbox: Outbox,
    meter: CallMeter,
    attempts: list[Attempt],
    guard: Guard,
    trace: Trace,
) -> Ending:
    try:
        if not call.held:
            raise HoldGone("The call waited so long that its hold on the budget has ended. Try again.")
        if call.kind == "embeddings":
            return await live.run(_answer_embeddings(call, meter, trace))
        return await live.run(_answer_chat(call, outbox, meter, attempts, guard, trace))
    except Cancelled:
        if live.reason == "cancelled":
            await in_thread(meter.left)
        return _broken_off(live.reason)
    except ProviderError as error:
        return Ending.failed(UpstreamFailed(error))
    except AtriumError as error:
        return Ending.failed(error)
    except Exception:
        log.exception("generation failed", generation_id=str(call.id))
        return Ending.failed(AtriumError("The server had an error while processing your request."))


def _broken_off(reason: str | None) -> Ending:
    if reason == "deadline":
        return Ending.failed(DeadlinePassed("The call took too long and was broken off."))
    if reason == "shutdown":
        return Ending.failed(WorkerLost("The worker running this call was stopped. Try again."))
    return Ending(Outcome("cancelled"), "end", b"")


def _tell(call: Call, ending: Ending, meter: CallMeter, outbox: Outbox) -> None:
    """The last message and the end of the call's place among the limits, in one round trip."""
    admitted = call.admitted
    refund = admitted.estimated_tokens - meter.tokens
    release = admitted.release(call.tenant_id, call.id, refund=refund)
    if ending.outcome.error and outbox.streamed and outbox.failing is not None:
        ending = replace(ending, kind="end", data=outbox.failing(ending.outcome.error))
    outbox.last(ending.kind, ending.data, status=ending.status, headers=ending.headers, command=tuple(release))


async def _answer_chat(
    call: Call, outbox: Outbox, meter: CallMeter, attempts: list[Attempt], guard: Guard, trace: Trace
) -> Ending:
    form = await form_of(call)
    with trace.step("screening"):
        request = await guard.messages(form.chat)
    place = await place_of(
        call, request, targets=[model.as_json() for model in call.chain], versions=_versions(call, guard)
    )
    if place is not None and place.found is not None:
        trace.cached = True
        return _from_cache(form, place.found, meter)
    file_search = request.file_search() if request.tools else None
    passages = await _passages(call, request, file_search, meter, guard, trace) if file_search else None
    prompt, shown = prompting.build(request, max_output_tokens=_output_cap(call), passages=passages)
    trace.shown(shown)
    outgoing = guard.outgoing(request, _outgoing(request, shown) if file_search else None)
    transcript = form.transcript(shown, searched=file_search is not None, outgoing=outgoing)
    outbox.failing = transcript.failing
    try:
        await _call_provider(call, prompt, transcript, outbox if request.stream else None, attempts, guard, meter)
    finally:
        # Also when it broke off in the middle: what was produced is metered.
        if transcript.started or guard.withheld:
            counted = transcript.usage or guard.usage
            usage = counted or estimate_of(prompt, output=transcript.text() + guard.withheld)
            answered = attempts[-1]
            metered = meter.of(answered.model.name, answered.number, provider=answered.deployment.provider)
            metered.completion(usage, estimated=counted is None)
            answered.used(usage)
    # What was held back to the end belongs to the answer that is kept.
    closing = transcript.closing(usage) if request.stream else b""
    body = transcript.completion(usage)
    ending = _completed(request, body, closing)
    ending.keep = partial(place.keep, body["choices"], usage) if place else None
    return ending


async def _passages(
    call: Call, request: ChatRequest, wanted: FileSearch, meter: CallMeter, guard: Guard, trace: Trace
) -> list[Passage]:
    """What the documents say, of which the model may see all."""
    with trace.step("search"):
        found = await in_thread(_retrieve, call, wanted, prompting.question_of(request), meter)
    trace.retrieved(found)
    return await guard.passages(found)


def _completed(request: ChatRequest, body: dict[str, Any], closing: bytes) -> Ending:
    outcome = Outcome("completed", answer=body)
    return Ending(outcome, "end", closing) if request.stream else Ending(outcome, "answer", orjson.dumps(body))


def _versions(call: Call, guard: Guard) -> dict[str, Any]:
    """What a kept answer depends on beside the request: how it was screened, and the prompt that it came from."""
    return {"safety": guard.version, "prompt": call.admitted.prompt_version}


def _from_cache(form: Form, kept: Completion, meter: CallMeter) -> Ending:
    """A kept answer, written as any other. It passed the screens when it was made, under the same policy."""
    meter.cache_hit()
    usage = kept.usage or Usage(0, 0)
    transcript = form.transcript([], searched=False, outgoing=None)
    events = b""
    if form.chat.stream:
        events = b"".join([transcript.take(chunk) for chunk in as_stream(kept)]) + transcript.closing(usage)
    else:
        transcript.take_whole(kept)
    ending = _completed(form.chat, transcript.completion(usage), events)
    ending.headers = {CACHE_HEADER: "hit"}
    return ending


def _outgoing(request: ChatRequest, shown: list[Passage]) -> GroundedOutput:
    """What an answer from documents may say: addresses that stand there, and calls of the tools that were offered."""
    texts = [message.text() for message in request.messages]
    texts += [text for passage in shown for text in (passage.filename, passage.text)]
    return GroundedOutput(allowed=Allowed.within(texts), tools=request.function_names())


async def _call_provider(
    call: Call,
    prompt: Prompt,
    transcript: Answer,
    outbox: Outbox | None,
    attempts: list[Attempt],
    guard: Guard,
    meter: CallMeter,
) -> None:
    """Ask deployment after deployment, then the models that may stand in, while that is safe; see `routing.attempts`."""
    route = Route(call=call, stream=outbox is not None, board=board(), made=attempts)
    async for attempt in route.attempts():
        async with attempt:
            asked = attempt.prompt(prompt)
            metered = meter.of(attempt.model.name, attempt.number, provider=attempt.deployment.provider)
            provider = routing.provider_of(attempt.deployment, model=attempt.upstream_model)
            with metered.asking(asked):
                await _ask(enforced(provider, asked, metered.completion), asked, transcript, outbox, attempt, guard)


async def _ask(
    provider: TextProvider,
    prompt: Prompt,
    transcript: Answer,
    outbox: Outbox | None,
    attempt: Attempt,
    guard: Guard,
) -> None:
    if outbox is None:
        await guard.taken(transcript.take_whole, await guard.judged(await provider.complete(prompt)))
        return
    async with aclosing(guard.judging(provider.stream(prompt), attempt.first_token)) as chunks:
        async for chunk in chunks:
            events = transcript.take(chunk)
            if transcript.started:
                attempt.first_token()
            if events:
                outbox.chunk(events)
            if guard.ended:
                break  # nothing more of it can go out: hang up


def _retrieve(call: Call, wanted: FileSearch, question: str, meter: CallMeter) -> list[Passage]:
    """The passages for a question.

    Raises:
        NotFound: a vector store that this tenant does not have.
        UnknownModel: the store's embedding model is not granted, so nothing was reserved for it.
    """
    store_ids = []
    for text in wanted.vector_store_ids:
        store_id = parse_public_id("vs_", text)
        if store_id is None:
            raise NotFound(f"No vector store '{text}'.", param="tools.vector_store_ids")
        store_ids.append(store_id)
    if wanted.ranking_options.ranker not in (*HYBRID, DENSE, LEXICAL):
        # The call's hold does not cover a re-ranking model.
        raise InvalidRequest(
            "Chat ranks by auto, hybrid, dense or lexical. Re-ranking models serve the search endpoint.",
            param="tools.ranking_options.ranker",
        )
    found = search(
        store_ids=store_ids,
        query=question,
        limit=wanted.max_num_results,
        filters=wanted.filters,
        ranker=wanted.ranking_options.ranker,
        score_threshold=wanted.ranking_options.score_threshold,
        mmr_lambda=wanted.ranking_options.mmr_lambda,
        neighbors=wanted.ranking_options.neighbors,
        groups=call.admitted.groups,
    )
    if not any(price["model"] == found.embedding_model for price in call.prices):
        raise UnknownModel(f"The store's embedding model '{found.embedding_model}' is not granted.", param="tools")
    meter.embedding(found.embedding_model, found.embedding_tokens)
    meter.search()
    return list(found.passages)


def _output_cap(call: Call) -> int:
    """The output tokens that the hold pays for, at most what was asked for."""
    admitted = call.admitted
    if admitted.output_price == 0:
        return admitted.output_limit
    return max(1, min(admitted.output_limit, int((call.hold - admitted.prompt_hold) / admitted.output_price)))


async def _answer_embeddings(call: Call, meter: CallMeter, trace: Trace) -> Ending:
    request = EmbeddingsRequest.model_validate_json(call.request)
    with trace.step("embedding"):
        body, tokens, provider = await in_thread(embeddings_json, request, model=call.model, alias=call.alias)
    meter.embedding(call.model, tokens, provider=provider)
    answer = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    # Vectors are answered, not kept; where nobody waits for them, a batch's line keeps them until its output is written.
    return Ending(Outcome("completed", answer=None if call.inbox else orjson.loads(answer)), "answer", answer)
