"""Home: how a tenant's calls go and what they cost, what needs attention, and what to do next. For staff: all tenants."""

from datetime import UTC, datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from billing.budgets.bars import budget_bars
from billing.figures import count, money
from billing.names import names_of
from billing.periods import PERIODS, Period, period_named
from billing.spending import spent_by
from inference.models import Generation
from knowledge.models import VectorStoreFile
from tenants import work
from tenants.desk.pages import DeskData, DeskPage, desk_page
from tenants.models import Work

from .first_steps import steps_for
from .overview import overview_of
from .platform import platform_overview

_PERIODS = ("24h", "7d", "30d", "month")
_TITLES = {"model": "Models", "api_key_id": "API keys", "user_id": "End users"}
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
        period = asked_period(self.request, now=now)
        shared = {"period": period, "periods": [(name, PERIODS[name][0]) for name in _PERIODS], "now": now}
        parts = platform_overview(period) if self.visitor.staff else self._tenants(period, now)
        return super().get_context_data(**shared, **parts, **kwargs)

    def _tenants(self, period: Period, now: datetime) -> dict[str, Any]:
        visitor = self.visitor
        assert visitor.tenant is not None
        return {
            "overview": overview_of(period, currency=visitor.tenant.currency),
            "steps": steps_for(visitor),
            **(tops_of(period, visitor.tenant.currency) if visitor.may("usage.view") else {}),
            "may_set_budgets": visitor.may("budgets.change"),
            "budgets": budget_bars(now=now) if visitor.may("budgets.view") else None,
            "ingestion": ingestion() if visitor.may("documents.view") else None,
            "errors": recent_errors() if visitor.may("requests.view") else None,
        }


@desk_page
class HomeUsers(DeskData):
    """The end users that cost most, as a part of Home: it comes after the rest, for there are as many as calls."""

    name, path, area = "home_users", "home/users/", "usage"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The part's HTML."""
        tenant = self.visitor.tenant
        if tenant is None:
            raise Http404
        period = asked_period(request, now=datetime.now(UTC))
        top = {"title": _TITLES["user_id"], **_top(period, "user_id", tenant.currency)}
        return render(request, "desk/top.html", {"top": top})


def asked_period(request: HttpRequest, *, now: datetime) -> Period:
    """The one that the address names."""
    asked = request.GET.get("period")
    return period_named(asked if asked in _PERIODS else None, now=now)


def tops_of(period: Period, currency: str) -> dict[str, Any]:
    """Models and keys by what they cost, and where users by cost are."""
    return {
        "tops": [{"title": _TITLES[by], **_top(period, by, currency)} for by in ("model", "api_key_id")],
        "users_at": f"{reverse('admin:home_users')}?period={period.name}",
        "users_page": f"{reverse('admin:usage')}?period={period.name}&by=user_id",
    }


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
