"""The desk without a mouse: everything can be reached, what has the focus is seen, and menus close again."""

import pytest

from tests.browser.chromium import PHONE, Person
from tests.browser.conftest import Sits

_FOCUSED = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const style = getComputedStyle(at), box = at.getBoundingClientRect();
  const shown = style.outlineStyle !== "none" || style.boxShadow !== "none" || at.matches(".sr-only, .skip");
  return {tag: at.tagName, text: (at.innerText || at.value || at.getAttribute("aria-label") || "").trim().slice(0, 60),
          shown, visible: box.width > 0 && box.height > 0};
}"""


def tabs_through(person: Person, most: int = 80) -> list[dict]:
    """What gets the focus, one after another."""
    seen = []
    for _ in range(most):
        person.page.keyboard.press("Tab")
        focused = person.page.evaluate(_FOCUSED)
        if focused is None:
            break
        seen.append(focused)
    return seen


def test_log_in_without_a_mouse(owner, sits: Sits):
    person = sits()
    person.goes("/admin/login/")
    person.page.locator("input[name=username], input[name=login]").focus()
    person.page.keyboard.type(owner[0])
    person.page.keyboard.press("Tab")
    person.page.keyboard.type(owner[1])
    person.page.keyboard.press("Enter")
    person.page.wait_for_url("**/admin/")
    assert person.page.get_by_role("heading", level=1).count() == 1


@pytest.mark.parametrize("path", ["/admin/", "/admin/tenants/apikey/", "/admin/tenants/apikey/add/"])
def test_what_has_the_focus_is_visible_and_shown(owner, sits: Sits, path):
    person = sits(owner)
    person.goes(path)
    seen = tabs_through(person)
    assert len(seen) > 10
    assert [one for one in seen if not one["visible"]] == []
    assert [one for one in seen if not one["shown"]] == []


def test_the_menu_of_a_phone_opens_and_leads_on_by_keyboard(owner, sits: Sits):
    person = sits(owner, viewport=PHONE)
    person.goes("/admin/")
    for _ in range(40):
        if person.page.get_by_role("link", name="API keys").first.is_visible():
            break
        person.page.keyboard.press("Tab")
        if (person.page.evaluate("document.activeElement.getAttribute('aria-label') || ''")).lower().find("menu") >= 0:
            person.page.keyboard.press("Enter")
    link = person.page.get_by_role("link", name="API keys").first
    link.focus()
    person.page.keyboard.press("Enter")
    person.page.wait_for_url("**/admin/tenants/apikey/")
