"""A provider's bill as AWS exports it (FOCUS 1.2 with AWS's columns), and the ledger that it is compared with."""

import csv
import io
import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from billing.models import UsageRecord
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

MODEL = "claude"
INPUT, OUTPUT = "USE1-Claude-input-tokens", "USE1-Claude-output-tokens"
#: As AWS has them, in its order; those that nobody reads too.
COLUMNS = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity",
    "ConsumedUnit", "EffectiveCost", "ProviderName", "ServiceCategory", "ServiceName", "SkuId", "SkuMeter", "Tags",
    "x_Operation", "x_ServiceCode", "x_UsageType",
)  # fmt: skip
Row = dict[str, Any]


def row(day: int, usage_type: str, quantity: str, cost: str, *, hour: int = 0, **more: Any) -> Row:
    """An hour of October 2026, of Bedrock."""
    begins = datetime(2026, 10, day, hour, tzinfo=UTC)
    return {
        "BilledCost": cost, "BillingAccountId": "123456789012", "BillingCurrency": "USD",
        "BillingPeriodStart": "2026-10-01T00:00:00Z", "BillingPeriodEnd": "2026-11-01T00:00:00Z",
        "ChargeCategory": "Usage", "ChargeDescription": "tokens, by the thousand",
        "ChargePeriodStart": begins.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ChargePeriodEnd": (begins + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"), "ConsumedQuantity": quantity,
        "ConsumedUnit": "1K tokens", "EffectiveCost": cost, "ProviderName": "AWS",
        "ServiceCategory": "AI and Machine Learning", "ServiceName": "Amazon Bedrock", "SkuId": "QX7ZJ2",
        "x_Operation": "InvokeModelInference", "x_ServiceCode": "AmazonBedrock", "x_UsageType": usage_type, **more,
    }  # fmt: skip


def as_csv(rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[Row]) -> bytes:
    """With AWS's types: floating-point amounts, and times without a zone."""

    def typed(name: str, text: Any) -> Any:
        if text in (None, ""):
            return None
        if name.endswith(("Cost", "Quantity")):
            return float(text)
        if name.endswith(("Start", "End")):
            return datetime.fromisoformat(text).replace(tzinfo=None)
        return text

    table = pa.table({name: [typed(name, one.get(name)) for one in rows] for name in COLUMNS})
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def moment(day: int, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(2026, 10, day, hour, minute, tzinfo=UTC)


def request_at(at: datetime) -> UUID:
    """The id that a call that began at `at` has (UUID version 7)."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | secrets.randbits(60))


def metered(
    member: Member, day: int, meter: str, units: int, provider_cost: str | None, *, begun: datetime | None = None,
    cost: str = "0", price: str = "4", **more: Any,
) -> UUID:  # fmt: skip
    """A line of the member's ledger; `price` is what a million units cost the tenant."""
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        ident = uuid7()
        UsageRecord.objects.create(
            id=ident, tenant_id=tenant_id, reservation_id=uuid7(), request_id=request_at(begun or moment(day)), attempt=1,
            operation="completions", model=MODEL, meter=meter, quantity=units, unit_price=Decimal(price), per=1_000_000,
            cost=Decimal(cost), provider_cost=None if provider_cost is None else Decimal(provider_cost),
            provider="bedrock", currency="USD", period_start="2026-10-01", occurred_at=moment(day), **more,
        )  # fmt: skip
        return ident
