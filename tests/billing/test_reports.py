"""Finance reads the ledger: every figure here was added up by hand from `LEDGER`."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from django.core.management import CommandError, call_command
from openai.types.admin.organization import (
    UsageCompletionsResponse,
    UsageCostsResponse,
    UsageEmbeddingsResponse,
    UsageFileSearchCallsResponse,
    UsageModerationsResponse,
    UsageVectorStoresResponse,
)

from billing.exports import csv_lines, neutralised
from billing.models import UsageRecord
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id, uuid7
from tenants.scope import acting_for, tenant_scope

DAY = datetime(2026, 3, 10, tzinfo=UTC)
KEY_1, KEY_2 = uuid7(), uuid7()
LEDGER = [
    # at, key, user, operation, model, meter, quantity, cost
    (DAY, KEY_1, "ann", "completions", "gpt", "input_tokens", 100, "0.10"),
    (DAY, KEY_1, "ann", "completions", "gpt", "cached_input_tokens", 40, "0.01"),
    (DAY, KEY_1, "ann", "completions", "gpt", "output_tokens", 10, "0.20"),
    (DAY + timedelta(hours=1), KEY_2, "bob", "completions", "gpt", "input_tokens", 7, "0.007"),
    (DAY + timedelta(hours=23, minutes=59), KEY_2, "", "completions", "claude", "output_tokens", 5, "0.000000000001"),
    (DAY + timedelta(days=1), KEY_1, "ann", "embeddings", "mini", "embedding_tokens", 1_000, "0.02"),
    (DAY + timedelta(days=1), None, "", "ingestion", "mini", "embedding_tokens", 2_000, "0.04"),
    (DAY + timedelta(days=1), KEY_1, "ann", "search", "mini", "embedding_tokens", 3, "0.00006"),
    (DAY + timedelta(days=1), KEY_1, "ann", "completions", "mini", "embedding_tokens", 4, "0.00008"),
    (DAY + timedelta(days=2), KEY_1, "ann", "completions", "gpt", "unreconciled", 1, "0.5"),
]
TOTAL = Decimal("0.877140000001")


def write_ledger(tenant_id, ledger=LEDGER, currency="USD", **more):
    calls, led = {}, set()
    with acting_for(tenant_id), tenant_scope():
        for at, key, user, operation, model, meter, quantity, cost in ledger:
            leads = meter != "cache_hits" and (at, operation) not in led
            led |= {(at, operation)} if leads else set()
            UsageRecord.objects.create(
                tenant_id=tenant_id, reservation_id=uuid7(), request_id=calls.setdefault((at, operation), uuid7()),
                attempt=1, operation=operation, model=model, meter=meter, quantity=quantity, unit_price=1, per=1,
                cost=Decimal(cost), currency=currency, key_id=key, end_user=user, occurred_at=at,
                period_start=at.date().replace(day=1), leads=leads, **more,
            )  # fmt: skip


@pytest.fixture
def ask(acme, globex):
    """GETs a report as acme; amounts parsed as decimals."""
    write_ledger(acme.tenant.id)
    write_ledger(globex.tenant.id, [(DAY, KEY_1, "x", "completions", "gpt", "input_tokens", 9_999, "99")])

    def get(path, *, status=200, start=DAY, **query):
        query = {"start_time": int(start.timestamp()), **query}
        pairs = [(f"{k}[]", item) for k, v in query.items() if isinstance(v, list) for item in v]
        pairs += [(k, v) for k, v in query.items() if not isinstance(v, list)]
        response = acme.client.get(f"/v1/organization/{path}?{urlencode(pairs)}")
        assert response.status_code == status, response.content
        return json.loads(response.content, parse_float=Decimal)

    return get


END = int((DAY + timedelta(days=3)).timestamp())


def results(page):
    return [result for bucket in page["data"] for result in bucket["results"]]


def test_completions_by_day(ask):
    page = ask("usage/completions", end_time=END)
    UsageCompletionsResponse.model_validate(page)
    assert [(b["start_time"], b["end_time"]) for b in page["data"]] == [
        (int((DAY + timedelta(days=n)).timestamp()), int((DAY + timedelta(days=n + 1)).timestamp())) for n in range(3)
    ]
    first, second, third = (bucket["results"] for bucket in page["data"])
    # 100 + 40 + 7 in (40 of them cached), 10 + 5 out, three calls; none on the second day.
    assert first == [
        {
            "object": "organization.usage.completions.result", "input_tokens": 147, "output_tokens": 15,
            "input_cached_tokens": 40, "num_model_requests": 3, "batch": None, "service_tier": None,
            "output_reasoning_tokens": 0, "num_cache_hits": 0, "cache_hit_ratio": 0.0,
            "project_id": None, "user_id": None, "api_key_id": None, "model": None, "input_uncached_tokens": 107,
            "tags": None,
        }
    ]  # fmt: skip
    assert second == []
    assert [(row["input_tokens"], row["num_model_requests"]) for row in third] == [(0, 1)]
    assert (page["has_more"], page["next_page"]) == (False, None)


def test_cache_hits_and_reasoning_are_shown(acme, ask):
    later = DAY + timedelta(days=30)
    write_ledger(
        acme.tenant.id,
        [
            (later, KEY_1, "ann", "completions", "gpt", "cache_hits", 1, "0.001"),
            (later + timedelta(hours=1), KEY_1, "ann", "completions", "gpt", "cache_hits", 1, "0.001"),
            (later + timedelta(hours=2), KEY_1, "ann", "completions", "gpt", "input_tokens", 10, "0.1"),
            (later + timedelta(hours=2), KEY_1, "ann", "completions", "gpt", "reasoning_tokens", 30, "0.3"),
            (later + timedelta(hours=2), KEY_1, "ann", "completions", "gpt", "output_tokens", 5, "0.05"),
        ],
    )
    (row,) = results(ask("usage/completions", start=later, end_time=int((later + timedelta(days=1)).timestamp())))
    # Two of three calls came from the cache; the third thought for 30 of its 35 tokens.
    assert (row["num_model_requests"], row["num_cache_hits"], row["cache_hit_ratio"]) == (1, 2, Decimal("0.6667"))
    assert (row["input_tokens"], row["output_tokens"], row["output_reasoning_tokens"]) == (10, 35, 30)
    costs = ask("costs", start=later, end_time=int((later + timedelta(days=1)).timestamp()), group_by=["line_item"])
    found = {row["line_item"]: (row["quantity"], row["quantity_unit"]) for row in results(costs)}
    assert found["gpt, cache_hits"] == (2, "hits")
    assert found["gpt, reasoning_tokens"] == (30, "tokens")


def test_ingestion_search_and_queries_count_as_embeddings(ask):
    page = ask("usage/embeddings", end_time=END)
    UsageEmbeddingsResponse.model_validate(page)
    assert [row["input_tokens"] for row in results(page)] == [1_000 + 2_000 + 3 + 4]
    assert [row["num_model_requests"] for row in results(page)] == [4]


def test_grouped_by_model_and_key(ask):
    rows = results(ask("usage/completions", end_time=END, group_by=["model", "api_key_id"]))
    found = [(row["model"], row["api_key_id"], row["input_tokens"], row["output_tokens"]) for row in rows]
    one, two = public_id("key_", KEY_1), public_id("key_", KEY_2)
    assert found == [("claude", two, 0, 5), ("gpt", one, 140, 10), ("gpt", two, 7, 0), ("gpt", one, 0, 0)]


def test_grouped_by_project_and_user(ask, acme):
    rows = results(ask("usage/completions", end_time=END, group_by=["user_id", "project_id"], bucket_width="1d"))
    one, two = public_id("key_", KEY_1), public_id("key_", KEY_2)
    assert [(row["user_id"], row["project_id"]) for row in rows] == [
        (None, two), ("ann", one), ("bob", two), ("ann", one),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "tokens"),
    [
        ({"user_ids": ["ann"]}, 140),
        ({"user_ids": ["ann", "bob"]}, 147),
        ({"models": ["gpt"]}, 147),
        ({"models": ["claude"]}, 0),
        ({"api_key_ids": [public_id("key_", KEY_2)]}, 7),
        ({"api_key_ids": ["key_nonsense"]}, 0),
        ({"project_ids": ["proj_of_somebody"]}, 0),
        ({"project_ids": [public_id("key_", KEY_2)]}, 7),
        ({"project_ids": [public_id("key_", KEY_2)], "api_key_ids": [public_id("key_", KEY_1)]}, 0),
        ({"batch": "true"}, 0),
        ({"batch": "false"}, 147),
        ({"tags[team]": "a"}, 0),
    ],
)
def test_filters(ask, filters, tokens):
    assert sum(row["input_tokens"] for row in results(ask("usage/completions", end_time=END, **filters))) == tokens


def test_costs_add_up_to_the_last_digit(ask):
    page = ask("costs", end_time=END)
    UsageCostsResponse.model_validate(page)
    assert sum(row["amount"]["value"] for row in results(page)) == TOTAL
    assert results(page)[0] == {
        "object": "organization.costs.result", "amount": {"value": Decimal("0.317000000001"), "currency": "usd"},
        "line_item": None, "quantity": None, "quantity_unit": None, "project_id": None, "user_id": None,
        "api_key_id": None, "tags": None,
    }  # fmt: skip


def test_costs_by_line_item_carry_quantities(ask):
    rows = results(ask("costs", end_time=END, group_by=["line_item"]))
    found = {row["line_item"]: (row["amount"]["value"], row["quantity"], row["quantity_unit"]) for row in rows}
    assert found["gpt, input_tokens"] == (Decimal("0.107"), 107, "tokens")
    assert found["gpt, unreconciled"] == (Decimal("0.5"), None, None)
    assert sum(value for value, _, _ in found.values()) == TOTAL
    (one,) = results(ask("costs", end_time=END, line_items=["gpt, output_tokens"]))
    assert one["amount"]["value"] == Decimal("0.20")


def test_currencies_are_never_mixed(ask, acme):
    write_ledger(acme.tenant.id, [(DAY, KEY_1, "", "completions", "gpt", "input_tokens", 1, "3")], currency="EUR")
    first = ask("costs", end_time=END)["data"][0]["results"]
    assert [(row["amount"]["currency"], row["amount"]["value"]) for row in first] == [
        ("eur", Decimal(3)),
        ("usd", Decimal("0.317000000001")),
    ]


@pytest.mark.parametrize(("path", "width", "limit"), [("costs", "1d", 1), ("costs", "1d", 2), ("costs", "1d", 3)])
def test_pages_add_up_to_the_whole(ask, path, width, limit):
    total, page = Decimal(0), ask(path, end_time=END, limit=limit)
    while True:
        total += sum(row["amount"]["value"] for row in results(page))
        if not page["has_more"]:
            break
        page = ask(path, end_time=END, limit=limit, page=page["next_page"])
    assert total == TOTAL


def test_hours_and_minutes_page_by_their_own_width(ask):
    page = ask("usage/completions", end_time=END, bucket_width="1h")
    assert (len(page["data"]), page["has_more"]) == (24, True)
    busy = [(n, b["results"][0]["input_tokens"]) for n, b in enumerate(page["data"]) if b["results"]]
    assert busy == [(0, 140), (1, 7), (23, 0)]
    page = ask("usage/completions", end_time=END, bucket_width="1m", limit=1440)
    assert [n for n, b in enumerate(page["data"]) if b["results"]] == [0, 60, 1439]


def test_a_range_that_starts_inside_a_day_cuts_the_first_bucket(ask):
    later = DAY + timedelta(minutes=30)
    before = ask("usage/completions", end_time=int(later.timestamp()))
    after = ask("usage/completions", start=later, end_time=END)
    assert [row["input_tokens"] for row in results(before)] == [140]
    assert [row["input_tokens"] for row in results(after)] == [7, 0]
    assert after["data"][0]["start_time"] == int(later.timestamp())


def test_a_page_is_worth_nothing_with_another_query_or_for_another_tenant(ask, globex):
    page = ask("costs", end_time=END, limit=1)["next_page"]
    assert ask("costs", end_time=END, limit=1, page=page)["data"][0]["start_time"] == int(DAY.timestamp()) + 86_400
    changed = [{"end_time": END}, {"end_time": END, "limit": 2}, {"end_time": END, "limit": 1, "user_ids": ["ann"]}]
    for query in changed:
        assert ask("costs", status=400, page=page, **query)["error"]["param"] == "page"
    assert ask("usage/completions", status=400, end_time=END, limit=1, page=page)["error"]["param"] == "page"
    url = f"/v1/organization/costs?start_time={int(DAY.timestamp())}&end_time={END}&limit=1&page={page}"
    assert globex.client.get(url).json()["error"]["param"] == "page"


def test_a_page_without_an_end_ends_where_the_first_did(ask, acme):
    """What is used between two pages belongs to neither: buckets of one listing do not overlap."""
    start = datetime.now(UTC) - timedelta(days=1)
    first = ask("costs", start=start, limit=1)
    last = ask("costs", start=start, limit=1, page=first["next_page"])
    assert last["data"][0]["end_time"] <= int(datetime.now(UTC).timestamp())
    assert not last["has_more"]


def test_batches_and_tags(ask, acme):
    later = DAY + timedelta(days=40)
    line = (later, KEY_1, "ann", "completions", "gpt", "input_tokens")
    write_ledger(acme.tenant.id, [(*line, 10, "1")], batch=True, tags={"team": "a", "cost__centre": "7"})
    write_ledger(acme.tenant.id, [(*line, 20, "2")], tags={"team": "b"})
    write_ledger(acme.tenant.id, [(*line, 40, "4")])
    end = int((later + timedelta(days=1)).timestamp())

    def tokens(*groups, **filters):
        rows = results(ask("usage/completions", start=later, end_time=end, group_by=list(groups), **filters))
        return [(row["tags"], row["batch"], row["service_tier"], row["input_tokens"]) for row in rows]

    assert tokens("batch", "service_tier") == [(None, False, "default", 60), (None, True, "default", 10)]
    assert tokens("tag:team") == [
        ({"team": "a"}, None, None, 10),
        ({"team": "b"}, None, None, 20),
        ({"team": None}, None, None, 40),
    ]
    assert tokens("tag:cost__centre", "tag:team", **{"tags[team]": "a"}) == [
        ({"cost__centre": "7", "team": "a"}, None, None, 10)
    ]
    assert tokens(**{"tags[team]": ["a", "b"]}) == [(None, None, None, 30)]
    assert tokens(batch="true") == [(None, None, None, 10)]
    (row,) = results(ask("costs", start=later, end_time=end, **{"tags[team]": "b"}))
    assert row["amount"]["value"] == 2


def test_what_is_no_model_has_endpoints_of_its_own(ask, acme):
    later = DAY + timedelta(days=50)
    write_ledger(
        acme.tenant.id,
        [
            (later, KEY_1, "ann", "moderation", "guard", "moderation_calls", 3, "0.3"),
            (later + timedelta(hours=1), KEY_1, "ann", "search", "file-search", "search_calls", 2, "0.2"),
            (later + timedelta(hours=2), None, "", "storage", "file-storage", "storage_byte_hours", 48_000, "0.1"),
            (later + timedelta(hours=3), None, "", "ingestion", "ocr", "ocr_pages", 12, "0.12"),
            (later + timedelta(hours=4), None, "", "fine_tuning", "mini", "fine_tuning_tokens", 900, "0.9"),
        ],
    )
    end = int((later + timedelta(days=1)).timestamp())
    models = {
        "moderations": (UsageModerationsResponse, {"num_model_requests": 3}),
        "file_search_calls": (UsageFileSearchCallsResponse, {"num_requests": 2}),
        "vector_stores": (UsageVectorStoresResponse, {"usage_bytes": 2_000, "byte_hours": 48_000}),
        "ocr_pages": (None, {"pages": 12}),
        "fine_tuning": (None, {"trained_tokens": 900}),
    }
    for kind, (shape, figures) in models.items():
        page = ask(f"usage/{kind}", start=later, end_time=end)
        if shape:
            shape.model_validate(page)
        (row,) = results(page)
        assert figures.items() <= row.items(), kind
    for kind in ("completions", "embeddings", "images", "web_search_calls"):
        assert results(ask(f"usage/{kind}", start=later, end_time=end)) == [], kind
    units = {
        r["line_item"]: r["quantity_unit"]
        for r in results(ask("costs", start=later, end_time=end, group_by=["line_item"]))
    }
    assert units["file-storage, storage_byte_hours"] == "byte-hours"
    assert units["ocr, ocr_pages"] == "pages"


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        ("costs", {"bucket_width": "1h"}, "bucket_width"),
        ("usage/completions", {"bucket_width": "2d"}, "bucket_width"),
        ("usage/completions", {"group_by": ["shoe_size"]}, "group_by.0"),
        ("costs", {"group_by": ["model"]}, "group_by.0"),
        ("usage/completions", {"limit": 32}, "limit"),
        ("usage/completions", {"limit": 0}, "limit"),
        ("usage/completions", {"limit": "many"}, "limit"),
        ("usage/completions", {"end_time": int(DAY.timestamp())}, "end_time"),
        ("usage/completions", {"end_time": "tomorrow"}, "end_time"),
        ("usage/completions", {"start_time": -1}, "start_time"),
        ("usage/completions", {"start_time": 10**30}, "start_time"),
        ("usage/completions", {"group_by": ["tag:"]}, "group_by.0"),
        ("usage/vector_stores", {"group_by": ["user_id"]}, "group_by.0"),
        ("usage/completions", {"batch": "perhaps"}, "batch"),
        ("usage/completions", {"page": "page_1"}, "page"),
        ("usage/completions", {"page": "page_²"}, "page"),
        ("usage/completions", {"page": "x"}, "page"),
        ("usage/completions", {"models": ["a\0b"]}, "models.0"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_with_its_parameter(ask, path, query, param):
    error = ask(path, status=400, **query)["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_start_time_is_required(acme):
    response = acme.client.get("/v1/organization/costs")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "start_time")


def test_reports_need_their_scope(acme):
    with acting_for(acme.tenant.id):
        _, key = issue(name="chat", scopes=["inference"], by=COMMAND_LINE)
    client = acme.client
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    response = client.get("/v1/organization/costs?start_time=0")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "insufficient_scope")


def report(*arguments, month="2026-03"):
    out = io.StringIO()
    call_command("usage_report", f"--month={month}", *arguments, stdout=out)
    return out.getvalue().split("\r\n")


@pytest.fixture
def two_tenants(committed):
    acme, globex = committed("acme"), committed("globex")
    write_ledger(acme.tenant.id)
    write_ledger(globex.tenant.id, [(DAY, KEY_1, "", "completions", "=cmd()", "input_tokens", 3, "0.06")])
    april = datetime(2026, 4, 1, tzinfo=UTC)
    write_ledger(globex.tenant.id, [(april, KEY_1, "", "completions", "gpt", "input_tokens", 3, "7")])


def test_a_month_over_all_tenants_ends_in_its_exact_total(two_tenants):
    header, *lines, total, end = report()
    assert header == "tenant,model,meter,quantity,cost,currency"
    assert lines == [
        "acme,claude,output_tokens,5,0.000000000001,USD",
        "acme,gpt,cached_input_tokens,40,0.01,USD",
        "acme,gpt,input_tokens,107,0.107,USD",
        "acme,gpt,output_tokens,10,0.20,USD",
        "acme,gpt,unreconciled,1,0.50,USD",
        "acme,mini,embedding_tokens,3007,0.06014,USD",
        "globex,'=cmd(),input_tokens,3,0.06,USD",
    ]
    assert (total, end) == ("total,,,3173,0.937140000001,USD", "")


def test_a_month_of_one_tenant(two_tenants):
    assert report("--tenant=globex")[1:] == ["globex,'=cmd(),input_tokens,3,0.06,USD", "total,,,3,0.06,USD", ""]


def test_a_month_without_calls_has_no_lines(two_tenants):
    assert report(month="2025-01") == ["tenant,model,meter,quantity,cost,currency", ""]


@pytest.mark.parametrize(
    "options", [{"month": "2026-13"}, {"month": "March"}, {"month": "2026-03", "tenant": "nobody"}]
)
def test_a_report_that_cannot_be_made_says_why(db, options):
    arguments = [f"--{name}={value}" for name, value in options.items()]
    with pytest.raises(CommandError, match=r"not a month|No tenant 'nobody'"):
        call_command("usage_report", *arguments)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_formulas_are_neutralised(text):
    assert neutralised(text) == f"'{text}"


def test_numbers_are_not_neutralised():
    assert list(csv_lines([[-1, Decimal("-0.5"), "a,b", date(2026, 1, 1)]])) == ['-1,-0.50,"a,b",2026-01-01\r\n']
