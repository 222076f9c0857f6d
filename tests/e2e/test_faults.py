"""Upstreams that misbehave and clients that leave: the right error, what was produced metered, nothing held."""

import os
import signal

import openai
import pytest
import redis

from .conftest import eventually

pytestmark = pytest.mark.e2e


def ask(tenant, behaviour, **options):
    messages = [{"role": "user", "content": f"fault:{behaviour}"}]
    return tenant.sdk().chat.completions.create(model="fake", messages=messages, **options)


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "calls"),
    [
        ("refuses", 400, "bad", 1),
        ("credentials", 502, "upstream_credentials", 1),
        ("overloaded", 503, "upstream_rate_limited", 3),
        ("broken", 502, "upstream_error", 3),
        ("half-json", 502, "upstream_garbage", 3),
        ("html", 502, "upstream_garbage", 3),
        ("resets", 502, "upstream_broke_off", 3),
    ],
)
def test_a_failing_upstream_is_a_clean_error_and_costs_nothing(atrium, behaviour, status, code, calls):
    tenant = atrium.new_tenant(budget="100")
    before = atrium.upstream.calls.get(f"fault:{behaviour}", 0)
    with pytest.raises(openai.APIStatusError) as failed:
        ask(tenant, behaviour)
    assert (failed.value.status_code, failed.value.code) == (status, code)
    assert "sk-secret" not in str(failed.value.body)
    assert atrium.upstream.calls[f"fault:{behaviour}"] - before == calls
    atrium.settled(tenant)
    assert atrium.ledger(tenant) == []
    assert atrium.sql("SELECT spent, held FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id) == [(0, 0)]


def test_an_upstream_that_fails_twice_is_tried_again(acme_running):
    assert ask(acme_running, "flaky").choices[0].message.content.startswith("word0")


def test_an_upstream_that_is_down_answers_503(atrium):
    tenant = atrium.new_tenant()
    atrium.manage(
        "register_model", "--name", "down", "--base-url", "http://127.0.0.1:1/v1", "--input-price", "1", "--output-price", "1"
    )  # fmt: skip
    atrium.manage("grant_model", "--tenant", tenant.slug, "--model", "down")
    with pytest.raises(openai.APIStatusError) as failed:
        tenant.sdk().chat.completions.create(model="down", messages=[{"role": "user", "content": "x"}])
    assert (failed.value.status_code, failed.value.code) == (503, "upstream_unreachable")


@pytest.mark.parametrize("behaviour", ["breaks-off"])
def test_a_stream_that_breaks_off_ends_in_an_error_event_and_is_metered(atrium, behaviour):
    tenant = atrium.new_tenant(budget="100")
    words = []
    with pytest.raises(openai.APIError) as failed:
        for chunk in ask(tenant, behaviour, stream=True):
            words.append(chunk.choices[0].delta.content)
    assert "".join(word or "" for word in words).split() == ["word0", "word1", "word2", "word3"]
    assert failed.value.code == "upstream_broke_off"
    atrium.settled(tenant)
    meters = {meter: quantity for meter, quantity, _ in atrium.ledger(tenant)}
    assert meters["output_tokens"] > 0 and meters["input_tokens"] > 0
    held = atrium.sql("SELECT held FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id)
    assert held == [(0,)]


def test_a_stream_without_done_or_usage_is_completed_and_metered_by_count(atrium):
    tenant = atrium.new_tenant()
    chunks = list(ask(tenant, "no-done", stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {meter for meter, _, _ in atrium.ledger(tenant)} == {"input_tokens", "output_tokens"}


def test_an_answer_without_usage_is_metered_by_count(atrium):
    tenant = atrium.new_tenant()
    answer = ask(tenant, "no-usage")
    assert answer.usage.completion_tokens > 0
    assert {meter for meter, _, _ in atrium.ledger(tenant)} == {"input_tokens", "output_tokens"}


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


def test_every_attempt_of_a_failed_call_is_recorded(atrium):
    tenant = atrium.new_tenant()
    with pytest.raises(openai.InternalServerError):
        ask(tenant, "broken")
    attempts = atrium.sql(
        "SELECT number, code, latency_ms, deployment FROM inference_inferenceattempt WHERE tenant_id = %s ORDER BY number",
        tenant.id,
    )
    assert [(number, code) for number, code, _, _ in attempts] == [(n, "upstream_error") for n in (1, 2, 3)]
    assert all(ms > 0 and deployment.startswith("fake at ") for _, _, ms, deployment in attempts)
