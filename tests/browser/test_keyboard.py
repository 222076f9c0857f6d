"""The desk without a mouse: everything can be reached, what has the focus is seen, and menus close again."""

import pytest

from tests.browser.chromium import PHONE, Person
from tests.browser.conftest import Sits

#: What has the focus now, and whether what had it before looks another way without it.
_STEP = """() => {
  // A field may be lit by the box around it.
  const looks = (at) => [at, ...(at.matches("input") ? [at.parentElement] : [])].map((element) => {
    const {outlineStyle, outlineColor, boxShadow, borderColor} = getComputedStyle(element);
    return [outlineStyle === "none" ? "" : outlineColor, boxShadow, borderColor].join();
  }).join();
  const before = window.hadFocus, at = document.activeElement;
  const shown = !before || before.looked !== looks(before.at) || before.at.matches(".sr-only");
  if (!at || at === document.body) return {before: shown, now: null};
  window.hadFocus = {at, looked: looks(at)};
  const box = at.getBoundingClientRect();
  const text = (at.innerText || at.value || at.getAttribute("aria-label") || "").trim().slice(0, 60);
  return {before: shown, now: {what: `${at.tagName} ${text || at.name || at.id}`, visible: box.width > 0 && box.height > 0}};
}"""


def tabs_through(person: Person, most: int = 80) -> list[dict]:
    """What gets the focus, one after another, and whether it is visible and shown to have it."""
    seen: list[dict] = []
    for _ in range(most):
        person.page.keyboard.press("Tab")
        step = person.page.evaluate(_STEP)
        if seen:
            seen[-1]["shown"] = step["before"]
        if step["now"] is None:
            break
        seen.append({**step["now"], "shown": True})
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
    link = person.page.locator("#nav-sidebar a[href='/admin/tenants/apikey/']").first
    assert not link.is_visible()
    person.page.keyboard.press("Tab")
    assert person.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Menu"
    person.page.keyboard.press("Enter")
    link.wait_for()
    link.focus()
    person.page.keyboard.press("Enter")
    person.page.wait_for_url("**/admin/tenants/apikey/")
