"""Promise 15, the admin: guessing is stopped, whatever is written is in the log, nothing in a file runs as a formula.

The forms are those of the pages themselves: each is fetched, filled as a browser would, and sent, by a tenant's owner.
A write that had an effect must have left an audit row; with the log refused, it must have had none.
"""

import csv
import io
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tenants.database_roles import APP
from tenants.desk.base import TenantAdmin
from tenants.desk.pages import PAGES, DeskPage
from tests.e2e.conftest import eventually
from tests.prove.forms import filled, forms, sent, writes
from tests.prove.furniture import BY_THE_CLOCK, Furnished, fingerprint, furnish, row_of
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict

_LOG = "tenants_auditevent"
#: What the log and the tasks of the clock write, whoever uses the admin.
_BESIDE = BY_THE_CLOCK | {
    _LOG, "tenants_work", "tenants_apikey_use", "tenants_lane", "tenants_letter", "tenants_webhookevent",
    "tenants_webhookdelivery",
}  # fmt: skip
#: What stands in the addresses of pages → whose row it is.
_ROWS = {
    "prompt_id": "inference.Prompt", "variant_id": "inference.Variant", "key_id": "tenants.ApiKey",
    "invitation_id": "tenants.Invitation", "endpoint_id": "tenants.WebhookEndpoint", "store_id": "knowledge.VectorStore",
}  # fmt: skip
#: Fewer writes that had an effect prove nothing.
_LEAST_WRITES = 25
_FORMULA = re.compile(r"^[=+\-@\t\r\n]")
_EVIL = ("=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(1+1)", "\t=1+1")


def prove(ground: Ground) -> Verdict:
    """Doors, writes, files."""
    ours = furnish(ground, f"acme{uuid4().hex[:8]}")
    guesses, at_the_door = _guesses(ground)
    cells, running = _files(ground, ours)
    # Last: they take away keys, too.
    count, unlogged = _writes(ground, ours)
    figures = f"{guesses} guesses at passwords, {count} writes by the pages' own forms, {cells} cells of exports"
    return Verdict(figures, [*at_the_door, *unlogged, *_log_is_append_only(ground), *running])


# --- the door ---


def _guesses(ground: Ground) -> tuple[int, list[str]]:
    """Ten wrong passwords for one name, from ten addresses; then the right one. And ten names from one address."""
    name, violations, tried = f"guess{uuid4().hex[:8]}@example.org", [], 0
    answers = []
    for number in range(10):
        tried += 1
        answers.append(_log_in(ground, name, "wrong", address=f"127.0.7.{number + 1}"))
    if answers[5:] != [429] * 5:
        violations.append(f"ten guesses at one name were answered {answers}")
    answers = []
    for number in range(10):
        tried += 1
        answers.append(_log_in(ground, f"{number}{name}", "wrong", address="127.0.8.1"))
    if answers[5:] != [429] * 5:
        violations.append(f"ten guesses from one address were answered {answers}")
    return tried, violations


def _log_in(ground: Ground, name: str, password: str, *, address: str) -> int:
    transport = httpx2.HTTPTransport(local_address=address)
    with httpx2.Client(base_url=ground.stack.url, transport=transport, timeout=30, follow_redirects=False) as client:
        page = client.get("/admin/login/")
        if page.status_code == 429:
            return 429
        (form,) = (form for form in forms(page.text) if "password" in form.fields)
        fields = sent(form) | {"login": name, "password": password}
        answer = client.post("/admin/login/", data=fields, headers={"referer": f"{ground.stack.url}/admin/login/"})
        return answer.status_code


# --- writes ---


def _writes(ground: Ground, ours: Furnished) -> tuple[int, list[str]]:
    """Each form that the pages offer, by the owner; how many had an effect, and what left no trace."""
    client = Client(raise_request_exception=False)
    client.force_login(ours.owner)
    effective, violations = [], []
    for name, path, form in _offers(ground, client, ours):
        before, logged = _settled(ground, ours), _logged(ground, ours)
        with _log_refused():
            client.post(path, form)
        if changed := _differences(before, _rows(ground, ours)):
            violations.append(f"{name} changed {changed} although the log was refused")
            continue
        client.post(path, form)
        if not _differences(before, _rows(ground, ours)):
            continue  # the form wants more than was filled in
        effective.append(name)
        if _logged(ground, ours) <= logged:
            violations.append(f"{name} left no audit row")
    if len(effective) < _LEAST_WRITES:
        violations.append(f"only {len(effective)} forms had an effect: {', '.join(effective)}")
    return len(effective), violations


def _offers(ground: Ground, client: Client, ours: Furnished) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(Name, address, fields) of forms, as the pages show them at the moment they are asked for: of rows to add, to
    change and to delete, then of pages that are no list's, where what takes something away comes last."""
    addresses = [*_forms_of_rows(ground, ours), *_pages(ground, ours)]
    for name, path in addresses:
        answer = client.get(path)
        if answer.status_code != 200:
            continue
        for form, button in writes(answer.content.decode(), path):
            yield f"{name} {button.get('value', '') if button is not None else ''}".rstrip(), path, filled(form, button)


def _forms_of_rows(ground: Ground, ours: Furnished) -> Iterator[tuple[str, str]]:
    for verb in ("add", "change", "delete"):
        for model, page in admin.site._registry.items():
            if not isinstance(page, TenantAdmin) or verb not in page.offers:
                continue
            key = None if verb == "add" else row_of(ground, model, ours)
            if verb == "add" or key is not None:
                name = f"{model._meta.app_label}_{model._meta.model_name}_{verb}"
                yield name, reverse(f"admin:{name}", args=[] if key is None else [key])


def _pages(ground: Ground, ours: Furnished) -> Iterator[tuple[str, str]]:
    for name, page in PAGES.items():
        wanted = re.findall(r"<uuid:(\w+)>", page.path)
        if not hasattr(page, "post") or not issubclass(page, DeskPage) or not set(wanted) <= _ROWS.keys():
            continue
        keys = {kind: row_of(ground, apps.get_model(_ROWS[kind]), ours) for kind in wanted}
        if None not in keys.values() and "<str" not in page.path:
            yield name, reverse(f"admin:{name}", kwargs=keys)


def _rows(ground: Ground, ours: Furnished) -> dict[str, str]:
    """Everything of the tenant's but the log, and what workers and the clock change."""
    found = fingerprint(ground, ours)
    return {table: digest for table, digest in found.items() if table not in _BESIDE}


def _settled(ground: Ground, ours: Furnished) -> dict[str, str]:
    """The same, once workers have done with what the last write set off."""
    seen: list[dict[str, str]] = [{}]

    def stands() -> bool:
        seen.append(_rows(ground, ours))
        return seen[-1] == seen[-2]

    eventually(stands, seconds=60)
    return seen[-1]


def _differences(before: dict[str, str], after: dict[str, str]) -> str:
    return ", ".join(sorted(table for table in before if before[table] != after[table]))


def _logged(ground: Ground, ours: Furnished) -> int:
    return ground.sql(f"SELECT count(*) FROM {_LOG} WHERE tenant_id = %s", ours.id)[0][0]


@contextmanager
def _log_refused() -> Iterator[None]:
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], dbname="atrium", autocommit=True) as connection:
        connection.execute(f"REVOKE INSERT ON {_LOG} FROM {APP}")
        try:
            yield
        finally:
            connection.execute(f"GRANT INSERT ON {_LOG} TO {APP}")


def _log_is_append_only(ground: Ground) -> list[str]:
    """Neither the web role nor staff's may change or remove what stands in the log."""
    rights = ground.sql(
        "SELECT r.rolname, p.privilege FROM pg_roles r, (VALUES ('UPDATE'), ('DELETE'), ('TRUNCATE')) p (privilege) "
        "WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> 'atrium_owner' "
        f"AND has_table_privilege(r.oid, '{_LOG}'::regclass, p.privilege)"
    )
    return [f"{role} may {privilege} audit rows" for role, privilege in rights]


# --- files ---


def _files(ground: Ground, ours: Furnished) -> tuple[int, list[str]]:
    """Names that a spreadsheet would run, wherever a tenant may put them; then every file with them in it."""
    with httpx2.Client(
        base_url=ground.stack.url, headers={"authorization": f"Bearer {ours.tenant.key}"}, timeout=60
    ) as client:
        for evil in _EVIL:
            made = client.post(
                "/v1/api_keys", json={"name": evil, "scopes": ["inference"], "tags": {"team": evil.strip()}}
            )
            made.raise_for_status()
            asked = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "user": evil}
            headers = {"authorization": f"Bearer {made.json()['value']}"}
            client.post("/v1/chat/completions", json=asked, headers=headers).raise_for_status()
        files = [_report(client, kind, form) for kind in ("usage", "costs", "ledger") for form in ("csv", "xlsx")]
        files.append(_report(client, "focus", "csv"))
    files.extend(_exports_of_the_desk(ours))
    cells, violations = 0, []
    for name, content in files:
        count, running = _workbook(content) if content.startswith(b"PK") else _text(content)
        cells += count
        violations += [f"{name}: {cell!r}" for cell in running]
    if not cells:
        violations.append("no export had a cell")
    return cells, violations


def _report(client: httpx2.Client, kind: str, form: str) -> tuple[str, bytes]:
    asked = {"kind": kind, "format": form, "start_time": 1_700_000_000, "group_by": []}
    asked["group_by"] = [] if kind in ("ledger", "focus") else ["api_key_id", "user_id"]
    made = client.post("/v1/reports", json={key: value for key, value in asked.items() if value != []})
    made.raise_for_status()
    path = f"/v1/reports/{made.json()['id']}"
    done = eventually(lambda: (found := client.get(path).json())["status"] == "completed" and found, seconds=60)
    return f"{kind} as {form}", client.get(done["download_url"]).content


def _exports_of_the_desk(ours: Furnished) -> Iterator[tuple[str, bytes]]:
    """Files that pages of the desk link to: the audit log and whatever else says that it is a CSV."""
    client = Client(raise_request_exception=False)
    client.force_login(ours.owner)
    menu = set(re.findall(r'href="(/admin/[\w/-]+/)"', client.get("/admin/").content.decode()))
    for page in sorted(menu):
        for link in set(re.findall(r'href="([^"]*(?:export|csv)[^"]*)"', client.get(page).content.decode())):
            address = link.replace("&amp;", "&")
            answer = client.get(address if address.startswith("/") else f"{page}{address}")
            if answer.status_code == 200 and "csv" in answer.get("Content-Type", ""):
                body = b"".join(answer.streaming_content) if answer.streaming else answer.content
                yield f"{page} {link}", body


def _text(content: bytes) -> tuple[int, list[str]]:
    cells = [cell for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) for cell in row]
    return len(cells), [cell for cell in cells if _FORMULA.match(cell) and not _is_number(cell)]


def _workbook(content: bytes) -> tuple[int, list[str]]:
    """Cells of a workbook; a formula is an element of its own there, and text is text."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheets = [book.read(name).decode() for name in book.namelist() if name.startswith("xl/worksheets/")]
    cells = sum(len(re.findall(r"<c[ >]", sheet)) for sheet in sheets)
    return cells, [found for sheet in sheets for found in re.findall(r"<f[ >].*?</f>", sheet)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
