"""Promise 2: whatever a stranger asks about another tenant's object is answered as for one that does not exist.

The URLconf is walked, so a route added later is tried without anybody thinking of it; a parameter that this module
knows no foreign id for is itself a violation.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import httpx2
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from inference.models import Model
from tenants.desk.pages import PAGES
from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.models import Invitation
from tests.prove.furniture import BY_THE_CLOCK, Furnished, fingerprint, furnish, row_of
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: Ends of routes that answer no GET.
_POST_ONLY = (
    "search",
    "file_batches",
    "cancel",
    "replace",
    "refresh",
    "rotate",
    "rotate_secret",
    "/test",
    "/resend",
    "/sync",
    "/render",
    "policies/<path:model_id>",
)
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_LISTS = (
    "files", "vector_stores", "api_keys", "signing_secrets", "vector_stores/{own_store_id}/files", "chat/completions",
    "prompts", "feedback", "batches", "safety_policy/versions", "safety_screenings", "webhook_endpoints", "webhook_deliveries",
    "reports", "report_schedules",
)  # fmt: skip
_VARIES = re.compile(
    r'csrfmiddlewaretoken" value="\w+"|nonce="[^"]+"|nonce-[\w+/=-]+|"created(_at)?":\d+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}'
    r'|"next_page":"[^"]*"'  # signed together with what was asked
)
#: What passes the validation of the routes that take a body and an id.
_BODY = {
    "name": "x", "query": "codeword", "attributes": {"a": "b"}, "metadata": {"a": "b"},
    "items": [{"role": "user", "content": "x"}],
}  # fmt: skip


def prove(ground: Ground) -> Verdict:
    """globex asks for what is acme's, through the API, the hot path and the admin."""
    acme, globex = furnish(ground, f"acme{uuid4().hex[:8]}"), furnish(ground, f"globex{uuid4().hex[:8]}")
    violations = _controls(ground, acme)
    before = fingerprint(ground, acme)
    doors = 0
    for one_by_one in (_api, _bodies, _admin):
        for name, foreign, missing in one_by_one(ground, acme, globex):
            doors += 1
            if foreign != missing:
                violations.append(f"{name}: {foreign} for acme's, {missing} for a missing one"[:400])
            if acme.mark in str(foreign).replace("<sent>", ""):
                violations.append(f"{name}: the answer tells acme's name")
    after = fingerprint(ground, acme)
    changed = [table for table in after.keys() - BY_THE_CLOCK if after[table] != before[table]]
    violations += [f"acme's rows in {table} were changed" for table in changed]
    return Verdict(
        f"{doors} doors (route × method, bodies, admin pages) tried with a foreign and a missing id", violations
    )


def _routes(resolver: Any, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern, route)
        elif isinstance(pattern, URLPattern):
            yield route


def _filled(route: str, ids: dict[str, str]) -> str:
    return "/" + _PARAMETER.sub(lambda found: ids[found[1]], route)


def _missing(ids: dict[str, str]) -> dict[str, str]:
    """Ids of the same form and the same moment (lists page by them) that nobody has."""
    fresh = {name: re.sub("[0-9a-f]{16}$", uuid4().hex[16:], text) for name, text in ids.items()}
    return fresh | {"model_id": f"nobody{uuid4().hex[:8]}-model"}


def _controls(ground: Ground, acme: Furnished) -> list[str]:
    """The owner is answered, or equal refusals would prove nothing."""
    wrong = []
    with httpx2.Client(
        base_url=ground.stack.url, headers={"authorization": f"Bearer {acme.tenant.key}"}, timeout=30
    ) as client:
        for route in _api_routes():
            if "platform" in route or route.endswith(_POST_ONLY):
                continue  # they answer POST only
            path = _filled(route, acme.ids)
            if client.get(path).status_code != 200:
                wrong.append(f"GET {path} by its owner: {client.get(path).status_code}")
    return wrong


def _api_routes() -> list[str]:
    """Those that name an object; a report's download link is a signature, which opens it to whoever asks."""
    routes = (route for route in _routes(get_resolver()) if route.startswith("v1/") and _PARAMETER.search(route))
    return [route for route in routes if not route.startswith("v1/report_files/")]


def _told(answer: httpx2.Response, sent: dict[str, str]) -> tuple[int, str]:
    """What the client can tell apart: status and body, without the ids that it sent itself."""
    text = answer.text
    for value in sent.values():
        text = text.replace(value, "<sent>")
    return answer.status_code, _VARIES.sub("", text)


def _api(ground: Ground, acme: Furnished, globex: Furnished) -> Iterator[tuple[str, Any, Any]]:
    """Each route with parameters × each method; of two parameters also the first one's own."""
    with ExitStack() as clients:
        anywhere = clients.enter_context(_caller(ground, globex))
        for number, route in enumerate(_api_routes()):
            # The operator's doors count wrong keys by address; a tenant's key is a wrong one there.
            client = clients.enter_context(_caller(ground, globex, number + 2)) if "platform" in route else anywhere
            names = _PARAMETER.findall(route)
            if unknown := set(names) - set(acme.ids):
                yield f"/{route}: no foreign id known for {unknown}", True, False
                continue
            for own in (names[:count] for count in range(len(names))):
                for method in METHODS:
                    told = []
                    for ids in (acme.ids, _missing(acme.ids)):
                        sent = {name: globex.ids[name] if name in own else ids[name] for name in names}
                        told.append(_told(_in_time(client, method, _filled(route, sent)), sent))
                    yield f"{method} /{route} own {own}", *told


def _in_time(client: httpx2.Client, method: str, path: str) -> httpx2.Response:
    """The answer; tests of webhooks, of which a tenant has ten a minute, are waited for."""
    answer = client.request(method, path, json=_BODY)
    while answer.status_code == 429 and path.endswith("/test"):
        time.sleep(float(answer.headers["retry-after"]))
        answer = client.request(method, path, json=_BODY)
    return answer


def _bodies(ground: Ground, acme: Furnished, globex: Furnished) -> Iterator[tuple[str, Any, Any]]:
    """Ids in bodies and queries, the hot path's among them."""
    chat = {"messages": [{"role": "user", "content": "What is the codeword of the vault?"}]}

    asked = {"model": "local-extractive", "input": "What is the codeword of the vault?"}

    def searching(ids: dict[str, str]) -> dict[str, Any]:
        tools = [{"type": "file_search", "vector_store_ids": [ids["store_id"]]}]
        return {**chat, "model": "local-extractive", "tools": tools}

    def both(ids: dict[str, str]) -> dict[str, Any]:
        tools = [{"type": "file_search", "vector_store_ids": [globex.ids["store_id"], ids["store_id"]]}]
        return {**chat, "model": "local-extractive", "tools": tools}

    bodies: list[tuple[str, Callable[[dict[str, str]], dict[str, Any]]]] = [
        ("vector_stores", lambda ids: {"file_ids": [ids["file_id"]]}),
        (f"vector_stores/{globex.ids['store_id']}/files", lambda ids: {"file_id": ids["file_id"]}),
        (
            f"vector_stores/{globex.ids['store_id']}/files",
            lambda ids: {"file_id": globex.ids["file_id"], "replaces": ids["file_id"]},
        ),
        (f"vector_stores/{globex.ids['store_id']}/file_batches", lambda ids: {"file_ids": [ids["file_id"]]}),
        ("budgets", lambda ids: {"name": "mine", "limit": "1", "api_key_id": ids["key_id"]}),
        ("chat/completions", searching),
        ("chat/completions", lambda ids: {**searching(ids), "stream": True}),
        ("chat/completions", both),
        ("chat/completions", lambda ids: {**chat, "model": ids["model_id"]}),
        ("embeddings", lambda ids: {"model": ids["model_id"], "input": "x"}),
        ("chat/completions", lambda ids: {**chat, "model": "local-extractive", "prompt": {"id": ids["prompt_id"]}}),
        ("feedback", lambda ids: {"response_id": ids["completion_id"], "rating": 1}),
        ("responses", lambda ids: {**asked, "previous_response_id": ids["response_id"]}),
        ("responses", lambda ids: {**asked, "conversation": ids["conversation_id"]}),
        ("responses", lambda ids: {**asked, "input": [{"type": "item_reference", "id": ids["item_id"]}]}),
        ("responses", lambda ids: {**asked, "prompt": {"id": ids["prompt_id"]}}),
        ("responses", lambda ids: {**asked, "tools": searching(ids)["tools"]}),
        ("responses/input_tokens", lambda ids: {**asked, "previous_response_id": ids["response_id"]}),
    ]
    lists = [path.format(own_store_id=globex.ids["store_id"]) for path in _LISTS]
    of_keys = ("organization/usage/completions", "organization/usage/embeddings", "organization/costs")
    with _caller(ground, globex) as client:
        for path, body in bodies:
            told = []
            for ids in (acme.ids, _missing(acme.ids)):
                told.append(_told(client.post(f"/v1/{path}", json=body(ids)), ids))
            yield f"POST /v1/{path} {body(acme.ids)}", *told
        for path in lists:
            for cursor in ("after", "before"):
                for name in ("file_id", "store_id", "key_id"):
                    told = []
                    for ids in (acme.ids, _missing(acme.ids)):
                        told.append(_told(client.get(f"/v1/{path}", params={cursor: ids[name]}), ids))
                    yield f"GET /v1/{path}?{cursor}={name}", *told
        for path in of_keys:
            told = []
            for ids in (acme.ids, _missing(acme.ids)):
                told.append(
                    _told(client.get(f"/v1/{path}", params={"start_time": 1, "api_key_ids": ids["key_id"]}), ids)
                )
            yield f"GET /v1/{path}?api_key_ids", *told


def _caller(ground: Ground, who: Furnished, address: int = 1) -> httpx2.Client:
    return httpx2.Client(
        base_url=ground.stack.url,
        headers={"authorization": f"Bearer {who.tenant.key}"},
        timeout=60,
        transport=httpx2.HTTPTransport(local_address=f"127.0.0.{address}"),
    )


def _admin(ground: Ground, acme: Furnished, globex: Furnished) -> Iterator[tuple[str, Any, Any]]:
    """Every admin page that takes an object, by globex's owner, and the bulk actions."""
    client = Client(raise_request_exception=False)
    client.force_login(globex.owner)
    yield from _desk_pages(ground, client, acme)
    own = {f"admin/{page.path}" for page in PAGES.values()}
    for route in _routes(get_resolver()):
        # Below log-in nothing is anybody's row: a name opens the way to a provider, to whoever knows it.
        found = re.match(r"admin/(?!login/)(\w+)/(\w+)/", route)
        if not found or not _PARAMETER.search(route) or route in own:
            continue
        model = apps.get_model(found[1], found[2])
        theirs = row_of(ground, model, acme)
        if theirs is None:
            yield f"/{route}: acme has no {found[2]} to ask for", True, not issubclass(model, TenantModel)
            continue
        for method in ("get", "post"):
            told = [_page(client, method, "/" + _PARAMETER.sub(str(key), route), key) for key in _pair(model, theirs)]
            yield f"admin {method} {route}", *told
        for action in ("delete_selected", "revoke", "suspend"):
            path = f"/admin/{found[1]}/{found[2]}/"
            form = {"action": action, "post": "yes"}
            told = [
                _page(client, "post", path, key, {**form, "_selected_action": str(key)}) for key in _pair(model, theirs)
            ]
            yield f"admin {action} on {path}", *told
        kind = ContentType.objects.get_for_model(model).pk
        yield (
            f"admin r/{found[2]}",
            *(_page(client, "get", f"/admin/r/{kind}/{key}/", key) for key in _pair(model, theirs)),
        )


def _desk_pages(ground: Ground, client: Client, acme: Furnished) -> Iterator[tuple[str, Any, Any]]:
    """Pages and scripts' doors of the desk's own that are about an object."""
    ids = {name: str(UUID(hex=text[-32:])) for name, text in acme.ids.items() if re.search("[0-9a-f]{32}$", text)}
    ids |= {"call_id": acme.ids["completion_id"], "model_id": str(row_of(ground, Model, acme))}
    ids |= {"invitation_id": str(row_of(ground, Invitation, acme)), "person_id": str(acme.owner.pk)}
    missing = {name: re.sub("[0-9a-f]{12}$", uuid4().hex[20:], text) for name, text in ids.items()}
    for name, page in PAGES.items():
        names = _PARAMETER.findall(page.path)
        if unknown := set(names) - set(ids):
            yield f"admin page {name}: no foreign id known for {unknown}", True, False
        elif names:
            for method in ("get", "post"):
                told = [
                    _page(client, method, f"/admin{_filled(page.path, known)}", known[names[0]])
                    for known in (ids, missing)
                ]
                yield f"admin page {method} {name}", *told


def _pair(model: Any, theirs: Any) -> tuple[Any, Any]:
    """A key that exists and one of the same kind that does not."""
    return theirs, (2_000_000_000 if isinstance(theirs, int) else uuid7())


def _page(client: Client, method: str, path: str, key: Any, form: Any = None) -> tuple[int, str, list[str], str]:
    """Status, where it leads, what it says, and the page itself."""
    client.cookies.pop("messages", None)  # what earlier answers left to say
    answer = getattr(client, method)(path, form or ({"post": "yes"} if method == "post" else {}))

    def blank(text: str) -> str:
        return _VARIES.sub("", text.replace(str(key), "<sent>")).replace("<sent>", "")

    said = [blank(str(message)) for message in answer.wsgi_request._messages]
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return answer.status_code, blank(answer.get("Location", "")), said, blank(body.decode())
