"""Tenants as platform staff see them: failing, over budget, suspended, and what each is charged and costs."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Budget, BudgetAccount, UsageRecord
from inference import tenant_overview
from inference.models import Generation
from inference.tenant_overview import tenant_page
from tenants.ids import uuid7
from tenants.models import Tenant, User
from tenants.scope import acting_for, as_staff, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files
from tests.tenants.committed import _django_db_helper, committed, pytest_collection_modifyitems

__all__ = ["_django_db_helper", "committed", "plain_static_files", "pytest_collection_modifyitems"]
NOW = datetime.now(UTC)
MONTH = NOW.date().replace(day=1)


@pytest.fixture
def tenants(committed: Callable[[str], Member]) -> Iterator[tuple[Member, Member]]:
    """Acme: one of four calls failed, 12 of a budget of 10 spent, 12 charged at a cost of 9. Globex did nothing."""
    acme, globex = committed("acme"), committed("globex")
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        for state in ("completed", "failed", "completed", "completed"):
            Generation.objects.create(
                tenant_id=tenant_id, kind="chat", state=state, key_id=uuid7(), alias="a", model="m", terms={}, inbox="x"
            )
        budget = Budget.objects.create(tenant_id=tenant_id, name="monthly", limit=10, currency="USD")
        BudgetAccount.objects.create(tenant_id=tenant_id, budget=budget, period_start=MONTH, spent=12)
        UsageRecord.objects.create(
            tenant_id=tenant_id, reservation_id=uuid7(), request_id=uuid7(), attempt=1, operation="chat", model="m",
            meter="input_tokens", quantity=1, unit_price=12, per=1, cost=12, provider_cost=9, currency="USD",
            period_start=MONTH,
        )  # fmt: skip
    yield acme, globex


def test_a_line_says_how_its_calls_do_and_what_it_earns(tenants: tuple[Member, Member]) -> None:
    with as_staff():
        acme, globex = tenant_page(now=NOW).lines
    assert acme.money is not None and acme.used is not None
    assert (acme.calls.seen, acme.calls.failed_share, acme.plan) == (4, 0.25, "Standard")
    assert (acme.money.revenue, acme.money.provider_cost, acme.money.share) == (12, 9, Decimal("0.25"))
    assert (acme.used.percent, acme.used.hard) == (120, True)
    assert (globex.calls.seen, globex.calls.last_at, globex.money, globex.used) == (0, None, None, None)


def test_tenants_are_found_by_name_state_and_what_they_earn(tenants: tuple[Member, Member]) -> None:
    def slugs(**asked: Any) -> list[str]:
        with as_staff():
            return [line.tenant.slug for line in tenant_page(now=NOW, **asked).lines]

    Tenant.objects.using("owner").filter(slug="globex").update(status="suspended")
    assert slugs(search="GLOB") == slugs(status="suspended") == ["globex"]
    assert slugs(status="over") == slugs(status="active") == ["acme"]
    Tenant.objects.using("owner").filter(slug="acme").update(name="Zacme")  # by name it would be last
    assert slugs() == ["globex", "acme"]
    assert slugs(order="price") == slugs(order="budget") == slugs(order="margin") == ["acme", "globex"]
    assert slugs(search="%") == slugs(search="_") == slugs(number=2) == []


def test_a_page_is_cut_by_the_database(tenants: tuple[Member, Member], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_overview, "A_PAGE", 1)
    with as_staff():
        pages = [tenant_page(now=NOW, number=number) for number in (1, 2)]
    found = [([line.tenant.slug for line in page.lines], page.has_next) for page in pages]
    assert found == [(["acme"], True), (["globex"], False)]


def test_the_pages_show_it(tenants: tuple[Member, Member]) -> None:
    client: Client = desk(User.objects.create_superuser("operator", "operator@platform.example"))
    page = client.get(reverse("admin:platform_tenants")).content.decode()
    for told in ("25% of 4 calls failed", "120 %", "calls refused", "12.00 USD", "9.00 USD", "no calls in 24 h"):
        assert told in page
    one = client.get(reverse("admin:tenant_overview", args=[tenants[0].tenant.id])).content.decode()
    for told in ("25% of 4 calls failed", "120 %", "3.00 USD", "25.0%", "?tenant__id__exact="):
        assert told in one
    assert client.get(reverse("admin:tenant_overview", args=[uuid7()])).status_code == 404
