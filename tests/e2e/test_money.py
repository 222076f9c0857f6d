"""What calls cost, seen in the ledger of a running Atrium. A token is a dollar per thousand, in and out."""

import subprocess
import sys
from decimal import Decimal

import openai
import pytest

from config.supervisor import ROOT

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


#: A model that falls back to a dearer one, by the functions that an operator's commands call.
DEARER = """
from datetime import UTC, datetime
from decimal import Decimal
from inference.catalogue import grant, register_model
from inference.models import Fallback, Model
from tenants.audit import COMMAND_LINE
from tenants.models import Tenant
from tenants.scope import acting_for, as_staff
for name, price in (("cheap", "1000"), ("dear", "5000")):
    register_model(
        name=name, kind="chat", provider="openai", base_url="{url}", upstream_model=name, api_key="", currency="USD",
        prices={{"input_tokens": Decimal(price), "output_tokens": Decimal(price)}}, context_window=8000,
        max_output_tokens=1000, now=datetime.now(UTC),
    )
with as_staff():
    cheap, dear = (Model.objects.get(name=name) for name in ("cheap", "dear"))
    Fallback.objects.create(model=cheap, fallback=dear, position=0)
    tenant = Tenant.objects.get(slug="{slug}")
with acting_for(tenant.id):
    grant(alias="cheap", model_name="cheap", by=COMMAND_LINE)
"""


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


def test_a_fallback_to_a_dearer_model_is_held_for_and_what_it_overruns_is_the_platforms(atrium):
    tenant = atrium.new_tenant(budget="100")
    code = DEARER.format(url=atrium.upstream.url, slug=tenant.slug)
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    subprocess.run(command, cwd=ROOT, env=atrium.stack.environment, check=True)
    messages = [{"role": "user", "content": "fault:dear-overruns"}]
    answer = tenant.sdk().chat.completions.create(model="cheap", messages=messages, max_tokens=10)
    assert answer.choices[0].message.content == "ten times"
    atrium.settled(tenant)
    # Held at the dearer price: 19 bytes and 8 of a frame, 10 tokens out.
    hold = 37 * Decimal("0.005")
    rows = atrium.sql(
        "SELECT model, meter, quantity, cost, variance, attempt FROM billing_usagerecord WHERE tenant_id = %s ORDER BY id",
        tenant.id,
    )
    # The cheap model failed and said nothing: no line. The dear one reports ten times of what it was asked for.
    assert [(model, meter, quantity) for model, meter, quantity, _, _, _ in rows] == [
        ("dear", "input_tokens", 70), ("dear", "output_tokens", 100),
    ]  # fmt: skip
    assert sum(cost for _, _, _, cost, _, _ in rows) == hold
    assert {attempt for *_, attempt in rows} == {atrium.sql(
        "SELECT max(number) FROM inference_inferenceattempt WHERE tenant_id = %s", tenant.id
    )[0][0]}  # fmt: skip
    variance = 170 * Decimal("0.005") - hold
    booked = "SELECT model, amount, calls FROM billing_varianceaccount WHERE pseudonym = %s"
    assert atrium.sql(booked, tenant.id) == [("dear", variance, 1)]
    assert account(atrium, tenant) == (hold, 0)
