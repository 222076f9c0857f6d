"""Every page of the admin has its place in the menu, and the menu names no page that does not exist."""

from itertools import chain

import pytest
from django.contrib import admin

from config.navigation import NAVIGATION, families
from tenants.desk.pages import PAGES
from tenants.permissions import WHO_MAY
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]


def test_every_page_has_its_place():
    listed = {model._meta.label_lower for model in admin.site._registry} | {
        name for name, page in PAGES.items() if page.label
    }
    assert listed == {page for found in NAVIGATION.values() for page in chain(*found)}


def test_what_a_page_asks_for_is_in_the_table_of_roles():
    for name, page in PAGES.items():
        for verb in (page.reads, page.writes):
            assert not page.area or f"{page.area}.{verb}" in WHO_MAY or not hasattr(page, "post"), name


@pytest.mark.parametrize("staff", [True, False])
def test_each_page_is_found_once(staff):
    pages = [page for found in families(staff=staff).values() for page in chain(*found)]
    assert len(pages) == len(set(pages))


def test_the_menu_names_a_family_and_its_pages_show_each_other(acme):
    client = desk(seat(acme, "finance"))
    answer = client.get("/admin/billing/creditnote/")
    assert [(tab["place"].title, tab["current"]) for tab in answer.context["family"]] == [
        ("Statements", False),
        ("Credit notes", True),
    ]
    menu = {item["title"]: item for group in answer.context["sidebar_navigation"] for item in group["items"]}
    assert menu["Statements"]["active"] and "Credit notes" not in menu
    # Of a family without its first page the next gives the name: finance may not see the settings.
    assert "Members" not in menu and "Settings" not in menu and "Audit log" in menu
    assert client.get("/admin/tenants/auditevent/").context["family"] == []
