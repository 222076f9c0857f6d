"""Finance's whole month on the running stack: plan, usage, statement, FOCUS, the provider's bill, a credit. Sums by hand.

Three calls of 7 tokens in and 10 out. In: 10 tokens are included, the other 11 cost 2 each: 22. Out: 3 each up to 20, then
1.50: 60 + 15 = 75. Together 97. The provider takes 1 a token: 51.
"""

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx2
import pytest

from tests.billing.reconciliation.provider_bill import as_csv, row
from tests.e2e.conftest import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long]


class Desk:
    """REST with one key."""

    def __init__(self, url, key):
        self.client = httpx2.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.client.close()

    def get(self, path, **options):
        answer = self.client.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path, body=None, status=200, **options):
        answer = self.client.post(path, json=body, **options)
        assert answer.status_code == status, answer.text
        return answer.json()


def sell(platform, tenant_id, model):
    """What the tenant pays, what is included, what the provider takes."""
    priced = {"model": model, "currency": "USD", "per": 1}
    own = {**priced, "tenant_id": tenant_id}
    platform.post("/v1/platform/prices", {**own, "meter": "input_tokens", "amount": "2"}, 201)
    tiers = {"amount": "3", "tiers": [[20, "1.5"]]}
    platform.post("/v1/platform/prices", {**own, "meter": "output_tokens", **tiers}, 201)
    for meter in ("input_tokens", "output_tokens"):
        platform.post("/v1/platform/provider_prices", {**priced, "meter": meter, "amount": "1"}, 201)
    this_month = datetime.now(UTC).date().replace(day=1).isoformat()
    included = {"tenant_id": tenant_id, "model": model, "meter": "input_tokens", "quantity": 10}
    platform.post("/v1/platform/allowances", {**included, "valid_from": this_month}, 201)


def bill_of(month, model):
    """The provider's: in at 1.20 instead of 1, out as known."""
    day = month.replace(day=15)
    period = {
        "ChargePeriodStart": f"{day:%Y-%m-%d}T22:00:00Z", "ChargePeriodEnd": f"{day:%Y-%m-%d}T23:00:00Z",
        "ConsumedUnit": "tokens",
    }  # fmt: skip
    return as_csv([row(15, f"{model}-in", "21", "25.2", **period), row(15, f"{model}-out", "30", "30", **period)])


def margin(platform, tenant_id, month):
    """Revenue, provider's cost and what is left of one tenant's month."""
    rows = platform.get("/v1/platform/margins", params={"start_month": month})["data"]
    [own] = [row for row in rows if row["tenant_id"] == tenant_id]
    return own["revenue"], own["provider_cost"], own["margin"]


def use_in(month, model, tenant, *, atrium, platform, own):
    """Three calls that began in `month` and are settled now: until then the month cannot be closed."""
    ask = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(own.post, "/v1/chat/completions", ask) for _ in range(3)]
        eventually(lambda: atrium.upstream.asked(model) == 3)
        moved = atrium.sql(
            "UPDATE billing_reservation SET period_start = %s, created_at = %s WHERE tenant_id = %s AND state = 'open' "
            "RETURNING id", month.date(), month.replace(day=15, hour=22), tenant.id,
        )  # fmt: skip
        assert len(moved) == 3
        refused = platform.post("/v1/platform/statements", closing_of(month, tenant), 409)
        assert refused["error"]["code"] == "calls_under_way"
        atrium.upstream.release.set()
        assert [call.result()["usage"]["total_tokens"] for call in calls] == [17, 17, 17]
    atrium.settled(tenant)


def closing_of(month, tenant):
    return {"tenant_id": f"tenant_{tenant.id.replace('-', '')}", "month": f"{month:%Y-%m}"}


def check_reports(own, statement):
    """The month of a statement as costs and as a FOCUS file."""
    period = {"start_time": statement["period_start"], "end_time": statement["period_end"]}
    costs = own.get("/v1/organization/costs", params={**period, "limit": 31})
    assert sum(Decimal(str(r["amount"]["value"])) for bucket in costs["data"] for r in bucket["results"]) == 97
    report = own.post("/v1/reports", {"kind": "focus", **period})
    ready = eventually(lambda: (r := own.get(f"/v1/reports/{report['id']}"))["status"] == "completed" and r)
    rows = list(csv.DictReader(io.StringIO(own.client.get(ready["download_url"]).text)))
    assert sum(Decimal(r["BilledCost"]) for r in rows) == sum(Decimal(r["EffectiveCost"]) for r in rows) == 97
    # At the list, a dollar a thousand: 0.021 and 0.030.
    assert sum(Decimal(r["ListCost"]) for r in rows) == Decimal("0.051")


def reconcile(platform, month, model):
    """The provider's input was dearer than known. What its bill proves is posted in the month that is open."""
    for name, meter in (("in", "input_tokens"), ("out", "output_tokens")):
        sku = {"provider": "openai", "pattern": f"{model}-{name}", "model": model, "meter": meter}
        platform.post("/v1/platform/sku_mappings", sku, 201)
    content = ("bill.csv", bill_of(month, model))
    sent = platform.client.post("/v1/platform/bills", data={"provider": "openai"}, files={"file": content})
    assert sent.status_code == 201, sent.text
    bill = f"/v1/platform/bills/{sent.json()['id']}"
    found = platform.get(f"{bill}/comparison")
    assert (found["billed_cost"], found["expected_cost"], found["plan"]["provider_cost"]) == ("55.2", "51", "4.2")
    assert [(place["meter"], place["reasons"]) for place in found["differences"]] == [("input_tokens", ["price"])]
    platform.post(f"{bill}/approve")
    eventually(lambda: platform.get(bill)["state"] == "posted")


@pytest.fixture
def desks(atrium):
    """(tenant, the platform's desk, the tenant's own, the model that it bought)."""
    model = atrium.new_model("slow")
    tenant = atrium.new_tenant(grants=(model,))
    with Desk(atrium.stack.url, atrium.platform_key) as platform, Desk(atrium.stack.url, tenant.key) as own:
        yield tenant, platform, own, model


def test_a_month_from_the_plan_to_the_providers_bill(atrium, desks):
    tenant, platform, own, model = desks
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month = (first - timedelta(days=1)).replace(day=1)
    wanted = closing_of(month, tenant)
    sell(platform, wanted["tenant_id"], model)
    use_in(month, model, tenant, atrium=atrium, platform=platform, own=own)

    statement = platform.post("/v1/platform/statements", wanted, 201)
    told = [(line["meter"], line["quantity"], line["included"], line["cost"]) for line in statement["lines"]]
    assert told == [("input_tokens", 21, 10, "22.00"), ("output_tokens", 30, 0, "75.00")]
    assert (statement["total"], statement["usage"], statement["status"]) == ("97.00", "97.00", "closed")
    assert own.get(f"/v1/statements/{statement['id']}")["lines"] == statement["lines"]
    check_reports(own, statement)
    reconcile(platform, month, model)

    # A tenth is given back. Margins: last month as it was, this month with what was found out since.
    note = {"tenant_id": wanted["tenant_id"], "statement_id": statement["id"], "amount": "9.7", "reason": "outage"}
    platform.post("/v1/platform/credit_notes", note, 201)
    upcoming = own.get("/v1/statements/upcoming")
    assert (upcoming["corrections"], upcoming["credits"], upcoming["total"]) == ("0.00", "-9.70", "-9.70")
    assert {line["corrected_month"] for line in upcoming["lines"]} == {wanted["month"]}
    assert [margin(platform, wanted["tenant_id"], at) for at in (wanted["month"], upcoming["month"])] == [
        ("97.00", "51.00", "46.00"), ("-9.70", "4.20", "-13.90"),
    ]  # fmt: skip
    assert own.get(f"/v1/statements/{statement['id']}")["total"] == "97.00"
    [(ledger,)] = atrium.sql("SELECT sum(cost) FROM billing_usagerecord WHERE tenant_id = %s", tenant.id)
    assert ledger == Decimal("87.3")
