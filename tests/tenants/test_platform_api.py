"""The operator's doors: tenants come once, are found, suspended, resumed; each change has its audit row."""

import threading
from uuid import UUID

import pytest
from django.db import connections
from rest_framework.test import APIClient

from tenants.api_keys import issue_platform_key
from tenants.ids import public_id
from tenants.models import AuditEvent, PlatformKey, Tenant
from tenants.scope import as_staff

URL = "/v1/platform/tenants"
BODY = {"external_id": "crm-1", "slug": "initech", "name": "Initech"}


@pytest.fixture
def operator(committed):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_platform_key(name='ops')}")
    return client


def count(**which):
    with as_staff():
        return Tenant.objects.filter(**which).count()


def audit():
    with as_staff():
        return list(AuditEvent.objects.order_by("id").values_list("action", "actor_type", "actor_id"))


def test_a_tenant_comes_with_a_key_that_works(operator):
    response = operator.post(URL, {**BODY, "plan": "scale", "content_retention_days": 0})
    assert response.status_code == 201, response.content
    body = response.json()
    assert (body["object"], body["slug"], body["external_id"], body["status"]) == (
        "tenant",
        "initech",
        "crm-1",
        "active",
    )
    assert (body["currency"], body["content_retention_days"]) == ("USD", 0)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {body['api_key']}")
    assert client.get("/v1/budgets").status_code == 200
    with as_staff():
        tenant = Tenant.objects.get()
        assert tenant.id.hex in body["id"]
        key_id = str(PlatformKey.objects.get().id)
    events = audit()
    assert ("tenant.created", "platform_key", key_id) in events
    assert ("api_key.issued", "platform_key", key_id) in events


def test_the_same_external_id_answers_the_same_tenant_without_the_key(operator):
    first = operator.post(URL, BODY).json()
    again = operator.post(URL, BODY)
    assert again.status_code == 200
    assert again.json() == {**first, "api_key": None}
    assert count() == 1


def test_twenty_at_once_make_one_tenant(operator):
    barrier, answers = threading.Barrier(20), []

    def run():
        try:
            barrier.wait()
            answers.append(operator.post(URL, BODY))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert count() == 1


def test_an_external_id_under_another_slug_is_409(operator):
    operator.post(URL, BODY)
    response = operator.post(URL, {**BODY, "slug": "other"})
    assert (response.status_code, response.json()["error"]["code"]) == (409, "external_id_taken")


def test_a_taken_slug_is_409(operator):
    operator.post(URL, BODY)
    response = operator.post(URL, {**BODY, "external_id": "crm-2"})
    assert (response.status_code, response.json()["error"]["code"]) == (409, "slug_taken")
    assert count() == 1


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"slug": "Initech"}, 400, "slug"),
        ({"slug": "-x"}, 400, "slug"),
        ({"slug": ""}, 400, "slug"),
        ({"name": ""}, 400, "name"),
        ({"external_id": None}, 400, "external_id"),
        ({"plan": "gold"}, 400, "plan"),
        ({"currency": "usd"}, 400, "currency"),
        ({"content_retention_days": -1}, 400, "content_retention_days"),
        ({"grants": "gpt"}, 400, "grants"),
    ],
)
def test_a_bad_tenant_is_refused_and_nothing_is_left(operator, change, status, param):
    response = operator.post(URL, {**BODY, **change})
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)
    assert count() == 0
    assert audit() == []


def test_tenants_are_listed_and_read(operator):
    ids = [operator.post(URL, {**BODY, "external_id": f"e{n}", "slug": f"t{n}"}).json()["id"] for n in range(3)]
    page = operator.get(f"{URL}?limit=2").json()
    assert [tenant["id"] for tenant in page["data"]] == [ids[2], ids[1]]
    assert page["has_more"]
    rest = operator.get(f"{URL}?limit=2&after={page['last_id']}").json()
    assert [tenant["id"] for tenant in rest["data"]] == [ids[0]]
    one = operator.get(f"{URL}/{ids[1]}").json()
    assert one == page["data"][1]
    assert "api_key" not in one


def test_a_suspended_tenant_is_refused_until_it_is_resumed(operator):
    made = operator.post(URL, BODY).json()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {made['api_key']}")
    assert client.get("/v1/budgets").status_code == 200
    for _ in range(2):
        assert operator.post(f"{URL}/{made['id']}/suspend").json()["status"] == "suspended"
    assert client.get("/v1/budgets").status_code == 403
    assert operator.post(f"{URL}/{made['id']}/resume").json()["status"] == "active"
    assert client.get("/v1/budgets").status_code == 200
    actions = [(action, actor) for action, actor, _ in audit() if action == "tenant.status_changed"]
    assert actions == [("tenant.status_changed", "platform_key")] * 2


@pytest.mark.parametrize("ident", [public_id("tenant_", UUID(int=7)), "tenant_x", "nonsense"])
@pytest.mark.parametrize(("method", "suffix"), [("get", ""), ("post", "/suspend"), ("post", "/resume")])
def test_a_tenant_that_is_not_there_is_404(operator, ident, method, suffix):
    assert getattr(operator, method)(f"{URL}/{ident}{suffix}").status_code == 404


def test_a_tenants_key_opens_none_of_these_doors(committed):
    acme = committed("acme")
    ident = public_id("tenant_", acme.tenant.id)
    answers = [
        acme.client.get(URL), acme.client.post(URL, BODY), acme.client.get(f"{URL}/{ident}"),
        acme.client.post(f"{URL}/{ident}/suspend"), acme.client.post(f"{URL}/{ident}/resume"),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [401] * 5
