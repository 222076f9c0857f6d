"""Upstreams that misbehave and clients that leave: the right error, what was produced metered, nothing held."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass

import openai
import pytest
import redis

from .conftest import eventually
from .upstream import FLOOD, WORDS

pytestmark = pytest.mark.e2e


def ask(tenant, behaviour, **options):
    messages = [{"role": "user", "content": f"fault:{behaviour}"}]
    return tenant.sdk().chat.completions.create(model="fake", messages=messages, **options)


@dataclass
class Told:
    """What a client was told: the words of the answer, and the error that ended it."""

    words: str = ""
    status: int | None = None
    code: str | None = None
    retry_after: str | None = None


async def told(sdk, model, stream, **options):
    found, messages = Told(), [{"role": "user", "content": "hello"}]
    try:
        answer = await sdk.chat.completions.create(model=model, messages=messages, stream=stream, **options)
        if not stream:
            found.words = answer.choices[0].message.content
            return found
        async for chunk in answer:
            found.words += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    except openai.APIStatusError as error:
        found.status, found.code = error.status_code, error.code
        found.retry_after = error.response.headers.get("retry-after")
        assert "sk-secret" not in str(error.body)
    except openai.APIError as error:
        found.code = error.code
    return found


async def all_told(tenant, cases, **options):
    """Case → what its client was told: all at once, because most of them wait."""
    async with tenant.async_sdk() as sdk:
        answers = await asyncio.gather(*(told(sdk, model, stream, **options) for model, stream in cases))
    return dict(zip(cases, answers, strict=True))


def attempts(atrium, model):
    """(model that was asked, code) of each attempt of the calls of `model`, in order; nothing twice."""
    rows = atrium.sql(
        "SELECT a.number, a.model, a.code FROM inference_inferenceattempt a "
        "JOIN inference_generation g ON (g.tenant_id, g.id) = (a.tenant_id, a.generation_id) "
        "WHERE g.alias = %s ORDER BY a.number", model
    )  # fmt: skip
    assert [number for number, _, _ in rows] == [*range(1, len(rows) + 1)]
    return [(asked, code) for _, asked, code in rows]


def lines(atrium, tenant, model):
    """Meter → quantity of the ledger's lines of a model, each once."""
    found = atrium.sql(
        "SELECT meter, quantity FROM billing_usagerecord WHERE tenant_id = %s AND model = %s", tenant.id, model
    )
    assert len(found) == len(dict(found))
    return dict(found)


def account(atrium, tenant):
    """(spent, held) of the tenant's budget once nothing is open, which is what the ledger says."""
    atrium.settled(tenant)
    [(spent, held)] = atrium.sql("SELECT spent, held FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id)
    [(cost,)] = atrium.sql("SELECT coalesce(sum(cost), 0) FROM billing_usagerecord WHERE tenant_id = %s", tenant.id)
    assert spent == cost
    return spent, held


#: behaviour → (status, code, attempts). What may pass is tried three times, the rest once.
FAILURES = {
    "refuses": (400, "bad", 1),
    "credentials": (502, "upstream_credentials", 1),
    "overloaded": (503, "upstream_rate_limited", 3),
    "overloaded-silently": (503, "upstream_rate_limited", 3),
    "overloaded-for-long": (503, "upstream_rate_limited", 1),
    "broken": (502, "upstream_error", 3),
    "half-json": (502, "upstream_garbage", 3),
    "html": (502, "upstream_garbage", 3),
    "resets": (502, "upstream_broke_off", 3),
}


async def test_a_failing_upstream_is_a_clean_error_and_costs_nothing(atrium):
    cases = {(atrium.new_model(behaviour), stream): behaviour for behaviour in FAILURES for stream in (False, True)}
    tenant = atrium.new_tenant(budget="1000", grants=tuple(model for model, _ in cases))
    answers = await all_told(tenant, cases)
    for (model, stream), behaviour in cases.items():
        status, code, tries = FAILURES[behaviour]
        answer = answers[model, stream]
        assert (answer.words, answer.status, answer.code) == ("", status, code), (behaviour, stream)
        assert attempts(atrium, model) == [(model, code)] * tries, (behaviour, stream)
        assert atrium.upstream.asked(model) == tries, (behaviour, stream)
        if behaviour == "overloaded-for-long":
            assert int(answer.retry_after) > 60
    assert account(atrium, tenant) == (0, 0) and atrium.ledger(tenant) == []


#: behaviour → code of the error that ends a stream after four words.
BROKEN_OFF = {
    "breaks-off": "upstream_broke_off",
    "resets-midway": "upstream_broke_off",
    "half-json-midway": "upstream_garbage",
}


async def test_a_stream_that_breaks_off_ends_in_an_error_event_and_is_metered_once(atrium):
    cases = {(atrium.new_model(behaviour), True): code for behaviour, code in BROKEN_OFF.items()}
    # It would answer, but half an answer is never followed by another one.
    spare = atrium.new_model("breaks-off", fallback="fake")
    cases[spare, True] = "upstream_broke_off"
    tenant = atrium.new_tenant(budget="1000", grants=tuple(model for model, _ in cases))
    answers = await all_told(tenant, cases)
    for (model, _), code in cases.items():
        answer = answers[model, True]
        assert (answer.words, answer.status, answer.code) == ("".join(WORDS[:4]), None, code), model
        assert attempts(atrium, model) == [(model, code)], model
        used = lines(atrium, tenant, model)
        assert used.keys() == {"input_tokens", "output_tokens"} and used["output_tokens"] >= 4, model
    spent, held = account(atrium, tenant)
    assert spent > 0 and held == 0 and lines(atrium, tenant, "fake") == {}


async def test_odd_answers_are_answers_and_metered_once(atrium):
    behaviours = ["flaky", "no-done", "no-usage", "floods", "talks-on"]
    cases = {(atrium.new_model(behaviour), stream): behaviour for behaviour in behaviours for stream in (False, True)}
    # `no-done` is about streams, and `no-usage` streams as `no-done` does.
    cases = {
        case: name for case, name in cases.items() if case[1] or name != "no-done" if not case[1] or name != "no-usage"
    }
    tenant = atrium.new_tenant(budget="1000", grants=tuple(model for model, _ in cases))
    answers = await all_told(tenant, cases, max_tokens=8)
    text = {"no-done": "".join(WORDS[:4]), "no-usage": "one two three four", "floods": "x" * FLOOD}
    for (model, stream), behaviour in cases.items():
        answer = answers[model, stream]
        assert (answer.code, answer.words == text.get(behaviour, "".join(WORDS))) == (None, True), (behaviour, stream)
        failed = [(model, "upstream_error")] * 2 if behaviour == "flaky" else []
        assert attempts(atrium, model) == [*failed, (model, "")], (behaviour, stream)
        used = lines(atrium, tenant, model)
        if behaviour in ("no-done", "no-usage"):
            assert used["input_tokens"] > 0 and used["output_tokens"] >= 4, (behaviour, stream)
        else:
            assert used == {"input_tokens": 7, "output_tokens": 10}, (behaviour, stream)
    assert account(atrium, tenant)[1] == 0


async def test_what_fails_before_a_word_is_answered_by_the_fallback(atrium):
    behaviours = [name for name in FAILURES if name != "refuses"]
    cases = {(atrium.new_model(name, fallback="fake"), stream): name for name in behaviours for stream in (False, True)}
    refused = atrium.new_model("refuses", fallback="fake")
    tenant = atrium.new_tenant(budget="1000", grants=(*(model for model, _ in cases), refused))
    answers = await all_told(tenant, [*cases, (refused, False)])
    for (model, stream), behaviour in cases.items():
        assert answers[model, stream] == Told("".join(WORDS)), (behaviour, stream)
        *failed, last = attempts(atrium, model)
        assert last == ("fake", "") and {*failed} == {(model, FAILURES[behaviour][1])}, (behaviour, stream)
        assert lines(atrium, tenant, model) == {}
    # A request that is wrong is wrong everywhere.
    assert answers[refused, False].status == 400 and attempts(atrium, refused) == [(refused, "bad")]
    _, held = account(atrium, tenant)
    fake = atrium.sql(
        "SELECT count(*), sum(quantity) FROM billing_usagerecord WHERE tenant_id = %s AND model = 'fake' "
        "AND meter = 'output_tokens'", tenant.id
    )  # fmt: skip
    assert held == 0 and fake == [(len(cases), 10 * len(cases))]


async def test_a_call_ends_at_its_own_deadline_whatever_the_upstream_does(atrium):
    cases = [(atrium.new_model(behaviour), stream) for behaviour in ("slow", "hangs") for stream in (False, True)]
    tenant = atrium.new_tenant(budget="1000", grants=tuple(model for model, _ in cases))
    started = time.monotonic()
    answers = await all_told(tenant, cases, extra_body={"timeout": 1.5})
    assert time.monotonic() - started < 3.5  # the upstream's own silence would have been borne for four seconds
    for model, stream in cases:
        begun = stream and model.startswith("fault:hangs")
        answer = answers[model, stream]
        assert answer.words == ("".join(WORDS[:2]) if begun else ""), (model, stream)
        assert (answer.status, answer.code) == (None if begun else 504, "deadline_exceeded"), (model, stream)
        assert [asked for asked, _ in attempts(atrium, model)] == [model], (model, stream)
        assert bool(lines(atrium, tenant, model)) == begun, (model, stream)
    assert account(atrium, tenant)[1] == 0


def test_a_breaker_opens_is_passed_by_and_closes_when_the_upstream_is_well_again(atrium):
    model = atrium.new_model("broken")
    spared = atrium.new_model("broken", fallback="fake")
    sdk = atrium.new_tenant(grants=(model, spared)).sdk()

    def call(name=model):
        return sdk.chat.completions.create(model=name, messages=[{"role": "user", "content": "hello"}])

    for _ in range(2):  # five failures open it
        with pytest.raises(openai.InternalServerError):
            call()
    asked = atrium.upstream.asked(model)
    assert asked == 5
    with pytest.raises(openai.InternalServerError) as failed:
        call()
    assert (failed.value.status_code, failed.value.code) == (503, "no_deployment")
    assert int(failed.value.response.headers["retry-after"]) >= 1
    assert atrium.upstream.asked(model) == asked
    for _ in range(4):
        assert call(spared).choices[0].message.content == "".join(WORDS)
    assert atrium.upstream.asked(spared) == 5
    atrium.upstream.mended.add(model)
    eventually(lambda: answered(call))
    for _ in range(3):
        call()
    breakers = "{routing}:breakers"
    with redis.Redis.from_url(atrium.stack.environment["REDIS_URL"]) as client:
        [(deployment,)] = atrium.sql("SELECT id FROM inference_deployment WHERE name = %s", model)
        assert not client.hexists(breakers, str(deployment))


def answered(call):
    try:
        return bool(call().choices)
    except openai.InternalServerError as error:
        assert error.code == "no_deployment"
        return False


def test_an_upstream_that_is_down_answers_503(atrium):
    model = atrium.new_model("ok")
    atrium.sql("UPDATE inference_deployment SET base_url = 'http://127.0.0.1:1/v1' WHERE name = %s RETURNING id", model)
    tenant = atrium.new_tenant(grants=(model,))
    with pytest.raises(openai.APIStatusError) as failed:
        tenant.sdk().chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
    assert (failed.value.status_code, failed.value.code) == (503, "upstream_unreachable")


def test_usage_above_the_hold_is_the_platforms_variance_not_the_tenants_overspend(atrium):
    tenant = atrium.new_tenant(budget="2")
    ask(tenant, "overruns", max_tokens=100)
    [(spent, held, limit)] = atrium.sql(
        "SELECT a.spent, a.held, b.limit FROM billing_budgetaccount a JOIN billing_budget b ON b.id = a.budget_id "
        "WHERE a.tenant_id = %s", tenant.id
    )  # fmt: skip
    [(cost, variance)] = atrium.sql(
        "SELECT sum(cost), sum(variance) FROM billing_usagerecord WHERE tenant_id = %s", tenant.id
    )
    assert held == 0 and spent == cost <= limit
    assert cost + variance == 1000 + 7 * 1000 / 10**6 or float(cost + variance) == pytest.approx(1000.007)


def test_a_silent_upstream_is_given_up_after_the_read_time(acme_running):
    words = []
    with pytest.raises(openai.APIError) as failed:
        for chunk in ask(acme_running, "hangs", stream=True):
            words.append(chunk.choices[0].delta.content)
    assert failed.value.code == "upstream_timeout"
    assert "".join(word or "" for word in words).split() == ["word0", "word1"]


def test_a_client_that_leaves_cancels_the_upstream_call_and_pays_for_what_was_made(atrium):
    tenant = atrium.new_tenant(budget="100")
    stream = ask(tenant, "hangs", stream=True)
    next(iter(stream))
    assert atrium.upstream.streaming.wait(5)
    stream.close()
    assert atrium.upstream.gone.wait(3.5), "the upstream call went on without a client"
    atrium.settled(tenant)
    assert {meter: quantity for meter, quantity, _ in atrium.ledger(tenant)}["output_tokens"] > 0
    assert atrium.sql("SELECT state FROM inference_generation WHERE tenant_id = %s", tenant.id) == [("cancelled",)]


def test_a_client_that_leaves_before_a_worker_comes_is_withdrawn(atrium):
    tenant = atrium.new_tenant(budget="100")
    worker = atrium.stack.processes["generation"].pid
    os.kill(worker, signal.SIGSTOP)
    try:
        with pytest.raises(openai.APITimeoutError):
            tenant.sdk(timeout=1).chat.completions.create(model="fake", messages=[{"role": "user", "content": "x"}])
        query = "SELECT state FROM billing_reservation WHERE tenant_id = %s"
        eventually(lambda: atrium.sql(query, tenant.id) == [("released",)])
        with redis.Redis.from_url(atrium.stack.environment["REDIS_URL"]) as client:
            eventually(lambda: all(client.zcard(key) == 0 for key in client.scan_iter(f"limits:*{tenant.id}*:calls")))
    finally:
        os.kill(worker, signal.SIGCONT)
    assert atrium.ledger(tenant) == []
    assert atrium.sql("SELECT state FROM inference_generation WHERE tenant_id = %s", tenant.id) == [("cancelled",)]
    assert atrium.sql("SELECT count(*) FROM tenants_work WHERE tenant_id = %s", tenant.id) == [(0,)]
