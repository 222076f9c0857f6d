"""The staff's pages of prices, plans and faults: what holds, what is to come, what it costs and what is wrong."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.test import Client
from django.urls import reverse

from billing.models import LedgerFault, Plan, Price, ProviderPrice
from billing.prices.reading import read_book
from tenants.ids import uuid7
from tenants.models import User
from tenants.scope import as_staff
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]
NOW = datetime.now(UTC)


@pytest.fixture
def staff(committed: Callable[[str], Member]) -> Iterator[Client]:
    """Platform staff, with prices of a model `read`: 3, then 4 since a month, 5 from tomorrow; costs of 1 and of 5."""
    common = {"model": "read", "meter": "input_tokens", "currency": "USD"}
    for amount, days in ((3, -60), (4, -30), (5, 1)):
        Price.objects.using("owner").create(**common, amount=amount, valid_from=NOW + timedelta(days=days))
    for provider, amount in (("cheap", 1), ("dear", 5)):
        ProviderPrice.objects.using("owner").create(
            **common, provider=provider, amount=amount, valid_from=NOW - timedelta(days=1)
        )
    yield desk(User.objects.create_superuser("operator", "operator@platform.example"))
    for model in (Price, ProviderPrice):
        model.objects.using("owner").filter(model="read").delete()
    LedgerFault.objects.using("owner").all().delete()
    connections["owner"].close()


def test_a_book_says_what_holds_what_comes_what_was_and_what_it_costs(staff: Client) -> None:
    with as_staff():
        [entry] = [one for one in read_book(currency="USD", now=NOW) if one.model == "read"]
    assert entry.prices.current.amount == 4
    assert [row.amount for row in entry.prices.coming] == [5] and [row.amount for row in entry.prices.past] == [3]
    # The dearest provider decides: 1 - 5 / 4.
    assert (entry.cost, entry.margin) == (Decimal("0.000005"), Decimal("-0.25"))
    page = staff.get(reverse("admin:price_book"), {"currency": "USD"}).content.decode()
    for told in ("4 USD per million", "5 USD per million", "1 earlier", "-25.0%", "cheap", "dear"):
        assert told in page


def test_a_book_that_does_not_exist_is_the_list(staff: Client) -> None:
    for book in ("plan:nonsense", f"tenant:{uuid7()}", "x"):
        answer = staff.get(reverse("admin:price_book"), {"book": book, "currency": "XXX"})
        assert (answer.status_code, answer.context["chosen"]) == (200, "")


def test_plans_stand_side_by_side_with_those_who_are_on_them(staff: Client, committed: Callable[[str], Member]) -> None:
    committed("acme")
    page = staff.get(reverse("admin:plans"))
    with as_staff():
        names = list(Plan.objects.order_by("name").values_list("name", flat=True))
    assert [plan.name for plan in page.context["plans"]] == names
    rows = dict(page.context["groups"][-1][1])
    assert rows["Tenants on it"][names.index("Standard")] == "1" and len(rows["Tenants on it"]) == len(names)


def test_a_plan_allows_only_models_that_are_offered(staff: Client, committed: Callable[[str], Member]) -> None:
    committed("acme")  # takes back what this test commits
    with as_staff():
        plan = Plan.objects.get(slug="standard")
    page = reverse("admin:billing_plan_change", args=[plan.pk])
    given = {
        name: value for name, value in staff.get(page).context["adminform"].form.initial.items() if value is not None
    }
    refused = staff.post(page, given | {"allowed_models": "local-extractive,local-extractiv"}).content.decode()
    assert "No model of this name is offered: local-extractiv." in refused
    try:
        assert staff.post(page, given | {"allowed_models": "local-extractive"}).status_code == 302
        with as_staff():
            assert Plan.objects.get(slug="standard").allowed_models == ["local-extractive"]
    finally:
        with as_staff():
            Plan.objects.filter(slug="standard").update(allowed_models=[])
        LogEntry.objects.using("owner").all().delete()


def test_a_fault_says_what_is_wrong_whose_and_by_how_much(staff: Client, committed: Callable[[str], Member]) -> None:
    member = committed("acme")
    LedgerFault.objects.using("owner").create(
        kind="cost", pseudonym=member.tenant.id, subject="line 1", expected=Decimal("1.5"), found=Decimal("1.25"),
        found_at=NOW, seen_at=NOW,
    )  # fmt: skip
    page = staff.get(reverse("admin:billing_ledgerfault_changelist"), {"state": "open"}).content.decode()
    for told in ("something else than its quantity at its price", "Acme", "-0.25", "open"):
        assert told in page
    assert (
        "line 1" not in staff.get(reverse("admin:billing_ledgerfault_changelist"), {"state": "mended"}).content.decode()
    )


@pytest.mark.parametrize("page", ["price_book", "plans", "platform_tenants", "deployments"])
def test_the_platforms_pages_are_not_a_tenants(acme: Member, page: str) -> None:
    client = desk(seat(acme, "owner"))
    assert client.get(reverse(f"admin:{page}")).status_code == 403
    assert reverse(f"admin:{page}") not in client.get("/admin/").content.decode()
