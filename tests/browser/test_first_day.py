"""A tenant's first day: documents in, an answer with its page, a key of one's own, a budget spent, the report of it."""

import re
import time
from decimal import Decimal
from pathlib import Path

import openai
import pytest

from config.demo.questions import QUESTIONS
from tests.browser.conftest import DOCUMENTS, Desk, Sits
from tests.browser.test_bad_input import link_in_a_letter
from tests.browser.test_five_jobs import menu
from tests.e2e.conftest import Atrium


@pytest.fixture(scope="module")
def fresh(atrium: Atrium) -> Desk:
    """A tenant that nobody has used yet."""
    return Desk(atrium, atrium.new_tenant())


@pytest.fixture(scope="module")
def newcomer(fresh: Desk) -> tuple[str, str]:
    """Its owner."""
    return fresh.seat("owner")


def test_documents_are_uploaded_and_their_progress_is_watched(newcomer, sits: Sits):
    person = sits(newcomer)
    menu(person, "Vector stores")
    person.page.get_by_role("link", name="Add").first.click()
    person.page.get_by_label("Name").first.fill("Handbook")
    person.page.get_by_label("Name").first.press("Enter")
    person.settles()
    if not person.page.get_by_text("Choose files").count():
        person.page.get_by_role("link", name="Handbook").first.click()
    person.page.locator("input[type=file]").first.set_input_files(DOCUMENTS)
    seen: set[str] = set()
    deadline = time.monotonic() + 180
    table = person.page.locator("#files")
    while time.monotonic() < deadline:
        words = table.inner_text()
        seen.update(re.findall(r"\d+ %", words))
        if words.count("Ready") == len(DOCUMENTS):
            break
        person.page.wait_for_timeout(200)
    assert table.inner_text().count("Ready") == len(DOCUMENTS)
    assert seen  # percents were shown while they were read


def test_the_playground_answers_with_a_citation_that_opens_the_page(newcomer, sits: Sits):
    question = QUESTIONS[0]
    assert question.expected_phrase and question.filename
    person = sits(newcomer)
    menu(person, "Playground")
    person.page.get_by_label("Model", exact=True).select_option("local-extractive")
    assert person.page.get_by_label("Handbook").is_checked()
    person.page.get_by_label("Message").fill(question.text)
    person.page.get_by_role("button", name="Send").click()
    answer = person.page.locator("article").last
    answer.get_by_text(question.expected_phrase).first.wait_for(timeout=60_000)
    person.page.locator("#turns[aria-busy=false]").wait_for()
    answer.get_by_text("passages were given to the model").click()
    facts = answer.inner_text()
    assert re.search(r"Total\s+[\d.]+ m?s", facts)
    assert re.search(r"Cost\s+0\.\d+ USD", facts)
    assert question.filename in facts
    link = answer.locator("a[href*='/preview/']").first
    address = link.get_attribute("href")
    assert address
    person.goes(address)
    assert question.filename in person.page.locator("body").inner_text()
    assert "within five kilometres of the sea" in re.sub(r"\s+", " ", person.page.locator("body").inner_text())


def test_a_key_is_shown_once_and_spends_its_budget(fresh: Desk, newcomer, sits: Sits):
    person = sits(newcomer)
    menu(person, "API keys")
    person.page.get_by_role("link", name="Make a key").or_(person.page.get_by_role("link", name="Add")).first.click()
    person.page.get_by_label("Name").first.fill("First app")
    person.page.get_by_label("Monthly budget").fill("0.50")
    person.page.get_by_role("button", name="Make the key").click()
    person.settles()
    [key, *_] = re.findall(r"sk-[0-9a-f-]{80,}", person.page.locator("body").inner_text()) or [""]
    assert key and fresh.tenant.url in person.page.locator("body").inner_text()
    with openai.OpenAI(base_url=f"{fresh.tenant.url}/v1", api_key=key, max_retries=0) as sdk:
        said = sdk.chat.completions.create(model="fake", messages=[{"role": "user", "content": "hi"}], max_tokens=20)
        assert said.choices[0].message.content
        with pytest.raises(openai.RateLimitError) as refused:
            for _ in range(200):
                sdk.chat.completions.create(
                    model="fake", messages=[{"role": "user", "content": "hi " * 20}], max_tokens=60
                )
    assert refused.value.code in ("insufficient_quota", "budget_held")
    fresh.atrium.settled(fresh.tenant)
    person.goes("/admin/tenants/apikey/")
    assert key not in person.page.content()
    menu(person, "Budgets and limits")
    [(spent,)] = fresh.atrium.sql(
        "SELECT a.spent FROM billing_budgetaccount a JOIN billing_budget b ON b.id = a.budget_id "
        "WHERE b.tenant_id = %s AND b.key_id IS NOT NULL",
        fresh.tenant.id,
    )
    assert Decimal("0.3") < spent <= Decimal("0.50")
    assert f"{spent:.2f}" in person.page.locator("body").inner_text()


def test_an_invited_colleague_chooses_a_password_and_is_in(fresh: Desk, newcomer, sits: Sits):
    owner, guest, address = sits(newcomer), sits(), f"kari@{fresh.tenant.slug}.example"
    menu(owner, "Members")
    owner.page.get_by_role("link", name="Invite").first.click()
    owner.page.get_by_label("E-mail").fill(address)
    owner.page.get_by_role("button", name="Send invitation").click()
    owner.page.get_by_text(f"Invited {address}").first.wait_for()
    guest.goes(link_in_a_letter(fresh, address))
    for field in guest.page.locator("input[type=password]").all():
        field.fill("the tide turns at noon")
    guest.page.get_by_role("button", name="Join").click()
    guest.page.wait_for_url("**/admin/")
    assert address in guest.page.locator("body").inner_text()


def test_the_report_of_the_day_is_made_and_downloaded(fresh: Desk, newcomer, sits: Sits):
    person = sits(newcomer)
    menu(person, "Usage")
    person.page.get_by_role("button", name="(CSV)").last.click()
    link = person.page.get_by_role("link", name="Download").first
    link.wait_for(timeout=60_000)
    with person.page.expect_download() as started:
        link.click()
    text = Path(started.value.path()).read_text()
    assert "fake" in text or "local-extractive" in text
