"""The columns of the ledger's lines, of usage and of costs; the platform's files have tenants and provider costs too.

Usage and costs are sums of lines by bucket, meter and what was asked for; each line stands in exactly one row, so a
file adds up to the ledger. Where a figure is not known of every line behind a row (a list price, what the provider
takes) the cell is empty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg import sql

from .columns import Column, Type, column
from .wanted import WIDTHS, Kind, Wanted

COUNT, DECIMAL, TEXT, TIME, FLAG, DAY = Type.COUNT, Type.DECIMAL, Type.TEXT, Type.TIME, Type.FLAG, Type.DAY


@dataclass(frozen=True)
class Layout:
    """A file's columns, the tables behind them for the lines of a slice (what FROM may name), and its order."""

    columns: tuple[Column, ...]
    source: Callable[[sql.Composable], sql.Composable]
    order: str


_KEY = "LEFT JOIN tenants_apikey k ON k.tenant_id = u.tenant_id AND k.id = u.key_id "
_TENANT = "LEFT JOIN tenants_tenant t ON t.id = u.tenant_id "
_KEY_ID = "'key_' || encode(uuid_send(u.key_id), 'hex')"
TENANT_ID = "'tenant_' || encode(uuid_send(u.tenant_id), 'hex')"
_UNIT = (
    "CASE u.meter WHEN 'cache_hits' THEN 'hits' WHEN 'moderation_calls' THEN 'calls' WHEN 'search_calls' THEN 'calls' "
    "WHEN 'unreconciled' THEN 'calls' WHEN 'ocr_pages' THEN 'pages' WHEN 'storage_byte_hours' THEN 'byte-hours' "
    "ELSE 'tokens' END"
)
#: What the platform alone sees.
_TENANT_COLUMNS = (column("tenant_id", TENANT_ID), column("tenant_name", "t.name", TEXT))


def layout_of(wanted: Wanted, *, reader_is_platform: bool, tags: Sequence[str]) -> Layout:
    """The layout of lines, usage or costs. `tags`: the names of allocation tags that get columns of their own."""
    if wanted.kind == Kind.LEDGER:
        return _lines(reader_is_platform, tags)
    return _sums(wanted, reader_is_platform, tags)


def _tag_columns(tags: Sequence[str]) -> tuple[Column, ...]:
    named = (column(f"tag_{name}", "u.tags ->> {name}", TEXT, name=sql.Literal(name)) for name in tags)
    return (*named, column("tags", "u.tags::text"))


def _lines(platform: bool, tags: Sequence[str]) -> Layout:
    columns = (
        column("id", "u.id"),
        column("occurred_at", "u.occurred_at AT TIME ZONE 'UTC'", TIME),
        column("billing_month", "u.period_start", DAY),
        *(_TENANT_COLUMNS if platform else ()),
        column("request_id", "u.request_id"),
        column("attempt", "u.attempt", COUNT),
        column("operation", "u.operation"),
        column("model", "u.model", TEXT),
        column("meter", "u.meter"),
        column("quantity", "u.quantity", COUNT),
        column("unit", _UNIT),
        column("included_quantity", "u.included", COUNT),
        column("unit_price", "u.unit_price", DECIMAL),
        column("per", "u.per", COUNT),
        column("cost", "u.cost", DECIMAL),
        column("list_cost", "u.list_cost", DECIMAL),
        column("currency", "u.currency"),
        *(_provider_columns("u.provider_cost", "u.cost") if platform else ()),
        *((column("variance", "u.variance", DECIMAL),) if platform else ()),
        column("api_key_id", _KEY_ID),
        column("api_key_name", "k.name", TEXT),
        column("user_id", "nullif(u.end_user, '')", TEXT),
        column("batch", "u.batch", FLAG),
        column("estimated", "u.estimated", FLAG),
        column("price_id", "u.price_id"),
        column("corrects", "u.corrects"),
        column("reason", "nullif(u.reason, '')", TEXT),
        *_tag_columns(tags),
    )
    joins = sql.SQL(_KEY + (_TENANT if platform else ""))
    return Layout(
        columns,
        lambda lines: sql.SQL("(SELECT * FROM {lines}) u {joins}").format(lines=lines, joins=joins),
        "u.tenant_id, u.occurred_at, u.id",
    )


def _provider_columns(provider_cost: str, cost: str) -> tuple[Column, ...]:
    return (
        column("provider", "nullif(u.provider, '')", TEXT),
        column("provider_cost", provider_cost, DECIMAL),
        column("margin", f"{cost} - {provider_cost}", DECIMAL),
    )


#: Dimension → what lines are grouped by, and the columns that show it.
_GROUPS: dict[str, tuple[str, tuple[Column, ...]]] = {
    "api_key_id": ("key_id", (column("api_key_id", _KEY_ID), column("api_key_name", "k.name", TEXT))),
    "user_id": ("end_user", (column("user_id", "nullif(u.end_user, '')", TEXT),)),
    "model": ("model", (column("model", "u.model", TEXT),)),
    "operation": ("operation", (column("operation", "u.operation"),)),
    "batch": ("batch", (column("batch", "u.batch", FLAG),)),
}
_SUMS = sql.SQL(
    "(SELECT {bucket} AS bucket, l.corrects IS NOT NULL AS correction, {keys}, "
    "sum(l.quantity) AS quantity, sum(l.included) AS included, sum(l.leads::int) AS requests, sum(l.cost) AS cost, "
    "CASE WHEN count(l.list_cost) = count(*) THEN sum(l.list_cost) END AS list_cost, "
    "CASE WHEN count(l.provider_cost) = count(*) THEN sum(l.provider_cost) END AS provider_cost "
    "FROM {lines} GROUP BY 1, 2, {keys}) u {joins}"
)


def _sums(wanted: Wanted, platform: bool, tags: Sequence[str]) -> Layout:
    groups = ["tenant_id", "meter", "currency"]
    shown: list[Column] = []
    for name in wanted.group_by:
        if name == "tags":
            groups.append("tags")
            shown += _tag_columns(tags)
        else:
            groups.append(_GROUPS[name][0])
            shown += _GROUPS[name][1]
    money = wanted.kind == Kind.COSTS
    if money and platform:
        groups.append("provider")
    columns = (
        *bucket_columns(wanted, "start_time", "end_time"),
        *(_TENANT_COLUMNS if platform else ()),
        *shown,
        column("meter", "u.meter"),
        column("correction", "u.correction", FLAG),
        column("quantity", "u.quantity", COUNT),
        column("unit", _UNIT),
        column("included_quantity", "u.included", COUNT),
        *(_amounts(platform) if money else (column("requests", "u.requests", COUNT),)),
    )
    joins = (_KEY if "api_key_id" in wanted.group_by else "") + (_TENANT if platform else "")
    parts = {
        "bucket": bucket_sql(wanted),
        "keys": sql.SQL(", ").join(sql.Identifier("l", name) for name in groups),
        "joins": sql.SQL(joins),
    }
    order = ", ".join(["u.bucket", *(f"u.{name}" for name in groups), "u.correction"])
    return Layout(columns, lambda lines: _SUMS.format(lines=lines, **parts), order)


def _amounts(platform: bool) -> tuple[Column, ...]:
    return (
        column("cost", "u.cost", DECIMAL),
        column("list_cost", "u.list_cost", DECIMAL),
        column("currency", "u.currency"),
        *(_provider_columns("u.provider_cost", "u.cost") if platform else ()),
    )


def bucket_sql(wanted: Wanted) -> sql.Composable:
    """The start of the bucket of a line, as a time without zone in UTC."""
    width = sql.Literal(WIDTHS[wanted.bucket_width])
    return sql.SQL("date_trunc({width}, l.occurred_at AT TIME ZONE 'UTC')").format(width=width)


def bucket_columns(wanted: Wanted, first: str, last: str) -> tuple[Column, Column]:
    """Where the buckets of `u.bucket` start and end, cut where the period does."""
    start, end = (sql.Literal(moment.replace(tzinfo=None)) for moment in (wanted.start, wanted.end))
    width = sql.Literal(f"1 {WIDTHS[wanted.bucket_width]}")
    return (
        column(first, "greatest(u.bucket, {start}::timestamp)", TIME, start=start),
        column(last, "least(u.bucket + {width}::interval, {end}::timestamp)", TIME, width=width, end=end),
    )
