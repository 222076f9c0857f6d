"""A budget that concurrency cannot overspend, through every process of the stack."""

import asyncio

import openai
import pytest

pytestmark = pytest.mark.e2e

MESSAGES = [{"role": "user", "content": "hello"}]


async def test_200_concurrent_calls_on_a_budget_for_50_spend_no_more_than_it(atrium):
    # One call costs 0.017 and holds (bytes + limit) at 0.001: the budget pays for fifty such calls.
    tenant = atrium.new_tenant(budget="0.85")
    async with tenant.async_sdk() as client:

        async def one() -> str:
            try:
                await client.chat.completions.create(model="fake", messages=MESSAGES, max_tokens=10)
            except openai.RateLimitError as refused:
                return str(refused.code)
            return "ok"

        outcomes = [await one() for _ in range(1)] + await asyncio.gather(*(one() for _ in range(199)))
        # Those that found the budget held by others come again, as the SDK does by itself.
        while "budget_held" in outcomes:
            again = outcomes.count("budget_held")
            outcomes = [o for o in outcomes if o != "budget_held"] + await asyncio.gather(
                *(one() for _ in range(again))
            )
    atrium.settled(tenant)
    [(spent, held, limit)] = atrium.sql(
        "SELECT a.spent, a.held, b.limit FROM billing_budgetaccount a JOIN billing_budget b ON b.id = a.budget_id "
        "WHERE a.tenant_id = %s",
        tenant.id,
    )
    [(ledger,)] = atrium.sql("SELECT sum(cost) FROM billing_usagerecord WHERE tenant_id = %s", tenant.id)
    assert set(outcomes) == {"ok", "insufficient_quota"} and len(outcomes) == 200
    assert ledger == spent <= limit and held == 0
    # What is left cannot pay for one more: a call needs its worst case of some 0.03.
    assert 48 <= outcomes.count("ok") <= 50


async def test_a_spent_budget_answers_429_and_is_not_retried(atrium):
    tenant = atrium.new_tenant(budget="0.001")
    try:
        tenant.sdk(max_retries=2).chat.completions.create(model="fake", messages=MESSAGES, max_tokens=10)
    except openai.RateLimitError as refused:
        assert refused.code == "insufficient_quota"
        assert refused.response.headers["x-should-retry"] == "false"
        assert "0.001" in refused.message and "resets" in refused.message
    else:
        raise AssertionError("the call was not refused")
    [(generations,)] = atrium.sql("SELECT count(*) FROM inference_generation WHERE tenant_id = %s", tenant.id)
    assert generations == 0
