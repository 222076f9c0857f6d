"""Lists that are paged by key: every row once, in both directions, without a count."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from inference.models import Generation
from tenants.audit import COMMAND_LINE, record
from tenants.desk.filters import as_uuid, first_id_at
from tenants.desk.long_lists import LongListAdmin
from tenants.ids import public_id, uuid7
from tenants.models import Tenant, User
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

LIST = "/admin/inference/generation/"


@pytest.fixture
def seven(acme: Member, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Seven calls, newest first, of which a page shows three."""
    monkeypatch.setattr(LongListAdmin, "list_per_page", 3)
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        rows = [
            Generation.objects.create(
                tenant_id=tenant_id,
                kind="chat",
                key_id=uuid7(),
                alias="a",
                model="m",
                terms={},
                inbox="x",
                state="completed",
            ).id
            for _ in range(7)
        ]
    return rows[::-1]


def page(client: Client, link: str = "") -> tuple[list[Any], Any]:
    cl = client.get(LIST + link).context["cl"]
    return [row.id for row in cl.result_list], cl.paginator


def test_pages_show_every_row_once_there_and_back(acme: Member, seven: list[Any]) -> None:
    client = desk(seat(acme, "viewer"))
    first, pages = page(client)
    second, middle = page(client, pages.older)
    third, last = page(client, middle.older)
    assert [first, second, third] == [seven[:3], seven[3:6], seven[6:]]
    assert (pages.newer, last.older) == ("", "")
    assert page(client, last.newer)[0] == second
    assert page(client, middle.newer)[0] == first
    assert page(client, middle.newest)[0] == first
    assert page(client, pages.oldest)[0] == seven[4:]


def test_a_page_neither_counts_nor_skips(acme: Member, seven: list[Any]) -> None:
    client = desk(seat(acme, "viewer"))
    with CaptureQueriesContext(connection) as seen:
        client.get(LIST, {"after": str(seven[2])})
    asked = [query["sql"] for query in seen if "inference_generation" in query["sql"]]
    assert len(asked) == 1 and not any(word in asked[0] for word in ("COUNT(", "OFFSET", "DISTINCT"))


def test_a_filter_stays_from_page_to_page(acme: Member, seven: list[Any]) -> None:
    client = desk(seat(acme, "viewer"))
    _, pages = page(client, "?alias=a")
    assert "alias=a" in pages.older and page(client, pages.older)[0] == seven[3:6]


@pytest.mark.parametrize("query", ["?after=x", "?before=~", "?after=2026-01-01~x"])
def test_a_place_that_is_none_is_no_error_of_ours(acme: Member, query: str) -> None:
    answer = desk(seat(acme, "viewer")).get(LIST + query)
    assert (answer.status_code, answer["Location"]) == (302, f"{LIST}?e=1")


def test_staff_choose_whose_rows_they_see(committed: Any) -> None:
    acme = committed("acme")
    with acting_for(acme.tenant.id), tenant_scope():
        event = record(by=COMMAND_LINE, action="vault.opened", target=Tenant(id=acme.tenant.id))
    staff = desk(User.objects.create_superuser("operator", "operator@platform.example"))
    assert "Choose a tenant" in staff.get("/admin/tenants/auditevent/").content.decode()
    for query in ({"of_tenant": str(acme.tenant.id)}, {"q": str(event.id)}):
        assert "vault.opened" in staff.get("/admin/tenants/auditevent/", query).content.decode()


def test_an_id_is_read_with_and_without_its_prefix() -> None:
    ident = uuid7()
    for text in (
        str(ident),
        ident.hex,
        f" {public_id('resp_', ident)} ",
        public_id("chatcmpl-", ident),
        f"file-{ident.hex}",
    ):
        assert as_uuid(text) == ident
    assert as_uuid("nobody") is as_uuid("") is None


def test_ids_of_a_moment_begin_there() -> None:
    now = datetime.now(UTC)
    assert first_id_at(now - timedelta(seconds=1)) < uuid7() < first_id_at(now + timedelta(seconds=60))
