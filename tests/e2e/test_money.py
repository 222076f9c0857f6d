"""What calls cost, seen in the ledger of a running Atrium. A token is a dollar per thousand, in and out."""

from datetime import UTC, datetime
from decimal import Decimal

import openai
import pytest

from .conftest import eventually

pytestmark = pytest.mark.e2e

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
STRUCTURED = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}}


def ask(tenant, said, **options):
    messages = [{"role": "user", "content": said}]
    return tenant.sdk().chat.completions.create(model="fake", messages=messages, **options)


def lines(atrium, tenant):
    """(attempt, meter, quantity, cost, estimated) of every line."""
    return atrium.sql(
        "SELECT attempt, meter, quantity, cost, estimated FROM billing_usagerecord WHERE tenant_id = %s ORDER BY id",
        tenant.id,
    )


def account(atrium, tenant):
    [row] = atrium.sql("SELECT spent, held FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id)
    return row


def contract(atrium, tenant, meter, amount, per):
    """A price of the tenant's own."""
    atrium.sql(
        "INSERT INTO billing_tenantprice (tenant_id, id, model, meter, currency, amount, per, valid_from) "
        "VALUES (%s, uuidv7(), 'fake', %s, 'USD', %s, %s, '2026-01-01') RETURNING id",
        tenant.id, meter, amount, per,
    )  # fmt: skip


def test_cached_and_reasoning_tokens_are_lines_of_their_own(atrium):
    plain, priced = atrium.new_tenant(budget="100"), atrium.new_tenant(budget="100")
    contract(atrium, priced, "cached_input_tokens", "100", 1_000_000)
    for tenant in (plain, priced):
        usage = ask(tenant, "fault:thinks").usage
        assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (7, 5)
        assert (usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens) == (10, 8)
        atrium.settled(tenant)
    meters = ["input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"]
    assert [(meter, quantity) for _, meter, quantity, _, _ in lines(atrium, plain)] == list(
        zip(meters, [2, 5, 2, 8], strict=True)
    )
    # Without a price of its own a cached token costs what any other does; with one, a tenth.
    assert account(atrium, plain) == (Decimal("0.017"), 0)
    assert account(atrium, priced) == (Decimal("0.0125"), 0)


def test_usage_far_above_the_hold_is_the_platforms(atrium):
    tenant = atrium.new_tenant(budget="0.05")
    ask(tenant, "fault:overruns", max_tokens=10)
    atrium.settled(tenant)
    spent, held = account(atrium, tenant)
    # The hold: the prompt's 14 bytes and 8 more, and 10 tokens out.
    assert (spent, held) == (Decimal("0.032"), 0)
    variance = Decimal("1000.007") - Decimal("0.032")
    booked = "SELECT amount, calls FROM billing_varianceaccount WHERE pseudonym = %s"
    assert atrium.sql(booked, tenant.id) == [(variance, 1)]
    assert atrium.sql("SELECT sum(variance) FROM billing_usagerecord WHERE tenant_id = %s", tenant.id) == [(variance,)]
    alert = "SELECT calls FROM billing_variancealert WHERE pseudonym = %s AND raised_at IS NOT NULL"
    assert eventually(lambda: atrium.sql(alert, tenant.id), seconds=30) == [(1,)]


def test_a_call_that_is_left_before_its_answer_costs_the_prompt_by_our_own_count(atrium):
    tenant = atrium.new_tenant(budget="100")
    before = atrium.upstream.calls.get("fault:slow", 0)
    client = tenant.sdk(timeout=1.0)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="fake", messages=[{"role": "user", "content": "fault:slow"}])
    assert atrium.upstream.calls["fault:slow"] == before + 1
    atrium.settled(tenant)
    [(attempt, meter, quantity, cost, estimated)] = lines(atrium, tenant)
    assert (attempt, meter, estimated) == (1, "input_tokens", True)
    # Never more than was held for the prompt: its 10 bytes and 8 more.
    assert 0 < quantity <= 18 and cost == Decimal(quantity) / 1000
    assert account(atrium, tenant) == (cost, 0)


def test_a_structured_answer_is_repaired_once_and_both_answers_are_paid(atrium):
    tenant = atrium.new_tenant(budget="100")
    answer = ask(tenant, "fault:structured", response_format=STRUCTURED)
    assert answer.choices[0].message.content == '{"n": 1}'
    atrium.settled(tenant)
    assert [line[:3] for line in lines(atrium, tenant)] == [
        (1, "input_tokens", 7), (1, "output_tokens", 10), (2, "input_tokens", 7), (2, "output_tokens", 10),
    ]  # fmt: skip
    assert account(atrium, tenant) == (Decimal("0.034"), 0)


def test_a_structured_answer_that_cannot_be_had_is_an_error_and_is_paid(atrium):
    tenant = atrium.new_tenant(budget="100")
    with pytest.raises(openai.APIStatusError) as failed:
        ask(tenant, "fault:never-structured", response_format=STRUCTURED)
    assert (failed.value.status_code, failed.value.code) == (502, "invalid_structured_output")
    assert failed.value.response.headers["x-should-retry"] == "false"
    words = []
    with pytest.raises(openai.APIError) as broken:
        for chunk in ask(tenant, "fault:never-structured", response_format=STRUCTURED, stream=True):
            words.append(chunk.choices[0].delta.content or "")
    assert ("".join(words), broken.value.code) == ("no JSON", "invalid_structured_output")
    # What is not asked for strictly is the model's to follow.
    lax = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    assert ask(tenant, "fault:never-structured", response_format=lax).choices[0].message.content == "no JSON"
    atrium.settled(tenant)
    # Two calls of the first request, one of each other.
    assert account(atrium, tenant) == (4 * Decimal("0.017"), 0)
    with pytest.raises(openai.BadRequestError) as refused:
        ask(tenant, "x", response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "a"}}})
    assert refused.value.param == "response_format.json_schema.schema.type"


def keeps(atrium, tenant, **policy):
    contract(atrium, tenant, "cache_hits", "1", 1_000)
    atrium.post("/v1/response_cache/policies/fake", tenant.key, {"ttl_seconds": 600, "any_request": True, **policy})


def raw(tenant, said, **options):
    """(x-atrium-cache, the answer)."""
    client = tenant.sdk().with_options(default_headers=options.pop("headers", {}))
    messages = [{"role": "user", "content": said}]
    found = client.chat.completions.with_raw_response.create(model="fake", messages=messages, **options)
    return found.headers.get("x-atrium-cache"), found


def test_the_same_question_is_answered_from_the_cache(atrium):
    tenant, other = atrium.new_tenant(budget="100"), atrium.new_tenant()
    # Nothing is kept without a policy.
    assert [raw(tenant, "hello")[0] for _ in range(2)] == [None, None]
    keeps(atrium, tenant)
    keeps(atrium, other)
    eventually(lambda: raw(tenant, "warm up")[0])
    calls = atrium.upstream.calls["ok"]
    first, second = raw(tenant, "what now?"), raw(tenant, "what now?")
    assert (first[0], second[0]) == ("miss", "hit")
    assert atrium.upstream.calls["ok"] == calls + 1
    one, two = first[1].parse(), second[1].parse()
    assert (two.choices, two.usage) == (one.choices, one.usage) and two.id != one.id
    # As a stream, with the usage of the answer that was kept.
    state, stream = raw(tenant, "what now?", stream=True, stream_options={"include_usage": True})
    chunks = list(stream.parse())
    assert state == "hit"
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == one.choices[0].message.content
    )
    assert chunks[-1].usage == one.usage
    # What is asked otherwise, or by another tenant, or without the cache, is answered anew.
    assert raw(tenant, "what now?", temperature=0.5)[0] == "miss"
    assert raw(tenant, "what now?", extra_body={"cache": False})[0] is None
    assert raw(tenant, "what now?", headers={"cache-control": "no-store"})[0] is None
    assert raw(tenant, "what now?", headers={"cache-control": "no-cache"})[0] == "miss"
    eventually(lambda: raw(other, "warm up")[0])
    assert raw(other, "what now?")[0] == "miss"
    atrium.settled(tenant)
    hits = [line[1:4] for line in lines(atrium, tenant) if line[1] == "cache_hits"]
    assert hits == [("cache_hits", 1, Decimal("0.001"))] * 2
    since = int(datetime.now(UTC).timestamp()) - 3_600
    usage = tenant.sdk().get(f"/organization/usage/completions?start_time={since}&bucket_width=1d", cast_to=object)
    [found] = [row for bucket in usage["data"] for row in bucket["results"]]
    assert found["num_cache_hits"] == 2 and 0 < found["cache_hit_ratio"] < 1
