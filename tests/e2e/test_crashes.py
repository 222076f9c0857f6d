"""Processes die, Redis forgets: nothing is lost, nothing hangs."""

import os
import signal

import openai
import pytest

from .conftest import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.crashes]


def test_a_generation_worker_killed_mid_stream_ends_the_stream_and_the_call_is_settled(atrium):
    tenant = atrium.new_tenant(budget="100")
    stream = iter(
        tenant.sdk(timeout=40).chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "fault:hangs"}], stream=True
        )
    )
    assert "word0" in (next(stream).choices[0].delta.content or "")
    other = atrium.new_tenant()
    behind = other.sdk().responses.create(model="fake", input="fault:slow", background=True)
    eventually(lambda: other.sdk().responses.retrieve(behind.id).status == "in_progress")
    atrium.stack.processes["generation"].send_signal(signal.SIGKILL)
    atrium.stack.processes["generation"].wait()
    atrium.stack.start("generation")
    with pytest.raises(openai.APIError) as failed:
        list(stream)
    assert failed.value.code == "worker_lost"
    atrium.settled(tenant)
    atrium.settled(other)
    lost = other.sdk().responses.retrieve(behind.id)
    assert (lost.status, lost.error.code, lost.error.reason) == ("failed", "server_error", "worker_lost")
    assert [meter for meter, _, _ in atrium.ledger(other)] == ["unreconciled"]
    # It was dispatched and nobody knows what it used: charged at its hold, to be reconciled.
    [(meter, _, cost)] = atrium.ledger(tenant)
    [(spent, held)] = atrium.sql("SELECT spent, held FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id)
    assert meter == "unreconciled" and cost == spent > 0 and held == 0
    answer = tenant.sdk().chat.completions.create(model="fake", messages=[{"role": "user", "content": "hello"}])
    assert answer.usage.completion_tokens == 10


def test_doorbells_lost_with_redis_are_rung_again(atrium):
    tenant = atrium.new_tenant()
    worker = atrium.stack.processes["generation"].pid
    os.kill(worker, signal.SIGSTOP)
    try:
        import concurrent.futures

        import redis

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            calls = [
                pool.submit(
                    tenant.sdk().chat.completions.create, model="fake", messages=[{"role": "user", "content": "x"}]
                )
                for _ in range(4)
            ]
            eventually(
                lambda: atrium.sql("SELECT count(*) FROM tenants_work WHERE tenant_id = %s", tenant.id) == [(4,)]
            )
            with redis.Redis.from_url(atrium.stack.environment["REDIS_URL"]) as client:
                client.flushdb()
            os.kill(worker, signal.SIGCONT)
            assert [call.result(timeout=30).usage.completion_tokens for call in calls] == [10] * 4
    finally:
        os.kill(worker, signal.SIGCONT)
