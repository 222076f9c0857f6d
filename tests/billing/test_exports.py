"""Files of the ledger: every figure was added up by hand from the lines written here."""

import csv
import io
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow.parquet
import pytest
from focus_data_toolkit.model.validator import (
    COND_MULTIPLE_PRICING_CATEGORIES,
    COND_UNIT_PRICING,
    lint_focus_1_4_structure,
)

from billing.exports import Wanted, write_file
from billing.models import UsageRecord
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


def line(tenant_id, at, **columns):
    """A ledger line: a call of gpt with input tokens at 2.50 per million, unless said otherwise."""
    given = {
        "reservation_id": uuid7(), "request_id": uuid7(), "attempt": 1, "operation": "completions", "model": "gpt",
        "meter": "input_tokens", "quantity": 1_000, "unit_price": Decimal("2.5"), "per": 1_000_000,
        "cost": Decimal("0.0025"), "currency": "USD", "occurred_at": at, "period_start": at.date().replace(day=1),
        "price_id": PRICE, "leads": True,
    }  # fmt: skip
    return UsageRecord.objects.create(tenant_id=tenant_id, **given | columns)


PRICE = uuid7()


@pytest.fixture
def acting(acme):
    with acting_for(acme.tenant.id):
        yield acme


def made(format="csv", **wanted):
    wanted = {"start": MARCH, "end": APRIL, "kind": "ledger", **wanted}
    with tempfile.TemporaryFile() as file:
        return write_file(Wanted(**wanted), format=format, to=file), file.read()


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_lines(acting):
    with tenant_scope() as tenant_id:
        line(tenant_id, MARCH + timedelta(days=2), model="=cmd|' /C calc'!A0", tags={"team": "+red"}, end_user="@ann")
        line(tenant_id, MARCH, cost=Decimal("-0.5"), list_cost=Decimal("1"))
    report, content = made()
    print(content.decode(), report)
    for format in ("parquet", "xlsx"):
        report, content = made(format)
        print(report)
        if format == "parquet":
            print(pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist())
    for kind in ("usage", "costs"):
        print(made(kind=kind, group_by=("api_key_id", "model", "tags", "user_id", "operation", "batch"))[1].decode())


def test_focus(acting):
    with tenant_scope() as tenant_id:
        key, _ = issue(name="=app", scopes=["inference"], by=COMMAND_LINE)
        first = line(tenant_id, MARCH, key_id=key.id, tags={"team": "red"}, list_cost=Decimal("0.003"))
        line(tenant_id, MARCH, key_id=key.id, tags={"team": "red"}, quantity=3, cost=Decimal("0.0000075"))
        line(
            tenant_id,
            MARCH + timedelta(days=2),
            meter="unreconciled",
            quantity=1,
            unit_price=Decimal("0.7"),
            per=1,
            cost=Decimal("0.7"),
            price_id=None,
        )
        line(
            tenant_id,
            MARCH,
            meter="storage_byte_hours",
            quantity=1_500_000_000,
            unit_price=Decimal("0.02"),
            per=1_000_000_000,
            cost=Decimal("0.03"),
        )
        line(tenant_id, MARCH, quantity=1_000_000, included=900_000, cost=Decimal("0.25"))
        line(tenant_id, MARCH, quantity=-10, cost=Decimal("-0.000025"), corrects=first.id, reason="counted twice")
        line(tenant_id, MARCH, quantity=0, cost=Decimal("-1"), corrects=first.id, reason="credit")
    for format in ("csv", "parquet"):
        report, content = made(format, kind="focus")
    report, content = made(kind="focus")
    found = rows(content)
    for row in found:
        print(row)
    report = lint_focus_1_4_structure(
        "Cost and Usage", found, supported_conditions=[COND_UNIT_PRICING, COND_MULTIPLE_PRICING_CATEGORIES]
    )
    assert report.ok, report.messages()
