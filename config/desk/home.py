"""Home: how a tenant's calls go and what they cost, what needs attention, and what to do next. For staff: all tenants."""

from datetime import UTC, datetime
from typing import Any

from django.urls import reverse

from billing.budgets.bars import budget_bars
from billing.figures import count, money
from billing.names import names_of
from billing.periods import PERIODS, Period, period_named
from billing.spending import spent_by
from inference.models import Generation
from knowledge.models import VectorStoreFile
from tenants import work
from tenants.desk.pages import DeskPage, desk_page
from tenants.models import Work

from .first_steps import steps_for
from .overview import overview_of
from .platform import platform_overview

_PERIODS = ("24h", "7d", "30d", "month")
_TOP = 5
_MOST = 1000


@desk_page
class HomePage(DeskPage):
    """The admin's index."""

    name, path, area, title = "home", "", "home", "Home"

    def get_template_names(self) -> list[str]:
        """One for tenants, one for platform staff."""
        return ["desk/platform.html" if self.visitor.staff else "desk/home.html"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The period that the address names, and everything that the visitor may see of it."""
        now = datetime.now(UTC)
        asked = self.request.GET.get("period")
        period = period_named(asked if asked in _PERIODS else None, now=now)
        shared = {"period": period, "periods": [(name, PERIODS[name][0]) for name in _PERIODS], "now": now}
        parts = platform_overview(period) if self.visitor.staff else self._tenants(period, now)
        return super().get_context_data(**shared, **parts, **kwargs)

    def _tenants(self, period: Period, now: datetime) -> dict[str, Any]:
        visitor = self.visitor
        assert visitor.tenant is not None
        return {
            "overview": overview_of(period, currency=visitor.tenant.currency),
            "steps": steps_for(visitor),
            "tops": tops_of(period, visitor.tenant.currency) if visitor.may("usage.view") else [],
            "may_set_budgets": visitor.may("budgets.change"),
            "budgets": budget_bars(now=now) if visitor.may("budgets.view") else None,
            "ingestion": ingestion() if visitor.may("documents.view") else None,
            "errors": recent_errors() if visitor.may("requests.view") else None,
        }


def tops_of(period: Period, currency: str) -> list[dict[str, Any]]:
    """Models, keys and end users by what they cost."""
    titles = {"model": "Models", "api_key_id": "API keys", "user_id": "End users"}
    return [{"title": title, **_top(period, by, currency)} for by, title in titles.items()]


def _top(period: Period, by: str, currency: str) -> dict[str, Any]:
    found = spent_by(period, by)[:_TOP]
    names = names_of(by, [value for value, _ in found])
    rows = [(names[value], money(spent.cost, currency), count(spent.tokens)) for value, spent in found]
    return {"url": f"{reverse('admin:usage')}?period={period.name}&by={by}", "rows": rows}


def ingestion() -> dict[str, Any]:
    """What waits and runs, counted to a bound, and the files that are being read now."""
    units = Work.objects.filter(queue=work.INGESTION)
    running = list(units.filter(state=Work.State.RUNNING).values_list("id", flat=True)[:_TOP])
    waiting = units.filter(state__in=(Work.State.QUEUED, Work.State.DELAYED))[: _MOST + 1].count()
    files = VectorStoreFile.objects.filter(id__in=running).select_related("file", "store").order_by("id")
    return {"waiting": waiting, "many": waiting > _MOST, "most": _MOST, "files": list(files)}


def recent_errors() -> list[dict[str, Any]]:
    """The last calls that failed, and why."""
    rows = Generation.objects.filter(state=Generation.State.FAILED).order_by("-id")
    return [
        {"call": call, "code": "error", **(call.error or {}).get("error", {})}
        for call in rows.only("id", "model", "alias", "error", "finished_at")[:_TOP]
    ]
