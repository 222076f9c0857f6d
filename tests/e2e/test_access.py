"""Access groups through the running stack, as a tenant's backend uses them: by the SDK, with a signed reader in a header."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import openai
import pytest

from tests.e2e.conftest import Atrium, Tenant

pytestmark = pytest.mark.e2e

#: name → (text, allowed_groups)
DOCUMENTS: dict[str, tuple[str, list[str] | None]] = {
    "open": ("The canteen of the observatory opens at noon and closes at three.", None),
    "board": ("The merger with Initech Telescopes closes on the ninth of March.", ["board"]),
    "sales": ("The discount for resellers of the Meridian mount is seventeen percent.", ["board", "sales"]),
}
QUESTION = "On which day does the merger with Initech Telescopes close?"
SECRET_WORD, NOT_ANSWERED = "ninth", "The documents do not answer this question."
HEADER = "Atrium-End-User"


class Backend:
    """A tenant's backend: it holds the API key and the signing secret, and speaks for its readers."""

    def __init__(self, tenant: Tenant, atrium: Atrium) -> None:
        self.tenant = tenant
        self.secret = atrium.post("/v1/signing_secrets", tenant.key, {"name": "app"})

    def token(self, *groups: str, key: str | None = None, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.secret["issuer"], "aud": self.secret["audience"], "sub": "reader-1", "groups": list(groups),
            "iat": now, "exp": now + 300, **changes,
        }  # fmt: skip
        return jwt.encode(claims, key or self.secret["value"], "HS256", headers={"kid": self.secret["id"]})

    def sdk(self, *groups: str) -> openai.OpenAI:
        return self.tenant.sdk(default_headers={HEADER: self.token(*groups)})


@pytest.fixture(scope="module")
def library(atrium: Atrium) -> tuple[Backend, str]:
    """A backend and its store."""
    tenant = atrium.new_tenant()
    sdk = tenant.sdk()
    store = sdk.vector_stores.create(name="library")
    for name, (text, groups) in DOCUMENTS.items():
        file = sdk.files.create(file=(f"{name}.txt", text.encode()), purpose="assistants")
        body = {"allowed_groups": groups} if groups is not None else {}
        done = _attach(sdk, store.id, file.id, body)
        assert (done.status, done.last_error) == ("completed", None)
        assert done.to_dict()["allowed_groups"] == groups
    return Backend(tenant, atrium), store.id


def _attach(sdk: openai.OpenAI, store: str, file: str, body: dict[str, Any]) -> Any:
    sdk.vector_stores.files.create(store, file_id=file, extra_body=body)
    return sdk.vector_stores.files.poll(file, vector_store_id=store, poll_interval_ms=100)


def found(sdk: openai.OpenAI, store: str, query: str = "Meridian merger canteen") -> set[str]:
    return {hit.filename.removesuffix(".txt") for hit in sdk.vector_stores.search(store, query=query).data}


def ask(sdk: openai.OpenAI, store: str, **options: Any) -> str:
    answer = sdk.chat.completions.create(
        model="local-extractive",
        messages=[{"role": "user", "content": QUESTION}],
        tools=[{"type": "file_search", "vector_store_ids": [store]}],  # type: ignore[list-item]
        **options,
    )
    if not options.get("stream"):
        return answer.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


def test_search_and_chat_find_what_the_reader_may(library: tuple[Backend, str]) -> None:
    backend, store = library
    assert found(backend.tenant.sdk(), store) == {"open"}
    assert found(backend.sdk("sales"), store) == {"open", "sales"}
    assert found(backend.sdk("board"), store) == {"open", "sales", "board"}
    for stream in (False, True):
        assert SECRET_WORD in ask(backend.sdk("board"), store, stream=stream)
        for sdk in (backend.sdk("sales"), backend.sdk(), backend.tenant.sdk()):
            assert ask(sdk, store, stream=stream) == NOT_ANSWERED


def test_a_keys_groups_decide_and_cap(atrium: Atrium, library: tuple[Backend, str]) -> None:
    backend, store = library
    wanted = {"name": "board room", "scopes": ["inference", "vector_stores.read"], "groups": ["board"]}
    key = atrium.post("/v1/api_keys", backend.tenant.key, wanted)["value"]
    keyed = replace(backend.tenant, key=key)
    alone = keyed.sdk()
    assert found(alone, store) == set(DOCUMENTS) and SECRET_WORD in ask(alone, store)
    spoken_for = keyed.sdk(default_headers={HEADER: backend.token("sales")})
    assert found(spoken_for, store) == {"open"} and ask(spoken_for, store) == NOT_ANSWERED


def test_the_request_cannot_say_its_groups(library: tuple[Backend, str]) -> None:
    backend, store = library
    said: dict[str, Any] = {"groups": ["board"], "allowed_groups": ["board"], "end_user": {"groups": ["board"]}}
    assert ask(backend.sdk("sales"), store, extra_body=said, user="board", metadata={"groups": "board"}) == NOT_ANSWERED


def _bad_tokens(backend: Backend, stranger: Backend) -> dict[str, str]:
    right, now = backend.token("board"), int(time.time())
    header, claims, signature = right.split(".")
    unsigned = jwt.encode({"groups": ["board"]}, None, algorithm="none", headers={"kid": backend.secret["id"]})
    return {
        "empty": "",
        "nonsense": "x.y.z",
        "no signature": f"{header}.{claims}.",
        "alg none": unsigned,
        "alg none with claims": f"{unsigned.split('.')[0]}.{claims}.",
        "cut": f"{header}.{claims}.{signature[:-3]}",
        "another's secret": backend.token("board", key=stranger.secret["value"]),
        "another tenant's token": stranger.token("board"),
        "expired": backend.token("board", iat=now - 900, exp=now - 600),
        "of the future": backend.token("board", iat=now + 600, exp=now + 900),
        "too long a life": backend.token("board", exp=now + 90_000),
        "groups no list": backend.token(groups="board"),
        "ten kilobytes": backend.token("board", padding="x" * 10_240),
        "twice": f"{right},{right}",
    }


def test_a_bad_token_is_401_and_never_ignored(atrium: Atrium, library: tuple[Backend, str]) -> None:
    backend, store = library
    stranger = Backend(atrium.new_tenant(), atrium)
    for name, token in _bad_tokens(backend, stranger).items():
        sdk = backend.tenant.sdk(default_headers={HEADER: token})
        asked: list[Callable[[], Any]] = [
            lambda sdk=sdk: ask(sdk, store),  # type: ignore[misc]
            lambda sdk=sdk: ask(sdk, store, stream=True),  # type: ignore[misc]
            lambda sdk=sdk: found(sdk, store),  # type: ignore[misc]
            lambda sdk=sdk: sdk.embeddings.create(model="all-MiniLM-L6-v2", input="x"),  # type: ignore[misc]
            lambda sdk=sdk: sdk.models.list(),  # type: ignore[misc]
        ]
        for ask_it in asked:
            with pytest.raises(openai.AuthenticationError) as refused:
                ask_it()
            expected = "end_user_token_expired" if name == "expired" else "invalid_end_user_token"
            assert refused.value.code == expected, name


def test_two_headers_are_not_one(library: tuple[Backend, str]) -> None:
    """A proxy that lets a client's own header through beside the backend's must not let it win."""
    backend, store = library
    body = {
        "model": "local-extractive",
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [{"type": "file_search", "vector_store_ids": [store]}],
    }
    headers = [
        ("authorization", f"Bearer {backend.tenant.key}"),
        (HEADER, backend.token("sales")),
        (HEADER, backend.token("board")),
    ]
    for path, sent in (("chat/completions", body), (f"vector_stores/{store}/search", {"query": "merger"})):
        answer = httpx2.post(f"{backend.tenant.url}/v1/{path}", json=sent, headers=headers, timeout=30)
        assert answer.status_code == 401


def test_an_idempotent_answer_is_not_repeated_to_another_reader(library: tuple[Backend, str]) -> None:
    backend, store = library
    headers = {"Idempotency-Key": uuid4().hex}
    assert SECRET_WORD in ask(backend.sdk("board"), store, extra_headers=headers)
    assert SECRET_WORD in ask(backend.sdk("board"), store, extra_headers=headers)
    with pytest.raises(openai.UnprocessableEntityError):
        ask(backend.sdk("sales"), store, extra_headers=headers)


def test_the_row_carries_the_groups_to_whichever_worker_runs_it(atrium: Atrium, library: tuple[Backend, str]) -> None:
    backend, store = library
    ask(backend.sdk("sales", "x"), store)
    [(groups,)] = atrium.sql(
        "SELECT terms -> 'groups' FROM inference_generation WHERE tenant_id = %s ORDER BY id DESC LIMIT 1",
        backend.tenant.id,
    )
    assert groups == ["sales", "x"]


def test_a_change_of_groups_and_a_revoked_secret_are_followed(atrium: Atrium) -> None:
    backend = Backend(atrium.new_tenant(), atrium)
    sdk = backend.tenant.sdk()
    store = sdk.vector_stores.create(name="changing").id
    file = sdk.files.create(file=("plan.txt", b"The merger closes on the ninth of March."), purpose="assistants")
    _attach(sdk, store, file.id, {"allowed_groups": ["board"]})
    reader = backend.sdk("sales")
    assert found(reader, store) == set()
    sdk.vector_stores.files.update(
        file.id, vector_store_id=store, attributes={}, extra_body={"allowed_groups": ["sales"]}
    )
    assert found(reader, store) == {"plan"}
    httpx2.delete(
        f"{backend.tenant.url}/v1/signing_secrets/{backend.secret['id']}",
        headers={"authorization": f"Bearer {backend.tenant.key}"},
    ).raise_for_status()
    deadline = time.monotonic() + 5  # reliability.md: revoked everywhere within 5 s
    while time.monotonic() < deadline:
        try:
            ask(reader, store)
        except openai.AuthenticationError:
            return
    raise AssertionError("a revoked secret still signs")
