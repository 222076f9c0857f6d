"""Meter events: once for each hour and meter, in Stripe's shape, and what comes late as a difference."""

from datetime import UTC, datetime, timedelta
from typing import Any

from billing import meter_events
from billing.models import UsageHour
from tenants.ids import public_id, uuid7
from tenants.models import Tenant, WebhookEndpoint
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.webhooks import listen, told

HOUR = datetime(2026, 10, 25, 1, tzinfo=UTC)  # the hour that daylight saving repeats in Europe
LATER = HOUR + timedelta(hours=1, minutes=6)


def rolled_up(member: Member, hour: datetime, meter: str, units: int, *, model: str = "m") -> None:
    """What the roll-up has of an hour."""
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        UsageHour.objects.using("owner").create(
            id=uuid7(), tenant_id=tenant_id, start=hour, operation="completions", model=model, meter=meter,
            currency="USD", provider="p", batch=False, corrects=units < 0, quantity=units,
        )  # fmt: skip


def numbers(member: Member) -> list[tuple[str, str, int]]:
    return [
        (data["event_name"], data["payload"]["value"], data["timestamp"])
        for kind, data in told(member)
        if kind == "meter.recorded"
    ]


def test_an_hour_is_told_once_by_meter_and_what_comes_late_as_a_difference(committed: Any) -> None:
    acme, globex = committed("acme"), committed("globex")
    listen(acme, "meter.recorded")
    with acting_for(acme.tenant.id), tenant_scope():
        WebhookEndpoint.objects.update(created_at=HOUR - timedelta(minutes=1))
        Tenant.objects.update(external_id="cus_123")
    rolled_up(acme, HOUR, "input_tokens", 100)
    rolled_up(acme, HOUR, "input_tokens", 50, model="other")
    rolled_up(acme, HOUR, "output_tokens", 7)
    rolled_up(acme, HOUR - timedelta(hours=5), "output_tokens", 1_000)  # before anybody wanted to know
    rolled_up(acme, HOUR + timedelta(hours=1), "output_tokens", 9)  # of an hour that is not over
    rolled_up(globex, HOUR, "input_tokens", 5)
    assert meter_events.send_due(now=HOUR + timedelta(hours=1, minutes=4)) == 0
    assert [meter_events.send_due(now=LATER), meter_events.send_due(now=LATER)] == [2, 0]
    at = int(HOUR.timestamp())
    assert numbers(acme) == [("input_tokens", "150", at), ("output_tokens", "7", at)] and told(globex) == []
    _, data = told(acme)[0]
    assert set(data) == {"identifier", "event_name", "payload", "timestamp"} and len(data["identifier"]) <= 100
    assert data["payload"]["stripe_customer_id"] == "cus_123"
    rolled_up(acme, HOUR, "input_tokens", -30)
    assert meter_events.send_due(now=LATER) == 1
    assert numbers(acme)[-1] == ("input_tokens", "-30", at)
    assert len({data["identifier"] for _, data in told(acme)}) == 3
    assert meter_events.send_due(now=LATER + timedelta(hours=1)) == 1


def test_a_tenant_without_an_external_id_is_named_by_its_own(committed: Any) -> None:
    acme = committed("acme")
    listen(acme)
    with acting_for(acme.tenant.id), tenant_scope():
        WebhookEndpoint.objects.update(created_at=HOUR)
    rolled_up(acme, HOUR, "ocr_pages", 3)
    meter_events.send_due(now=LATER)
    [(_, data)] = told(acme)
    assert data["payload"] == {"stripe_customer_id": public_id("tenant_", acme.tenant.id), "value": "3"}
