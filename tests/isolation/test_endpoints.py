"""Every route of Atrium as nobody, as a stranger, and with a key that may not: one table, complete by construction.

The routes come from Django's resolver and the hot path's table; a route or a method without a row here fails. The
admin's pages have `test_admin_doors`.
"""

import json
import re
from asyncio import to_thread
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import URLPattern, URLResolver, get_resolver

from config.api_docs import DocsView
from inference.catalogue import forget_terms
from inference.endpoints import ENDPOINTS
from inference.gateway import Gateway
from tenants.api_keys import issue
from tenants.api_view import PlatformAPIView, TenantAPIView
from tenants.audit import COMMAND_LINE
from tenants.permissions import KEY_SCOPES
from tenants.scope import acting_for
from tests.conftest import Member
from tests.isolation.belongings import NOBODYS, one_of_each, share_a_model
from tests.isolation.doors import DOORS, HOT_DOORS, PLATFORM_DOORS, STORE, Door
from tests.tenants.admin_desk import plain_static_files
from tests.tenants.committed import _django_db_helper, committed

__all__ = ["_django_db_helper", "committed", "plain_static_files"]

#: For the hot path, whose threads have connections of their own and so see no test's open transaction.
on_committed_rows = pytest.mark.django_db(databases=["default", "owner", "staff"])


#: They answer the same to everybody and hold nothing of a tenant.
PUBLIC = {"healthz", "readyz", "metrics", "v1/openapi.json", "v1/docs"}
#: A signature opens them, to whoever has it: what is tried there is in `tests/billing/test_exports_api.py`.
SIGNED = {"v1/report_files/<str:token>"}


def routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(route, view) of every pattern, included ones too, without the admin's."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^")
        if route.startswith("admin/"):
            continue
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback


def methods(view: Any) -> set[str]:
    """What a class-based view answers to, OPTIONS aside."""
    return {name.upper() for name in ("get", "post", "put", "patch", "delete") if hasattr(view.cls, name)}


def test_every_route_and_method_has_a_row() -> None:
    found: dict[str, set[tuple[str, str]]] = {"tenant": set(), "platform": set(), "public": set()}
    for route, view in routes(get_resolver().url_patterns):
        cls = getattr(view, "cls", None)
        if cls is not None and issubclass(cls, TenantAPIView):
            found["tenant"] |= {(method, route) for method in methods(view)}
        elif cls is not None and issubclass(cls, PlatformAPIView):
            found["platform"] |= {(method, route) for method in methods(view)}
        else:
            found["public"].add(("", route))
    assert found["tenant"] == {(door.method, door.route) for door in DOORS}
    assert found["platform"] == {(door.method, door.route) for door in PLATFORM_DOORS}
    assert {route for _, route in found["public"]} == PUBLIC | SIGNED
    assert {path.lstrip("/") for path in ENDPOINTS} == {door.route for door in HOT_DOORS}
    assert DocsView.authentication_classes == []


def test_every_scope_is_needed_somewhere() -> None:
    assert {door.scope for door in [*DOORS, *HOT_DOORS]} == KEY_SCOPES


@pytest.fixture(autouse=True)
def _files_of_this_test(settings: Any, tmp_path: Path) -> None:
    options = {**settings.STORAGES["default"], "OPTIONS": {"location": tmp_path / "files"}}
    settings.STORAGES = {**settings.STORAGES, "default": options}
    forget_terms()
    cache.clear()  # of failed attempts, which are counted by address


def key_without(member: Member, scope: str) -> str:
    """A key that may do everything else."""
    with acting_for(member.tenant.id):
        return issue(name="all but one", scopes=sorted(KEY_SCOPES - {scope}), by=COMMAND_LINE)[1]


@pytest.fixture
def theirs(acme: Member) -> dict[str, str]:
    """The ids of acme's objects."""
    return one_of_each(acme)


def knock(member: Member, door: Door, ids: dict[str, str]) -> tuple[int, str]:
    """(status, body) with the ids that were asked for left out."""
    url = "/" + re.sub(r"<\w+:(\w+)_id>", lambda match: ids[match[1]], door.route)
    text = re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], json.dumps(door.body))
    body = text if door.method in ("POST", "PUT") else ""
    answer = member.client.generic(door.method, url, body, content_type="application/json")
    text = answer.getvalue().decode()
    for value in ids.values():
        text = text.replace(value, "ID")
    return answer.status_code, text


def failures(doors: Iterable[Door], problem: Callable[[Door], object]) -> dict[str, object]:
    """door → what is wrong with its answers, for those where `problem` found something.

    One cast and one of each object serve all doors: making them anew for each would take most of the suite's time here.
    """
    found = {str(door): problem(door) for door in doors}
    return {door: wrong for door, wrong in found.items() if wrong}


def test_without_a_key_a_door_stays_shut(acme: Member, theirs: dict[str, str]) -> None:
    wrong = ("", "sk-wrong", acme.key[:-1], acme.key.replace("sk-", "pk-"), acme.key + "x")

    def opened(door: Door) -> object:
        cache.clear()  # wrong platform keys are counted by address, and soon answered 429
        answers = [knock(Member(acme.tenant, key), door, theirs) for key in wrong]
        return [answer for answer in answers if answer[0] != 401 or "acmemark" in answer[1]]

    assert failures([*DOORS, *PLATFORM_DOORS], opened) == {}


def test_a_key_without_the_scope_is_refused(acme: Member, theirs: dict[str, str]) -> None:
    keys = {scope: key_without(acme, scope) for scope in KEY_SCOPES}

    def opened(door: Door) -> object:
        status, body = knock(Member(acme.tenant, keys[door.scope]), door, theirs)
        refused = (status, json.loads(body)["error"]["code"]) == (403, "insufficient_scope")
        return None if refused and door.scope in body and "acmemark" not in body else (status, body)

    assert failures(DOORS, opened) == {}


def test_a_foreign_id_answers_like_a_missing_one(theirs: dict[str, str], globex: Member) -> None:
    def differs(door: Door) -> object:
        missing, foreign = knock(globex, door, NOBODYS), knock(globex, door, theirs)
        expected = 400 if door.route == "v1/budgets" else 404
        return None if foreign == missing and missing[0] == expected else (foreign, missing)

    assert failures([door for door in DOORS if door.names_an_object], differs) == {}


def test_a_foreign_file_or_batch_in_an_own_store_is_missing_too(theirs: dict[str, str], globex: Member) -> None:
    own = globex.client.post("/v1/vector_stores", {"name": "own"}, format="json").json()["id"]

    def differs(door: Door) -> object:
        missing, foreign = [knock(globex, door, {**ids, "store": own}) for ids in (NOBODYS, theirs)]
        return None if foreign == missing and missing[0] == 404 else (foreign, missing)

    assert failures([door for door in DOORS if door.route.count("<") == 2 and STORE in door.route], differs) == {}


def test_lists_and_reports_hold_nothing_of_another_tenant(theirs: dict[str, str], globex: Member) -> None:
    query = {
        "start_time": 1,
        "after": theirs["file"],
        "limit": 100,
        "project_ids[]": theirs["tenant"],
        "api_key_ids[]": theirs["key"],
    }
    marks = {"acmemark", *(value for name, value in theirs.items() if name != "tenant")}

    def told(door: Door) -> object:
        answers = [globex.client.get(f"/{door.route}", asked) for asked in ({}, {"start_time": 1}, query)]
        return [mark for answer in answers for mark in marks if mark in answer.getvalue().decode()]

    assert failures([door for door in DOORS if door.method == "GET" and "<" not in door.route], told) == {}


def test_after_a_stranger_knocked_everywhere_nothing_has_changed(
    theirs: dict[str, str], acme: Member, globex: Member
) -> None:
    urls = [
        f"/v1/files/{theirs['file']}",
        f"/v1/vector_stores/{theirs['store']}",
        f"/v1/api_keys/{theirs['key']}",
        f"/v1/signing_secrets/{theirs['secret']}",
        f"/v1/batches/{theirs['job']}",
        f"/v1/responses/{theirs['response']}",
        f"/v1/conversations/{theirs['conversation']}",
        f"/v1/conversations/{theirs['conversation']}/items",
        "/v1/safety_policy",
        "/v1/safety_screenings",
        "/v1/budgets",
        f"/v1/budgets/{theirs['budget']}/alerts",
        "/v1/allocation_tags",
        f"/v1/chat/completions/{theirs['completion']}",
        f"/v1/prompts/{theirs['prompt']}",
        f"/v1/feedback/{theirs['feedback']}",
        f"/v1/webhook_endpoints/{theirs['endpoint']}",
        f"/v1/webhook_deliveries/{theirs['delivery']}",
    ]
    before = [acme.client.get(url).json() for url in urls]
    for door in DOORS:
        knock(globex, door, theirs)
    assert [acme.client.get(url).json() for url in urls] == before


def test_a_tenants_key_opens_no_door_of_the_operator(acme: Member, theirs: dict[str, str], globex: Member) -> None:
    def opened(door: Door) -> bool:
        cache.clear()  # of wrong platform keys, as above
        return any(knock(member, door, theirs)[0] != 401 for member in (acme, globex))

    assert failures(PLATFORM_DOORS, opened) == {}


@pytest.mark.usefixtures("plain_static_files")
def test_public_pages_hold_nothing_of_a_tenant(acme: Member, theirs: dict[str, str]) -> None:
    for route in sorted(PUBLIC):
        text = acme.client.get(f"/{route}", format="json").getvalue().decode()
        assert text and not any(mark in text for mark in (str(acme.tenant.id), acme.tenant.id.hex, "acmemark")), route


# the hot path --------------------------------------------------------------------------------------------------------


async def post(door: Door, key: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """(status, error) of a request that must not get as far as a worker."""
    sent: list[dict[str, Any]] = []
    inbound = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict[str, Any]:
        return next(inbound, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    scope = {"type": "http", "method": door.method, "path": f"/{door.route}", "headers": headers}
    gateway = Gateway()
    await gateway.start()
    try:
        await gateway(scope, receive, send)
    finally:
        await gateway.stop()
    error = json.loads(sent[1]["body"])["error"]
    assert dict(sent[0]["headers"])[b"x-request-id"].decode() == error.pop("request_id")
    return sent[0]["status"], error


@on_committed_rows
async def test_the_hot_path_needs_a_key(committed: Callable[[str], Member]) -> None:
    acme = await to_thread(committed, "acme")
    for door in HOT_DOORS:
        for key in ("", "sk-wrong", acme.key[:-1]):
            assert (await post(door, key, json.dumps(door.body).encode()))[0] == 401


@on_committed_rows
async def test_the_hot_path_needs_its_scope(committed: Callable[[str], Member]) -> None:
    acme = await to_thread(committed, "acme")
    key = await to_thread(key_without, acme, "inference")
    for door in HOT_DOORS:
        # Before anything of the body is looked at.
        for body in (json.dumps(door.body).encode(), b"{", b""):
            status, error = await post(door, key, body)
            assert (status, error["code"]) == (403, "insufficient_scope")


@on_committed_rows
async def test_another_tenants_model_is_unknown_to_the_hot_path(committed: Callable[[str], Member]) -> None:
    acme, globex = await to_thread(committed, "acme"), await to_thread(committed, "globex")
    await to_thread(share_a_model, acme)
    for door in HOT_DOORS:
        theirs, nobodys = [
            await post(door, globex.key, json.dumps({**door.body, "model": name}).encode())
            for name in ("acmemark", "nobodys")
        ]
        assert theirs[0] == 404
        assert json.dumps(theirs).replace("acmemark", "nobodys") == json.dumps(nobodys)
