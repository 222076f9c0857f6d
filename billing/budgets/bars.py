"""Budgets as people see them: how much of the limit is used, held and to be expected."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from tenants.models import ApiKey

from ..amounts import readable
from ..models import Budget
from .states import BudgetState, budget_states

_CLOSE = Decimal("0.8")


@dataclass(frozen=True)
class BudgetBar:
    """A budget's current period; shares are per cent of the limit, drawn up to 100."""

    state: BudgetState
    of: str

    @property
    def budget(self) -> Budget:
        """The budget."""
        return self.state.budget

    @property
    def used(self) -> int:
        """Per cent of the limit that is spent."""
        return self._share(self.state.spent)

    @property
    def drawn_used(self) -> int:
        """As wide as it is drawn."""
        return min(100, max(0, self.used))

    @property
    def drawn_held(self) -> int:
        """What calls under way hold, as wide as it is drawn."""
        return min(100 - self.drawn_used, max(0, self._share(self.state.held)))

    @property
    def drawn_forecast(self) -> int | None:
        """Where the period is heading, if that is within the bar."""
        share = None if self.state.projected is None else self._share(self.state.projected)
        return share if share is not None and self.drawn_used < share < 100 else None

    def _share(self, amount: Decimal) -> int:
        if not self.budget.limit:
            return 100 if amount else 0
        return int(amount * 100 / self.budget.limit)

    @property
    def level(self) -> str:
        """ "bad" where it is used up, "warn" where that is near or to be expected, else empty."""
        if self.state.left <= 0:
            return "bad"
        near = self.state.spent >= self.budget.limit * _CLOSE or self.state.will_be_exceeded
        return "warn" if near else ""

    @property
    def spent(self) -> str:
        """Spent, of the limit, in words."""
        return f"{readable(self.state.spent)} of {readable(self.budget.limit)} {self.budget.currency}"

    @property
    def held(self) -> str:
        """What calls under way may still cost; empty where there are none."""
        return f"{readable(self.state.held)} {self.budget.currency}" if self.state.held else ""

    @property
    def left(self) -> str:
        """What is left; nothing less than nothing."""
        return f"{readable(max(self.state.left, Decimal(0)))} {self.budget.currency}"

    @property
    def period(self) -> str:
        """Of which time."""
        start = self.state.period_start
        match self.budget.period:
            case Budget.Period.DAY:
                return f"today, {start:%-d %b}"
            case Budget.Period.MONTH:
                return f"{start:%B %Y}"
        return f"in total since {start:%-d %b %Y}"

    @property
    def forecast(self) -> str:
        """What is to be expected, as a sentence."""
        if self.state.runs_out_at is not None:
            then = "calls are refused from then on" if self.budget.hard else "it only warns"
            return f"At this pace the limit is reached on {self.state.runs_out_at:%-d %b at %H:%M} UTC; {then}."
        if self.state.left <= 0:
            return "Used up: calls are refused." if self.budget.hard else "Used up. It only warns: calls go on."
        if self.state.projected is not None:
            return f"Forecast: {readable(self.state.projected)} {self.budget.currency} at the end of the period."
        return "Too early for a forecast."


def budget_bars(*, now: datetime) -> list[BudgetBar]:
    """The current tenant's budgets at `now`: those of all calls first."""
    states = sorted(budget_states(now=now), key=lambda state: bool(state.budget.key_id or state.budget.tag_name))
    names = _key_names(state.budget.key_id for state in states)
    return [BudgetBar(state, _of(state.budget, names)) for state in states]


def _key_names(ids: Iterable[UUID | None]) -> dict[UUID, str]:
    return dict(ApiKey.objects.filter(id__in=[ident for ident in ids if ident]).values_list("id", "name"))


def _of(budget: Budget, names: dict[UUID, str]) -> str:
    """Which calls it counts."""
    key = f"API key {names.get(budget.key_id, budget.key_id)}" if budget.key_id else ""
    tag = f"tag {budget.tag_name} = {budget.tag_value}" if budget.tag_name else ""
    return ", ".join(part for part in (key, tag) if part) or "all calls"
