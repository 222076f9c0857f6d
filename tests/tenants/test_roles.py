"""Who may what, walked: every role of `WHO_MAY` at every list and every page that is registered, reading and writing.

Nothing is named here, so a page that is added tomorrow is walked tomorrow. What a page asks for is its `area` and the
table; what comes back is asked of the running admin.
"""

import re
from itertools import chain
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse

from config.admin_site import AtriumAdminSite
from tenants.desk.base import AtriumAdmin
from tenants.desk.pages import PAGES, DeskView
from tenants.desk.visitor import Visitor
from tenants.ids import uuid7
from tenants.permissions import ROLE_PERMISSIONS, WHO_MAY
from tests.tenants.admin_desk import desk, plain_static_files, seat

pytestmark = pytest.mark.walks

__all__ = ["plain_static_files"]

#: Pages with a rule of their own that no role meets: they are for staff who view a tenant.
NOBODYS = {"stop_viewing"}
#: Pages that are closed to staff who view a tenant, and otherwise as the table has it: reading there writes an audit row.
NOT_FOR_VIEWERS = {"file_download"}
LISTS: dict[type, AtriumAdmin] = dict(admin.site._registry)  # type: ignore[arg-type]


def url_of(model: type, view: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=args)  # type: ignore[attr-defined]


def url_of_page(name: str, page: type[DeskView]) -> str:
    """With ids that nothing has."""
    values = {"uuid": uuid7(), "int": 1, "str": "nothing", "slug": "nothing", "path": "nothing"}
    converters = re.findall(r"<(?:(\w+):)?(\w+)>", page.path)
    return reverse(f"admin:{name}", kwargs={key: values[kind or "str"] for kind, key in converters})


def says(client: Client, method: str, url: str) -> bool:
    """Whether the admin lets in; what then comes (a page, a redirect, "not found", "not allowed so") is not asked here."""
    return getattr(client, method)(url).status_code != 403


def test_the_table_names_every_area_and_nothing_else():
    asked = {f"{page.area}.view" for page in LISTS.values() if page.area}
    asked |= {f"{page.area}.change" for page in LISTS.values() if page.area and page.offers}
    for name, page in PAGES.items():
        if page.area and name not in NOBODYS:
            asked |= {f"{page.area}.{page.reads}"} | (
                {f"{page.area}.{page.writes}"} if hasattr(page, "post") else set()
            )
    # A change that is not in the table is the platform staff's. Home is the
    # site's index; contents are parts of pages, and the form of the safety policy asks for its change itself.
    assert {one for one in asked if one.endswith(".view")} - set(WHO_MAY) == set()
    assert set(WHO_MAY) - asked <= {"home.view", "content.view", "safety.change"}


def test_every_list_is_one_of_ours_and_its_rule_is_the_bases():
    assert all(isinstance(page, AtriumAdmin) for page in LISTS.values())
    own = {name for name, page in PAGES.items() if "may" in vars(page)}
    assert own == NOBODYS | NOT_FOR_VIEWERS


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
def test_a_role_finds_the_lists_that_the_table_gives_it(acme, role):
    client, held = desk(seat(acme, role)), ROLE_PERMISSIONS[role]
    found = {model: says(client, "get", url_of(model, "changelist")) for model in LISTS}
    assert found == {model: f"{page.area}.view" in held for model, page in LISTS.items()}


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
def test_a_role_changes_no_row_unless_the_table_says_so(acme, role):
    client, held, key = desk(seat(acme, role)), ROLE_PERMISSIONS[role], uuid7()
    for model, page in LISTS.items():
        if f"{page.area}.change" not in held or "add" not in page.offers:
            assert not says(client, "post", url_of(model, "add")), (role, model)
        if f"{page.area}.view" in held:
            continue
        for method, view in (("post", "change"), ("post", "delete"), ("get", "history")):
            assert not says(client, method, url_of(model, view, key)), (role, model, view)


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
def test_a_role_is_offered_actions_and_buttons_only_where_it_may_change(acme, role):
    request: Any = RequestFactory().get("/admin/")
    request.visitor = Visitor(uuid7(), acme.tenant, role)
    request.user = SimpleNamespace(is_active=True, is_staff=True, has_perm=lambda permission: False)
    for model, page in LISTS.items():
        may_change = f"{page.area}.change" in ROLE_PERMISSIONS[role]
        if not may_change:
            assert not page.get_actions(request), (role, model)
            assert not page.has_add_permission(request), (role, model)
            assert not page.has_change_permission(request) and not page.has_delete_permission(request), (role, model)
        elif "add" in page.offers and page.area != "settings":
            assert page.has_add_permission(request), (role, model)


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
def test_a_role_opens_and_posts_to_the_pages_that_the_table_gives_it(acme, role):
    client, held = desk(seat(acme, role)), ROLE_PERMISSIONS[role]
    opened, posted = {}, {}
    for name, page in PAGES.items():
        url = url_of_page(name, page)
        opened[name] = says(client, "get", url)
        if f"{page.area}.{page.writes}" not in held or name in NOBODYS:
            posted[name] = says(client, "post", url)
    assert opened == {name: f"{page.area}.{page.reads}" in held and name not in NOBODYS for name, page in PAGES.items()}
    assert not any(posted.values()), posted


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
def test_the_menu_names_what_the_role_may_view_and_nothing_more(acme, role):
    request: Any = RequestFactory().get("/admin/")
    request.user, request.visitor = seat(acme, role), Visitor(uuid7(), acme.tenant, role)
    held, site = ROLE_PERMISSIONS[role], cast(AtriumAdminSite, admin.site)
    links = {place.link for places in chain(*site.menu(request).values()) for place in places}
    lists = {url_of(model, "changelist"): page.area for model, page in LISTS.items()}
    # The one row that a tenant has of this list: its settings.
    del lists[reverse("admin:tenants_tenant_changelist")]
    lists[reverse("admin:tenants_tenant_change", args=[acme.tenant.id])] = "settings"
    pages = {reverse(f"admin:{name}"): page.area for name, page in PAGES.items() if page.label}
    shown = {url for url, area in (lists | pages).items() if f"{area}.view" in held}
    assert links == shown
