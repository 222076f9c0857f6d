"""The response cache of a running Atrium: what is given again, and all that makes an answer another one."""

from datetime import UTC, datetime
from decimal import Decimal

import httpx2
import pytest

from .conftest import eventually
from .test_access import NOT_ANSWERED, QUESTION, SECRET_WORD, Backend

pytestmark = pytest.mark.e2e


def keeps(atrium, tenant, model="fake"):
    """A hit costs a tenth of a cent, and answers of the model are kept."""
    atrium.sql(
        "INSERT INTO billing_tenantprice (tenant_id, id, model, meter, currency, amount, per, valid_from) "
        "VALUES (%s, uuidv7(), %s, 'cache_hits', 'USD', 1, 1000, '2026-01-01') RETURNING id",
        tenant.id, model,
    )  # fmt: skip
    policy = {"ttl_seconds": 600, "any_request": True}
    atrium.post(f"/v1/response_cache/policies/{model}", tenant.key, policy)


def ask(sdk, said, *, model="fake", **options):
    """(x-atrium-cache, the answer)."""
    messages = [{"role": "user", "content": said}]
    raw = sdk.chat.completions.with_raw_response.create(model=model, messages=messages, **options)
    return raw.headers.get("x-atrium-cache"), raw.parse()


def test_the_same_question_is_answered_from_the_cache(atrium):
    tenant, other = atrium.new_tenant(budget="100"), atrium.new_tenant()
    keeps(atrium, tenant)
    keeps(atrium, other)
    sdk = tenant.sdk()
    calls = atrium.upstream.calls.get("ok", 0)
    (first, one), (second, two) = ask(sdk, "what now?"), ask(sdk, "what now?")
    assert (first, second) == ("miss", "hit")
    assert atrium.upstream.calls["ok"] == calls + 1
    assert (two.choices, two.usage) == (one.choices, one.usage) and two.id != one.id
    # As a stream, with the usage of the answer that was kept.
    state, stream = ask(sdk, "what now?", stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert (state, text, chunks[-1].usage) == ("hit", one.choices[0].message.content, one.usage)
    # What is asked otherwise, or by another tenant, or without the cache, is answered anew.
    assert ask(sdk, "what now?", temperature=0.5)[0] == "miss"
    assert ask(sdk, "what now?", extra_body={"cache": False})[0] is None
    assert ask(sdk, "what now?", extra_headers={"cache-control": "no-store"})[0] is None
    assert ask(sdk, "what now?", extra_headers={"cache-control": "no-cache"})[0] == "miss"
    assert ask(other.sdk(), "what now?")[0] == "miss"
    # What came as a stream is kept too.
    state, stream = ask(sdk, "streamed first", stream=True)
    assert (state, len(list(stream)) > 3) == ("miss", True)
    assert ask(sdk, "streamed first")[0] == "hit"
    atrium.settled(tenant)
    hits = atrium.sql(
        "SELECT quantity, cost FROM billing_usagerecord WHERE tenant_id = %s AND meter = 'cache_hits'", tenant.id
    )
    assert set(hits) == {(1, Decimal("0.001"))} and len(hits) >= 3
    since = int(datetime.now(UTC).timestamp()) - 3_600
    path = f"{tenant.url}/v1/organization/usage/completions?start_time={since}&bucket_width=1d"
    usage = httpx2.get(path, headers={"authorization": f"Bearer {tenant.key}"}).json()
    [found] = [row for bucket in usage["data"] for row in bucket["results"]]
    assert found["num_cache_hits"] == len(hits) and 0 < found["cache_hit_ratio"] < 1


def test_nothing_is_kept_without_a_policy_or_where_no_content_is(atrium):
    plain, forgetful = atrium.new_tenant(), atrium.new_tenant(retention_days=0)
    keeps(atrium, forgetful)
    for tenant in (plain, forgetful):
        assert [ask(tenant.sdk(), "hello")[0] for _ in range(2)] == [None, None]
    assert atrium.sql("SELECT count(*) FROM inference_cachedresponse WHERE tenant_id = %s", forgetful.id) == [(0,)]


@pytest.fixture(scope="module")
def library(atrium):
    """A backend whose store has what everybody may read, and what the board may."""
    tenant = atrium.new_tenant()
    keeps(atrium, tenant, "local-extractive")
    sdk = tenant.sdk()
    store = sdk.vector_stores.create(name="library").id
    attach(sdk, store, "The canteen of the observatory opens at noon and closes at three.")
    secret = attach(
        sdk, store, "The merger with Initech Telescopes closes on the ninth of March.", allowed_groups=["board"]
    )
    return Backend(tenant, atrium), store, secret


def attach(sdk, store, text, **members):
    file = sdk.files.create(file=("a.txt", text.encode()), purpose="assistants")
    sdk.vector_stores.files.create(store, file_id=file.id, extra_body=members)
    done = sdk.vector_stores.files.poll(file.id, vector_store_id=store, poll_interval_ms=50)
    assert done.status == "completed", done.last_error
    return file.id


def test_neither_an_access_list_nor_a_document_is_passed_by(library):
    backend, store, secret = library
    tools = [{"type": "file_search", "vector_store_ids": [store]}]

    def asked(sdk):
        state, answer = ask(sdk, QUESTION, model="local-extractive", tools=tools)
        return state, answer.choices[0].message.content

    def settles_at(sdk):
        """What is answered now, and again from the cache; nothing of before."""
        state, text = asked(sdk)
        assert state == "miss" and asked(sdk) == ("hit", text)
        return text

    own, board, sales = backend.tenant.sdk(), backend.sdk("board"), backend.sdk("sales")
    assert SECRET_WORD in settles_at(board)
    # Other groups are another question, and so is a key without any.
    assert settles_at(sales) == settles_at(own) == NOT_ANSWERED
    # The list changes: the board does not read it any more, sales does.
    own.vector_stores.files.update(
        secret, vector_store_id=store, attributes={}, extra_body={"allowed_groups": ["sales"]}
    )
    assert settles_at(board) == NOT_ANSWERED
    assert SECRET_WORD in settles_at(sales)
    # A document comes that answers everybody.
    added = attach(own, store, "The merger with Initech Telescopes closes on the tenth of April.")
    assert "tenth" in settles_at(board)
    # Its next version says something else.
    newer = own.files.create(
        file=("b.txt", b"The merger with Initech Telescopes closes on the first of May."), purpose="assistants"
    )
    own.post(f"/files/{added}/replace", body={"file_id": newer.id}, cast_to=object)
    assert eventually(lambda: "first" in asked(board)[1])
    # And it goes.
    own.vector_stores.files.delete(newer.id, vector_store_id=store)
    assert eventually(lambda: asked(board)[1] == NOT_ANSWERED)
    state, _ = asked(board)
    assert state == "hit"


def test_another_policy_of_safety_and_another_version_of_a_prompt_are_other_answers(atrium):
    tenant = atrium.new_tenant()
    keeps(atrium, tenant)
    sdk, bearer = tenant.sdk(), {"authorization": f"Bearer {tenant.key}"}
    assert [ask(sdk, "word5?")[0] for _ in range(2)] == ["miss", "hit"]
    policy = {"output": {"deny_list": {"action": "block"}}, "deny_list": ["word5"]}
    httpx2.put(f"{tenant.url}/v1/safety_policy", json=policy, headers=bearer).raise_for_status()
    version = {"messages": [{"role": "system", "content": "Version {{n}}."}], "variables": {"n": {"type": "string"}}}
    made = {"name": "p", "version": {**version, "labels": ["production"]}}
    prompt = atrium.post("/v1/prompts", tenant.key, made)["id"]

    def prompted():
        """(version, x-atrium-cache)"""
        named = {"prompt": {"id": prompt, "version": "production", "variables": {"n": "1"}}}
        raw = sdk.chat.completions.with_raw_response.create(
            model="fake", messages=[{"role": "user", "content": "hello there"}], extra_body=named
        )
        return raw.headers["x-atrium-prompt-version"], raw.headers["x-atrium-cache"]

    assert [prompted() for _ in range(2)] == [("1", "miss"), ("1", "hit")]
    # The label moves to a version that says the same: it is another version, from its first call on.
    atrium.post(f"/v1/prompts/{prompt}/versions", tenant.key, {**version, "labels": ["production"]})
    assert eventually(lambda: [found for found in [prompted()] if found[0] == "2"]) == [("2", "miss")]
    # A policy holds within seconds; from then on the answer that was kept is not given any more.
    assert eventually(lambda: ask(sdk, "word5?")[1].choices[0].finish_reason == "content_filter", seconds=10)
    assert ask(sdk, "word5?")[0] == "miss"
