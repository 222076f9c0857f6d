"""What goes wrong at a desk: each time a clear message, and nothing lost."""

import email
import re
from pathlib import Path

import pytest
import redis

from tests.browser.conftest import Desk, Sits
from tests.browser.test_five_jobs import menu
from tests.e2e.conftest import eventually

#: Names of files that would run where a page took them for markup.
SCRIPTS = ("<img src=x onerror=alert(1)>.md", '"><script>alert(2)</script>.md', "'onmouseover='alert(3).md")


def test_ten_wrong_passwords_close_the_door_for_a_while_and_say_so(acme_desk: Desk, sits: Sits):
    email, password = acme_desk.seat("viewer")
    person = sits()
    for _ in range(10):
        person.goes("/admin/login/")
        if not person.page.locator("input[name=password]").count():
            break
        person.page.locator("input[name=username], input[name=login]").fill(email)
        person.page.locator("input[name=password]").fill("wrong")
        person.page.locator("input[name=password]").press("Enter")
        person.settles()
    assert "Too many" in person.page.locator("body").inner_text()
    # The right one is not taken either, from wherever it comes.
    other = sits()
    other.goes("/admin/login/")
    if other.page.locator("input[name=password]").count():
        other.page.locator("input[name=username], input[name=login]").fill(email)
        other.page.locator("input[name=password]").fill(password)
        other.page.locator("input[name=password]").press("Enter")
        other.settles()
    assert "Too many" in other.page.locator("body").inner_text()
    # Everybody here comes from one address, and the next are not to wait for five minutes.
    with redis.Redis.from_url(acme_desk.atrium.stack.environment["REDIS_URL"]) as counters:
        counters.flushdb()


def test_a_removed_member_is_out_at_the_next_click_and_is_told_why(acme_desk: Desk, owner, sits: Sits):
    email, password = acme_desk.seat("developer")
    gone, boss = sits((email, password)), sits(owner)
    assert gone.goes("/admin/") == 200
    boss.goes("/admin/tenants/membership/")
    boss.page.get_by_role("row").filter(has_text=email).get_by_role("link").first.click()
    boss.settles()
    boss.page.get_by_role("link", name="Delete").or_(boss.page.get_by_role("link", name="Remove")).first.click()
    boss.page.locator("form [type=submit]:visible").first.click()
    boss.settles()
    assert gone.goes("/admin/tenants/apikey/") in (302, 403, 200)
    text = gone.page.locator("body").inner_text()
    assert "not a member" in text or gone.path.endswith("/login/")
    assert "API keys" not in text


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_file_name_with_script_in_it_is_text(acme_desk: Desk, owner, sits: Sits, name):
    with acme_desk.tenant.sdk() as sdk:
        file = sdk.files.create(file=(name, b"# Nothing\n\nNothing at all."), purpose="assistants")
    person = sits(owner)
    person.page.on("dialog", lambda dialog: person.troubles.append(f"{name} ran: {dialog.message}"))
    person.goes("/admin/knowledge/file/")
    shown = person.page.get_by_text(file.filename, exact=False).first
    assert shown.is_visible()
    shown.hover()
    person.page.get_by_role("link", name=file.filename).first.click()
    person.settles()
    assert file.filename in person.page.locator("body").inner_text()
    assert person.page.locator("img[src=x]").count() == 0


def link_in_a_letter(desk: Desk, recipient: str) -> str:
    """The address that the newest letter to somebody names, from where development keeps letters."""
    folder = Path(desk.atrium.stack.environment["ATRIUM_VAR"]) / "mail"

    def found() -> str:
        for path in sorted(folder.glob("*"), reverse=True) if folder.exists() else ():
            letter = email.message_from_bytes(path.read_bytes())
            if letter["To"] == recipient:
                text = letter.get_payload(decode=True)
                assert isinstance(text, bytes)
                return re.findall(r"https?://\S+", text.decode())[-1]
        return ""

    return eventually(found, seconds=60)


def test_an_expired_invitation_says_so_and_what_to_do(acme_desk: Desk, owner, sits: Sits):
    boss, address = sits(owner), "late@books.example"
    menu(boss, "Members")
    boss.page.get_by_role("link", name="Invite").first.click()
    boss.page.get_by_label("E-mail").fill(address)
    boss.page.get_by_role("button", name="Send invitation").click()
    boss.page.get_by_text(f"Invited {address}").first.wait_for()
    link = link_in_a_letter(acme_desk, address)
    guest = sits()
    assert guest.goes(link) == 200
    acme_desk.atrium.sql(
        "UPDATE tenants_invitation SET expires_at = now() - interval '1 hour' WHERE email = %s RETURNING id", address
    )
    assert guest.goes(link) == 410
    text = guest.page.locator("body").inner_text()
    assert "ended on" in text and "send it again" in text
    assert guest.page.locator("input[type=password]").count() == 0


def test_a_file_of_two_gigabytes_is_refused_before_it_is_sent(owner, sits: Sits, tmp_path: Path):
    large, small = tmp_path / "archive.pdf", tmp_path / "note.md"
    small.write_text("# Note\n\nA short one.")
    with large.open("wb") as file:
        file.truncate(2 * 1024**3 + 1)
    person = sits(owner)
    sent: list[str] = []
    person.page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    menu(person, "Vector stores")
    person.page.get_by_role("link", name="Handbook").first.click()
    person.page.locator("input[type=file]").first.set_input_files([large, small])
    row = person.page.get_by_role("row").filter(has_text="archive.pdf")
    row.get_by_text("Not uploaded").wait_for()
    assert "limit" in row.inner_text()
    # The other file goes its way: nothing is lost.
    other = person.page.get_by_role("row").filter(has_text="note.md").first
    other.get_by_text("Ready").wait_for(timeout=120_000)
    assert len([url for url in sent if "upload" in url]) == 1


def test_of_two_admins_who_edit_one_thing_the_second_is_told_and_keeps_her_words(acme_desk: Desk, owner, sits: Sits):
    first, second = sits(owner), sits(acme_desk.seat("admin"))
    for person in (first, second):
        menu(person, "Vector stores")
        person.page.get_by_role("link", name="Handbook").first.click()
        person.page.locator(".desk-tabs").get_by_role("link", name="Settings").click()
        person.page.locator("input[name=name]").wait_for()
    path = second.path
    first.page.locator("input[name=name]").fill("Handbook, first edition")
    first.page.locator("[name=_save], [name=_continue], form [type=submit]:visible").first.click()
    first.settles()
    second.page.locator("input[name=name]").fill("Handbook, second edition")
    second.page.locator("[name=_save], [name=_continue], form [type=submit]:visible").first.click()
    second.settles()
    text = second.page.locator("body").inner_text()
    assert "meanwhile" in text or "changed" in text
    assert owner[0] in text  # who it was
    assert second.page.locator("input[name=name]").input_value() == "Handbook, second edition"
    first.goes(path)
    assert first.page.locator("input[name=name]").input_value() == "Handbook, first edition"
    first.page.locator("input[name=name]").fill("Handbook")
    first.page.locator("[name=_save], [name=_continue], form [type=submit]:visible").first.click()
    first.settles()
