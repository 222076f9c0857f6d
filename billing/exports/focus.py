"""FOCUS 1.4, dataset Cost and Usage (https://focus.finops.org): the columns, and what our ledger says in each.

A tenant's file: billing account = the tenant, sub-account = the key (an app). The platform's: billing account = the
platform, sub-account = the tenant; it has `x_ProviderCost` beside, which no tenant sees.

A row sums the lines of one bucket that agree in all that FOCUS tells of them. BilledCost and EffectiveCost are what is
charged. ContractedCost is what the lines would cost without the plan's allowance: units that it paid for count at the
unit price. ListCost is the same at list prices, and equals ContractedCost where there are none. A correction stands in
a row of its own, with the ChargeClass Correction, as Credit where it changes money only; it has differences, no price,
and the quantity in `x_Quantity`.
"""

from pathlib import Path

from django.conf import settings
from psycopg import sql

from ..models import Meter
from .columns import Column, Type, column
from .ledger import TENANT_ID, Layout, bucket_columns, bucket_sql
from .wanted import Wanted

VERSION = "1.4"
_GIGA = 1_000_000_000
#: Meter → (its name, the unit in which it is priced, how many of ours that is).
METERS: dict[Meter, tuple[str, str, int]] = {
    Meter.INPUT_TOKENS: ("Input Tokens", "Tokens", 1),
    Meter.CACHED_INPUT_TOKENS: ("Cached Input Tokens", "Tokens", 1),
    Meter.OUTPUT_TOKENS: ("Output Tokens", "Tokens", 1),
    Meter.REASONING_TOKENS: ("Reasoning Tokens", "Tokens", 1),
    Meter.EMBEDDING_TOKENS: ("Embedding Tokens", "Tokens", 1),
    Meter.CACHE_HITS: ("Response Cache Hits", "Requests", 1),
    Meter.MODERATION_CALLS: ("Moderation Calls", "Requests", 1),
    Meter.OCR_PAGES: ("OCR Pages", "Pages", 1),
    Meter.STORAGE_BYTE_HOURS: ("Storage", "GB-Hours", _GIGA),
    Meter.SEARCH_CALLS: ("Search Calls", "Requests", 1),
    Meter.FINE_TUNING_TOKENS: ("Fine-Tuning Tokens", "Tokens", 1),
    Meter.UNRECONCILED: ("Unreconciled Calls", "Requests", 1),
}

_SOURCE = sql.SQL(Path(__file__).with_name("focus.sql").read_text())
_ORDER = "u.bucket, u.tenant_id, u.key_id, u.model, u.meter, u.price_id, u.unit_price, u.tags, u.batch, u.correction"

#: Digits after the point in Parquet, as focus-data-toolkit has them.
_COST, _PRICE, _QUANTITY = 17, 16, 14
_CREDIT = "(u.corrects IS NOT NULL AND u.quantity = 0)"
_KEY_ID = "'key_' || encode(uuid_send(u.key_id), 'hex')"


def layout_of(wanted: Wanted, *, reader_is_platform: bool) -> Layout:
    """FOCUS's columns for a tenant or for the platform."""
    meters = sql.SQL(", ").join(
        sql.SQL("({}, {}, {}, {})").format(*map(sql.Literal, (meter, *told))) for meter, told in METERS.items()
    )
    columns = (
        *_costs(),
        *(_platform_accounts() if reader_is_platform else _tenant_accounts()),
        *_periods(wanted),
        *_charge(),
        *_service(reader_is_platform),
        *_sku(),
        *_own(reader_is_platform),
    )
    parts = {"bucket": bucket_sql(wanted), "meters": meters}
    return Layout(columns, lambda lines: _SOURCE.format(lines=lines, **parts), _ORDER)


def _costs() -> tuple[Column, ...]:
    return (
        column("BilledCost", "u.cost", Type.DECIMAL, scale=_COST),
        column("EffectiveCost", "u.cost", Type.DECIMAL, scale=_COST),
        column("ContractedCost", "u.contracted", Type.DECIMAL, scale=_COST),
        column("ListCost", "u.listed", Type.DECIMAL, scale=_COST),
        column("BillingCurrency", "u.currency"),
    )


def _tenant_accounts() -> tuple[Column, ...]:
    return (
        column("BillingAccountId", TENANT_ID),
        column("BillingAccountName", f"coalesce(t.name, {TENANT_ID})", Type.TEXT),
        column("SubAccountId", _KEY_ID),
        column("SubAccountName", f"coalesce(k.name, {_KEY_ID})", Type.TEXT),
    )


def _platform_accounts() -> tuple[Column, ...]:
    return (
        column("BillingAccountId", "'platform'"),
        column("BillingAccountName", "{name}", Type.TEXT, name=_platform_name()),
        column("SubAccountId", TENANT_ID),
        # An erased tenant's name is gone, its ledger is not.
        column("SubAccountName", f"coalesce(t.name, {TENANT_ID})", Type.TEXT),
    )


def _platform_name() -> sql.Composable:
    return sql.SQL("{}::text").format(sql.Literal(settings.PLATFORM_NAME))


def _periods(wanted: Wanted) -> tuple[Column, ...]:
    return (
        column("BillingPeriodStart", "u.period_start::timestamp", Type.TIME),
        column("BillingPeriodEnd", "u.period_start + interval '1 month'", Type.TIME),
        *bucket_columns(wanted, "ChargePeriodStart", "ChargePeriodEnd"),
        column("InvoiceId", "'stmt_' || encode(uuid_send(i.id), 'hex')"),
    )


def _charge() -> tuple[Column, ...]:
    return (
        column("ChargeCategory", f"CASE WHEN {_CREDIT} THEN 'Credit' ELSE 'Usage' END"),
        column("ChargeClass", "CASE WHEN NOT u.priced THEN 'Correction' END"),
        column("ChargeFrequency", "CASE WHEN u.priced THEN 'Usage-Based' ELSE 'One-Time' END"),
        column("ChargeDescription", "u.model || ', ' || u.meter_name", Type.TEXT),
    )


def _service(platform: bool) -> tuple[Column, ...]:
    name = _platform_name()
    host = "coalesce(nullif(u.provider, ''), {name})" if platform else "{name}"
    return (
        column("ServiceProviderName", "{name}", Type.TEXT, name=name),
        column("InvoiceIssuerName", "{name}", Type.TEXT, name=name),
        column("HostProviderName", host, Type.TEXT, name=name),
        column("ServiceCategory", "'AI and Machine Learning'"),
        column("ServiceSubcategory", "'Generative AI'"),
        column("ServiceName", "{name}", Type.TEXT, name=name),
        column("ResourceId", "u.model", Type.TEXT),
        column("ResourceName", "u.model", Type.TEXT),
        column("ResourceType", "'Model'"),
    )


def _sku() -> tuple[Column, ...]:
    lot = "CASE WHEN u.lot = u.base THEN u.unit ELSE trim_scale(u.lot / u.base)::text || ' ' || u.unit END"
    return (
        column("SkuId", "CASE WHEN u.priced THEN u.model || '/' || u.meter END", Type.TEXT),
        column("SkuMeter", "CASE WHEN u.priced THEN u.meter_name END"),
        # What no price row says (a call that died is charged at its hold) is a SKU of its own all the same.
        column(
            "SkuPriceId", "CASE WHEN u.priced THEN coalesce(u.price_id::text, u.model || '/' || u.meter) END", Type.TEXT
        ),
        column("PricingCategory", "CASE WHEN u.priced THEN 'Standard' END"),
        column("PricingQuantity", "CASE WHEN u.priced THEN u.sold END", Type.DECIMAL, scale=_QUANTITY),
        column("PricingUnit", f"CASE WHEN u.priced THEN {lot} END"),
        column("ListUnitPrice", _unit_price("u.listed"), Type.DECIMAL, scale=_PRICE),
        column("ContractedUnitPrice", _unit_price("u.contracted"), Type.DECIMAL, scale=_PRICE),
        column("ConsumedQuantity", "CASE WHEN u.priced THEN u.quantity / u.base END", Type.DECIMAL, scale=_QUANTITY),
        column("ConsumedUnit", "CASE WHEN u.priced THEN u.unit END"),
    )


def _unit_price(cost: str) -> str:
    """The price row's where cost = price × quantity by it, as FOCUS demands; over several tiers their mean."""
    fits = f"abs(u.each * u.sold - {cost}) <= 1e-9 * greatest(abs({cost}), 1) OR u.sold = 0"
    return f"CASE WHEN NOT u.priced THEN NULL WHEN {fits} THEN round(u.each, 16) ELSE round({cost} / u.sold, 16) END"


def _own(platform: bool) -> tuple[Column, ...]:
    """FOCUS's Tags, and what it has no column for."""
    seen = (
        column("x_ProviderCost", "u.provider_cost", Type.DECIMAL),
        column("x_ApiKeyId", _KEY_ID),
    )
    return (
        column("Tags", "u.tags::text"),
        column("x_Operation", "u.operation"),
        column("x_Batch", "u.batch", Type.FLAG),
        column("x_Requests", "u.requests", Type.COUNT),
        column("x_Quantity", "u.quantity", Type.COUNT),
        column("x_IncludedQuantity", "u.included", Type.COUNT),
        column("x_Corrects", "u.corrects"),
        column("x_Reason", "nullif(u.reason, '')", Type.TEXT),
        *(seen if platform else ()),
    )
