"""Meter events: what each meter counted in an hour that is over, for webhooks, in the shape of Stripe's meter events.

`data` can be sent on to `POST /v1/billing/meter_events` as it is: `identifier` is the same however often the webhook
comes, and `payload.stripe_customer_id` is the tenant's external id, or its own id where it has none.

One event for each hour and meter. What is settled or corrected in an hour after it was told (a transaction that was
open for minutes) follows as an event of its own with the difference, so the values of all events are what was metered.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from tenants.ids import public_id
from tenants.models import Tenant
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks.outbox import send_event

from .models import MeterEvent, UsageHour

TYPE = "meter.recorded"
#: An hour is told when it has been over for so long: its last calls are settled then, and in the roll-up.
_GRACE = timedelta(minutes=5)
#: What comes later than this is not told any more.
_LOOK_BACK = timedelta(hours=48)


def send_due(*, now: datetime) -> int:
    """Tell every tenant that wants it of the hours that are over; returns how many events there were. Can run twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, since FROM tenants_wanting(%s)", [TYPE])
        wanting: list[tuple[UUID, datetime]] = cursor.fetchall()
    sent = 0
    for tenant_id, since in wanting:
        with acting_for(tenant_id):
            sent += _send(since=_hour(since), now=now)
    return sent


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _send(*, since: datetime, now: datetime) -> int:
    """The current tenant's, in one transaction: an event and the note that it was sent are both there, or neither."""
    until = _hour(now - _GRACE)
    first = max(since, until - _LOOK_BACK)
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"meter events {tenant_id}"])
        hours = UsageHour.objects.filter(start__gte=first, start__lt=until)
        counted = hours.values_list("start", "meter").annotate(units=Sum("quantity")).order_by("start", "meter")
        told = {(row.start, row.meter): row for row in MeterEvent.objects.filter(start__gte=first)}
        tenant = Tenant.objects.get(id=tenant_id)
        customer = tenant.external_id or public_id("tenant_", tenant_id)
        sent = 0
        for start, meter, units in counted:
            row = told.get((start, meter)) or MeterEvent(
                tenant_id=tenant_id, start=start, meter=meter, quantity=0, events=0
            )
            sent += _tell(row, int(units), customer)
        MeterEvent.objects.filter(start__lt=now - 2 * _LOOK_BACK).delete()
    return sent


def _tell(row: MeterEvent, units: int, customer: str) -> int:
    """What was not told yet of an hour."""
    value = units - row.quantity
    if not value:
        return 0
    row.quantity, row.events = units, row.events + 1
    row.save()
    identifier = f"{row.meter}-{row.start:%Y%m%d%H}-{row.events}-{row.tenant_id.hex}"
    payload = {"stripe_customer_id": customer, "value": str(value)}
    data = {
        "identifier": identifier, "event_name": row.meter, "payload": payload, "timestamp": int(row.start.timestamp()),
    }  # fmt: skip
    return send_event(type=TYPE, data=data, object_id=identifier) and 1
