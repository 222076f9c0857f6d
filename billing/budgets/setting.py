"""Setting, changing and deleting budgets. What a budget limits never changes: another limit is another budget.

A budget counts the whole of its current period, also what was spent before it was set and what calls under way hold;
for the moment in which that is added up the tenant's admissions and settlements wait (`open_budget`).
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.models import ApiKey, Tenant
from tenants.scope import tenant_scope
from tenants.tags import check_tag_name, check_tag_value

from ..models import Budget
from ..models.budgets import today

#: Percent of the limit at which a new budget warns, where nobody says.
USUAL_SHARES = (80, 100)
_LARGEST = Decimal(10) ** 12
_MOST_SHARES = 10
_LARGEST_SHARE = 1000


class BudgetConflict(AtriumError):
    """The name belongs to a budget of something else: another key, tag or period."""

    status = 409
    type = "invalid_request_error"
    code = "budget_conflict"


def set_budget(
    *,
    name: str,
    limit: Decimal,
    by: Actor,
    currency: str | None = None,
    key_id: UUID | None = None,
    tag: tuple[str, str] | None = None,
    period: str = Budget.Period.MONTH,
    starts_on: date | None = None,
    hard: bool | None = None,
    alert_shares: Sequence[int] | None = None,
) -> Budget:
    """Create or change the current tenant's budget of this name.

    Args:
        limit: per period (UTC), in the tenant's currency.
        currency: what the caller takes that to be; refused where it is another.
        key_id: the one key that it limits; all of the tenant's where missing.
        tag: (name, value): only calls that have it; with a key too, only that key's.
        period: `Budget.Period`.
        starts_on: the day from which a total counts, today or earlier; the day on which it is set where missing.
        hard: refuses what is beyond it (a new one does, where missing); a soft one only warns.
        alert_shares: percent of the limit at which it warns; `USUAL_SHARES` for a new one where missing.

    Raises:
        InvalidRequest: an amount that cannot be kept, another currency than the tenant's, no such key, a bad tag.
        BudgetConflict: the name belongs to a budget of something else.
    """
    tag_name, tag_value = _checked_tag(tag)
    _check_start(period, starts_on)
    wanted = {"key_id": key_id, "tag_name": tag_name, "tag_value": tag_value, "period": period}
    changes = _checked({"limit": limit, "hard": hard, "alert_shares": alert_shares})
    with tenant_scope() as tenant_id:
        own = Tenant.objects.get(id=tenant_id).currency
        if currency not in (None, own):
            raise InvalidRequest(f"This tenant is not billed in {currency}.", param="currency")
        if key_id is not None and not ApiKey.objects.filter(id=key_id).exists():
            raise InvalidRequest("No such API key.", param="api_key_id")
        budget = Budget.objects.select_for_update().filter(name=name).first()
        if budget is None:
            _still(tenant_id)
            # Somebody else may have made it meanwhile.
            budget = Budget.objects.filter(name=name).first()
        if budget is None:
            usual = {"alert_shares": list(USUAL_SHARES), **wanted, **changes, "starts_on": starts_on or today()}
            return _create(tenant_id, Budget(id=uuid7(), tenant_id=tenant_id, name=name, currency=own, **usual), by)
        if any(getattr(budget, field) != value for field, value in wanted.items()) or (
            starts_on is not None and starts_on != budget.starts_on
        ):
            raise BudgetConflict(f"Budget '{name}' limits something else. Use another name.", param="name")
        return _change(budget, changes, by, always="limit")


def change_budget(*, budget_id: UUID, by: Actor, **changes: Any) -> Budget:
    """Change a budget of the current tenant: its `name`, `limit`, `hard` or `alert_shares`; holds from the next call on.

    Raises:
        NotFound: there is none with this id.
        InvalidRequest: a value that cannot be.
        BudgetConflict: another budget has the name.
    """
    checked = _checked(changes)
    with tenant_scope():
        budget = Budget.objects.select_for_update().filter(id=budget_id).first()
        if budget is None:
            raise NotFound("No such budget.")
        name = checked.get("name", budget.name)
        if name != budget.name and Budget.objects.filter(name=name).exists():
            raise BudgetConflict(f"There is a budget '{name}'. Use another name.", param="name")
        return _change(budget, checked, by)


def delete_budget(*, budget_id: UUID, by: Actor) -> None:
    """Delete a budget of the current tenant with what stands in its accounts; the ledger stays as it is.

    Raises:
        NotFound: there is none with this id.
    """
    with tenant_scope() as tenant_id:
        _still(tenant_id)
        budget = Budget.objects.filter(id=budget_id).first()
        if budget is None:
            raise NotFound("No such budget.")
        record(by=by, action="budget.deleted", target=budget, changes={"name": budget.name, "limit": str(budget.limit)})
        budget.delete()


def _still(tenant_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT hold_budgets_still(%s)", [tenant_id])


def _create(tenant_id: UUID, budget: Budget, by: Actor) -> Budget:
    budget.save(force_insert=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT open_budget(%s, %s)", [tenant_id, budget.id])
    changes: dict[str, Any] = {"limit": [None, str(budget.limit)], "period": str(budget.period), "hard": budget.hard}
    if budget.tag_name:
        changes["tag"] = f"{budget.tag_name}={budget.tag_value}"
    record(by=by, action="budget.set", target=budget, changes=changes)
    return budget


def _change(budget: Budget, changes: dict[str, Any], by: Actor, *, always: str = "") -> Budget:
    """Write what differs, and the audit row; `always` names a field that the row shows though it stayed."""
    shown = {
        field: [str(getattr(budget, field)), str(value)]
        for field, value in changes.items()
        if getattr(budget, field) != value or field == always
    }
    for field, value in changes.items():
        setattr(budget, field, value)
    if shown:
        budget.save(update_fields=list(changes))
        record(by=by, action="budget.set", target=budget, changes=shown)
    return budget


def _checked(changes: dict[str, Any]) -> dict[str, Any]:
    """Those that are given (not None), each within its bounds."""
    given = {name: value for name, value in changes.items() if value is not None}
    if (limit := given.get("limit")) is not None and not (
        limit.is_finite() and 0 <= limit < _LARGEST and limit == round(limit, 12)
    ):
        raise InvalidRequest("Invalid 'limit': an amount from 0 with at most 12 digits after the point.", param="limit")
    if "alert_shares" in given:
        shares = given["alert_shares"] = sorted(set(given["alert_shares"]))
        if len(shares) > _MOST_SHARES or any(not 0 < share <= _LARGEST_SHARE for share in shares):
            raise InvalidRequest(
                f"Invalid 'alert_shares': at most {_MOST_SHARES} whole percents from 1 to {_LARGEST_SHARE}.",
                param="alert_shares",
            )
    return given


def _checked_tag(tag: tuple[str, str] | None) -> tuple[str, str]:
    if tag is None:
        return "", ""
    name, value = tag
    return check_tag_name(name, param="tag.name"), check_tag_value(value, param="tag.value")


def _check_start(period: str, starts_on: date | None) -> None:
    if period not in Budget.Period:
        raise InvalidRequest("Invalid 'period': day, month or total.", param="period")
    if starts_on is None:
        return
    if period != Budget.Period.TOTAL:
        raise InvalidRequest("Only a total starts on a day; days and months start by themselves.", param="starts_on")
    if starts_on > today():
        raise InvalidRequest("Invalid 'starts_on': today (UTC) or earlier.", param="starts_on")
