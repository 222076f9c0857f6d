"""Files of the ledger: every figure was added up by hand from the lines written here."""

import csv
import io
import json
import tempfile
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow.parquet
import pytest
from django.core.management import CommandError, call_command
from focus_data_toolkit.cli import main as focus_toolkit
from focus_data_toolkit.model.validator import (
    COND_MULTIPLE_PRICING_CATEGORIES,
    COND_UNIT_PRICING,
    lint_focus_1_4_structure,
)
from python_calamine import CalamineWorkbook

from billing.exports import PLATFORM, Wanted, typed_files, write_file
from billing.exports.focus import METERS
from billing.exports.reading import Reader
from billing.exports.typed_files import TooManyRows
from billing.models import Meter, UsageRecord
from billing.statements.closing import close_month
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id, uuid7
from tenants.scope import acting_for, tenant_scope

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
PRICE, OTHER_PRICE = uuid7(), uuid7()
#: What a spreadsheet would run, and what it sees of it.
EVIL = "=cmd|' /C calc'!A0"
HARMLESS = "'" + EVIL


def line(tenant_id, at=MARCH, **columns):
    """A ledger line: 1,000 input tokens of gpt at 2.50 per million, unless said otherwise."""
    given = {
        "reservation_id": uuid7(), "request_id": uuid7(), "attempt": 1, "operation": "completions", "model": "gpt",
        "meter": "input_tokens", "quantity": 1_000, "unit_price": Decimal("2.5"), "per": 1_000_000,
        "cost": Decimal("0.0025"), "currency": "USD", "occurred_at": at, "period_start": at.date().replace(day=1),
        "price_id": PRICE, "leads": True,
    }  # fmt: skip
    return UsageRecord.objects.create(tenant_id=tenant_id, **given | columns)


@pytest.fixture
def acting(acme):
    with acting_for(acme.tenant.id):
        yield acme


def made(format="csv", **wanted):
    """(what was made, its bytes) of March."""
    wanted = {"start": MARCH, "end": APRIL, "kind": "ledger", **wanted}
    with tempfile.TemporaryFile() as file:
        return write_file(Wanted(**wanted), format=format, to=file), file.read()


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


def write_march(tenant_id):
    """Two lines of March, one hostile and one credit, and two that are not March's."""
    line(tenant_id, MARCH + timedelta(days=2), model=EVIL, end_user="@ann", tags={"team": "+red\n"}, key_id=uuid7())
    credit = {"corrects": uuid7(), "reason": "goodwill", "leads": False}
    line(tenant_id, APRIL - timedelta(seconds=1), cost=Decimal("-0.5"), list_cost=Decimal("1"), included=7, **credit)
    line(tenant_id, MARCH - timedelta(microseconds=1))
    line(tenant_id, APRIL)


def test_lines_stand_in_every_format_once_and_formulas_run_in_none(acting, globex):
    with tenant_scope() as tenant_id:
        write_march(tenant_id)
    with acting_for(globex.tenant.id), tenant_scope() as tenant_id:
        line(tenant_id)
    report, content = made()
    assert (report.rows, report.totals, report.bytes) == (2, {"USD": Decimal("-0.4975")}, len(content))
    first, second = rows(content)
    assert (first["model"], first["user_id"], first["tag_team"]) == (HARMLESS, "'@ann", "'+red\n")
    assert (first["cost"], first["occurred_at"], first["list_cost"]) == ("0.0025", "2026-03-03T00:00:00Z", "")
    # A number is none of a formula's business.
    assert (second["cost"], second["included_quantity"], second["tag_team"]) == ("-0.5", "7", "")
    report, content = made("parquet")
    first, second = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    assert (first["model"], first["tag_team"], first["list_cost"]) == (EVIL, "+red\n", None)
    assert (second["cost"], second["billing_month"], second["batch"]) == (Decimal("-0.5"), date(2026, 3, 1), False)
    report, content = made("xlsx")
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()
    heading, first, second = sheet
    assert (first[heading.index("model")], second[heading.index("cost")]) == (HARMLESS, -0.5)
    assert second[heading.index("occurred_at")] == datetime(2026, 3, 31, 23, 59, 59)  # noqa: DTZ001  Excel has no zones
    assert "<f>" not in zipfile.ZipFile(io.BytesIO(content)).read("xl/worksheets/sheet1.xml").decode()


def test_usage_and_costs_add_up_to_the_lines_by_what_was_asked_for(acting):
    with tenant_scope() as tenant_id:
        for hour in range(3):
            line(tenant_id, MARCH + timedelta(hours=hour), tags={"team": "red"}, list_cost=Decimal("0.003"))
        line(tenant_id, MARCH, tags={"team": "blue"}, included=1_000, cost=Decimal(0))
        line(tenant_id, MARCH, model="mini", meter="ocr_pages", quantity=4, cost=Decimal("0.04"), leads=False)
        line(tenant_id, MARCH, cost=Decimal("-0.001"), quantity=-5, corrects=uuid7(), reason="r", leads=False)
    found = rows(made(kind="costs", group_by=("model", "tags"))[1])
    told = [
        (r["model"], r["tag_team"], r["meter"], r["correction"], r["quantity"], r["cost"], r["list_cost"])
        for r in found
    ]
    assert sorted(told) == [
        ("gpt", "", "input_tokens", "true", "-5", "-0.001", ""),
        ("gpt", "blue", "input_tokens", "false", "1000", "0", ""),
        ("gpt", "red", "input_tokens", "false", "3000", "0.0075", "0.009"),
        ("mini", "", "ocr_pages", "false", "4", "0.04", ""),
    ]
    by_hour = rows(made(kind="usage", group_by=(), bucket_width="1h")[1])
    assert [(r["start_time"][11:16], r["meter"], r["quantity"], r["requests"], r["unit"]) for r in by_hour] == [
        ("00:00", "input_tokens", "2000", "2", "tokens"), ("00:00", "input_tokens", "-5", "0", "tokens"),
        ("00:00", "ocr_pages", "4", "0", "pages"), ("01:00", "input_tokens", "1000", "1", "tokens"),
        ("02:00", "input_tokens", "1000", "1", "tokens"),
    ]  # fmt: skip
    [row] = rows(made(kind="usage", group_by=(), bucket_width="1mo", models=("mini",))[1])
    assert (row["start_time"], row["end_time"], row["quantity"]) == (
        "2026-03-01T00:00:00Z",
        "2026-04-01T00:00:00Z",
        "4",
    )


def write_charges(tenant_id, key_id):
    """One of each kind of charge that FOCUS has to tell apart; returns the line that two others correct."""
    first = line(tenant_id, key_id=key_id, tags={"team": "red"}, list_cost=Decimal("0.003"))
    line(
        tenant_id,
        key_id=key_id,
        tags={"team": "red"},
        list_cost=Decimal("0.000009"),
        quantity=3,
        cost=Decimal("0.0000075"),
    )
    line(tenant_id, quantity=1_000_000, included=900_000, cost=Decimal("0.25"))  # 100,000 above the allowance
    # A tier at 2.50 for 600,000, one at 1.00 for the rest: 1.50 + 0.40.
    line(tenant_id, price_id=OTHER_PRICE, quantity=1_000_000, cost=Decimal("1.9"), tiered_from=400_000)
    line(
        tenant_id,
        meter="unreconciled",
        quantity=1,
        unit_price=Decimal("0.7"),
        per=1,
        cost=Decimal("0.7"),
        price_id=None,
    )
    line(
        tenant_id, meter="storage_byte_hours", quantity=1_500_000_000, unit_price=Decimal("0.02"), per=1_000_000_000,
        cost=Decimal("0.03"),
    )  # fmt: skip
    line(tenant_id, quantity=-10, cost=Decimal("-0.000025"), corrects=first.id, reason="=twice", leads=False)
    line(tenant_id, quantity=0, cost=Decimal("-1"), corrects=first.id, reason="goodwill", leads=False)
    return first


def test_a_focus_file_passes_the_toolkit_and_says_what_was_charged(acting, tmp_path, capsys):
    with tenant_scope() as tenant_id:
        key, _ = issue(name="=app", scopes=["inference"], by=COMMAND_LINE)
        first = write_charges(tenant_id, key.id)
    conditions = [COND_UNIT_PRICING, COND_MULTIPLE_PRICING_CATEGORIES]
    for format in ("csv", "parquet"):
        file = tmp_path / f"focus.{format}"
        file.write_bytes(made(format, kind="focus")[1])
        supports = [part for condition in conditions for part in ("--supports", condition)]
        assert focus_toolkit(["validate", str(file), "--dataset", "cost-and-usage", *supports]) == 0, (
            capsys.readouterr()
        )
    report, content = made(kind="focus")
    found = rows(content)
    assert lint_focus_1_4_structure("Cost and Usage", found, supported_conditions=conditions).messages() == []
    assert (report.rows, report.totals) == (7, {"USD": Decimal("1.8824825")})
    assert sum(Decimal(row["BilledCost"]) for row in found) == Decimal("1.8824825")
    names = (
        "SkuMeter",
        "BilledCost",
        "ContractedCost",
        "ListCost",
        "PricingQuantity",
        "PricingUnit",
        "ContractedUnitPrice",
    )
    told = sorted(tuple(row[name] for name in names) for row in found)
    assert told == [
        ("", "-0.000025", "-0.000025", "-0.000025", "", "", ""),
        ("", "-1", "-1", "-1", "", "", ""),
        ("Input Tokens", "0.0025075", "0.0025075", "0.003009", "0.001003", "1000000 Tokens", "2.5"),
        ("Input Tokens", "0.25", "2.5", "2.5", "1", "1000000 Tokens", "2.5"),
        ("Input Tokens", "1.9", "1.9", "1.9", "1", "1000000 Tokens", "1.9"),
        ("Storage", "0.03", "0.03", "0.03", "1.5", "GB-Hours", "0.02"),
        ("Unreconciled Calls", "0.7", "0.7", "0.7", "1", "Requests", "0.7"),
    ]
    [ours] = [row for row in found if row["Tags"] == '{"team": "red"}']
    account = (ours["BillingAccountId"], ours["SubAccountId"], ours["SubAccountName"], ours["x_Requests"])
    assert account == (public_id("tenant_", acting.tenant.id), public_id("key_", key.id), "'=app", "2")
    assert (ours["ChargePeriodStart"], ours["BillingPeriodEnd"]) == ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z")
    corrections = [row for row in found if row["ChargeClass"] == "Correction"]
    assert [(row["ChargeCategory"], row["x_Reason"], row["x_Corrects"]) for row in corrections] == [
        ("Usage", "'=twice", str(first.id)),
        ("Credit", "goodwill", str(first.id)),
    ]
    assert "x_ProviderCost" not in found[0] and {row["InvoiceId"] for row in found} == {""}
    statement = close_month(month=MARCH.date(), by=COMMAND_LINE, now=datetime.now(UTC)).statement
    assert {row["InvoiceId"] for row in rows(made(kind="focus")[1])} == {public_id("stmt_", statement.id)}
    assert statement.total == Decimal("1.8824825")


def test_every_meter_has_a_name_and_a_unit_in_focus():
    assert METERS.keys() == set(Meter)


@pytest.mark.parametrize("width", ["1d", "1mo"])
@pytest.mark.parametrize(("start", "end"), [
    (datetime(2024, 2, 29, 13, tzinfo=UTC), datetime(2029, 2, 28, 1, tzinfo=UTC)), (MARCH, MARCH + timedelta(minutes=1)),
    (datetime(2026, 1, 31, 23, 59, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)),
])  # fmt: skip
def test_slices_cover_the_period_once_and_cut_no_bucket(start, end, width):
    with acting_for(PLATFORM):
        parts = list(Reader(Wanted(kind="costs", start=start, end=end, bucket_width=width)).slices())
    assert [parts[0].since, *(part.until for part in parts)] == [*(part.since for part in parts), end]
    assert parts[0].since == start and parts[-1].share == 1
    inner = [part.until for part in parts[:-1]]
    assert all(cut.hour == cut.minute == 0 and (width == "1d" or cut.day == 1) for cut in inner)


def test_a_workbook_that_is_full_refuses_the_next_row(acting, monkeypatch):
    monkeypatch.setattr(typed_files, "_SHEET_ROWS", 3)
    with tenant_scope() as tenant_id:
        line(tenant_id), line(tenant_id)
    assert made("xlsx")[0].rows == 2
    with tenant_scope() as tenant_id:
        line(tenant_id)
    with pytest.raises(TooManyRows, match="at most 2 rows"):
        made("xlsx")


def test_the_platforms_file_has_all_tenants_and_what_the_platform_pays(committed):
    acme, globex = committed("acme"), committed("globex")
    for member, provider_cost in ((acme, Decimal("0.001")), (globex, None)):
        with acting_for(member.tenant.id), tenant_scope() as tenant_id:
            line(tenant_id, provider="openai", provider_cost=provider_cost)
    with acting_for(PLATFORM):
        report, content = made(kind="costs", group_by=("model",))
        focus = rows(made(kind="focus")[1])
        [only] = rows(made(tenant_ids=(acme.tenant.id,))[1])
    assert (report.rows, report.totals) == (2, {"USD": Decimal("0.005")})
    told = sorted((row["tenant_name"], row["provider"], row["provider_cost"], row["margin"]) for row in rows(content))
    assert told == [("Acme", "openai", "0.001", "0.0015"), ("Globex", "openai", "", "")]
    accounts = {(row["BillingAccountId"], row["SubAccountName"], row["x_ProviderCost"]) for row in focus}
    assert accounts == {("platform", "Acme", "0.001"), ("platform", "Globex", "")}
    assert lint_focus_1_4_structure("Cost and Usage", focus, supported_conditions=[COND_UNIT_PRICING]).messages() == []
    assert only["tenant_id"] == public_id("tenant_", acme.tenant.id)


def test_the_command_writes_the_platforms_file_or_a_tenants_whole_or_not_at_all(committed, tmp_path):
    for slug in ("acme", "globex"):
        with acting_for(committed(slug).tenant.id), tenant_scope() as tenant_id:
            line(tenant_id)
    file = tmp_path / "focus.csv"
    for tenant, costs in (((), "0.005 USD"), (("--tenant", "acme"), "0.0025 USD")):
        said = io.StringIO()
        call_command("export_focus", "--month=2026-03", *tenant, f"--output={file}", "--json", stdout=said)
        assert json.loads(said.getvalue())["costs"] == costs
        assert focus_toolkit(["validate", str(file), "--dataset", "cost-and-usage"]) == 0
        assert len(rows(file.read_bytes())) == (1 if tenant else 2)
    before = file.read_bytes()
    for wrong, said in (
        (["--month=2026-03", "--tenant=nobody"], "No tenant"),
        (["--from=2026-03-01"], "--from and --until"),
        (["--from=1990-01-01", "--until=2040-01-01"], "before 2000"),
        (["--from=2001-01-01", "--until=2040-01-01"], "at most 5 years"),
    ):
        with pytest.raises(CommandError, match=said):
            call_command("export_focus", *wrong, f"--output={file}")
    assert [path.name for path in tmp_path.iterdir()] == ["focus.csv"] and file.read_bytes() == before
