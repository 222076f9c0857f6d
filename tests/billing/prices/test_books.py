"""How prices get into the books: over REST, by the command, in the admin; and what is refused, with nothing left behind."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from billing.models import PlanAllowance, Price, ProviderPrice, TenantAllowance, TenantPrice
from billing.prices import quote
from tenants.ids import public_id
from tenants.models import AuditEvent, User
from tenants.scope import acting_for, as_staff
from tests.tenants.admin_desk import desk, plain_static_files

__all__ = ["plain_static_files"]

PRICES = "/v1/platform/prices"
PROVIDERS = "/v1/platform/provider_prices"
ALLOWANCES = "/v1/platform/allowances"
PRICE = {"model": "m", "meter": "input_tokens", "amount": "2.50", "currency": "USD"}


def counted():
    with as_staff():
        books = (Price.objects.filter(model="m"), TenantPrice.objects, ProviderPrice.objects)
        return [rows.count() for rows in (*books, PlanAllowance.objects, TenantAllowance.objects)]


def seconds(moment):
    return int(moment.timestamp())


def test_each_book_takes_its_prices_and_they_hold(operator, committed):
    acme = committed("acme").tenant
    ident = public_id("tenant_", acme.id)
    listed = operator.post(PRICES, PRICE, format="json")
    assert listed.status_code == 201, listed.content
    body = listed.json()
    assert {**body, "id": 0, "valid_from": 0, "added_by": 0} == {
        "id": 0, "object": "price", "model": "m", "meter": "input_tokens", "currency": "USD", "amount": "2.5",
        "per": 1_000_000, "valid_from": 0, "source": "", "added_by": 0, "plan": None, "tenant_id": None, "tiers": [],
    }  # fmt: skip
    assert body["added_by"].startswith("platform_key ")
    tiers = [[1_000, "1.5"], [2_000, "1"]]
    plan = operator.post(PRICES, {**PRICE, "plan": "standard", "amount": "2", "tiers": tiers}, format="json").json()
    contract = {name: PRICE[name] for name in ("model", "meter")} | {"amount": "1", "tenant_id": ident}
    own = operator.post(PRICES, {**contract, "source": "contract 7"}, format="json").json()
    assert (plan["plan"], plan["tiers"], own["tenant_id"], own["currency"]) == ("standard", tiers, ident, "USD")
    cost = operator.post(PROVIDERS, {**PRICE, "amount": "0.9", "provider": "openai"}, format="json").json()
    assert (cost["provider"], cost["amount"]) == ("openai", "0.9")
    with acting_for(acme.id):
        found = quote(needs=[("m", "input_tokens")], currency="USD", now=datetime.now(UTC))["m", "input_tokens"]
    amounts = (found.amount, found.list_amount, found.provider_amount, found.tiers)
    assert amounts == (1, Decimal("2.5"), Decimal("0.9"), ())
    # Each is found in its book, by what the query names.
    assert [row["id"] for row in operator.get(f"{PRICES}?model=m").json()["data"]] == [plan["id"], body["id"]]
    assert [row["id"] for row in operator.get(f"{PRICES}?model=m&plan=standard").json()["data"]] == [plan["id"]]
    assert [row["id"] for row in operator.get(f"{PRICES}?tenant_id={ident}").json()["data"]] == [own["id"]]
    assert [row["id"] for row in operator.get(f"{PROVIDERS}?provider=openai").json()["data"]] == [cost["id"]]
    assert operator.get(f"{PROVIDERS}?provider=bedrock").json()["data"] == []
    with as_staff():
        event = AuditEvent.objects.get(action="price.added")
    assert (event.tenant_id, event.actor_type, event.changes["amount"]) == (acme.id, "platform_key", "1")


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"meter": "horses"}, 400, "meter"),
        ({"meter": "unreconciled"}, 400, "meter"),
        ({"amount": "-1"}, 400, "amount"),
        ({"amount": "NaN"}, 400, "amount"),
        ({"amount": "1e12"}, 400, "amount"),
        ({"amount": "0.0000000000001"}, 400, "amount"),
        ({"per": 0}, 400, "per"),
        ({"per": 2**31}, 400, "per"),
        ({"currency": "usd"}, 400, "currency"),
        ({"currency": None}, 400, "currency"),
        ({"model": ""}, 400, "model"),
        ({"model": "a\tb"}, 400, "model"),
        ({"valid_from": -1}, 400, "valid_from"),
        ({"valid_from": 1}, 400, "valid_from"),
        ({"plan": "gold"}, 404, "plan"),
        ({"tenant_id": "tenant_x"}, 404, "tenant_id"),
        ({"tiers": [[10, "1"], [10, "2"]]}, 400, "tiers"),
        ({"tiers": [[0, "1"]]}, 400, "tiers"),
        ({"tiers": [[1.5, "1"]]}, 400, "tiers"),
        ({"tiers": [[10, "-1"]]}, 400, "tiers"),
        ({"tiers": [[10, "dear"]]}, 400, "tiers"),
        ({"tiers": [10]}, 400, "tiers"),
        ({"tiers": "10"}, 400, "tiers"),
    ],
)
def test_what_cannot_be_a_price_is_refused_and_nothing_is_left(operator, change, status, param):
    response = operator.post(PRICES, PRICE | change, format="json")
    assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.content
    assert counted() == [0] * 5


def test_a_contract_in_another_currency_is_refused(operator, committed):
    ident = public_id("tenant_", committed("acme").tenant.id)
    response = operator.post(PRICES, {**PRICE, "currency": "EUR", "tenant_id": ident}, format="json")
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "This tenant is billed in USD, not in EUR."
    assert counted() == [0] * 5
    both = operator.post(PRICES, {**PRICE, "plan": "standard", "tenant_id": ident}, format="json")
    assert (both.status_code, counted()) == (400, [0] * 5)


def test_no_row_begins_where_another_holds_or_begins(operator):
    now = datetime.now(UTC)
    # The first of its kind may be older than today: nothing was charged by another.
    assert operator.post(PRICES, {**PRICE, "valid_from": seconds(now) - 86_400}, format="json").status_code == 201
    past = operator.post(PRICES, {**PRICE, "valid_from": seconds(now) - 3_600}, format="json")
    assert (past.status_code, past.json()["error"]["code"]) == (409, "price_conflict")
    assert "m input_tokens: 2.500000000000 USD per 1000000" in past.json()["error"]["message"]
    later = {**PRICE, "valid_from": seconds(now) + 86_400}
    assert operator.post(PRICES, later, format="json").status_code == 201
    twice = operator.post(PRICES, {**later, "amount": "3"}, format="json")
    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "price_conflict")
    # Between what holds and what will, a third may begin; and another meter, book or currency is another matter.
    for change in (
        {"valid_from": seconds(now) + 3_600},
        {"meter": "output_tokens"},
        {"plan": "scale"},
        {"currency": "EUR"},
    ):
        assert operator.post(PRICES, {**PRICE, **change}, format="json").status_code == 201
    assert counted()[0] == 6


def test_allowances_begin_with_months_and_a_month_has_one(operator, committed):
    ident = public_id("tenant_", committed("acme").tenant.id)
    this = datetime.now(UTC).date().replace(day=1)
    following = (this + timedelta(days=32)).replace(day=1)
    row = {"meter": "ocr_pages", "quantity": 100, "plan": "standard", "valid_from": this.isoformat()}
    first = operator.post(ALLOWANCES, row, format="json")
    assert first.status_code == 201, first.content
    assert (first.json()["quantity"], first.json()["plan"], first.json()["model"]) == (100, "standard", "")
    for change, status, param in (
        ({"valid_from": this.replace(day=2).isoformat()}, 400, "valid_from"),
        ({"meter": "horses"}, 400, "meter"),
        ({"quantity": -1}, 400, "quantity"),
        ({"quantity": 2**63}, 400, "quantity"),
        ({"plan": None}, 400, "plan"),
        ({"tenant_id": ident}, 400, "plan"),
        ({}, 409, "valid_from"),
        ({"valid_from": (this - timedelta(days=1)).replace(day=1).isoformat()}, 409, "valid_from"),
    ):
        body = {name: value for name, value in {**row, **change}.items() if value is not None}
        refused = operator.post(ALLOWANCES, body, format="json")
        assert (refused.status_code, refused.json()["error"]["param"]) == (status, param), refused.content
    assert operator.post(ALLOWANCES, {**row, "valid_from": following.isoformat()}, format="json").status_code == 201
    own = {name: row[name] for name in ("meter", "valid_from")} | {"quantity": 5, "tenant_id": ident}
    assert operator.post(ALLOWANCES, own, format="json").status_code == 201
    assert counted() == [0, 0, 0, 2, 1]
    assert [entry["quantity"] for entry in operator.get(f"{ALLOWANCES}?tenant_id={ident}").json()["data"]] == [5]
    assert operator.get(f"{ALLOWANCES}?plan=scale").json()["data"] == []


HEADER = "book,model,meter,amount,currency,per,valid_from,tiers\n"


def test_a_file_of_prices_is_taken_whole_or_not_at_all(books, committed, tmp_path, capsys):
    committed("acme")
    file = tmp_path / "prices.csv"
    good = (
        HEADER + "list,m,input_tokens,2.5,USD,,2030-01-01T00:00:00Z,\n"
        "plan:standard,m,ocr_pages,0.002,USD,1,,1000=0.0015;5000=0.001\n"
        "tenant:acme,m,input_tokens,1,,,,\nprovider,m,input_tokens,0.5,USD,,,\nprovider:openai,m,input_tokens,0.4,USD,,,\n"
    )
    for wrong, said in (
        ("list,m,horses,1,USD,,,\n", "Row 6: Unknown meter 'horses'"),
        ("list,m,input_tokens,much,USD,,,\n", "Line 7: 'much' is no amount."),
        ("list,m,input_tokens,,USD,,,\n", "Line 7: no amount."),
        ("list,m,input_tokens,1,USD,,2030-01-01T00:00:00Z,\n", "Row 6: There is a row for this already"),
        ("list,m,input_tokens,1,USD,,2030-01-01T00:00:00,\n", "Row 6: Invalid 'valid_from'"),
        ("tenant:acme,m,output_tokens,1,EUR,,,\n", "Row 6: This tenant is billed in USD, not in EUR."),
        ("tenant:nobody,m,output_tokens,1,,,,\n", "No tenant 'nobody'."),
        ("shop,m,input_tokens,1,USD,,,\n", "Line 7: 'shop' is no book."),
        ("list,m,input_tokens,1,USD,,,1000\n", "Line 7: '1000' is no tiers."),
        ("list,m,input_tokens\n", "Line 7: it has another number of cells than the header."),
    ):
        file.write_text(good + wrong)
        with pytest.raises(CommandError, match=said.replace("'", "'")) as refused:
            call_command("import_prices", file=str(file))
        assert said in str(refused.value)
        assert counted() == [0] * 5
    file.write_text("model,cost\n")
    with pytest.raises(CommandError, match="The file's columns are book, model"):
        call_command("import_prices", file=str(file))
    file.write_text(good)
    call_command("import_prices", "--json", file=str(file))
    assert json.loads(capsys.readouterr().out) == {"added": 5}
    assert counted() == [2, 1, 2, 0, 0]
    with as_staff():
        assert Price.objects.get(model="m", meter="ocr_pages").tiers == [[1000, "0.0015"], [5000, "0.001"]]


@pytest.fixture
def staff(books: None) -> Client:
    return desk(User.objects.create_superuser("staff", "staff@platform.example", "x"))


def test_staff_fill_the_books_in_the_admin_and_read_why_not(staff, committed):
    acme = committed("acme").tenant
    form = {
        "model": "m", "meter": "input_tokens", "currency": "USD", "amount": "2.5", "per": "1000", "source": "offer 1",
        "valid_from_0": "2030-01-01", "valid_from_1": "00:00:00",
    }  # fmt: skip
    month = {"meter": "ocr_pages", "model": "", "quantity": "5", "valid_from": "2030-01-01", "source": ""}
    with as_staff():
        plan = str(Price.plan.field.related_model.objects.get(slug="standard").id)
    pages = {
        "price": {**form, "tiers": '[[1000, "2"]]', "plan": ""},
        "providerprice": {**form, "provider": "openai"},
        "tenantprice": {**form, "tiers": "[]", "for_tenant": str(acme.id)},
        "planallowance": {**month, "plan": plan},
        "tenantallowance": {**month, "for_tenant": str(acme.id)},
    }
    for page, data in pages.items():
        url = f"/admin/billing/{page}/add/"
        assert staff.get(url).status_code == 200
        said = staff.post(url, data)
        assert said.status_code == 302, said.content.decode()
        listed = staff.get(f"/admin/billing/{page}/")
        assert listed.status_code == 200
    assert counted() == [1, 1, 1, 1, 1]
    with as_staff():
        row = Price.objects.get(model="m")
    assert (row.tiers, row.source, row.added_by.split()[0]) == ([[1000, "2"]], "offer 1", "staff")
    shown = staff.get(f"/admin/billing/price/{row.id}/change/").content.decode()
    assert "offer 1" in shown and row.added_by in shown
    euros = {**pages["tenantprice"], "currency": "EUR", "meter": "output_tokens"}
    assert (
        "This tenant is billed in USD, not in EUR."
        in staff.post("/admin/billing/tenantprice/add/", euros, follow=True).content.decode()
    )
    wrong = {**pages["price"], "meter": "output_tokens", "tiers": '[[1000, "-2"]]'}
    assert (
        "not negative, and at most 12 digits"
        in staff.post("/admin/billing/price/add/", wrong, follow=True).content.decode()
    )
    assert counted() == [1, 1, 1, 1, 1]
