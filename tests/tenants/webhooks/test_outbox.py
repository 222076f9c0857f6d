"""The outbox: what is written for an event, and what is not."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import transaction

from tenants import work
from tenants.ids import public_id
from tenants.models import WebhookDelivery, WebhookEndpoint, WebhookEvent, Work
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks import emit
from tests.conftest import Member


def endpoint(member: Member, *types: str, **more) -> WebhookEndpoint:
    url = "https://hooks.example.com/in"
    return WebhookEndpoint.objects.create(
        tenant_id=member.tenant.id, url=url, event_types=list(types), secret="whsec_", **more
    )


def test_an_event_is_written_for_those_who_want_it_and_nobody_else(acme: Member, globex: Member) -> None:
    with acting_for(globex.tenant.id), tenant_scope():
        endpoint(globex, "*")
    with acting_for(acme.tenant.id), tenant_scope():
        emit(type="report.ready", data={}, object_id="report_0")
        assert not WebhookEvent.objects.exists()
        wanting = {endpoint(acme, "report.ready", "file.failed").id, endpoint(acme, "*").id}
        endpoint(acme, "file.failed")
        endpoint(acme, "*", disabled_at=datetime.now(UTC))
        emit(type="report.ready", data={"cost": Decimal("0.10")}, object_id="report_1")
        event, deliveries = WebhookEvent.objects.get(), list(WebhookDelivery.objects.all())
        body = json.loads(event.body)
        assert body["id"] == public_id("evt_", event.id) and body["object"] == "event"
        assert body["type"] == "report.ready" and body["data"] == {"id": "report_1", "cost": "0.10"}
        assert body["created_at"] == int(datetime.fromisoformat(body["timestamp"]).timestamp())
        assert {row.endpoint_id for row in deliveries} == wanting
        assert {row.state for row in deliveries} == {"pending"}
        queued = Work.objects.filter(queue=work.WEBHOOKS).values_list("id", flat=True)
        assert set(queued) == {row.id for row in deliveries}
    with acting_for(globex.tenant.id), tenant_scope():
        assert not WebhookEvent.objects.exists()


def test_what_is_rolled_back_is_told_to_nobody(acme: Member) -> None:
    with acting_for(acme.tenant.id), tenant_scope():
        endpoint(acme, "*")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            emit(type="file.failed", data={}, object_id="file-1")
            raise ZeroDivisionError
        assert not WebhookEvent.objects.exists() and not Work.objects.filter(queue=work.WEBHOOKS).exists()
        with pytest.raises(ValueError, match="is not a type of event"):
            emit(type="file.eaten", data={}, object_id="file-1")
