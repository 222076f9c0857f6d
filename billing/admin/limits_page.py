"""Budgets and limits: how much of each budget is used and where it is heading, what each limit is and what is used of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError

from tenants.desk.pages import DeskPage, desk_page

from ..budgets.bars import budget_bars
from ..figures import count
from ..limits.overview import LimitUse, keys_with_limits, limit_uses
from ..models import BudgetAlert, Limit
from ..plans import current_plan

_ALERTS = 10
_LABELS: dict[str, tuple[str, str]] = {
    Limit.REQUESTS_PER_MINUTE: ("Requests per minute", "Calls of all API keys together, in any 60 seconds."),
    Limit.TOKENS_PER_MINUTE: ("Tokens per minute", "Read and written by all calls, in any 60 seconds."),
    Limit.CONCURRENT_CALLS: ("Calls at the same time", "More are refused until one has ended."),
    Limit.USER_REQUESTS_PER_MINUTE: ("Requests per minute of one end user", "For calls that name their end user."),
    Limit.USER_TOKENS_PER_MINUTE: ("Tokens per minute of one end user", "For calls that name their end user."),
    Limit.USER_CONCURRENT_CALLS: ("Calls of one end user at the same time", "For calls that name their end user."),
    Limit.TOKENS_PER_MONTH: ("Tokens per month", "Read and written, in the calendar month (UTC)."),
    Limit.DOCUMENTS: ("Documents", "Files in vector stores."),
    Limit.STORED_BYTES: ("Stored data", "Files, as they were uploaded."),
    Limit.OCR_PAGES_PER_MONTH: ("Scanned pages per month", "Pages read by OCR, in the calendar month (UTC)."),
}


@dataclass(frozen=True)
class _Row:
    """A limit in words; `share` (per cent) where it is known what is used of it."""

    label: str
    text: str
    limit: str
    used: str
    share: int | None
    level: str


@desk_page
class LimitsPage(DeskPage):
    """For a tenant; staff set limits and plans on pages of their own."""

    name, path, area = "limits", "limits/", "budgets"
    icon, label, title = "speed", "Budgets and limits", "Budgets and limits"
    template_name = "desk/limits.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Budgets, limits and alerts of the visitor's tenant."""
        if self.visitor.tenant is None:
            return super().get_context_data(choose_tenant=True, **kwargs)
        now = datetime.now(UTC)
        uses, counted = _uses(now)
        shown = {
            "bars": budget_bars(now=now),
            "may_change": self.visitor.may("budgets.change"),
            "alerts": list(BudgetAlert.objects.select_related("budget").order_by("-id")[:_ALERTS]),
            "plan": current_plan().name,
            "limits": [_row(use) for use in uses],
            "counted": counted,
            "keys": keys_with_limits() if self.visitor.may("keys.view") else None,
            "now": now,
        }
        return super().get_context_data(**shown, **kwargs)


def _uses(now: datetime) -> tuple[list[LimitUse], bool]:
    """The limits; and whether what is used of them this minute could be read."""
    try:
        return limit_uses(now=now, of_this_minute=True), True
    except RedisError:
        return limit_uses(now=now, of_this_minute=False), False


def _row(use: LimitUse) -> _Row:
    label, text = _LABELS[use.limit]
    shown = _bytes if use.limit == Limit.STORED_BYTES else count
    share = None if use.used is None or not use.value else int(100 * use.used / use.value)
    level = "" if share is None or share < 80 else "bad" if share >= 100 else "warn"
    return _Row(
        label=label,
        text=text,
        limit=shown(use.value) if use.value else "no limit",
        used="" if use.used is None else shown(use.used),
        share=None if share is None else min(100, share),
        level=level,
    )


def _bytes(number: int) -> str:
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"
