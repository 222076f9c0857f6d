"""Finance's month by REST, in the admin and after everybody is gone: a tenant, the platform and an erased tenant."""

import csv
import io
import re
from contextlib import closing
from decimal import Decimal
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections, transaction
from rest_framework.test import APIClient

from billing.models import CreditNote, Statement, UsageRecord
from billing.rollups import roll_up
from tenants.api_keys import issue_platform_key
from tenants.ids import public_id
from tenants.models import ApiKey, Tenant, User
from tenants.scope import as_staff
from tests.billing.conftest import Till
from tests.billing.statements.conftest import OCTOBER, close, fill_october
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]


MARGINS = "/v1/platform/margins?start_month=2026-10"
#: Tables that point at the tenant by a foreign key, which erasure has to empty before.
NAMING = """
    SELECT DISTINCT c.conrelid::regclass::text FROM pg_constraint c
     WHERE c.contype = 'f' AND c.confrelid = 'tenants_tenant'::regclass
"""


@pytest.fixture
def platform(committed):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_platform_key(name='finance')}")
    return client


@pytest.fixture
def acme(committed):
    """With October's charges, committed."""
    member = committed("acme")
    fill_october(Till(member.tenant.id))
    return member


def table(answer):
    assert (answer.status_code, answer["content-type"]) == (200, "text/csv; charset=utf-8")
    return list(csv.reader(io.StringIO(answer.content.decode())))


def test_a_month_from_draft_to_statement_to_credit(acme, platform):
    draft = acme.client.get("/v1/statements/upcoming?month=2026-10").json()
    assert (draft["id"], draft["status"], draft["total"], len(draft["lines"])) == (None, "open", "17.50", 3)
    wanted = {"tenant_id": public_id("tenant_", acme.tenant.id), "month": "2026-10"}
    made, again = (platform.post("/v1/platform/statements", wanted) for _ in range(2))
    assert (made.status_code, again.status_code, again.json()) == (201, 200, made.json())
    statement = made.json()
    assert statement["tenant"] == "acme" and statement["lines"] == draft["lines"]
    own = acme.client.get(f"/v1/statements/{statement['id']}").json()
    assert own == {name: value for name, value in statement.items() if name not in ("tenant", "tenant_id")}
    assert own == acme.client.get("/v1/statements/upcoming?month=2026-10").json()
    assert own["lines"][0] == {
        "kind": "usage", "model": "gpt", "meter": "input_tokens", "quantity": 1_600_000, "included": 1_000_000,
        "overage": 600_000, "unit_price": "2.50", "per": 1_000_000, "cost": "1.50", "list_cost": "4.80",
        "corrected_month": None, "reason": None,
    }  # fmt: skip
    head, *lines = table(acme.client.get(f"/v1/statements/{statement['id']}/csv", HTTP_ACCEPT="text/csv"))
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    assert sum(Decimal(row["cost"]) for row in rows if row["kind"] == "usage") == Decimal("17.5")
    assert [(row["kind"], row["cost"]) for row in rows[-4:]] == [
        ("sum of usage", "17.50"), ("sum of corrections", "0.00"), ("sum of credits", "0.00"), ("total", "17.50"),
    ]  # fmt: skip
    asked = {"tenant_id": wanted["tenant_id"], "statement_id": statement["id"], "amount": "3.5", "reason": "=SORRY()"}
    note = platform.post("/v1/platform/credit_notes", asked)
    assert (note.status_code, note.json()["amount"], note.json()["created_by"]) == (201, "3.50", "platform_key")
    [listed] = acme.client.get("/v1/credit_notes").json()["data"]
    assert acme.client.get(f"/v1/credit_notes/{listed['id']}").json() == listed
    assert acme.client.get("/v1/statements/upcoming").json()["credits"] == "-3.50"


def test_what_makes_no_sense_is_said(acme, platform):
    tenant = public_id("tenant_", acme.tenant.id)
    missing = public_id("stmt_", acme.tenant.id)
    credit = {"tenant_id": tenant, "amount": "1", "reason": "r"}
    for url, body, status, word in (
        ("statements", {"tenant_id": tenant, "month": "October"}, 400, "2026-11"),
        ("statements", {"tenant_id": tenant, "month": "2999-01"}, 409, "not over"),
        ("statements", {"tenant_id": public_id("tenant_", UUID(int=7)), "month": "2026-10"}, 404, "No such tenant"),
        ("statements", {"tenant_id": "acme", "month": "2026-10"}, 404, "No such tenant"),
        ("statements", {"month": "2026-10"}, 400, "tenant_id"),
        ("credit_notes", {**credit, "statement_id": missing}, 404, "No such statement"),
        ("credit_notes", {**credit, "statement_id": "x"}, 404, "No such statement"),
        ("credit_notes", {**credit, "record_id": "x"}, 400, "record_id"),
        ("credit_notes", {**credit, "statement_id": missing, "amount": "much"}, 400, "decimal string"),
        ("credit_notes", {**credit, "statement_id": missing, "amount": "-1"}, 400, "above 0"),
        ("credit_notes", credit, 400, "Name what is credited"),
    ):
        answer = platform.post(f"/v1/platform/{url}", body)
        assert (answer.status_code, word in answer.json()["error"]["message"]) == (status, True), answer.content
    for query in ("start_month=2026-10&end_month=2026-09", "start_month=1999-01&end_month=2026-09", "group_by=colour"):
        assert platform.get(f"/v1/platform/margins?{query}").status_code == 400
    assert acme.client.get("/v1/statements/upcoming?month=x").status_code == 400
    with as_staff():
        assert not Statement.objects.exists() and not CreditNote.objects.exists()


def test_a_margin_is_the_tenants_price_less_the_providers_cost(acme, platform, committed):
    # At 1.00 and 4.00 a million: 1.6 for 1,600,000 in, 6 for 1,500,000 out; nobody knows what storage costs.
    url = "/v1/platform/margins?start_month=2026-10"
    before = platform.get(url).json()
    assert before["data"] == [{
        "object": "margin", "tenant_id": public_id("tenant_", acme.tenant.id), "tenant": "acme", "currency": "USD",
        "revenue": "17.50", "provider_cost": "7.60", "margin": "9.90", "margin_share": "0.5657",
        "unmatched_revenue": "2.00",
    }]  # fmt: skip
    roll_up()
    assert platform.get(url).json() == before
    close(Till(acme.tenant.id))
    month = "/v1/platform/margins?start_month=2026-09&end_month=2026-10&group_by[]=month&group_by[]=model"
    groups = platform.get(month).json()
    told = [(row["month"], row["model"], row["revenue"], row["provider_cost"]) for row in groups["data"]]
    # Of September's 1,000,002 tokens a million were included; the provider takes its price for all.
    assert told == [
        ("2026-09", "gpt", "0.000005", "1.000002"), ("2026-10", "gpt", "15.50", "7.60"),
        ("2026-10", "storage", "2.00", "0.00"),
    ]  # fmt: skip
    head, *rows = table(platform.get(month.replace("margins?", "margins/csv?")))
    assert head[:3] == ["month", "model", "currency"]
    assert rows[-1] == ["total", "", "USD", "17.500005", "8.600002", "8.900003", "0.5086", "2.00"]


def test_history_survives_the_erasure_of_key_and_tenant(acme, platform):
    """What erasure will do to the rows that have names: delete them. The amounts stay, of an id that names nobody."""
    till = Till(acme.tenant.id)
    statement = close(till).statement
    url, csv_url = (f"/v1/platform/statements/{public_id('stmt_', statement.id)}{tail}" for tail in ("", "/csv"))
    before, file, margin = platform.get(url).json(), table(platform.get(csv_url)), platform.get(MARGINS).json()
    with transaction.atomic(using="owner"), closing(connections["owner"].cursor()) as cursor:
        cursor.execute(NAMING)
        for (table_name,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {table_name} WHERE tenant_id = %s", [acme.tenant.id])
        cursor.execute("DELETE FROM tenants_tenant WHERE id = %s", [acme.tenant.id])
    with as_staff():
        assert not ApiKey.objects.exists() and not Tenant.objects.exists()
        assert sum(row.cost for row in UsageRecord.objects.filter(period_start=OCTOBER)) == Decimal("17.5")
    assert platform.get(url).json() == {**before, "tenant": None}
    assert table(platform.get(csv_url)) == file
    after = platform.get(MARGINS).json()
    assert after == {**margin, "data": [{**margin["data"][0], "tenant": None}]}
    operator = desk(User.objects.create_superuser("operator", "operator@platform.example"))
    page = operator.get("/admin/billing/statement/?month=2026-10-01")
    assert (
        page.status_code == 200
        and str(acme.tenant.id) in page.content.decode()
        and "17.50 USD" in page.content.decode()
    )
    asked = {"tenant_id": before["tenant_id"], "statement_id": before["id"], "amount": "17.5", "reason": "insolvent"}
    assert platform.post("/v1/platform/credit_notes", asked).status_code == 404
    [listed] = platform.get(f"/v1/platform/statements?tenant_id={before['tenant_id']}&month=2026-10").json()["data"]
    assert (listed["id"], listed["tenant"]) == (before["id"], None)


def test_staff_close_and_credit_in_the_admin_and_members_read(acme, committed):
    operator = desk(User.objects.create_superuser("operator", "operator@platform.example"))
    tenant = str(acme.tenant.id)
    form = {"for_tenant": tenant, "month": "2026-10"}
    assert operator.post("/admin/billing/statement/add/", form).status_code == 302
    again = operator.post("/admin/billing/statement/add/", form, follow=True).content.decode()
    assert "2026-10 is closed already" in again
    with as_staff():
        statement = Statement.objects.get()
    assert (statement.closed_by_type, statement.total) == ("staff", Decimal("17.5"))
    note = {"for_tenant": tenant, "statement_id": str(statement.id), "amount": "1.75", "reason": "outage"}
    assert operator.post("/admin/billing/creditnote/add/", note).status_code == 302
    too_much = operator.post("/admin/billing/creditnote/add/", {**note, "amount": "16"}, follow=True).content.decode()
    assert "At most 15.75 USD is left to credit" in too_much
    listed = operator.get("/admin/billing/statement/?month=2026-10-01").content.decode()
    assert "Margins of October 2026" in listed and "7.60 USD" in listed and "56.57%" in listed
    assert table(operator.get("/admin/billing/statement/margins.csv?month=2026-10-01"))[-1][0] == "total"
    finance = desk(seat(acme, "finance"))
    own = finance.get("/admin/billing/statement/").content.decode()
    assert "17.50 USD" in own and "Margins of" not in own and "7.60" not in own
    page = finance.get(f"/admin/billing/statement/{statement.id}/change/").content.decode()
    assert re.search(r"Tokens read.*1,600,000.*1,000,000.*1\.50 USD", page, re.DOTALL)
    assert table(finance.get(f"/admin/billing/statement/{statement.id}/csv/"))[-1][10] == "17.50"
    for url in ("statement/add/", "creditnote/add/", "statement/margins.csv"):
        assert finance.get(f"/admin/billing/{url}").status_code == 403
    stranger = desk(seat(committed("globex"), "owner"))
    assert stranger.get(f"/admin/billing/statement/{statement.id}/csv/").status_code == 404
    with transaction.atomic(using="owner"):
        LogEntry.objects.using("owner").all().delete()
