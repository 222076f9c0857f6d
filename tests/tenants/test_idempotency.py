"""`Idempotency-Key`: one effect for one key."""

import threading

import pytest
from django.db import connections

from tenants import idempotency
from tenants.ids import uuid7
from tenants.models import ApiKey, IdempotencyRecord
from tenants.scope import acting_for, tenant_scope

BODY = {"name": "once", "scopes": ["inference"]}


def post(member, body=BODY, key="k1", path="/v1/api_keys"):
    return member.client.post(path, body, headers={"Idempotency-Key": key})


def made(member):
    with acting_for(member.tenant.id), tenant_scope():
        return ApiKey.objects.filter(name="once").count()


def test_fifty_parallel_posts_have_one_effect(committed):
    acme = committed("acme")
    barrier, answers = threading.Barrier(50), []

    def run():
        try:
            barrier.wait()
            answers.append(post(acme))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [answer.status_code for answer in answers]
    # The throttle of key issue lets 30 a minute through; whoever passes it gets the first answer or "in flight".
    assert len(statuses) == 50
    assert set(statuses) <= {201, 409, 429}
    assert sum(answer.status_code == 201 and answer.json()["value"] is not None for answer in answers) == 1
    assert made(acme) == 1


def test_the_same_request_answers_the_first_answer(acme):
    budget = {"name": "b", "limit": "5.00"}
    first, second = (post(acme, budget, path="/v1/budgets") for _ in range(2))
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"


def test_members_of_the_body_may_come_in_any_order(acme):
    post(acme)
    assert post(acme, dict(reversed(BODY.items()))).status_code == 201
    assert made(acme) == 1


def test_another_body_is_422(acme):
    post(acme)
    response = post(acme, {**BODY, "name": "other"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_another_path_is_422(acme):
    post(acme, {"name": "once", "limit": "1"}, path="/v1/budgets")
    assert post(acme).status_code == 422


def test_another_tenants_same_key_is_independent(acme, globex):
    assert post(acme).status_code == post(globex).status_code == 201
    assert (made(acme), made(globex)) == (1, 1)


def test_without_a_key_each_request_counts(acme):
    acme.client.post("/v1/api_keys", BODY)
    acme.client.post("/v1/api_keys", BODY)
    assert made(acme) == 2


def test_a_failed_request_leaves_no_record_and_may_be_sent_again(acme):
    assert post(acme, {**BODY, "scopes": ["nonsense"]}).status_code == 400
    with acting_for(acme.tenant.id), tenant_scope():
        assert IdempotencyRecord.objects.count() == 0
    assert post(acme).status_code == 201


def test_a_request_still_in_flight_is_409(committed):
    acme = committed("acme")
    caller, key = str(uuid7()), "k"
    holding, done = threading.Event(), threading.Event()

    def hold():
        with acting_for(acme.tenant.id), tenant_scope():
            idempotency.find(caller=caller, key=key, fingerprint="f")
            holding.set()
            done.wait(10)
        connections.close_all()

    first = threading.Thread(target=hold)
    first.start()
    try:
        assert holding.wait(10)
        with acting_for(acme.tenant.id), tenant_scope(), pytest.raises(idempotency.StillInFlight) as refusal:
            idempotency.find(caller=caller, key=key, fingerprint="f")
        assert (refusal.value.status, refusal.value.headers) == (409, {"retry-after": "1"})
    finally:
        done.set()
        first.join()


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_400(acme, key):
    assert post(acme, key=key).status_code == 400


def test_numbers_beyond_64_bits_are_compared_too(acme):
    body = {**BODY, "ignored": 10**30}
    assert post(acme, body).status_code == post(acme, body).status_code == 201
    assert made(acme) == 1
