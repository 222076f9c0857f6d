"""Endpoints that take nothing: how long already, and that one is left alone after three days of it."""

import logging
from datetime import datetime, timedelta

from django.db.models import F
from django.db.models.functions import Coalesce

from ..audit import SYSTEM, record
from ..mail import tell_members
from ..models import Role
from .models import WebhookEndpoint
from .sending import Answer

logger = logging.getLogger(__name__)

#: Shorter than all attempts of one delivery: what was never taken disables its endpoint.
DISABLED_AFTER = timedelta(days=3)
_GONE = 410


def forget(endpoint: WebhookEndpoint) -> None:
    """It took something."""
    if endpoint.failing_since is not None:
        WebhookEndpoint.objects.filter(id=endpoint.id).update(failing_since=None)


def note(endpoint: WebhookEndpoint, answer: Answer, *, now: datetime) -> None:
    """It did not take something; after three days without anything taken, or at its own wish, it is disabled."""
    rows = WebhookEndpoint.objects.filter(id=endpoint.id, disabled_at=None)
    rows.update(failing_since=Coalesce(F("failing_since"), now))
    since = endpoint.failing_since
    if answer.status == _GONE:
        _disable(endpoint, "It answered that it is gone (410).", now=now)
    elif since is not None and now - since >= DISABLED_AFTER:
        _disable(endpoint, f"Every attempt since {since:%Y-%m-%d %H:%M} UTC failed. The last: {answer.error}", now=now)


def _disable(endpoint: WebhookEndpoint, reason: str, *, now: datetime) -> None:
    """Once, whichever of its deliveries was the last straw."""
    rows = WebhookEndpoint.objects.filter(id=endpoint.id, disabled_at=None)
    if rows.update(disabled_at=now, disabled_reason=reason[:300]):
        record(by=SYSTEM, action="webhook_endpoint.disabled", target=endpoint, changes={"reason": reason[:300]})
        logger.warning("the webhook endpoint %s was disabled", endpoint.id)
        tell_members(
            roles=(Role.OWNER, Role.ADMIN, Role.DEVELOPER),
            subject=f"The webhook endpoint '{endpoint.name}' was disabled",
            text=f"{endpoint.url.partition('?')[0]} is sent nothing any more. {reason}\n\n"
            "What failed is kept for thirty days. Enable the endpoint when it is well again, and send anew what it needs.",
        )
