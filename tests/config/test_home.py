"""Home: what each role sees of its tenant, what to do first, the period by address; the platform's for staff."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.models import UsageRecord
from inference.models import Generation
from knowledge.models import File, Space, VectorStore, VectorStoreFile
from tenants.ids import uuid7
from tenants.models import ApiKey, User, Work
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

NOW = datetime.now(UTC)


def call(
    member: Member, *, state: str = "completed", seconds: float = 2.0, ended: datetime = NOW, **of: Any
) -> Generation:
    row = {"kind": "chat", "key_id": uuid7(), "alias": "gpt", "model": "gpt", "terms": {}, "inbox": "web", **of}
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        made = Generation.objects.create(tenant_id=tenant_id, state=state, finished_at=ended, **row)
        Generation.objects.filter(id=made.id).update(created_at=ended - timedelta(seconds=seconds))
    return made


def charge(member: Member, cost: str, meter: str = "input_tokens") -> None:
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        UsageRecord.objects.create(
            tenant_id=tenant_id, reservation_id=uuid7(), request_id=uuid7(), attempt=1, operation="completions",
            model="gpt", meter=meter, quantity=1000, unit_price=1, per=1, cost=Decimal(cost), currency="USD",
            key_id=ApiKey.objects.get().id, end_user="ann", period_start=NOW.date().replace(day=1), occurred_at=NOW,
        )  # fmt: skip


def home(member: Member, role: str = "owner", **query: str) -> str:
    return desk(seat(member, role)).get("/admin/", query).content.decode()


def figures(page: str) -> dict[str, str]:
    found = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)", page)
    return {name: value.strip() for name, value in found}


def test_home_says_how_calls_go_and_what_they_cost(acme):
    for seconds in (1, 1, 1):
        call(acme, seconds=seconds)
    call(acme, state="failed", error={"error": {"code": "upstream_timeout", "message": "Too slow."}})
    call(acme, state="cancelled")
    charge(acme, "1.25")
    charge(acme, "2", meter="output_tokens")
    page = home(acme, period="24h")
    seen = figures(page)
    assert {name: seen[name] for name in ("Requests", "Tokens", "Cost", "Error rate")} == {
        "Requests": "5", "Tokens": "2,000", "Cost": "3.25 USD", "Error rate": "25%",
    }  # fmt: skip
    assert seen["Latency p95"] in ("1.0 s", "976 ms", "1073 ms")


def test_the_users_that_cost_most_come_after_the_rest(acme):
    charge(acme, "1.25")
    client = desk(seat(acme, "viewer"))
    page = client.get("/admin/", {"period": "24h"}).content.decode()
    [part] = re.findall(r'hx-get="([^"]*)"', page)
    assert "ann" not in page
    assert re.search(r"ann</th>.*1.25 USD", client.get(part).content.decode(), re.S)


def test_a_recent_error_is_linked_by_its_id(acme):
    failed = call(acme, state="failed", error={"error": {"code": "upstream_timeout", "message": "<i>Too slow</i>"}})
    page = home(acme, "viewer")
    assert f'href="/admin/inference/generation/{failed.id}/change/"' in page
    assert failed.id.hex in page and "upstream_timeout" in page and "&lt;i&gt;Too slow" in page


@pytest.mark.parametrize(
    ("period", "buckets"),
    [("24h", 24), ("7d", 7), ("30d", 30), ("month", NOW.day), ("", 7), ("<b>", 7), ("last_month", 7)],
)
def test_the_period_is_in_the_address(acme, period, buckets):
    call(acme)
    page = home(acme, period=period)
    chart = page.split("Requests, as a table")[1].split("</table>")[0]
    assert chart.count('<th scope="row">') == buckets
    assert page.count('aria-current="page"') == 1 and "<b>" not in page


def test_what_to_do_first_is_ticked_and_then_gone(acme):
    client = desk(seat(acme, "owner"))
    page = client.get("/admin/").content.decode()
    assert page.count('<li class="done">') == 1  # the key that the tenant came with
    assert "Upload documents" in page and "Make the first call" in page
    call(acme)
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        File.objects.create(
            tenant_id=tenant_id, filename="a.txt", bytes=1, mime_type="text/plain", sha256="", storage_key="",
            purpose="assistants",
        )  # fmt: skip
    assert "Get started" not in client.get("/admin/").content.decode()


def test_who_may_not_do_the_first_steps_is_not_told_to(acme):
    assert "Get started" not in home(acme, "finance")


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        ("owner", {"Budgets", "Files being read", "Recent errors", "Models by cost"}),
        ("developer", {"Budgets", "Files being read", "Recent errors", "Models by cost"}),
        ("finance", {"Budgets", "Recent errors", "Models by cost"}),
        ("viewer", {"Files being read", "Recent errors", "Models by cost"}),
    ],
)
def test_each_role_sees_its_parts(acme, role, sees):
    headings = set(re.findall(r"<h2[^>]*>([^<]*)</h2>", home(acme, role)))
    assert headings & {"Budgets", "Files being read", "Recent errors", "Models by cost"} == sees


def test_files_that_wait_and_are_read_are_shown(acme):
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        own = {"tenant_id": tenant_id}
        space = Space.objects.create(**own, name="s", dimensions=3)
        store = VectorStore.objects.create(**own, name="Manuals", embedding_model="m", space=space)
        for name, state in (("one.pdf", "running"), ("two.pdf", "queued"), ("three.pdf", "queued")):
            file = File.objects.create(
                **own, filename=name, bytes=1, mime_type="", sha256="", storage_key="", purpose="assistants"
            )
            row = VectorStoreFile.objects.create(
                **own, store=store, file=file, chunking={}, state="parsing", percent=40
            )
            Work.objects.create(**own, id=row.id, queue="ingestion", state=state)
    page = home(acme)
    assert "1 now, 2 waiting." in page
    assert "one.pdf" in page and "Manuals · parsing, 40 %" in page and "two.pdf" not in page


def test_nothing_of_another_tenant_is_in_it(acme, globex):
    call(globex, state="failed", alias="globexmodel", error={"error": {"code": "globexcode", "message": "x"}})
    charge(globex, "777")
    page = home(acme)
    # As a number of its own: an id or a token may happen to hold the digits.
    assert "globex" not in page.lower() and not re.search(r"\b777\b", page)
    assert figures(page)["Requests"] == "0"


def test_the_number_of_queries_does_not_grow_with_the_calls(acme, django_assert_max_num_queries):
    client = desk(seat(acme, "owner"))
    call(acme)
    charge(acme, "1")
    client.get("/admin/")
    with django_assert_max_num_queries(60) as few:
        client.get("/admin/")
    for _ in range(5):
        call(acme, state="failed", error={"error": {"code": "x", "message": "x"}})
        charge(acme, "1", meter="output_tokens")
    with django_assert_max_num_queries(len(few)):
        client.get("/admin/")


def test_staff_see_the_platform(db):
    staff = desk(User.objects.create_superuser("root", "root@atrium.example", "x"))
    page = staff.get("/admin/").content.decode()
    assert {"Tenants by cost", "Work that waits", "Health"} <= set(re.findall(r"<h2[^>]*>([^<]*)</h2>", page))
    for path in ("usage", "limits", "statements/upcoming"):
        assert "one tenant at a time" in staff.get(f"/admin/{path}/").content.decode()
