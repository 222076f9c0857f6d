"""What stands in budgets at a moment, and what they are heading for (`sql/budgets.sql` says how that is reckoned)."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import connection

from tenants.scope import tenant_scope

from ..models import Budget


@dataclass(frozen=True)
class BudgetState:
    """A budget and its current period.

    `period_end` is the first day after it, None of a total. `projected` is what the period will have cost at its end at
    the pace until now, `runs_out_at` when the limit is reached at that pace; None where that cannot be said or is not to
    be expected.
    """

    budget: Budget
    period_start: date
    period_end: date | None
    spent: Decimal
    held: Decimal
    projected: Decimal | None
    runs_out_at: datetime | None

    @property
    def left(self) -> Decimal:
        """What can still be reserved; negative where the limit was lowered below, or is a soft one."""
        return self.budget.limit - self.spent - self.held

    @property
    def will_be_exceeded(self) -> bool:
        """Whether the period is on its way beyond the limit."""
        return self.projected is not None and self.projected > self.budget.limit


def budget_states(*, now: datetime) -> list[BudgetState]:
    """The current tenant's budgets at `now`, oldest first."""
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        budgets = {budget.id: budget for budget in Budget.objects.all()}
        cursor.execute("SELECT * FROM budget_states(%s, %s)", [tenant_id, now])
        return [BudgetState(budgets[ident], *figures) for ident, *figures in cursor.fetchall() if ident in budgets]
