"""Every page of the admin has its place in the menu, and the menu names no page that does not exist."""

from django.contrib import admin

from config.navigation import FOUND_WITHIN, NAVIGATION, places
from tenants.desk.pages import PAGES
from tenants.permissions import WHO_MAY


def test_every_page_has_its_place():
    listed = {model._meta.label_lower for model in admin.site._registry} | {
        name for name, page in PAGES.items() if page.label
    }
    assert listed == {page for pages in NAVIGATION.values() for page in pages}


def test_what_a_page_asks_for_is_in_the_table_of_roles():
    for name, page in PAGES.items():
        for verb in (page.reads, page.writes):
            assert not page.area or f"{page.area}.{verb}" in WHO_MAY or not hasattr(page, "post"), name


def test_staff_find_what_is_theirs_once():
    pages = [page for listed in places(staff=True).values() for page in listed]
    assert len(pages) == len(set(pages))


def test_what_is_found_within_other_pages_is_in_the_menu_of_staff_alone():
    def listed(staff: bool) -> set[str]:
        return {page for pages in places(staff=staff).values() for page in pages}

    assert listed(staff=True) >= FOUND_WITHIN
    assert not listed(staff=False) & FOUND_WITHIN
