"""The response cache: whose answers are kept, under what key, for how long, and how much of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from billing.models import TenantPrice
from billing.prices import UnpricedModel
from inference.models import CachedResponse, CachePolicy, Grant
from inference.providers.base import Usage
from inference.requests import ChatRequest
from inference.response_cache import (
    Caching,
    Figures,
    Wish,
    cache_key,
    caching_of,
    empty,
    figures,
    keep,
    look_up,
    remove_policy,
    set_policy,
    sweep_expired,
    wish_for,
)
from inference.response_cache.keys import revisions_of
from inference.response_cache.replay import as_stream
from inference.transcript import Transcript
from knowledge.models import VectorStore
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MODEL = "local-extractive"
USAGE = Usage(7, 3, cached_input_tokens=2, reasoning_tokens=1)


def price_of_a_hit(member: Member, amount: str = "0.5") -> None:
    """So much for a thousand hits."""
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        TenantPrice.objects.create(
            tenant_id=tenant_id, model=MODEL, meter="cache_hits", currency="USD", amount=Decimal(amount), per=1_000,
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip


def policy(member: Member, alias: str = MODEL, **options: Any) -> CachePolicy:
    with acting_for(member.tenant.id):
        return set_policy(alias=alias, ttl_seconds=options.pop("ttl", 60), by=COMMAND_LINE, now=NOW, **options)


@pytest.fixture
def wish(acme: Member) -> Wish:
    price_of_a_hit(acme)
    return Wish(policy(acme).grant_id, 60)


def said(text: str = "Hello", finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None, **message},
        "logprobs": None,
        "finish_reason": finish_reason,
    }


# --- policies ---


def test_nothing_is_kept_without_a_policy_and_a_policy_needs_a_price(acme: Member) -> None:
    with pytest.raises(UnpricedModel, match="cache_hits"):
        policy(acme)
    price_of_a_hit(acme, "0")
    row = policy(acme, any_request=True)
    with acting_for(acme.tenant.id), tenant_scope():
        assert caching_of(row.grant_id) == Caching(row.grant_id, 60, True)
        assert caching_of(uuid7()) is None
        actions = list(AuditEvent.objects.filter(object_id=str(row.id)).values_list("action", "changes"))
    assert actions == [("cache_policy.created", {"alias": MODEL, "ttl_seconds": 60, "any_request": True})]
    assert policy(acme, ttl=5).id == row.id
    with acting_for(acme.tenant.id), pytest.raises(InvalidRequest):
        set_policy(alias=MODEL, ttl_seconds=0, by=COMMAND_LINE, now=NOW)
    with pytest.raises(NotFound):
        policy(acme, "all-MiniLM-L6-v2")


def test_a_policy_that_goes_takes_its_answers_along(acme: Member, wish: Wish) -> None:
    with acting_for(acme.tenant.id):
        assert keep(wish, b"k" * 32, [said()], USAGE)
        remove_policy(alias=MODEL, by=COMMAND_LINE)
        assert look_up(b"k" * 32) is None
        with pytest.raises(NotFound, match="are not kept"):
            remove_policy(alias=MODEL, by=COMMAND_LINE)


def test_a_grant_that_is_taken_away_takes_policy_and_answers_along(acme: Member, wish: Wish) -> None:
    with acting_for(acme.tenant.id):
        keep(wish, b"k" * 32, [said()], USAGE)
        with tenant_scope():
            Grant.objects.filter(id=wish.grant_id).delete()
            assert (CachePolicy.objects.count(), CachedResponse.objects.count()) == (0, 0)


def test_the_endpoints_set_show_and_remove(acme: Member) -> None:
    price_of_a_hit(acme)
    path = f"/v1/response_cache/policies/{MODEL}"
    made = acme.client.post(path, {"ttl_seconds": 90}, format="json")
    assert made.status_code == 200, made.content
    assert {**made.json(), "created_at": 0} == {
        "object": "response_cache.policy", "model": MODEL, "ttl_seconds": 90, "any_request": False, "entries": 0,
        "size_bytes": 0, "created_at": 0,
    }  # fmt: skip
    with acting_for(acme.tenant.id), tenant_scope():
        kept = Wish(CachePolicy.objects.get().grant_id, 60)
        keep(kept, b"k" * 32, [said()], USAGE)
        size = CachedResponse.objects.get().size_bytes
    shown = acme.client.get("/v1/response_cache").json()
    assert (shown["entries"], shown["size_bytes"], shown["policies"][0]["entries"]) == (1, size, 1)
    assert acme.client.delete("/v1/response_cache").json()["deleted_entries"] == 1
    assert acme.client.delete(path).json() == {
        "object": "response_cache.policy.deleted", "model": MODEL, "deleted": True,
    }  # fmt: skip
    assert acme.client.delete(path).status_code == 404
    refused = acme.client.post(path, {"ttl_seconds": 90_000_000}, format="json").json()
    assert refused["error"]["param"] == "ttl_seconds"


# --- which calls ---


def request(content: str = "Hi", **members: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": content}], **members})


def test_a_call_is_kept_where_policy_tenant_and_call_allow_it() -> None:
    caching = Caching(uuid7(), 86_400 * 3, any_request=False)
    all_calls = replace(caching, any_request=True)
    whole = Wish(caching.grant_id, 86_400 * 3)
    assert wish_for(request(temperature=0), caching) == wish_for(request(seed=7), caching) == whole
    for other in (request(), request(temperature=0.5)):
        assert wish_for(other, caching) is None
        assert wish_for(other, all_calls) == whole
    assert wish_for(request(temperature=0), None) is None
    assert wish_for(request(cache=False), all_calls) is None
    # No longer than content is kept, and not at all where none is.
    assert (whole.within(30), whole.within(1), whole.within(0)) == (whole, replace(whole, ttl_seconds=86_400), None)
    assert Wish.from_json(whole.as_json()) == whole
    assert Wish.from_json(None) is None


@pytest.mark.parametrize(
    ("header", "looks"),
    [("", True), ("max-age=0", True), ("no-store", None), ("max-age=0, No-Store", None), ("no-cache", False)],
)
def test_a_call_may_stay_out_or_ask_anew(header: str, looks: bool | None) -> None:
    found = WISH.asked(header)
    assert (found and found.looks) == looks
    assert found is None or Wish.from_json(found.as_json()) == found


# --- keys ---

STATE: dict[str, Any] = {
    "form": "chat",
    "targets": [["m", "m", "", False]],
    "output_limit": 100,
    "groups": frozenset({"staff"}),
    "revisions": {"a": 1},
    "versions": {"prompt": None, "safety": 3},
}
WISH = Wish(UUID(int=1), 60)


def key(asked: ChatRequest, wish: Wish = WISH, **state: Any) -> bytes:
    return cache_key(wish, asked, **{**STATE, **state})


def test_equal_calls_share_a_key_whatever_is_said_about_delivery() -> None:
    first = key(request(temperature=0))
    assert len(first) == 32
    alike = request(temperature=0, stream=True, user="ann", metadata={"a": "b"}, store=True, cache=True, model="other")
    assert key(alike, replace(WISH, ttl_seconds=5)) == first
    assert key(request(temperature=0), groups=["staff"]) == first


@pytest.mark.parametrize(
    "state",
    [
        {"form": "response"},
        {"targets": [["m", "m", "lora-2", False]]},
        {"output_limit": 99},
        {"groups": frozenset()},
        {"groups": frozenset({"staff", "board"})},
        {"revisions": {"a": 2}},
        {"revisions": {"a": 1, "b": 1}},
        {"versions": {"prompt": "v2", "safety": 3}},
        {"versions": {"prompt": None, "safety": 4}},
        {"wish": Wish(UUID(int=2), 60)},
    ],
)
def test_what_an_answer_depends_on_makes_another_key(state: dict[str, Any]) -> None:
    assert key(request(), **state) != key(request())


@pytest.mark.parametrize(
    "members",
    [
        {"content": "hi"},
        {"temperature": 0.1},
        {"seed": 1},
        {"n": 2},
        {"stop": "x"},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 3}]},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
        {"reasoning_effort": "low"},
    ],
)
def test_whatever_is_asked_otherwise_makes_another_key(members: dict[str, Any]) -> None:
    assert key(request(**members)) != key(request())


def test_a_store_that_is_not_there_has_no_revision(acme: Member, globex: Member) -> None:
    acme.client.post("/v1/vector_stores", {"name": "s"}, format="json")
    with acting_for(acme.tenant.id), tenant_scope():
        store = VectorStore.objects.get().id
        assert revisions_of([store]) == {store.hex: 0}
        assert revisions_of([store, uuid7()]) is None
    with acting_for(globex.tenant.id):
        assert revisions_of([store]) is None


# --- entries ---


def test_an_answer_is_given_again_until_its_time_is_over(acme: Member, globex: Member, wish: Wish) -> None:
    with acting_for(acme.tenant.id):
        assert look_up(b"k" * 32) is None
        assert keep(wish, b"k" * 32, [said("Hello")], USAGE)
        found = look_up(b"k" * 32)
        assert found is not None and (found.choices, found.usage) == ([said("Hello")], USAGE)
        # A newer answer takes its place.
        assert keep(wish, b"k" * 32, [said("Hello again")], USAGE)
        again = look_up(b"k" * 32)
        assert again is not None and again.choices == [said("Hello again")]
    with acting_for(globex.tenant.id):
        assert look_up(b"k" * 32) is None
    with acting_for(acme.tenant.id), tenant_scope():
        CachedResponse.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        assert look_up(b"k" * 32) is None
        assert figures() == {}
    assert sweep_expired(now=datetime.now(UTC)) == 1
    assert sweep_expired(now=datetime.now(UTC)) == 0


@pytest.mark.parametrize(
    "choices",
    [
        [said(finish_reason="length")],
        [said(), said(finish_reason="content_filter")],
        [said("x" * 262_144)],
        [said("a\0b")],
    ],
    ids=["cut short", "screened", "large", "not storable"],
)
def test_what_did_not_end_by_itself_or_is_too_large_is_not_kept(
    acme: Member, wish: Wish, choices: list[dict[str, Any]]
) -> None:
    with acting_for(acme.tenant.id):
        assert not keep(wish, b"k" * 32, choices, USAGE)
        assert look_up(b"k" * 32) is None


def test_the_oldest_go_where_a_tenant_has_too_many_or_too_much(
    acme: Member, globex: Member, wish: Wish, settings: Any
) -> None:
    settings.RESPONSE_CACHE_MAX_ENTRIES = 3
    keys = [bytes([n]) * 32 for n in range(5)]
    with acting_for(acme.tenant.id):
        for one in keys:
            keep(wish, one, [said()], USAGE)
        assert [look_up(one) is not None for one in keys] == [False, False, True, True, True]
        size = figures()[wish.grant_id].size_bytes // 3
        settings.RESPONSE_CACHE_MAX_BYTES = 2 * size
        keep(wish, keys[0], [said()], USAGE)
        assert [look_up(one) is not None for one in keys] == [True, False, False, False, True]
        assert figures() == {wish.grant_id: Figures(2, 2 * size)}
    price_of_a_hit(globex)
    theirs = Wish(policy(globex).grant_id, 60)
    with acting_for(globex.tenant.id):
        keep(theirs, keys[0], [said("theirs")], USAGE)
    with acting_for(acme.tenant.id):
        assert empty(by=COMMAND_LINE) == 2
    with acting_for(globex.tenant.id):
        assert look_up(keys[0]) is not None


def test_an_answer_is_not_kept_under_another_tenants_grant(acme: Member, globex: Member, wish: Wish) -> None:
    with acting_for(globex.tenant.id), tenant_scope(), pytest.raises(IntegrityError):
        with transaction.atomic():
            keep(wish, b"k" * 32, [said()], USAGE)
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


# --- given again as a stream ---


def transcript() -> Transcript:
    return Transcript(id="c", created=1, model="m", passages=[], include_usage=True)


def test_a_stream_from_the_cache_says_what_the_first_answer_said(acme: Member, wish: Wish) -> None:
    calls = [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    cited = said("See [1]", annotations=[{"type": "file_citation", "index": 4}])
    cited["logprobs"] = {"content": [{"token": "See"}]}
    choices = [cited, {**said("", "tool_calls", content=None, tool_calls=calls), "index": 1}]
    with acting_for(acme.tenant.id):
        keep(wish, b"k" * 32, choices, USAGE)
        kept = look_up(b"k" * 32)
    assert kept is not None
    streamed, whole = transcript(), transcript()
    for chunk in as_stream(kept):
        streamed.take(chunk)
    whole.take_whole(kept)
    assert streamed.usage == whole.usage == USAGE
    first, second = (one.completion(USAGE)["choices"] for one in (streamed, whole))
    assert second == choices
    for answered, expected in zip(first, choices, strict=True):
        assert answered["finish_reason"] == expected["finish_reason"]
        assert answered["message"]["content"] == expected["message"]["content"]
        assert answered["message"].get("tool_calls") == expected["message"].get("tool_calls")
        assert answered["logprobs"] == expected["logprobs"]
