"""The switch that takes a tenant out of service. For platform staff."""

from datetime import datetime
from math import ceil

from django.conf import settings
from django.http import Http404
from django.urls import reverse

from .. import provisioning
from ..audit import Actor
from ..audit_trail import newest_of
from ..desk.pages import desk_page
from ..desk.switch import Switched, SwitchPage
from ..models import ApiKey, Tenant, Work


@desk_page
class TenantSwitch(SwitchPage):
    """Suspends a tenant and resumes it."""

    name, path = "tenant_switch", "platform/tenants/<uuid:tenant_id>/switch/"

    def switched(self) -> Switched:
        """The tenant."""
        tenant = Tenant.objects.filter(id=self.kwargs["tenant_id"]).first()
        if tenant is None:
            raise Http404
        out = tenant.status == Tenant.Status.SUSPENDED
        event = newest_of(tenant, action="tenant.status_changed") if out else None
        return Switched(
            name=tenant.name,
            out=out,
            back=reverse("admin:tenant_overview", args=[tenant.id]),
            does_out=_does_out(tenant),
            does_back=["Its API keys work again within seconds.", "Batches that stood still go on."],
            since=event.created_at if event else None,
            reason=str(event.changes.get("reason", "")) if event else "",
        )

    def flip(self, *, out: bool, reason: str, now: datetime) -> str:
        """`provisioning.suspend` or `resume`."""
        by: Actor = self.visitor.actor
        change = provisioning.suspend if out else provisioning.resume
        tenant = change(tenant_id=self.kwargs["tenant_id"], by=by, reason=reason)
        return f"{tenant.name} is suspended." if out else f"{tenant.name} is in service again."


def _does_out(tenant: Tenant) -> list[str]:
    keys = ApiKey.objects.filter(tenant=tenant, revoked_at=None).count()
    waiting = Work.objects.filter(tenant=tenant).count()
    seconds = ceil(settings.API_KEY_CACHE_SECONDS)
    return [
        f"Its API keys ({keys}) are refused within {seconds} seconds: every call answers 403 tenant_suspended.",
        "Batches stand still; links to its reports stop working.",
        f"What was accepted before is finished. Calls, files and messages that wait or run now: {waiting}.",
        "Its people can still log in and look, and its owners read the reason in their audit log.",
        "Nothing is deleted. Stored files go on to be metered, and its statements are made as usual.",
    ]
