"""Every page of the desk, for a tenant's owner and for platform staff: it opens, fits, and can be read by everybody."""

import pytest
from django.contrib import admin
from django.urls import Resolver404, resolve

from tenants.desk.base import AtriumAdmin
from tenants.desk.pages import PAGES, DeskPage
from tenants.models import Tenant
from tenants.permissions import role_may
from tests.browser.conftest import Walked


@pytest.fixture(scope="session", params=["owner", "staff"])
def walked(request) -> Walked:
    """As each of them."""
    return request.getfixturevalue(f"{request.param}s_walk")


def test_every_link_leads_to_a_page(walked):
    seen = walked.seen
    assert len(seen.seen) > 20
    assert seen.refused == []


def test_no_page_is_wider_than_its_window(walked):
    seen = walked.seen
    assert seen.too_wide == []


def test_axe_finds_nothing_serious(walked):
    seen = walked.seen
    assert seen.inaccessible == []


def test_nothing_goes_wrong_behind_a_page_and_nothing_comes_from_another_host(walked):
    assert walked.troubles == []


def test_every_registered_page_was_reached(walked):
    who = walked.who
    reached = {name for address in {*walked.seen.seen.values(), *walked.seen.ended} if (name := _name(address))}
    assert {name for name in _expected(who) if name not in reached} == set()


def _name(address: str) -> str | None:
    try:
        return resolve(address.split("?")[0]).url_name
    except Resolver404:
        return None


def _expected(who: str) -> set[str]:
    """Lists and pages that the menu or another page has to lead to."""

    def may(area: str, verb: str = "view") -> bool:
        return who == "staff" or role_may(who, f"{area}.{verb}")

    # A tenant's people have one row of the list of tenants, their settings, to which the menu leads at once.
    lists = {
        f"{model._meta.app_label}_{model._meta.model_name}_{'change' if who != 'staff' and model is Tenant else 'changelist'}"
        for model, page in admin.site._registry.items()
        if isinstance(page, AtriumAdmin) and may(page.area)
    }
    # Staff have no tenant of their own: a tenant's pages ask them to choose one, and lead no further.
    pages = {
        name
        for name, page in PAGES.items()
        if issubclass(page, DeskPage)
        and "get" in page.http_method_names
        and may(page.area, page.reads)
        and (who != "staff" or page.label)
    }
    return lists | pages
