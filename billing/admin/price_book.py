"""The price books as books, and plans side by side. For platform staff."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db.models import Count
from django.urls import reverse

from tenants.desk.pages import DeskPage, desk_page
from tenants.models import Tenant

from ..models import Plan, PlanAllowance, Price, Subscription, TenantPrice
from ..models.prices import BookPrice, PriceBase
from ..prices.quotes import short
from ..prices.reading import Dated, Entry, currencies, read_book

_COUNTED = {1: "each", 1_000: "per 1,000", 1_000_000: "per million", 1_000_000_000: "per billion"}


def _amount(row: PriceBase) -> str:
    return f"{short(row.amount)} {row.currency} {_COUNTED.get(row.per, f'per {row.per:,}')}"


def _tiers(row: PriceBase) -> list[str]:
    tiers = row.tiers if isinstance(row, BookPrice) else []
    return [f"beyond {int(units):,} a month: {short(Decimal(str(amount)))}" for units, amount in tiers]


def _shown(dated: Dated) -> dict[str, Any]:
    current = dated.current
    return {
        "current": None if current is None else {"amount": _amount(current), "tiers": _tiers(current), "row": current},
        "coming": [{"amount": _amount(row), "row": row} for row in dated.coming],
        "past": [{"amount": _amount(row), "row": row} for row in dated.past],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    margin = entry.margin
    return {
        "meter": entry.meter.replace("_", " ").replace("ocr", "OCR"),
        "price": _shown(entry.prices),
        "costs": [(provider or "any provider", _shown(dated)) for provider, dated in sorted(entry.costs.items())],
        "margin": None if margin is None else f"{margin:.1%}",
        "look": "bad" if margin is not None and margin < 0 else "",
        "unsold": entry.prices.current is None,
    }


@desk_page
class PriceBook(DeskPage):
    """A price book: the list, a plan's or a contract's, each price beside what providers take."""

    name, path = "price_book", "platform/price-book/"
    label, title, icon = "Price book", "Price book", "menu_book"
    template_name = "desk/price_book.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the book that was chosen."""
        books, now, asked = _books(), datetime.now(UTC), self.request.GET
        chosen = asked.get("book", "") if asked.get("book", "") in books else ""
        offered = currencies()
        currency = asked.get("currency") if asked.get("currency") in offered else offered[-1]
        kind, _, ident = chosen.partition(":")
        of = {} if not kind else {f"{kind}_id": UUID(ident)}
        entries = read_book(currency=str(currency), now=now, **of)
        models = [(model, [_entry(one) for one in found]) for model, found in groupby(entries, lambda one: one.model)]
        found = {
            "books": books, "chosen": chosen, "currencies": offered, "currency": currency, "models": models, "now": now,
            "add": _way_to_add(kind),
        }  # fmt: skip
        return {**super().get_context_data(**kwargs), **found}


def _books() -> dict[str, str]:
    """What can be chosen: `""` the list, `plan:<id>`, `tenant:<id>`."""
    plans = Plan.objects.filter(id__in=Price.objects.exclude(plan=None).values("plan")).order_by("name")
    tenants = Tenant.objects.filter(id__in=TenantPrice.objects.values("tenant")).order_by("name")
    return {
        "": "List prices",
        **{f"plan:{plan.id}": f"Plan {plan.name}" for plan in plans},
        **{f"tenant:{tenant.id}": f"Contract of {tenant.name}" for tenant in tenants},
    }


def _way_to_add(kind: str) -> str:
    return reverse("admin:billing_tenantprice_add" if kind == "tenant" else "admin:billing_price_add")


#: What a plan says: heading → (label, field, unit); a 0 is no limit.
_SAYS = (
    ("Each minute", (
        ("Requests", "requests_per_minute"), ("Tokens", "tokens_per_minute"), ("Calls at once", "concurrent_calls"),
    )),
    ("Each end user", (
        ("Requests a minute", "user_requests_per_minute"), ("Tokens a minute", "user_tokens_per_minute"),
        ("Calls at once", "user_concurrent_calls"),
    )),
    ("Each month", (("Tokens", "tokens_per_month"), ("Pages read by OCR", "ocr_pages_per_month"))),
    ("Kept", (("Documents", "documents"), ("Bytes of files", "stored_bytes"))),
)  # fmt: skip


@desk_page
class Plans(DeskPage):
    """Plans side by side."""

    name, path = "plans", "platform/plans/"
    label, title, icon = "Plans compared", "Plans", "view_column"
    template_name = "desk/plans.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With a column for each plan."""
        plans = list(Plan.objects.order_by("name"))
        on_it = dict(Subscription.objects.order_by().values_list("plan").annotate(Count("id")))
        groups = [
            (head, [(told, [_limit(plan, name) for plan in plans]) for told, name in rows]) for head, rows in _SAYS
        ]
        found = {"plans": plans, "groups": [*groups, ("Other", _other(plans, on_it))]}
        return {**super().get_context_data(**kwargs), **found}


def _limit(plan: Plan, name: str) -> str:
    value = getattr(plan, name)
    return f"{value:,}" if value else "no limit"


def _other(plans: list[Plan], on_it: dict[Any, int]) -> list[tuple[str, list[str]]]:
    def each_plan(say: Any) -> list[str]:
        return [say(plan) for plan in plans]

    included = _included()
    return [
        ("Included each month", each_plan(lambda plan: "; ".join(included.get(plan.id, [])) or "nothing")),
        ("Monthly budget of a new tenant", each_plan(_budget)),
        ("Models", each_plan(lambda plan: ", ".join(plan.allowed_models) or "all that are granted")),
        ("Share of the workers", each_plan(lambda plan: str(plan.weight))),
        ("Month is closed", each_plan(lambda plan: f"on day {plan.closing_day}" if plan.closing_day else "by a person")),
        ("Tenants on it", each_plan(lambda plan: f"{on_it.get(plan.id, 0):,}")),
    ]  # fmt: skip


def _budget(plan: Plan) -> str:
    return "none" if plan.monthly_budget is None else f"{short(plan.monthly_budget)}, in the tenant's currency"


def _included() -> dict[Any, list[str]]:
    """By plan, what its newest allowances in force include."""
    today = datetime.now(UTC).date()
    newest: dict[tuple[Any, str, str], PlanAllowance] = {}
    for row in PlanAllowance.objects.filter(valid_from__lte=today).order_by("valid_from"):
        newest[row.plan_id, row.meter, row.model] = row
    told: dict[Any, list[str]] = {}
    for (plan_id, meter, model), row in newest.items():
        of = f" of {model}" if model else ""
        told.setdefault(plan_id, []).append(f"{row.quantity:,} {meter.replace('_', ' ').replace('ocr', 'OCR')}{of}")
    return told
