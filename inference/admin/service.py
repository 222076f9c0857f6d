"""What serves at the moment, for platform staff: models, their deployments, and how those did in the last minutes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.urls import reverse

from tenants.desk.pages import DeskPage, desk_page

from ..deployment_health import Health, health_of_deployments
from ..models import Deployment, Fallback, Model
from .routing import breakers, calls_by_deployment

_PERIODS = {"5": 5, "15": 15, "60": 60}
_USUAL = "15"


@dataclass(frozen=True)
class Line:
    """A deployment and what is known of it."""

    row: Deployment
    state: str
    look: str
    calls_now: int | None
    health: Health | None
    switch: str
    edit: str


@dataclass(frozen=True)
class Section:
    """A model with its deployments."""

    model: Model
    lines: list[Line]
    fallbacks: list[str]
    switch: str

    @property
    def state(self) -> tuple[str, str]:
        """What the model's badge says, and its look."""
        if self.model.out_of_service_since is not None:
            return "out of service", "bad"
        if not self.lines:
            return "no deployment", "warn"
        serving = [line for line in self.lines if line.look in ("good", "warn")]
        return ("in service", "good") if serving else ("nothing serves it", "bad")


@desk_page
class Deployments(DeskPage):
    """Every model and deployment of the platform with its state and its last minutes."""

    name, path = "deployments", "platform/deployments/"
    label, title, icon = "Models in service", "Models in service", "monitor_heart"
    template_name = "desk/deployments.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With a section for each model."""
        chosen = self.request.GET.get("minutes", _USUAL)
        chosen = chosen if chosen in _PERIODS else _USUAL
        now = datetime.now(UTC)
        health = health_of_deployments(now=now, period=timedelta(minutes=_PERIODS[chosen]))
        found = {"sections": _sections(health), "periods": list(_PERIODS), "chosen": chosen, "now": now}
        return {**super().get_context_data(**kwargs), **found}


def _sections(health: dict[Any, Health]) -> list[Section]:
    states, calls = breakers(), calls_by_deployment()
    lines: dict[Any, list[Line]] = {}
    for row in Deployment.objects.defer(*Deployment.CREDENTIALS).order_by("name"):
        ident = str(row.id)
        state, look = ("off", "quiet") if not row.enabled else _state(states.get(ident))
        now = None if calls is None else calls.get(ident, 0)
        links = [
            reverse(f"admin:{name}", args=[row.id]) for name in ("deployment_switch", "inference_deployment_change")
        ]
        lines.setdefault(row.model_id, []).append(Line(row, state, look, now, health.get(row.id), *links))
    instead: dict[Any, list[str]] = {}
    for stand_in in Fallback.objects.select_related("fallback").order_by("position"):
        instead.setdefault(stand_in.model_id, []).append(stand_in.fallback.name)
    return [
        Section(
            model, lines.get(model.id, []), instead.get(model.id, []), reverse("admin:model_switch", args=[model.id])
        )
        for model in Model.objects.order_by("name")
    ]


def _state(known: Any) -> tuple[str, str]:
    if known is None:
        return "answering", "good"
    if known.state == "open":
        return f"breaker open, tried again in {known.seconds:.0f} s", "bad"
    if known.state == "half open":
        return "breaker half open: the next call tries it", "warn"
    return f"rests for {known.seconds:.0f} s, as it asked", "warn"
