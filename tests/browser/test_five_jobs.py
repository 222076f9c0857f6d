"""Five jobs that a first-time admin must manage without help, each from home and within a number of presses.

A press is a click or tap, or Enter or the space bar on a control. Typing is none.
"""

import csv
import io
from decimal import Decimal
from pathlib import Path

from tests.browser.chromium import Person
from tests.browser.conftest import Desk, Sits


def menu(person: Person, name: str) -> None:
    """Press on a page's name in the menu."""
    # The first: the menu stands before what a page leads to.
    person.page.locator("a").filter(has=person.page.get_by_text(name, exact=True)).first.click()
    person.settles()


def test_invite_a_colleague_as_finance(owner, sits: Sits):
    person = sits(owner)
    menu(person, "Members")
    person.page.get_by_role("link", name="Invite").first.click()
    person.page.get_by_label("E-mail").fill("frida@books.example")
    person.page.locator("input[name=role][value=finance]").check()
    person.page.get_by_role("button", name="Send invitation").click()
    person.page.get_by_text("Invited frida@books.example").first.wait_for()
    assert person.presses <= 4


def test_upload_a_folder_and_find_out_why_one_file_failed(owner, sits: Sits, tmp_path: Path):
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "good.md").write_text("# Tides\n\nThe tide turns twice a day.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is none")
    person = sits(owner)
    menu(person, "Vector stores")
    person.page.get_by_role("link", name="Handbook").first.click()
    with person.page.expect_file_chooser() as asked:
        person.page.get_by_text("Choose a folder").click()
    asked.value.set_files(folder)
    row = person.page.get_by_role("row").filter(has_text="broken.pdf")
    row.get_by_text("Failed").wait_for(timeout=120_000)
    assert len(row.inner_text()) > 60  # a sentence says why
    person.page.get_by_role("row").filter(has_text="good.md").get_by_text("Ready").wait_for(timeout=120_000)
    assert person.presses <= 5


def test_make_a_key_limited_to_one_model_and_fifty_a_month(owner, acme_desk: Desk, sits: Sits):
    person = sits(owner)
    menu(person, "API keys")
    person.page.get_by_role("link", name="Make a key").or_(person.page.get_by_role("link", name="Add")).first.click()
    person.page.get_by_label("Name").first.fill("Newsletter")
    person.page.get_by_label("local-extractive", exact=True).check()
    person.page.get_by_label("Monthly budget").fill("50")
    person.page.get_by_role("button", name="Make the key").click()
    secret = person.page.locator("code, input").filter(has_text="sk-").first
    secret.wait_for()
    assert person.presses <= 6
    [row] = acme_desk.atrium.sql(
        "SELECT b.limit, b.hard, b.period FROM billing_budget b JOIN tenants_apikey k ON k.id = b.key_id "
        "WHERE k.tenant_id = %s AND k.name = 'Newsletter'",
        acme_desk.tenant.id,
    )
    assert row == (50, True, "month")


def test_find_why_one_answer_was_wrong_by_its_id(owner, acme_desk: Desk, sits: Sits):
    with acme_desk.tenant.sdk() as sdk:
        [store] = [row for row in sdk.vector_stores.list() if row.name == "Handbook"]
        answer = sdk.chat.completions.create(
            model="local-extractive",
            messages=[{"role": "user", "content": "How often must the axis seals be replaced?"}],
            tools=[{"type": "file_search", "vector_store_ids": [store.id]}],  # type: ignore[list-item]
        )
    person = sits(owner)
    menu(person, "Requests")
    search = person.page.get_by_role("searchbox").or_(person.page.locator("input[name=q]")).first
    search.fill(answer.id)
    search.press("Enter")
    person.settles()
    if "/generation/" in person.path and person.path.count("/") < 6 and "change" not in person.path:
        person.page.locator("#result_list a, table a").first.click()
        person.settles()
    text = person.page.locator("body").inner_text()
    assert "meridian-40-manual.pdf" in text  # the passages, by file
    assert "How often must the axis seals be replaced?" in text
    assert person.presses <= 3


def test_download_last_months_costs_by_key(owner, acme_desk: Desk, sits: Sits):
    person = sits(owner)
    menu(person, "Usage")
    person.page.get_by_role("button", name="Last month's costs by API key (CSV)").click()
    link = person.page.get_by_role("link", name="Download").first
    link.wait_for(timeout=60_000)
    with person.page.expect_download() as started:
        link.click()
    assert person.presses <= 4
    rows = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text())))
    said = acme_desk.atrium.sql(
        "SELECT sum(cost) FROM billing_usagerecord WHERE tenant_id = %s AND period_start = "
        "(date_trunc('month', now() AT TIME ZONE 'utc') - interval '1 month')::date",
        acme_desk.tenant.id,
    )
    assert sum(Decimal(row["cost"]) for row in rows) == said[0][0] > 0
