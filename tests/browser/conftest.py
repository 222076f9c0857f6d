"""One running Atrium and one Chromium for all tests here; a tenant with a month of history, and its people."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser

from config.supervisor import ROOT
from tests.browser.chromium import Person, chromium, executable
from tests.browser.walking import Walk, walk
from tests.e2e.conftest import Atrium, Tenant, atrium, eventually, upstream

__all__ = ["atrium", "upstream"]

DOCUMENTS = sorted((ROOT / "config/demo/documents").iterdir())
#: Where pictures of failed tests are put.
PICTURES = ROOT / "var" / "browser"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass(frozen=True)
class Desk:
    """A tenant with people who can log in."""

    atrium: Atrium
    tenant: Tenant

    def seat(self, role: str) -> tuple[str, str]:
        """A new member with the role: e-mail address and password."""
        email, password = f"{role}-{secrets.token_hex(3)}@{self.tenant.slug}.example", secrets.token_urlsafe(12)
        self.atrium.stack.environment["BROWSER_PASSWORD"] = password
        self.atrium.manage(
            "create_member", "--tenant", self.tenant.slug, "--email", email, "--role", role,
            "--password-env", "BROWSER_PASSWORD",
        )  # fmt: skip
        return email, password


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        executable()
    except RuntimeError as missing:
        pytest.exit(str(missing), returncode=3)
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def acme_desk(atrium: Atrium) -> Desk:
    """A tenant that has been there for a month, with documents, a prompt, a webhook and a report."""
    tenant = atrium.new_tenant(budget="5.00")
    atrium.manage("make_demo_history", "--tenant", tenant.slug)
    with tenant.sdk() as sdk:
        store = sdk.vector_stores.create(name="Handbook")
        for path in DOCUMENTS:
            sdk.vector_stores.files.upload(vector_store_id=store.id, file=path)
        furnish(atrium, tenant)
        eventually(
            lambda: all(row.status == "completed" for row in sdk.vector_stores.files.list(store.id)), seconds=180
        )
    return Desk(atrium, tenant)


def furnish(atrium: Atrium, tenant: Tenant) -> None:
    """One of each thing that has pages and that the history and the documents do not bring."""
    said = [{"role": "user", "content": "Say hello to {{name}}."}]
    wanted: dict[str, dict[str, Any]] = {
        "prompts": {
            "name": "greeting",
            "version": {"messages": said, "variables": {"name": {"type": "string"}}, "labels": ["live"]},
        },
        "webhook_endpoints": {"name": "ours", "url": "https://example.invalid", "event_types": ["statement.closed"]},
        "signing_secrets": {"name": "backend"},
        "reports": {"kind": "costs", "start_time": 1_700_000_000},
        "report_schedules": {"kind": "costs", "name": "monthly", "every": "month"},
        "variants": {"name": "ours", "base": "local-extractive"},
    }
    made = {path: atrium.post(f"/v1/{path}", tenant.key, body) for path, body in wanted.items()}
    headers = {"authorization": f"Bearer {tenant.key}"}
    # Its name leads nowhere, and that is kept.
    test = f"{tenant.url}/v1/webhook_endpoints/{made['webhook_endpoints']['id']}/test"
    assert httpx2.post(test, json={}, headers=headers, timeout=30).status_code == 400
    policy = {"input": {"deny_list": {"action": "flag"}}, "deny_list": ["quicksilver"]}
    httpx2.put(f"{tenant.url}/v1/safety_policy", json=policy, headers=headers, timeout=30).raise_for_status()
    asked = {"model": "local-extractive", "messages": [{"role": "user", "content": "Where is the quicksilver?"}]}
    atrium.post("/v1/chat/completions", tenant.key, asked)


@pytest.fixture(scope="session")
def globex_desk(atrium: Atrium) -> Desk:
    """Another tenant."""
    return Desk(atrium, atrium.new_tenant(budget="5.00"))


Sits = Callable[..., Person]


@pytest.fixture
def sits(browser: Browser, atrium: Atrium, request: pytest.FixtureRequest) -> Iterator[Sits]:
    """Puts people at browsers; at the end nothing may have gone wrong behind their pages."""
    people: list[Person] = []

    def sit(seat: tuple[str, str] | None = None, **how: Any) -> Person:
        person = Person(browser, atrium.stack.url, **how)
        people.append(person)
        if seat:
            person.logs_in(*seat)
        return person

    yield sit
    if getattr(request.node, "failed", False):
        for number, person in enumerate(people):
            person.photographs(PICTURES / f"{request.node.name}-{number}.png")
    troubles = [trouble for person in people for trouble in person.troubles]
    for person in people:
        person.leaves()
    assert not troubles, troubles


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """Fixtures learn whether their test failed."""
    report = yield
    if report.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
    return report


@pytest.fixture(scope="session")
def owner(acme_desk: Desk) -> tuple[str, str]:
    """Of the tenant with history."""
    return acme_desk.seat("owner")


@pytest.fixture(scope="session")
def stranger(globex_desk: Desk) -> tuple[str, str]:
    """The other tenant's owner."""
    return globex_desk.seat("owner")


@pytest.fixture(scope="session")
def staff(atrium: Atrium) -> tuple[str, str]:
    """One of the platform's staff: e-mail address and password."""
    email, password = "staff@atrium.example", secrets.token_urlsafe(12)
    atrium.stack.environment["BROWSER_PASSWORD"] = password
    atrium.manage("create_staff", "--email", email, "--password-env", "BROWSER_PASSWORD")
    return email, password


@dataclass(frozen=True)
class Walked:
    """Who walked, what was seen, and what went wrong behind the pages."""

    who: str
    seen: Walk
    troubles: list[str]


def _walked(who: str, seat: tuple[str, str], browser: Browser, atrium: Atrium) -> Walked:
    person = Person(browser, atrium.stack.url)
    person.logs_in(*seat)
    done = Walked(who, walk(person), person.troubles)
    person.leaves()
    PICTURES.mkdir(parents=True, exist_ok=True)
    lines = [*done.seen.seen.values(), *done.seen.files, "", *done.seen.refused, *done.seen.too_wide]
    text = "\n".join([*lines, *done.seen.inaccessible, *done.troubles])
    (PICTURES / f"walk-{who}.txt").write_text(text)
    return done


@pytest.fixture(scope="session")
def owners_walk(browser: Browser, atrium: Atrium, owner: tuple[str, str]) -> Walked:
    """Over all pages that an owner's links lead to."""
    return _walked("owner", owner, browser, atrium)


@pytest.fixture(scope="session")
def staffs_walk(browser: Browser, atrium: Atrium, staff: tuple[str, str], acme_desk: Desk) -> Walked:
    """Over all pages that staff's links lead to."""
    return _walked("staff", staff, browser, atrium)
