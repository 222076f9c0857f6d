"""Reports from the request to the file: asked for over REST, made by the worker's task, opened by a link."""

import csv
import hashlib
import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from billing import tasks
from billing.exports import PLATFORM, making, requests, schedules
from billing.exports.wanted import Wanted
from billing.models import Report, ReportSchedule
from tenants import object_store, work
from tenants.api_keys import issue_platform_key
from tenants.audit import COMMAND_LINE
from tenants.ids import parse_public_id
from tenants.models import AuditEvent, Tenant, WebhookEvent
from tenants.scope import acting_for, tenant_scope
from tests.billing.test_exports import APRIL, MARCH, line
from tests.tenants.admin_desk import desk, plain_static_files, seat
from tests.tenants.webhooks.test_outbox import endpoint

__all__ = ["plain_static_files"]

NOW = datetime(2026, 4, 2, 12, tzinfo=UTC)
MARCHS = {"start_time": int(MARCH.timestamp()), "end_time": int(APRIL.timestamp())}


@pytest.fixture(autouse=True)
def _files_of_this_test(settings, tmp_path):
    options = {**settings.STORAGES["default"], "OPTIONS": {"location": tmp_path / "files"}}
    settings.STORAGES = {**settings.STORAGES, "default": options}
    settings.VAR = tmp_path


def ask(member, *, status=200, **body):
    answer = member.client.post("/v1/reports", {"kind": "ledger", **MARCHS, **body}, format="json")
    assert answer.status_code == status, answer.content
    return answer.json()


def get(member, report):
    return member.client.get(f"/v1/reports/{report['id']}").json()


def row_of(report):
    with tenant_scope():
        return Report.objects.get(id=parse_public_id("report_", report["id"]))


@pytest.fixture
def march(acme):
    """Two lines of acme's in March, and an endpoint that wants to hear of reports."""
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        line(tenant_id), line(tenant_id, MARCH + timedelta(days=1))
        endpoint(acme, "report.ready")
    return acme


def test_a_report_is_made_told_of_and_opened_by_a_link_until_it_expires(march, monkeypatch):
    asked = ask(march, format="csv")
    assert (asked["status"], asked["progress"], asked["download_url"], asked["rows"]) == ("queued", 0, None, None)
    tasks.make_report.apply()
    found = get(march, asked)
    assert (found["status"], found["progress"], found["rows"]) == ("completed", 100, 2)
    assert found["totals"] == [{"currency": "USD", "cost": "0.005"}]
    opened = Client().get(found["download_url"].removeprefix("http://testserver"))
    content = b"".join(opened.streaming_content)
    assert opened["Content-Disposition"].startswith('attachment; filename="ledger_2026-03-01_2026-04-01_report_')
    assert (len(content), hashlib.sha256(content).hexdigest()) == (found["bytes"], found["sha256"])
    assert [row["cost"] for row in csv.DictReader(io.StringIO(content.decode()))] == ["0.0025", "0.0025"]
    with acting_for(march.tenant.id), tenant_scope():
        [event] = WebhookEvent.objects.all()
        assert json.loads(event.body)["data"] == {key: found[key] for key in found if not key.startswith("download")}
        assert AuditEvent.objects.filter(action="report.requested").count() == 1
    link = found["download_url"].rpartition("/")[2]
    assert Client().get(f"/v1/report_files/{link}x").status_code == 404
    later = type("Later", (datetime,), {"now": staticmethod(lambda tz: datetime.now(tz) + timedelta(hours=1))})
    monkeypatch.setattr("billing.exports.api.datetime", later)
    gone = Client().get(f"/v1/report_files/{link}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "link_expired")


def test_a_link_opens_nothing_once_the_report_is_deleted_or_its_tenant_suspended(march, globex):
    asked = ask(march)
    tasks.make_report.apply()
    link = get(march, asked)["download_url"].removeprefix("http://testserver")
    for status, expected in (("suspended", 404), ("active", 200)):
        with acting_for(march.tenant.id), tenant_scope():
            Tenant.objects.filter(id=march.tenant.id).update(status=status)
        opened = Client().get(link)
        b"".join(opened)  # read to its end a file is closed
        assert opened.status_code == expected
    with acting_for(march.tenant.id):
        stored_as = row_of(asked).stored_as
    assert globex.client.delete(f"/v1/reports/{asked['id']}").status_code == 404
    assert object_store.exists(stored_as)
    assert march.client.delete(f"/v1/reports/{asked['id']}").json()["deleted"] is True
    assert not object_store.exists(stored_as) and Client().get(link).status_code == 404
    assert march.client.get(f"/v1/reports/{asked['id']}").status_code == 404


@pytest.fixture
def platform_client(committed):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_platform_key(name='finance')}")
    return client


YEAR = 366 * 86_400


@pytest.mark.parametrize(("body", "param", "said"), [
    ({"end_time": MARCHS["start_time"] + 50 * YEAR}, "end_time", "at most 5 years"),
    ({"start_time": MARCHS["start_time"], "end_time": MARCHS["start_time"] + 6 * YEAR}, "end_time", "at most 5 years"),
    ({"end_time": MARCHS["start_time"]}, "end_time", "must be after"),
    ({"start_time": 0}, "start_time", "before 2000"),
    ({"start_time": 10**15}, "start_time", "less than or equal"),
    ({"start_time": 253_402_300_000, "end_time": 253_402_300_799}, "start_time", "after 2099"),
    ({"start_time": 4_102_444_799, "end_time": 253_402_300_799}, "end_time", "after 2099"),
    ({"kind": "focus", "format": "xlsx"}, "format", "'csv' or 'parquet'"),
    ({"kind": "wishes"}, "kind", "not a valid choice"),
    ({"group_by": ["model", "model"]}, "group_by", "each once"),
    ({"api_key_ids": ["key_1"]}, "api_key_ids", "like 'key_"),
    ({"models": ["m"] * 101}, "models", "no more than 100"),
])  # fmt: skip
def test_what_no_report_can_be_is_refused_and_leaves_nothing(acme, body, param, said):
    error = ask(acme, status=400, **body)["error"]
    assert error["param"].startswith(param) and said in error["message"], error
    with acting_for(acme.tenant.id), tenant_scope():
        assert not Report.objects.exists()


def test_five_years_from_a_leap_day_are_five_years(acme):
    start = datetime(2024, 2, 29, tzinfo=UTC)
    ask(acme, start_time=int(start.timestamp()), end_time=int(datetime(2029, 3, 1, tzinfo=UTC).timestamp()))
    ask(
        acme,
        status=400,
        start_time=int(start.timestamp()),
        end_time=int(datetime(2029, 3, 1, 0, 1, tzinfo=UTC).timestamp()),
    )


def test_who_has_asked_for_many_reports_waits_for_them(acme, monkeypatch):
    monkeypatch.setattr(requests, "MOST_OPEN", 1)
    ask(acme)
    assert ask(acme, status=429)["error"]["code"] == "too_many_reports"
    assert acme.client.get("/v1/reports").json()["data"][0]["status"] == "queued"


def claimed(member, **report):
    """A claim of a new report, for tests that play the worker."""
    report = ask(member, **report)
    return report, making.claim_next(worker="w")


def test_a_report_whose_worker_died_is_made_again_and_what_it_left_is_removed(march):
    report, claim = claimed(march)
    with acting_for(march.tenant.id):
        making._begin(claim)
        left = object_store.put(making._name(claim.id, 1), io.BytesIO(b"half"))
        making.stumble(claim)  # as the sweep does for a lease that ran out
        again = claim.__class__(claim.tenant_id, claim.id, claim.attempt + 1)
        with tenant_scope():
            assert work.hasten(claim.tenant_id, claim.id)
        assert making.claim_next(worker="x") == again
        making.run(claim, worker="w", clock=lambda: NOW)  # the dead one is back: it writes nothing
        making.run(again, worker="x", clock=lambda: NOW)
        row = row_of(report)
        assert (row.state, row.rows, row.expires_at) == ("completed", 2, NOW + making.KEPT)
        assert not object_store.exists(left) and object_store.exists(row.stored_as)


def test_a_report_that_breaks_again_and_again_has_failed_and_says_so(march, monkeypatch):
    monkeypatch.setattr(making, "write_file", lambda *args, **options: 1 / 0)
    report = ask(march)
    with acting_for(march.tenant.id):
        for _ in range(making.MAX_ATTEMPTS):
            claim = making.claim_next(worker="w")
            making.run(claim, worker="w", clock=lambda: NOW)
            with tenant_scope():
                work.hasten(claim.tenant_id, claim.id)
        assert making.claim_next(worker="w") is None
    found = get(march, report)
    assert (found["status"], found["error"]["code"]) == ("failed", "server_error")


def test_a_report_deleted_while_it_is_made_leaves_no_file(march, monkeypatch, tmp_path):
    report, claim = claimed(march)
    write = making.write_file

    def deleted_meanwhile(*args, **options):
        made = write(*args, **options)
        requests.delete_report(report_id=claim.id, by=COMMAND_LINE)
        return made

    monkeypatch.setattr(making, "write_file", deleted_meanwhile)
    with acting_for(march.tenant.id):
        making.run(claim, worker="w", clock=lambda: NOW)
    assert march.client.get(f"/v1/reports/{report['id']}").status_code == 404
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_whose_time_is_over_is_removed_and_its_report_says_so(march):
    report = ask(march)
    tasks.make_report.apply()
    with acting_for(march.tenant.id):
        row = row_of(report)
        assert making.expired(row.expires_at - timedelta(seconds=1)) == []
        [(tenant_id, report_id)] = making.expired(row.expires_at)
        making.expire(report_id)
        making.expire(report_id)
    assert tenant_id == march.tenant.id and not object_store.exists(row.stored_as)
    found = get(march, report)
    assert (found["status"], found["download_url"], found["rows"]) == ("expired", None, 2)


def schedule(member, every, *, now, **body):
    with acting_for(member.tenant.id):
        wanted = Wanted(kind="costs", start=now, end=now, **body)
        return schedules.create_schedule(name=every, every=every, wanted=wanted, format="csv", by=COMMAND_LINE, now=now)


def sweep(now):
    for tenant_id, schedule_id in schedules.due(now):
        with acting_for(tenant_id):
            schedules.start_due(schedule_id, now=now)


def periods(member):
    with acting_for(member.tenant.id), tenant_scope():
        return [(f"{row.start:%m-%d}", f"{row.end:%m-%d}") for row in Report.objects.order_by("start", "end")]


def test_a_schedule_makes_each_period_once_however_often_beat_looks(acme):
    schedule(acme, "month", now=datetime(2024, 1, 31, 23, 59, tzinfo=UTC))
    sweep(datetime(2024, 2, 1, 0, 59, tzinfo=UTC))
    assert periods(acme) == []  # what was under way at midnight is settled first
    for _ in range(3):
        sweep(datetime(2024, 2, 1, 1, tzinfo=UTC))
    assert periods(acme) == [("01-01", "02-01")]
    for _ in range(3):  # beat was away through February, a leap year's, and March
        sweep(datetime(2024, 4, 1, 1, tzinfo=UTC))
    assert periods(acme) == [("01-01", "02-01"), ("02-01", "03-01"), ("03-01", "04-01")]


@pytest.mark.parametrize(("every", "first", "after"), [
    ("day", "2026-04-02", "2026-04-03"), ("week", "2026-03-30", "2026-04-06"), ("month", "2026-04-01", "2026-05-01"),
])  # fmt: skip
def test_periods_of_a_day(every, first, after):
    assert schedules.period_of(NOW.date(), every) == (date.fromisoformat(first), date.fromisoformat(after))


def test_a_schedule_is_paused_goes_on_and_ends(acme, globex):
    asked = {"name": "monthly", "every": "month", "kind": "focus", "format": "parquet"}
    made = acme.client.post("/v1/report_schedules", asked, format="json").json()
    assert (made["active"], made["kind"], made["next_start"][-2:]) == (True, "focus", "01")
    taken = acme.client.post("/v1/report_schedules", asked, format="json")
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "schedule_exists")
    url = f"/v1/report_schedules/{made['id']}"
    assert globex.client.post(url, {"active": False}, format="json").status_code == 404
    assert acme.client.post(url, {"active": False}, format="json").json()["active"] is False
    assert schedules.due(NOW + timedelta(days=400)) == []
    assert acme.client.post(url, {"active": True}, format="json").json() == made
    assert acme.client.get("/v1/report_schedules").json()["data"] == [made] == [acme.client.get(url).json()]
    assert acme.client.delete(url).json()["deleted"] is True
    assert acme.client.get(url).status_code == 404


def test_the_platform_has_reports_and_schedules_that_no_tenant_sees(committed, platform_client):
    acme = committed("acme")
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        line(tenant_id, provider_cost=Decimal("0.001"))
    body = {"kind": "costs", **MARCHS}
    asked = platform_client.post("/v1/platform/reports", body, format="json").json()
    again = {"kind": "focus", "name": "all", "every": "day"}
    assert platform_client.post("/v1/platform/report_schedules", again, format="json").status_code == 200
    tasks.make_report.apply()
    found = platform_client.get(f"/v1/platform/reports/{asked['id']}").json()
    assert (found["status"], found["rows"]) == ("completed", 1)
    opened = Client().get(found["download_url"].removeprefix("http://testserver"))
    [row] = csv.DictReader(io.StringIO(b"".join(opened.streaming_content).decode()))
    assert (row["tenant_name"], row["cost"], row["provider_cost"]) == ("Acme", "0.0025", "0.001")
    assert acme.client.get("/v1/reports").json()["data"] == []
    assert acme.client.get(f"/v1/reports/{asked['id']}").status_code == 404
    with acting_for(PLATFORM), tenant_scope():
        assert ReportSchedule.objects.get().asked_by_type == "platform_key"


def test_finance_asks_for_a_report_in_the_admin_and_finds_its_link(march, plain_static_files):
    pages = "admin:billing_report_"
    assert desk(seat(march, "viewer")).get(reverse(pages + "changelist")).status_code == 403
    finance = desk(seat(march, "finance", email="finance@acme.example"))
    form = {"kind": "focus", "format": "csv", "first_day": "2026-03-01", "last_day": "2026-03-31", "bucket_width": "1d"}
    refused = finance.post(reverse(pages + "add"), {**form, "first_day": "1976-03-01"}, follow=True).content.decode()
    assert "there is nothing before 2000" in refused
    assert finance.post(reverse(pages + "add"), form, follow=True).status_code == 200
    with acting_for(march.tenant.id), tenant_scope():
        assert Report.objects.get().state == "queued"
    tasks.make_report.apply()
    page = finance.get(reverse(pages + "changelist")).content.decode()
    assert "0.005 USD" in page and "1 Mar 2026, 00:00 – 1 Apr 2026, 00:00" in page
    opened = Client().get(re.search(r'href="(/v1/report_files/[^"]+)"', page)[1])
    assert b"".join(opened.streaming_content).startswith(b"BilledCost,")
    with acting_for(march.tenant.id), tenant_scope():
        row = Report.objects.get()
    assert row.asked_by_type == "user"
    finance.post(reverse(pages + "delete", args=[row.pk]), {"post": "yes"})
    assert not object_store.exists(row.stored_as)
