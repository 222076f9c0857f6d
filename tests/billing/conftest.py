"""Fixtures of the tests of billing: a priced model, budgets, and reservations in few words."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from billing.budgets.setting import set_budget
from billing.models import BudgetAccount, UsageRecord
from billing.prices import Quote, UnitPrice
from billing.reservations import UsageLine, reserve
from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.committed import _django_db_helper, committed, pytest_collection_modifyitems

__all__ = ["_django_db_helper", "committed", "pytest_collection_modifyitems"]

MODEL = "gpt-test"
#: 2.50 per million in, 10.00 per million out: a token in costs 0.0000025, one out 0.00001.
QUOTE = {
    (MODEL, "input_tokens"): UnitPrice(uuid7(), MODEL, "input_tokens", Decimal("2.50"), 1_000_000),
    (MODEL, "output_tokens"): UnitPrice(uuid7(), MODEL, "output_tokens", Decimal("10.00"), 1_000_000),
}


def tokens(input_tokens: int, output_tokens: int, *, attempt: int = 1) -> list[UsageLine]:
    """What one call used."""
    return [
        UsageLine(MODEL, "input_tokens", input_tokens, attempt),
        UsageLine(MODEL, "output_tokens", output_tokens, attempt),
    ]


@dataclass(frozen=True)
class Till:
    """A tenant whose money is watched. Amounts go in as text, so that no float comes near them."""

    tenant_id: UUID

    @contextmanager
    def acting(self) -> Iterator[None]:
        with acting_for(self.tenant_id):
            yield

    def budget(self, limit: str, *, name: str = "monthly", key_id: UUID | None = None) -> UUID:
        with self.acting():
            return set_budget(name=name, limit=Decimal(limit), currency="USD", by=COMMAND_LINE, key_id=key_id).id

    def hold(
        self,
        amount: str,
        *,
        at_least: str | None = None,
        key_id: UUID | None = None,
        lease: timedelta = timedelta(minutes=5),
        request_id: UUID | None = None,
        operation: str = "completions",
        end_user: str = "",
        quote: Quote = QUOTE,
    ) -> tuple[UUID, Decimal]:
        """Reserve; returns the reservation's id and what it holds."""
        ident = uuid7()
        with self.acting():
            held = reserve(
                reservation_id=ident,
                request_id=request_id or ident,
                key_id=key_id,
                operation=operation,
                hold=Decimal(amount),
                hold_min=None if at_least is None else Decimal(at_least),
                currency="USD",
                quote=quote,
                lease=lease,
                end_user=end_user,
            )
        return ident, held

    def account(self, budget_id: UUID) -> tuple[Decimal, Decimal]:
        """(spent, held) of the budget's only month."""
        with self.acting(), tenant_scope():
            return BudgetAccount.objects.values_list("spent", "held").get(budget_id=budget_id)

    def ledger(self) -> list[UsageRecord]:
        with self.acting(), tenant_scope():
            return list(UsageRecord.objects.order_by("id"))


@pytest.fixture
def till(acme: Member) -> Till:
    return Till(acme.tenant.id)
