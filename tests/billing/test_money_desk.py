"""The desk's pages of money: usage told apart, exports in few clicks, limits and what is used, statements to read."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.amounts import readable
from billing.budgets.bars import budget_bars
from billing.budgets.setting import set_budget
from billing.figures import count, duration, money, share
from billing.limits.overview import _redis
from billing.models import BudgetAccount, LimitOverride, Report, ReportSchedule, Statement, StatementLine, UsageRecord
from billing.periods import PERIODS, period_named, whole_days
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id, uuid7
from tenants.models import ApiKey, AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

TODAY = datetime.now(UTC)


def charge(member: Member, cost: str, *, at: datetime = TODAY, **of: Any) -> None:
    """A line of the ledger of a thousand tokens read."""
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        line = {
            "model": "gpt",
            "meter": "input_tokens",
            "quantity": 1000,
            "operation": "completions",
            "leads": True,
            **of,
        }
        UsageRecord.objects.create(
            tenant_id=tenant_id, reservation_id=uuid7(), request_id=uuid7(), attempt=1, unit_price=1, per=1,
            cost=Decimal(cost), currency="USD", period_start=at.date().replace(day=1), occurred_at=at, **line,
        )  # fmt: skip


def rows(page: str, label: str) -> list[list[str]]:
    """The cells of the table in the region of this name."""
    region = page.split(f'aria-label="{label}')[1].split("</table>")[0]
    found = re.findall(r"<tr>(.*?)</tr>", region.split("<tbody>")[1], re.S)
    return [
        [re.sub(r"<[^>]+>|\s+", " ", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
        for row in found
    ]


# --- periods and figures ---


def test_periods_are_whole_buckets_and_end_with_the_present_one():
    now = datetime(2026, 3, 1, 0, 0, tzinfo=UTC)
    spans = {name: period_named(name, now=now).within for name in PERIODS}
    day = timedelta(days=1)
    assert spans["24h"] == (now - timedelta(hours=23), now + timedelta(hours=1))
    assert spans["7d"] == (now - 6 * day, now + day)
    assert spans["month"] == (now, now + day)
    assert spans["last_month"] == (datetime(2026, 2, 1, tzinfo=UTC), now)
    assert len(period_named("last_month", now=now).buckets) == 28
    assert period_named("nonsense", now=now).name == "7d"
    assert whole_days(date(2026, 2, 27), date(2026, 3, 1)).last_day == date(2026, 3, 1)


def test_figures_are_short_and_never_nothing_where_there_is_something():
    assert [count(n) for n in (0, 9_999, 12_345, 999_499, 4_560_000)] == ["0", "9,999", "12.3k", "999k", "4.56M"]
    assert [readable(Decimal(a)) for a in ("0", "1234.5", "0.5", "0.0000872", "-0.004")] == [
        "0.00", "1,234.50", "0.500", "0.0000872", "-0.00400",
    ]  # fmt: skip
    assert [share(s) for s in (None, 0.0, 0.028, 0.5)] == ["–", "0%", "2.8%", "50%"]
    assert [duration(s) for s in (None, 0.34, 2.06, 45.4)] == ["–", "340 ms", "2.1 s", "45 s"]
    assert money({"EUR": Decimal(1), "USD": Decimal(2)}) == "1.00 EUR + 2.00 USD"


# --- usage ---


def test_usage_is_told_apart_by_model_key_user_tag_and_meter(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        key = ApiKey.objects.get()
        type(acme.tenant).objects.update(allocation_tags=["team"])
    charge(acme, "3", model="big", key_id=key.id, end_user="ann", tags={"team": "red"})
    charge(acme, "1", model="small", meter="output_tokens", leads=False)
    client = desk(seat(acme, "viewer"))
    told = {
        "model": [["big", "1,000", "1", "3.00 USD", "75 %"], ["small", "1,000", "0", "1.00 USD", "25 %"]],
        "api_key_id": [[key.name, "1,000", "1", "3.00 USD", "75 %"], ["No key", "1,000", "0", "1.00 USD", "25 %"]],
        "user_id": [["ann", "1,000", "1", "3.00 USD", "75 %"], ["Not named", "1,000", "0", "1.00 USD", "25 %"]],
        "meter": [
            ["Tokens read", "1,000", "1", "3.00 USD", "75 %"],
            ["Tokens written", "1,000", "0", "1.00 USD", "25 %"],
        ],
        "tag:team": [["red", "1,000", "1", "3.00 USD", "75 %"], ["Without this tag", "1,000", "0", "1.00 USD", "25 %"]],
    }
    for by, expected in told.items():
        page = client.get("/admin/usage/", {"by": by, "period": "24h"}).content.decode()
        assert rows(page, "Usage by") == expected, by


def test_a_chart_shows_the_dearest_and_all_others_together(acme):
    for number in range(7):
        charge(acme, str(10 - number), model=f"m{number}")
    page = desk(seat(acme, "finance")).get("/admin/usage/", {"period": "month"}).content.decode()
    last = rows(page, "Cost in USD, as a table")[-1][1:]
    assert last == [*(f"{10 - n}.00 USD" for n in range(5)), "9.00 USD"]  # 5 + 4


def test_one_model_key_or_user_alone_is_told_apart_further(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        key = ApiKey.objects.get()
    charge(acme, "3", model="big", key_id=key.id, end_user="ann")
    charge(acme, "1", model="small", key_id=key.id)
    charge(acme, "5", model="big")
    client = desk(seat(acme, "viewer"))
    found = {}
    for only in (
        f"api_key_id:{public_id('key_', key.id)}",
        "model:big",
        "user_id:ann",
        "api_key_id:nonsense",
        "user_id:\0",
    ):
        page = client.get("/admin/usage/", {"by": "model", "only": only}).content.decode()
        found[only.partition(":")[2][:8]] = {row[0]: row[3] for row in rows(page, "Usage by")}
    everything = {"big": "8.00 USD", "small": "1.00 USD"}
    assert list(found.values()) == [
        {"big": "3.00 USD", "small": "1.00 USD"}, {"big": "8.00 USD"}, {"big": "3.00 USD"}, everything, everything,
    ]  # fmt: skip


def test_two_keys_of_one_name_are_two(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        key = ApiKey.objects.get()
        key.pk, key.prefix, key._state.adding = uuid7(), "other", True
        key.save(force_insert=True)
        ids = list(ApiKey.objects.values_list("id", flat=True))
    for ident in ids:
        charge(acme, "1", key_id=ident)
    page = desk(seat(acme, "finance")).get("/admin/usage/", {"by": "api_key_id"}).content.decode()
    assert {row[0] for row in rows(page, "Usage by")} == {f"{key.name} ({ident})" for ident in ids}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"from": "2026-02-30", "to": "2026-03-01"}, "Give both days"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "The last day comes after the first"),
        ({"from": "0001-01-01", "to": "9999-12-31"}, "The last day comes after the first"),
        ({"from": "<script>", "to": ""}, "Give both days"),
    ],
)
def test_days_that_cannot_be_are_told(acme, asked, says):
    page = desk(seat(acme, "viewer")).get("/admin/usage/", asked).content.decode()
    assert says in page and '<script>"' not in page


# --- reports ---


def asked_report(client: Client, **changes: str) -> Any:
    form = {
        "kind": "costs", "format": "csv", "first_day": "2026-10-01", "last_day": "2026-10-31", "group_by": "api_key_id",
        "bucket_width": "1mo", **changes,
    }  # fmt: skip
    return client.post("/admin/reports/make/", form)


def test_a_button_makes_last_months_costs_by_key_and_leads_to_the_file(acme):
    client = desk(seat(acme, "finance"))
    page = client.get("/admin/usage/").content.decode()
    assert "Last month&#x27;s costs by API key (CSV)" in page or "Last month's costs by API key (CSV)" in page
    answer = asked_report(client)
    with acting_for(acme.tenant.id), tenant_scope():
        report = Report.objects.get()
        audited = AuditEvent.objects.filter(action="report.requested").count()
    assert answer["Location"] == reverse("admin:billing_report_change", args=[report.id])
    assert report.options["group_by"] == ["api_key_id"] and report.options["bucket_width"] == "1mo"
    assert (report.start, report.end) == (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert audited == 1
    progress = client.get(reverse("admin:report_progress", args=[report.id])).json()
    assert progress == {"state": "queued", "says": "Waiting to be made.", "progress": 0, "over": False, "url": None}
    assert "Waiting to be made." in client.get(answer["Location"]).content.decode()


@pytest.mark.parametrize("state", ["in_progress", "completed", "failed", "expired"])
def test_a_report_says_how_far_it_is_and_what_went_wrong(acme, state):
    client = desk(seat(acme, "finance"))
    asked_report(client)
    with acting_for(acme.tenant.id), tenant_scope():
        Report.objects.update(
            state=state, progress=40, rows=1, bytes=2048, expires_at=datetime.now(UTC) + timedelta(days=1),
            error={"code": "too_large", "message": "There are too many rows."} if state == "failed" else None,
        )  # fmt: skip
        report = Report.objects.get()
    progress = client.get(reverse("admin:report_progress", args=[report.id])).json()
    said = {
        "in_progress": "Being made: 40 %.",
        "completed": "Ready: 1 row, 2 kB.",
        "failed": "It could not be made: There are too many rows. Ask for it again.",
        "expired": "Its file was removed after its time. Ask for it again: the figures are still there.",
    }
    assert progress["says"] == said[state]
    assert bool(progress["url"]) == (state == "completed")


@pytest.mark.parametrize(
    "changes", [{"kind": "everything"}, {"last_day": "never"}, {"group_by": "tenant"}, {"last_day": "1999-01-01"}]
)
def test_what_is_no_report_is_refused_with_a_message(acme, changes):
    client = desk(seat(acme, "finance"))
    answer = asked_report(client, **changes)
    assert answer["Location"] == reverse("admin:billing_report_changelist")
    with acting_for(acme.tenant.id), tenant_scope():
        assert not Report.objects.exists()


def test_a_viewer_asks_for_no_report_and_sees_no_button(acme):
    client = desk(seat(acme, "viewer"))
    assert asked_report(client).status_code == 403
    assert "costs by API key (CSV)" not in client.get("/admin/usage/").content.decode()


def test_the_form_offers_last_month_and_leads_to_the_reports_page(acme):
    client = desk(seat(acme, "finance"))
    month = period_named("last_month", now=datetime.now(UTC))
    assert f'value="{month.start.date().isoformat()}"' in client.get("/admin/billing/report/add/").content.decode()
    form = {
        "kind": "usage", "format": "xlsx", "first_day": "2026-10-01", "last_day": "2026-10-02", "bucket_width": "1h",
        "group_by": ["user_id", "model"],
    }  # fmt: skip
    answer = client.post("/admin/billing/report/add/", form)
    with acting_for(acme.tenant.id), tenant_scope():
        report = Report.objects.get()
    assert answer["Location"] == reverse("admin:billing_report_change", args=[report.id])
    assert report.options["group_by"] == ["user_id", "model"]


def test_a_schedule_is_made_paused_and_ended(acme):
    client = desk(seat(acme, "admin"))
    form = {
        "name": "For finance",
        "every": "month",
        "kind": "costs",
        "format": "csv",
        "bucket_width": "1mo",
        "group_by": ["model"],
    }
    assert client.post("/admin/billing/reportschedule/add/", form).status_code == 302
    with acting_for(acme.tenant.id), tenant_scope():
        schedule = ReportSchedule.objects.get()
    assert schedule.options["group_by"] == ["model"]
    for action, active in (("pause", False), ("go_on", True)):
        client.post("/admin/billing/reportschedule/", {"action": action, "_selected_action": str(schedule.id)})
        with acting_for(acme.tenant.id), tenant_scope():
            assert ReportSchedule.objects.get().active is active
    client.post(f"/admin/billing/reportschedule/{schedule.id}/delete/", {"post": "yes"})
    with acting_for(acme.tenant.id), tenant_scope():
        assert not ReportSchedule.objects.exists()
        done = AuditEvent.objects.filter(action__startswith="report_schedule").values_list("action", flat=True)
        assert [*done.order_by("id")] == [f"report_schedule.{w}" for w in ("created", "changed", "changed", "deleted")]


# --- budgets and limits ---


def budget(member: Member, limit: str, spent: str, **more: Any) -> Any:
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        made = set_budget(name=more.pop("name", "month"), limit=Decimal(limit), by=COMMAND_LINE, **more)
        start = datetime.now(UTC).date().replace(day=1)
        BudgetAccount.objects.update_or_create(
            tenant_id=tenant_id,
            budget=made,
            period_start=start,
            defaults={"spent": Decimal(spent), "held": Decimal("1")},
        )
        return next(bar for bar in budget_bars(now=datetime.now(UTC)) if bar.budget.id == made.id)


def test_a_bar_says_how_much_is_used_and_when_that_is_near(acme):
    bar = budget(acme, "10", "2")
    assert (bar.used, bar.drawn_used, bar.drawn_held, bar.spent, bar.left) == (
        20,
        20,
        10,
        "2.00 of 10.00 USD",
        "7.00 USD",
    )
    near, over = budget(acme, "10", "8", name="near"), budget(acme, "10", "25", name="over")
    assert (near.level, over.level) == ("warn", "bad")
    assert (over.drawn_used, over.drawn_held, over.left) == (100, 0, "0.00 USD")
    assert budget(acme, "0", "0", name="none").drawn_used == 0


def test_the_page_has_budgets_limits_and_what_is_used(acme):
    budget(acme, "10", "9", name="<b>team</b>")
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        key = ApiKey.objects.get()
        now = datetime.now(UTC)
        row = {"limit": "tokens_per_month", "value": 5000, "valid_from": now - timedelta(days=1)}
        LimitOverride.objects.create(tenant_id=tenant_id, key_id=key.id, **row)
    page = desk(seat(acme, "developer")).get("/admin/limits/").content.decode()
    assert "&lt;b&gt;team&lt;/b&gt;" in page and "9.00 of 10.00 USD (90 %)" in page
    assert rows(page, "API keys with limits") == [[key.name, "as above", "as above", "as above", "5,000"]]
    assert next(row for row in rows(page, "Limits, as") if row[0].startswith("Documents"))[1] == "0"


def test_without_redis_the_page_says_what_it_cannot_tell(acme, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    _redis.cache_clear()
    answer = desk(seat(acme, "developer")).get("/admin/limits/")
    _redis.cache_clear()
    assert answer.status_code == 200
    assert "cannot be read at the moment" in answer.content.decode()


# --- statements ---


def test_a_statement_is_readable_and_a_file(acme):
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        own = {"tenant_id": tenant_id}
        statement = Statement.objects.create(
            **own, period_start="2026-01-01", currency="USD", usage=3, corrections=0, credits=-1, total=2, records=2,
            closed_by_type="system", closed_by_id="", closed_at=datetime(2026, 2, 1, tzinfo=UTC),
        )  # fmt: skip
        line = {"model": "gpt", "meter": "input_tokens", "quantity": 1200, "included": 200, "records": 1}
        StatementLine.objects.create(
            **own, statement=statement, position=1, kind="usage", unit_price=3, per=1000, cost=3, **line
        )
        credit = {"kind": "credit", "corrected_month": "2025-12-01", "reason": "An outage", "cost": -1}
        StatementLine.objects.create(**own, statement=statement, position=2, **{**line, **credit})
    client = desk(seat(acme, "viewer"))
    page = client.get(f"/admin/billing/statement/{statement.id}/change/").content.decode()
    assert rows(page, "gpt, as") == [["Tokens read", "1,200", "200", "3.00 USD for 1,000", "3.00 USD"]]
    assert "of 2025-12: An outage" in page and "2.00 USD" in page
    assert client.get(f"/admin/billing/statement/{statement.id}/json/").json()["total"] == "2.00"
    assert "sum of usage" in client.get(f"/admin/billing/statement/{statement.id}/csv/").content.decode()


def test_the_month_that_is_open_can_be_read_as_far_as_it_has_come(acme):
    charge(acme, "1.25")
    client = desk(seat(acme, "finance"))
    assert "See it as far as it has come" in client.get("/admin/billing/statement/").content.decode()
    assert "1.25 USD" in client.get("/admin/statements/upcoming/").content.decode()
    assert client.get("/admin/statements/upcoming/", {"format": "json"}).json()["status"] == "open"
    assert "1.25" in client.get("/admin/statements/upcoming/", {"format": "csv"}).content.decode()
    for month, says in (("2026-13", "must be a month"), ("2999-01", "has not begun")):
        assert says in client.get("/admin/statements/upcoming/", {"month": month}).content.decode()
