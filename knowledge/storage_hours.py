"""What tenants store, charged by the hour: what lies there at the first look within an hour stands for the hour.

Where storage has no price in force it is not metered. An hour in which nobody looked, because no beat ran, is nobody's.
"""

import logging
from datetime import UTC, datetime
from uuid import UUID, uuid5

from django.db import DatabaseError, connection
from django.db.models import Sum

from billing.charging import charge_spend
from billing.models import UsageRecord
from billing.prices.services import STORAGE, service_price
from billing.reservations import UsageLine
from tenants.errors import AtriumError
from tenants.models import Tenant
from tenants.scope import acting_for, current_tenant, tenant_scope

from .models import File, VectorStoreFile

logger = logging.getLogger(__name__)


def charge_hour(*, now: datetime) -> int:
    """Charge each tenant once for the hour (UTC) of `now`; returns how many were. One that cannot be is logged and does
    not keep the others waiting."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM tenants_with_files()")
        tenants = [tenant_id for (tenant_id,) in cursor.fetchall()]
    charged = 0
    for tenant_id in tenants:
        with acting_for(tenant_id):
            try:
                charged += charge_tenant(hour=hour)
            except (DatabaseError, AtriumError):
                logger.exception("the storage of tenant %s was not charged for %s", tenant_id, hour.isoformat())
    return charged


def charge_tenant(*, hour: datetime) -> bool:
    """Charge the current tenant for what it stores now, for the hour that begins at `hour`; False where it was before,
    where storage has no price, or nothing is stored."""
    request_id = _request(current_tenant(), hour)
    with tenant_scope() as tenant_id:
        currency = Tenant.objects.values_list("currency", flat=True).get(id=tenant_id)
        price = service_price(STORAGE, currency=currency, now=hour)
        if price is None or UsageRecord.objects.filter(request_id=request_id).exists():
            return False
        line = UsageLine(*STORAGE, stored_bytes())
        if not line.quantity:
            return False
        quote = {STORAGE: price}
        cost = charge_spend(
            request_id=request_id, operation="storage", lines=[line], quote=quote, currency=currency, at=hour
        )
        return cost is not None


def stored_bytes() -> int:
    """The bytes of the current tenant's files, and of their chunks and vectors in stores. Call it inside the scope."""
    files = File.objects.aggregate(bytes=Sum("bytes"))["bytes"]
    chunks = VectorStoreFile.objects.aggregate(bytes=Sum("usage_bytes"))["bytes"]
    return int(files or 0) + int(chunks or 0)


def _request(tenant_id: UUID, hour: datetime) -> UUID:
    """The same for each look within the hour, so that the ledger takes the first."""
    return uuid5(tenant_id, f"storage {hour.isoformat()}")
