"""Alerts of budgets: a share of the limit is reached, or the period is on its way beyond it. Each is told once a period.

An alert is a row, unique by budget, period, what it says and the limit at that time; its webhook and its letters are
written with it, in one transaction. So however often the sweeps run, and wherever they die, each is told once. With
another limit a share can be reached again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from tenants.ids import public_id, uuid7
from tenants.mail import tell_members
from tenants.models import Role, Tenant
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks import emit

from ..amounts import plain
from ..models import Budget, BudgetAlert
from .states import BudgetState, budget_states

PREFIX = "budget_"
#: Who is told by e-mail.
TOLD = (Role.OWNER, Role.ADMIN, Role.FINANCE)
_PAGE = 100
_NOBODY = UUID(int=0)


@dataclass(frozen=True)
class _Due:
    state: BudgetState
    kind: str
    share: int

    @property
    def once(self) -> tuple[object, ...]:
        """What may be told once only."""
        return (self.state.budget.id, self.state.period_start, self.kind, self.share, self.state.budget.limit)


def raise_alerts(*, now: datetime, forecast: bool = False) -> int:
    """Tell what budgets of any tenant have reached or, with `forecast`, are heading for; returns how many alerts."""
    told = 0
    for tenant_id in _tenants(now, forecast):
        with acting_for(tenant_id):
            told += len(raise_alerts_of_tenant(now=now, forecast=forecast))
    return told


def raise_alerts_of_tenant(*, now: datetime, forecast: bool = False) -> list[BudgetAlert]:
    """The same for the current tenant's budgets, in one transaction."""
    with tenant_scope() as tenant_id:
        # Who does the same at this moment is waited for.
        list(Budget.objects.select_for_update(no_key=True).order_by("id").values_list("id"))
        states = budget_states(now=now)
        due = [one for state in states for one in (_forecast(state) if forecast else _reached(state))]
        known = BudgetAlert.objects.filter(budget_id__in={one.state.budget.id for one in due})
        told = set(known.values_list("budget_id", "period_start", "kind", "share", "limit"))
        name = Tenant.objects.values_list("name", flat=True).get(id=tenant_id)
        return [_tell(tenant_id, name, one) for one in due if one.once not in told]


def _tenants(now: datetime, forecast: bool) -> Iterator[UUID]:
    after = _NOBODY
    while True:
        with connection.cursor() as cursor:
            query = "SELECT tenant_id FROM tenants_with_budget_alerts(%s, %s, %s, %s)"
            cursor.execute(query, [now, forecast, after, _PAGE])
            found = [row[0] for row in cursor.fetchall()]
        yield from found
        if len(found) < _PAGE:
            return
        after = found[-1]


def _reached(state: BudgetState) -> list[_Due]:
    budget = state.budget
    if state.spent <= 0:
        return []
    return [
        _Due(state, BudgetAlert.Kind.SHARE, share)
        for share in budget.alert_shares
        if state.spent * 100 >= budget.limit * share
    ]


def _forecast(state: BudgetState) -> list[_Due]:
    if not state.budget.alert_shares or not state.will_be_exceeded or state.spent >= state.budget.limit:
        return []
    return [_Due(state, BudgetAlert.Kind.FORECAST, 100)]


def _tell(tenant_id: UUID, tenant: str, due: _Due) -> BudgetAlert:
    state, budget = due.state, due.state.budget
    alert = BudgetAlert.objects.create(
        id=uuid7(),
        tenant_id=tenant_id,
        budget=budget,
        period_start=state.period_start,
        kind=due.kind,
        share=due.share,
        limit=budget.limit,
        spent=state.spent,
        projected=state.projected,
    )
    ident = public_id(PREFIX, budget.id)
    emit(
        type="budget.alert",
        object_id=ident,
        data={
            "budget": {"id": ident, "name": budget.name, "period": budget.period, "hard": budget.hard},
            "kind": due.kind,
            "share": due.share,
            "period_start": state.period_start.isoformat(),
            "limit": plain(budget.limit),
            "spent": plain(state.spent),
            "projected": None if state.projected is None else plain(state.projected),
            "currency": budget.currency,
        },
    )
    tell_members(roles=TOLD, subject=f"{tenant}: {_headline(due)}", text=_letter(due))
    return alert


def _headline(due: _Due) -> str:
    if due.kind == BudgetAlert.Kind.FORECAST:
        return f"budget '{due.state.budget.name}' will be exceeded"
    return f"budget '{due.state.budget.name}' has reached {due.share} %"


def _letter(due: _Due) -> str:
    state, budget = due.state, due.state.budget
    until = f" to {state.period_end} (not included)" if state.period_end else ""
    lines = [
        f"The {_headline(due)}.",
        "",
        f"Spent: {plain(state.spent)} of {plain(budget.limit)} {budget.currency}, from {state.period_start}{until}, UTC.",
    ]
    if state.projected is not None:
        lines.append(f"At this pace the period will have cost {plain(state.projected)} {budget.currency}.")
    if state.runs_out_at is not None:
        lines.append(f"At this pace the limit is reached on {state.runs_out_at:%Y-%m-%d at %H:%M} UTC.")
    lines.append("Calls beyond the limit are refused." if budget.hard else "It only warns: calls go on.")
    return "\n".join(lines)
