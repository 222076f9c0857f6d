"""Another tenant's owner tries what the first one's owner can reach: every page, filter, export and action gives nothing."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import APIResponse

from tests.browser.chromium import Person
from tests.browser.conftest import DOCUMENTS, Desk, Sits, Walked
from tests.browser.walking import ONE

_VARIES = re.compile(r'csrfmiddlewaretoken" value="\w+"|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|\b\d{1,2}:\d\d\b')


@pytest.fixture(scope="session")
def marks(acme_desk: Desk) -> tuple[str, ...]:
    """What only the first tenant has."""
    files = [path.name for path in DOCUMENTS]
    return (acme_desk.tenant.slug, "@acme.example", "Website assistant", "quicksilver", "monthly report", *files)


def told(answer: APIResponse) -> tuple[int, str, str]:
    """What can be told apart, without ids and moments."""
    return answer.status, _VARIES.sub("", urlsplit(answer.url).path), _VARIES.sub("", answer.text())


def missing(address: str) -> str:
    """The same address about something that nobody has."""

    def other(found: re.Match[str]) -> str:
        prefix = found[0][:-32] if re.fullmatch(r"\w+[-_][0-9a-f]{32}", found[0]) else ""
        return prefix + (uuid4().hex if prefix else str(uuid4()))

    return ONE.sub(other, address)


def test_each_of_its_pages_is_one_that_does_not_exist(owners_walk: Walked, stranger, sits: Sits, marks):
    person = sits(stranger)
    tried = 0
    for address in [*owners_walk.seen.seen.values(), *owners_walk.seen.files]:
        path = urlsplit(address).path
        found = person.page.request.get(address)
        text = found.text()
        assert not [mark for mark in marks if mark in text], address
        if ONE.search(path):
            tried += 1
            # Messages that an answer leaves are shown on the next page; each is asked for twice, so none is carried over.
            person.page.request.get("/admin/")
            nobodys = person.page.request.get(missing(path))
            person.page.request.get("/admin/")
            assert told(person.page.request.get(path)) == told(nobodys), address
            person.page.request.get("/admin/")
    assert tried > 10


def _rows(person: Person, address: str) -> tuple[list[str], list[str]]:
    """Keys and bulk actions of a list."""
    person.goes(address)
    keys = person.page.eval_on_selector_all("input[name=_selected_action]", "all => all.map(one => one.value)")
    actions = person.page.eval_on_selector_all("select[name=action] option", "all => all.map(one => one.value)")
    return keys, [action for action in actions if action]


@contextmanager
def _unchanged(person: Person, address: str) -> Iterator[tuple[list[str], list[str]]]:
    before = _rows(person, address)
    shown = person.page.locator("#result_list").inner_text()
    yield before
    assert _rows(person, address) == before
    assert person.page.locator("#result_list").inner_text() == shown


def test_bulk_actions_on_its_rows_do_nothing(owners_walk: Walked, owner, stranger, sits: Sits, marks):
    mine, theirs = sits(owner), sits(stranger)
    lists = [one for one in owners_walk.seen.seen.values() if re.fullmatch(r"/admin/\w+/\w+/(\?.*)?", one)]
    tried = 0
    for address in lists:
        path = urlsplit(address).path
        if not _rows(mine, path)[1] or not _rows(mine, path)[0]:
            continue
        with _unchanged(mine, path) as (keys, actions):
            answer = theirs.page.request.get(path)
            [token, *_] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.text()) or [""]
            for action in actions:
                form = {"csrfmiddlewaretoken": token, "action": action, "post": "yes"}
                for more in ({"_selected_action": keys[0]}, {"_selected_action": keys[0], "select_across": "1"}):
                    tried += 1
                    sent = theirs.page.request.post(
                        path, form={**form, **more}, headers={"referer": f"{theirs.url}{path}"}
                    )
                    assert sent.status < 500
                    assert not [mark for mark in marks if mark in sent.text()], (path, action)
    assert tried > 4


def test_searches_filters_and_autocomplete_find_nothing_of_it(
    owners_walk: Walked, acme_desk: Desk, stranger, sits: Sits, marks
):
    person = sits(stranger)
    words = [*marks, acme_desk.tenant.id, acme_desk.tenant.key[-48:-40]]
    lists = {
        urlsplit(one).path for one in owners_walk.seen.seen.values() if re.fullmatch(r"/admin/\w+/\w+/(\?.*)?", one)
    }
    for path in sorted(lists):
        for query in (*({"q": word} for word in words), {"tenant": acme_desk.tenant.id}, {"tenant__slug": words[0]}):
            text = person.page.request.get(path, params=query).text()
            # The page says again what was asked for; what it must not say is anything else of the tenant's.
            asked = set(query.values())
            assert not [mark for mark in marks if mark in text and mark not in asked], (path, query)
            assert not re.search(r'name="_selected_action"', text) or "q" not in query or words[0] not in text
    for app, model, name in (
        ("knowledge", "vectorstorefile", "store"),
        ("knowledge", "vectorstorefile", "file"),
        ("inference", "grant", "model"),
        ("tenants", "membership", "user"),
    ):
        asked = {"app_label": app, "model_name": model, "field_name": name, "term": ""}
        text = person.page.request.get("/admin/autocomplete/", params=asked).text()
        assert not [mark for mark in marks if mark in text], (app, model, name)
