"""The switches that take a model or one deployment out of service. For platform staff."""

from datetime import datetime
from math import ceil

from django.http import Http404
from django.urls import reverse

from tenants.desk.pages import desk_page
from tenants.desk.switch import Switched, SwitchPage

from .. import service_switch
from ..catalogue import REMEMBER_SECONDS
from ..embedding import LocalEmbedder
from ..models import Deployment, Fallback, Grant, Model, TenantDeployment


@desk_page
class ModelSwitch(SwitchPage):
    """Takes a model out of service, wherever it answers, and puts it back."""

    name, path = "model_switch", "platform/models/<uuid:model_id>/switch/"

    def switched(self) -> Switched:
        """The model."""
        model = Model.objects.filter(id=self.kwargs["model_id"]).first()
        if model is None:
            raise Http404
        return Switched(
            name=model.name,
            out=model.out_of_service_since is not None,
            back=reverse("admin:deployments"),
            does_out=_does_out(model),
            does_back=[f"Its enabled deployments are asked again within {ceil(REMEMBER_SECONDS)} seconds."],
            since=model.out_of_service_since,
            reason=model.out_of_service_reason,
        )

    def flip(self, *, out: bool, reason: str, now: datetime) -> str:
        """`service_switch.take_out` or `put_back`."""
        by, ident = self.visitor.actor, self.kwargs["model_id"]
        model = (
            service_switch.take_out(model_id=ident, reason=reason, by=by, now=now)
            if out
            else service_switch.put_back(model_id=ident, by=by, reason=reason)
        )
        return f"{model.name} is out of service." if out else f"{model.name} is in service again."


def _does_out(model: Model) -> list[str]:
    seconds = f"within {ceil(REMEMBER_SECONDS)} seconds"
    tenants = Grant.objects.filter(model=model, by_tenant=False).order_by().values("tenant").distinct().count()
    platforms = Deployment.objects.filter(model=model, enabled=True).count()
    own = TenantDeployment.objects.filter(model=model, enabled=True).count()
    sentences = [
        f"Its deployments ({platforms} of the platform, {own} of tenants' own accounts) are asked no more {seconds}.",
        f"{tenants} tenant{' is' if tenants == 1 else 's are'} granted the model. {_instead(model)}",
        *([f"It no longer stands in for {', '.join(others)}."] if (others := _stands_in_for(model)) else []),
        "Calls that a deployment is answering at that moment are finished.",
        "Grants, aliases, prices and variants stay as they are.",
    ]
    if model.name == LocalEmbedder.model:
        sentences.append("Vector stores that embed with it go on: it runs inside the platform's own workers.")
    return sentences


def _instead(model: Model) -> str:
    rows = Fallback.objects.filter(model=model, fallback__out_of_service_since=None).order_by("position")
    names = list(rows.values_list("fallback__name", flat=True))
    refused = "answer 503 model_out_of_service"
    if not names:
        return f"Nothing stands in for it: calls {refused}."
    return f"Calls are answered by {', then '.join(names)}; where a grant forbids fallbacks, they {refused}."


def _stands_in_for(model: Model) -> list[str]:
    return list(Fallback.objects.filter(fallback=model).order_by("model__name").values_list("model__name", flat=True))


@desk_page
class DeploymentSwitch(SwitchPage):
    """Takes one deployment out of service and puts it back."""

    name, path = "deployment_switch", "platform/deployments/<uuid:deployment_id>/switch/"

    def switched(self) -> Switched:
        """The deployment."""
        row = Deployment.objects.select_related("model").defer(*Deployment.CREDENTIALS)
        found = row.filter(id=self.kwargs["deployment_id"]).first()
        if found is None:
            raise Http404
        others = Deployment.objects.filter(model=found.model, enabled=True).exclude(id=found.id).count()
        seconds = f"within {ceil(REMEMBER_SECONDS)} seconds"
        left = f"{others} other deployment{'' if others == 1 else 's'} of {found.model.name} take its calls."
        return Switched(
            name=found.name,
            out=not found.enabled,
            back=reverse("admin:deployments"),
            does_out=[
                f"It is asked no more {seconds}. What it is answering at that moment is finished.",
                left if others else f"It is the last deployment of {found.model.name}. {_instead(found.model)}",
            ],
            does_back=[f"It is asked again {seconds}, by its weight of {found.weight}."],
        )

    def flip(self, *, out: bool, reason: str, now: datetime) -> str:
        """`service_switch.set_enabled`."""
        ident, by = self.kwargs["deployment_id"], self.visitor.actor
        row = service_switch.set_enabled(deployment_id=ident, enabled=not out, reason=reason, by=by)
        return f"{row.name} is out of service." if out else f"{row.name} is in service again."
