"""Reports over the ledger's sums say what its lines say, wherever a span is cut and however far the sums go."""

import json
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from billing.models import UsageRecord
from billing.sums import Selection, ceiling, floor, sums
from tenants.api_keys import issue_platform_key
from tenants.ids import public_id, uuid7
from tenants.scope import acting_for, as_staff, tenant_scope
from tests.billing.test_rollups import rolled_up, write

DAY = datetime(2024, 2, 28, tzinfo=UTC)  # the day before a leap day
FIGURES = ["quantity", "calls", "cost", "provider_cost", "unmatched_cost"]
KEYS = [uuid7(), uuid7(), None]


def some_line(choose: random.Random) -> dict:
    at = DAY + timedelta(seconds=choose.randrange(4 * 86_400))
    return {
        "at": at, "quantity": choose.randrange(100), "cost": Decimal(choose.randrange(10**6)).scaleb(-12),
        "end_user": choose.choice(["", "ann", "bob"]), "key_id": choose.choice(KEYS), "leads": choose.random() < 0.5,
        "model": choose.choice(["gpt", "mini"]), "tags": choose.choice([{}, {"team": "a"}, {"team": "b", "x": "y"}]),
        "batch": choose.random() < 0.2, "provider_cost": choose.choice([None, Decimal("0.5")]),
    }  # fmt: skip


def by_hand(lines, within, width, groups):
    """The same sums, line by line."""
    names = {"api_key_id": "key_id", "user_id": "end_user"}
    found = defaultdict(lambda: [0, 0, Decimal(0), Decimal(0), Decimal(0)])
    for line in lines:
        if not within[0] <= line.occurred_at < within[1]:
            continue
        bucket = floor(line.occurred_at, {"1h": timedelta(hours=1), "1d": timedelta(days=1)}[width]) if width else None
        key = [
            line.tags.get(name[4:]) if name.startswith("tag:") else getattr(line, names.get(name, name))
            for name in groups
        ]
        known = line.provider_cost is not None
        figures = (line.quantity, int(line.leads), line.cost, line.provider_cost or 0, 0 if known else line.cost)
        found[(bucket, *key)] = [a + b for a, b in zip(found[(bucket, *key)], figures, strict=True)]
    return dict(found)


def test_spans_cut_anywhere_add_up_whatever_is_rolled_up(committed):
    choose = random.Random(5)
    acme, globex = committed("acme").tenant.id, committed("globex").tenant.id
    edges = [DAY, DAY + timedelta(days=4), DAY + timedelta(hours=30), DAY + timedelta(days=1, minutes=17, seconds=3)]
    edges += [DAY + timedelta(seconds=choose.randrange(4 * 86_400)) for _ in range(3)]
    for step in range(3):
        for tenant_id in (acme, globex):
            written = [write(tenant_id, **some_line(choose)) for _ in range(25)]
            write(tenant_id, DAY, corrects=written[0].id, reason="late", quantity=-2, cost=Decimal("-0.5"), leads=False)
        if step == 1:
            rolled_up()  # so that there are lines in the sums, above them, and corrections of the former among the latter
        with acting_for(acme), tenant_scope():
            own = list(UsageRecord.objects.all())
        with as_staff():
            everything = list(UsageRecord.objects.all())
        for groups in ((), ("model",), ("api_key_id", "batch"), ("user_id", "tag:team"), ("tag:x",)):
            for width in (None, "1h", "1d"):
                within = tuple(sorted(choose.sample(edges, 2)))
                asked = {"within": within, "width": width, "figures": FIGURES}
                with acting_for(acme):
                    found = sums(**asked, selection=Selection(group_by=groups))
                got = {(bucket, *dims.values()): list(figures.values()) for bucket, dims, figures in found}
                assert got == by_hand(own, within, width, groups)
                with as_staff():
                    found = sums(**asked, selection=Selection(group_by=("tenant_id", *groups)))
                got = {(bucket, *dims.values()): list(figures.values()) for bucket, dims, figures in found}
                assert got == by_hand(everything, within, width, ("tenant_id", *groups))


def test_whole_days_are_read_from_sums_alone(committed):
    acme = committed("acme").tenant.id
    write(acme, DAY)
    rolled_up()
    with acting_for(acme), CaptureQueriesContext(connection) as queries:
        (row,) = sums(
            within=(DAY, DAY + timedelta(days=2)), width="1d", selection=Selection(group_by=["model"]), figures=["cost"]
        )
    assert row == (DAY, {"model": "gpt"}, {"cost": Decimal("0.1")})
    read = [query["sql"] for query in queries if '."tenant_id"' in query["sql"] and "billing_" in query["sql"]]
    assert ["billing_modelday" in text for text in read] == [True, False]
    assert '"xact" >= ' in read[1]  # of the ledger only what is newer than the sums


@pytest.mark.parametrize("days", [timedelta(days=1), timedelta(hours=1)])
def test_floor_and_ceiling_meet_where_a_bucket_starts(days):
    assert floor(DAY, days) == ceiling(DAY, days) == DAY
    later = DAY + timedelta(microseconds=1)
    assert (floor(later, days), ceiling(later, days)) == (DAY, DAY + days)


@pytest.fixture
def platform(committed):
    """(a client of the platform's finance, acme, globex) with a ledger of two tenants."""
    acme, globex = committed("acme"), committed("globex")
    write(acme.tenant.id, provider_cost=Decimal("0.04"), at=DAY)
    write(acme.tenant.id, at=DAY)
    write(globex.tenant.id, at=DAY, cost=Decimal(7), model="claude", provider_cost=Decimal(2))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_platform_key(name='cfo', scopes=['finance'])}")
    return client, acme, globex


def test_the_platform_reads_all_tenants_with_what_it_pays(platform):
    client, acme, globex = platform
    query = f"start_time={int(DAY.timestamp())}&end_time={int((DAY + timedelta(days=2)).timestamp())}&limit=1"

    def rows(path):
        answer = client.get(f"/v1/organization/{path}")
        assert answer.status_code == 200, answer.content
        return json.loads(answer.content, parse_float=Decimal)["data"][0]["results"]

    projects = [public_id("tenant_", member.tenant.id) for member in (acme, globex)]
    found = {
        row["project_id"]: [row[name]["value"] for name in ("amount", "provider_amount", "unmatched_amount")]
        for row in rows(f"costs?{query}&group_by=project_id")
    }
    assert found == {projects[0]: [Decimal("0.2"), Decimal("0.04"), Decimal("0.1")], projects[1]: [7, 2, 0]}
    (row,) = rows(f"usage/completions?{query}&project_ids={projects[1]}&group_by=model")
    assert (row["model"], row["input_tokens"], row["num_model_requests"], row["project_id"]) == ("claude", 10, 1, None)
    # A tenant sees its own, and nothing of what the platform pays.
    (row,) = json.loads(acme.client.get(f"/v1/organization/costs?{query}").content)["data"][0]["results"]
    assert row["amount"]["value"] == 0.2
    assert "provider_amount" not in row
    # Users are named by their tenants; cursors are the platform's alone; its finance does not run it.
    assert client.get(f"/v1/organization/costs?{query}&group_by=user_id").json()["error"]["param"] == "group_by"
    page = client.get(f"/v1/organization/costs?{query}").json()["next_page"]
    assert client.get(f"/v1/organization/costs?{query}&page={page}").status_code == 200
    assert acme.client.get(f"/v1/organization/costs?{query}&page={page}").json()["error"]["param"] == "page"
    refused = client.get("/v1/platform/tenants")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope")


def test_who_runs_the_platform_only_reads_no_money(committed):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_platform_key(name='ops', scopes=['operator'])}")
    assert client.get("/v1/organization/costs?start_time=0").status_code == 403
    assert client.get("/v1/platform/tenants").status_code == 200
    client.credentials(HTTP_AUTHORIZATION=f"Bearer pk-{'0' * 8}-{'0' * 48}")
    assert client.get("/v1/organization/costs?start_time=0").status_code == 401
