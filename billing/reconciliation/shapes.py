"""Bills, mappings and comparisons as clients see them. Amounts are decimal strings."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from tenants.ids import public_id

from ..models import BillCorrection, ProviderBill, SkuMapping
from ..prices.quotes import short
from .comparing import REASONS, Comparison, MeterDay, compare
from .correcting import plan


def bill_json(bill: ProviderBill) -> dict[str, Any]:
    """One bill."""
    return {
        "id": public_id("bill_", bill.id), "object": "provider_bill", "provider": bill.provider, "name": bill.name,
        "currency": bill.currency, "first_day": bill.first_day.isoformat(), "last_day": bill.last_day.isoformat(),
        "rows": bill.rows, "other_cost": short(bill.other_cost), "state": bill.state, "imported_by": bill.imported_by,
        "approved_by": bill.approved_by or None,
        "approved_at": int(bill.approved_at.timestamp()) if bill.approved_at else None,
        "created_at": int(bill.created_at.timestamp()),
    }  # fmt: skip


def mapping_json(row: SkuMapping) -> dict[str, Any]:
    """One mapping."""
    return {
        "id": public_id("skumap_", row.id), "object": "sku_mapping", "provider": row.provider, "pattern": row.pattern,
        "model": row.model, "meter": row.meter, "units": short(row.units), "created_at": int(row.created_at.timestamp()),
    }  # fmt: skip


def correction_json(row: BillCorrection) -> dict[str, Any]:
    """One correction, planned or posted."""
    return {
        "id": public_id("billcor_", row.id), "object": "bill_correction",
        "tenant_id": public_id("tenant_", row.tenant_id), "model": row.model, "day": row.day.isoformat(),
        "quantity": row.quantity, "cost": short(row.cost), "provider_cost": short(row.provider_cost),
        "reason": row.reason, "corrects": str(row.line_id),
        "posted_as": str(row.posted_id) if row.posted_id else None, "refusal": row.refusal or None,
    }  # fmt: skip


def comparison_json(bill: ProviderBill) -> dict[str, Any]:
    """A bill beside the ledger."""
    comparison = compare(bill)
    models: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for place in comparison.places:
        models[place.model][0] += place.billed_cost
        models[place.model][1] += place.metered.cost
    return {
        "object": "bill_comparison",
        "bill": bill_json(bill),
        "billed_cost": short(sum((sums[0] for sums in models.values()), Decimal(0))),
        "expected_cost": short(sum((sums[1] for sums in models.values()), Decimal(0))),
        "unmapped_cost": short(sum((row.cost for row in comparison.unmapped), Decimal(0))),
        "models": [
            {"model": model, "billed_cost": short(billed), "expected_cost": short(expected)}
            for model, (billed, expected) in sorted(models.items())
        ],
        "differences": [_place_json(place) for place in comparison.differences],
        "unmapped": [
            {"service": r.service, "sku": r.sku, "unit": r.unit, "quantity": short(r.quantity), "cost": short(r.cost)}
            for r in comparison.unmapped
        ],
        "plan": _plan_json(comparison),
        "explanations": REASONS,
    }


def _place_json(place: MeterDay) -> dict[str, Any]:
    return {
        "model": place.model, "day": place.day.isoformat(), "meter": place.meter, "billed_units": place.billed_units,
        "metered_units": place.metered.units, "billed_cost": short(place.billed_cost),
        "expected_cost": short(place.metered.cost), "reasons": list(place.reasons),
    }  # fmt: skip


def _plan_json(comparison: Comparison) -> dict[str, Any]:
    planned = plan(comparison)
    return {
        "corrections": len(planned),
        "cost": short(sum((one.cost for one in planned), Decimal(0))),
        "provider_cost": short(sum((one.provider_cost for one in planned), Decimal(0))),
    }
