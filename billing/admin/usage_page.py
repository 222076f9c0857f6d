"""Usage: what was used and spent in a period, over time and by model, key, end user, tag or meter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from tenants.desk.pages import DeskPage, desk_page
from tenants.ids import parse_public_id, public_id
from tenants.models import Tenant

from ..charts import stacked_cost_chart, tokens_chart, total_cost
from ..exports.wanted import DIMENSIONS as REPORTED
from ..figures import count, money
from ..names import names_of
from ..periods import PERIODS, Period, period_named, whole_days
from ..spending import Spent, spent_by, spent_over_time
from ..sums import TAG, Selection

_DIMENSIONS = {"model": "Model", "api_key_id": "API key", "user_id": "End user", "meter": "Meter"}
_MOST_ROWS, _COLOURED, _MOST_DAYS = 200, 5, 400


@dataclass(frozen=True)
class _Row:
    """One value of the dimension."""

    name: str
    tokens: str
    calls: str
    units: str
    cost: str
    of_all: int
    only: str


@desk_page
class UsagePage(DeskPage):
    """For a tenant. Staff read a tenant's usage as the tenant, and all tenants' on Home and at the margins."""

    name, path, area = "usage", "usage/", "usage"
    icon, label, title = "bar_chart", "Usage", "Usage"
    template_name = "desk/usage.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The period and the dimension that the address names."""
        tenant = self.visitor.tenant
        if tenant is None:
            return super().get_context_data(choose_tenant=True, **kwargs)
        now = datetime.now(UTC)
        period, error = self._period(now)
        dimensions = _DIMENSIONS | {f"{TAG}{name}": f"Tag {name}" for name in tenant.allocation_tags}
        by = self.request.GET.get("by", "")
        by = by if by in dimensions else "model"
        only = self._only()
        shown = {
            "only": only and {"dimension": _DIMENSIONS[only[0]].lower(), "name": names_of(only[0], [only[1]])[only[1]]},
            "only_asked": self.request.GET["only"] if only else "",
            "period": period,
            "periods": [(name, label) for name, (label, _) in PERIODS.items()],
            "kept": "&" + urlencode({"by": by, **({"only": self.request.GET["only"]} if only else {})}),
            "now": now,
            "error": error,
            "dimensions": dimensions.items(),
            "by": by,
            "by_label": dimensions[by],
            "group_by": "tags" if by.startswith(TAG) else by if by in REPORTED else "",
            "exports": self.visitor.may("reports.change"),
            "last_month": period_named("last_month", now=now),
        }
        return super().get_context_data(**shown, **self._found(period, by, tenant, only), **kwargs)

    def _period(self, now: datetime) -> tuple[Period, str]:
        """The one that is named or, by first and last day, described; what is wrong with that."""
        first, last = self.request.GET.get("from", ""), self.request.GET.get("to", "")
        named = period_named(self.request.GET.get("period"), now=now, default="month")
        if not first and not last:
            return named, ""
        try:
            days = date.fromisoformat(first), date.fromisoformat(last)
        except ValueError:
            return named, "Give both days, as year-month-day. This is the month until now."
        if not 0 <= (days[1] - days[0]).days < _MOST_DAYS or days[0].year < 2000 or days[1].year > 2099:
            return (
                named,
                f"The last day comes after the first, and at most {_MOST_DAYS} days are shown. Reports cover more.",
            )
        return whole_days(*days), ""

    def _only(self) -> tuple[str, Any] | None:
        """The one model, key or end user that is asked for; what is none of those asks for nothing."""
        dimension, _, text = self.request.GET.get("only", "").partition(":")
        if dimension in ("model", "user_id") and "\0" not in text:
            return dimension, text
        key = parse_public_id("key_", text) if dimension == "api_key_id" else None
        return None if key is None else (dimension, key)

    def _found(self, period: Period, by: str, tenant: Tenant, only: tuple[str, Any] | None) -> dict[str, Any]:
        chosen = {only[0]: [only[1]]} if only else {}
        found = spent_by(period, by, selection=Selection(only=chosen))
        over_time = spent_over_time(period, selection=Selection(only=chosen))
        spends = [over_time.get(start, Spent()) for start in period.buckets]
        names = names_of(by, [value for value, _ in found[:_MOST_ROWS]])
        whole = sum((sum(spent.cost.values(), Decimal(0)) for _, spent in found), Decimal(0))
        rows = [_row(names[value], spent, whole, _asking_for(by, value)) for value, spent in found[:_MOST_ROWS]]
        return {
            "figures": _figures(spends, tenant.currency),
            "charts": [
                stacked_cost_chart(period, _parts(period, by, found, names, spends, chosen), tenant.currency),
                tokens_chart(period, spends),
            ],
            "rows": rows,
            "left_off": max(0, len(found) - _MOST_ROWS),
        }


def _figures(spends: Sequence[Spent], currency: str) -> list[tuple[str, str, str]]:
    read, written = sum(one.read for one in spends), sum(one.written for one in spends)
    calls = sum(one.calls for one in spends)
    return [
        ("Cost", money(total_cost(spends), currency), "without taxes"),
        ("Tokens", count(read + written), f"{count(read)} read, {count(written)} written"),
        ("Calls of models", count(calls), "each attempt of a request is one"),
    ]


def _parts(
    period: Period,
    by: str,
    found: Sequence[tuple[Any, Spent]],
    names: Mapping[Any, str],
    all_of_it: Sequence[Spent],
    chosen: Mapping[str, list[Any]],
) -> dict[str, Sequence[Spent]]:
    """The dearest values over time, and all others together."""
    parts: dict[str, Sequence[Spent]] = {}
    for value, _ in found[:_COLOURED]:
        over_time = spent_over_time(period, selection=Selection(only={**chosen, by: [value]}))
        parts[names[value]] = [over_time.get(start, Spent()) for start in period.buckets]
    if len(found) > _COLOURED:
        parts["All others"] = [_rest(one, others) for one, *others in zip(all_of_it, *parts.values(), strict=True)]
    return parts or {"Cost": all_of_it}


def _rest(whole: Spent, parts: Sequence[Spent]) -> Spent:
    rest = Spent()
    for name, amount in whole.cost.items():
        rest.cost[name] = amount - sum((part.cost[name] for part in parts), Decimal(0))
    return rest


def _row(name: str, spent: Spent, whole: Decimal, only: str) -> _Row:
    share = round(100 * sum(spent.cost.values(), Decimal(0)) / whole) if whole else 0
    return _Row(
        name, f"{spent.tokens:,}", f"{spent.calls:,}", f"{spent.units:,}", money(spent.cost), max(0, share), only
    )


def _asking_for(by: str, value: Any) -> str:
    """What `only` says to see nothing but this; empty where that cannot be asked for."""
    if by == "api_key_id" and value:
        return f"{by}:{public_id('key_', value)}"
    return f"{by}:{value}" if by in ("model", "user_id") and value else ""
