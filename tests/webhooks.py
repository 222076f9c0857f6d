"""What a tenant's webhooks are told, read from the outbox."""

import json
from typing import Any

from tenants.models import WebhookEndpoint, WebhookEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member


def listen(member: Member, *types: str) -> None:
    """An endpoint that wants `types`, or everything."""
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        WebhookEndpoint.objects.create(
            tenant_id=tenant_id, name="all", url="https://hooks.example", event_types=[*types] or ["*"], secret="whsec_"
        )


def told(member: Member) -> list[tuple[str, dict[str, Any]]]:
    """(type, data) of every event, in the order in which they happened."""
    with acting_for(member.tenant.id), tenant_scope():
        bodies = WebhookEvent.objects.order_by("id").values_list("body", flat=True)
        return [(body["type"], body["data"]) for body in map(json.loads, bodies)]
