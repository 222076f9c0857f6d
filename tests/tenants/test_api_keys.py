"""Keys: made once, shown once, revoked for good."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError
from openai.types.admin.organization import AdminAPIKey

from tenants.api_keys import InvalidKey, format_key, hash_secret, issue, parse_key, revoke, secret_matches
from tenants.audit import COMMAND_LINE
from tenants.authentication import authenticate_key, forget_verified_keys
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import public_id, uuid7
from tenants.models import ApiKey, AuditEvent
from tenants.scope import acting_for, tenant_scope
from tenants.throttling import KEYS
from tests.conftest import Member

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def limited(acme):
    """A client whose key may make keys and read usage, and nothing else."""
    with acting_for(acme.tenant.id):
        _, key = issue(name="limited", scopes=["keys.write", "usage.read"], by=COMMAND_LINE)
    client = acme.client
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


def test_a_key_survives_the_way_through_text():
    tenant_id = uuid7()
    parsed = parse_key(format_key(tenant_id, "0123abcd", "f" * 40))
    assert (parsed.tenant_id, parsed.prefix, parsed.secret) == (tenant_id, "0123abcd", "f" * 40)


GOOD = format_key(UUID(int=7), "0123abcd", "f" * 40)


@pytest.mark.parametrize(
    "text",
    ["", "sk-", GOOD[:-1], GOOD + "0", GOOD[:-1] + "z", GOOD.upper(), GOOD.replace("f", "e", 1), "sk-\0" + GOOD[4:]],
)
def test_a_mistyped_key_is_refused_without_asking_the_database(text):
    with pytest.raises(InvalidKey):
        parse_key(text)


def test_only_a_keyed_hash_of_the_secret_is_kept(acme):
    with acting_for(acme.tenant.id):
        row, key = issue(name="n", scopes=["inference"], by=COMMAND_LINE)
        secret = parse_key(key).secret
        with tenant_scope():
            stored = ApiKey.objects.filter(id=row.id).values().get()
            audit = AuditEvent.objects.filter(object_id=str(row.id)).values().get()
    assert secret not in str(stored) + str(audit)
    assert secret_matches(secret, stored["secret_hash"])


def test_hash_keys_rotate(settings):
    stored = hash_secret("s")
    old = settings.API_KEY_HASH_KEYS
    settings.API_KEY_HASH_KEYS = [b"new", *old]
    assert secret_matches("s", stored)
    assert hash_secret("s") != stored
    settings.API_KEY_HASH_KEYS = [b"new"]
    assert not secret_matches("s", stored)


@pytest.mark.parametrize(
    ("options", "error", "param"),
    [
        ({"scopes": ["root"]}, InvalidRequest, "scopes"),
        ({"scopes": []}, InvalidRequest, "scopes"),
        ({"scopes": ["inference"], "expires_at": NOW, "now": NOW}, InvalidRequest, "expires_at"),
    ],
)
def test_a_key_that_may_not_be_is_refused(acme, options, error, param):
    with acting_for(acme.tenant.id), pytest.raises(error) as refusal:
        issue(name="n", by=COMMAND_LINE, **options)
    assert refusal.value.param == param


def test_revoking_twice_is_one_event(acme):
    with acting_for(acme.tenant.id):
        row, _ = issue(name="n", scopes=["inference"], by=COMMAND_LINE)
        assert revoke(key_id=row.id, by=COMMAND_LINE, now=NOW).revoked_at == NOW
        assert revoke(key_id=row.id, by=COMMAND_LINE, now=NOW + timedelta(days=1)).revoked_at == NOW
        with tenant_scope():
            assert AuditEvent.objects.filter(action="api_key.revoked").count() == 1


def test_another_tenants_key_cannot_be_revoked(acme, globex):
    with acting_for(globex.tenant.id), tenant_scope():
        foreign = ApiKey.objects.get().id
    with acting_for(acme.tenant.id), pytest.raises(NotFound):
        revoke(key_id=foreign, by=COMMAND_LINE, now=NOW)


def test_a_key_is_made_over_rest_and_works(acme, limited):
    ends = int(datetime.now(UTC).timestamp()) + 3600
    made = limited.post(
        "/v1/api_keys", {"name": "app", "scopes": ["usage.read"], "expires_at": ends, "requests_per_minute": 5}
    )
    assert made.status_code == 201
    body = made.json()
    value = body.pop("value")
    assert body["object"] == "api_key"
    assert (body["name"], body["scopes"], body["expires_at"], body["revoked_at"]) == ("app", ["usage.read"], ends, None)
    assert (body["requests_per_minute"], body["tokens_per_minute"]) == (5, None)
    assert parse_key(value).prefix in body["redacted_value"]
    # The SDK's own type reads it, save for its literal object name and owner.
    AdminAPIKey.construct(**body)
    client = acme.client
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {value}")
    assert client.get("/v1/organization/costs?start_time=0").status_code == 200
    assert client.get("/v1/api_keys").status_code == 403
    read = limited.get(f"/v1/api_keys/{body['id']}").json()
    assert {**read, "last_used_at": None} == body
    assert read["last_used_at"] is not None


def test_keys_are_listed_in_pages_without_secrets(acme):
    for n in range(3):
        acme.client.post("/v1/api_keys", {"name": f"k{n}", "scopes": ["inference"]})
    page = acme.client.get("/v1/api_keys?limit=2").json()
    assert [key["name"] for key in page["data"]] == ["k2", "k1"]
    assert page["has_more"] and page["object"] == "list"
    rest = acme.client.get(f"/v1/api_keys?limit=2&after={page['last_id']}").json()
    assert [key["name"] for key in rest["data"]] == ["k0", "all"]
    assert not rest["has_more"]
    assert "value" not in page["data"][0]


def test_a_revoked_key_is_refused_at_once_where_it_was_revoked(acme):
    made = acme.client.post("/v1/api_keys", {"name": "app", "scopes": ["usage.read"]}).json()
    client = acme.client
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {made['value']}")
    assert client.get("/v1/organization/costs?start_time=0").status_code == 200
    gone = acme.client.delete(f"/v1/api_keys/{made['id']}")
    assert gone.json() == {"id": made["id"], "object": "api_key.deleted", "deleted": True}
    assert client.get("/v1/organization/costs?start_time=0").status_code == 401
    assert acme.client.get(f"/v1/api_keys/{made['id']}").json()["revoked_at"] is not None


def test_a_key_cannot_grant_what_it_lacks(limited):
    refused = limited.post("/v1/api_keys", {"name": "more", "scopes": ["usage.read", "inference"]})
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "A key may not grant scopes that it lacks itself: inference."


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "n"}, "scopes"),
        ({"name": "n", "scopes": []}, "scopes"),
        ({"name": "n", "scopes": "inference"}, "scopes"),
        ({"name": "n", "scopes": ["*"]}, "scopes"),
        ({"name": "n" * 101, "scopes": ["inference"]}, "name"),
        ({"name": "n\0", "scopes": ["inference"]}, None),  # refused by the parser, before any parameter
        ({"name": "n", "scopes": ["inference"], "expires_at": 1}, "expires_at"),
        ({"name": "n", "scopes": ["inference"], "expires_at": 10**20}, "expires_at"),
        ({"name": "n", "scopes": ["inference"], "requests_per_minute": 0}, "requests_per_minute"),
        ({"name": "n", "scopes": ["inference"], "tokens_per_minute": 10**10}, "tokens_per_minute"),
    ],
)
def test_a_bad_body_is_400_with_its_parameter(acme, body, param):
    response = acme.client.post("/v1/api_keys", body)
    assert response.status_code == 400, response.content
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize("method", ["get", "delete"])
def test_foreign_missing_and_malformed_ids_answer_alike(acme, globex, method):
    with acting_for(globex.tenant.id), tenant_scope():
        foreign = public_id("key_", ApiKey.objects.get().id)
    answers = [
        getattr(acme.client, method)(f"/v1/api_keys/{ident}")
        for ident in (foreign, public_id("key_", uuid7()), "key_x")
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}


def test_replaying_the_request_does_not_show_the_key_again(acme):
    headers = {"Idempotency-Key": "one"}
    first = acme.client.post("/v1/api_keys", {"name": "n", "scopes": ["inference"]}, headers=headers)
    second = acme.client.post("/v1/api_keys", {"name": "n", "scopes": ["inference"]}, headers=headers)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json() == {**first.json(), "value": None}


def test_a_runaway_script_is_stopped_from_making_keys(acme, globex):
    most = int(KEYS.partition("/")[0])
    bodies = [acme.client.post("/v1/api_keys", {"name": "n", "scopes": ["inference"]}) for _ in range(most + 1)]
    # A minute may turn over in between; then the limit is met a little later.
    if bodies[-1].status_code == 201:
        bodies = [acme.client.post("/v1/api_keys", {"name": "n", "scopes": ["inference"]}) for _ in range(most + 1)]
    refused = bodies[-1]
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert acme.client.get("/v1/api_keys").status_code == 200
    assert globex.client.post("/v1/api_keys", {"name": "n", "scopes": ["inference"]}).status_code == 201


def key_with(member, **options):
    """A REST client whose key has these scopes and groups."""
    with acting_for(member.tenant.id):
        _, key = issue(name="n", by=COMMAND_LINE, **options)
    return Member(member.tenant, key).client


def test_a_key_gives_no_group_that_it_lacks(acme):
    """Who asks, for which groups, and what comes of it."""
    capped = {"scopes": ["keys.write", "inference"], "groups": ["sales", "support"]}
    plain = {"scopes": ["keys.write", "inference"]}
    speaker = {"scopes": ["keys.write", "inference", "end_users.write"]}
    for giver, groups, expected in [
        (capped, ["sales"], 201),
        (capped, ["sales", "support"], 201),
        (capped, ["sales", "board"], 403),
        (capped, ["Sales"], 403),
        (capped, [], 403),  # would find less itself, but could speak for any reader
        (plain, [], 201),
        (plain, ["sales"], 403),
        (speaker, ["board"], 201),  # it may sign for the board anyway
        (speaker, [], 201),
    ]:  # fmt: skip
        answer = key_with(acme, **giver).post("/v1/api_keys", {"name": "n", "scopes": ["inference"], "groups": groups})
        assert answer.status_code == expected, (giver, groups)
        body = answer.json()
        assert body["groups"] == groups if expected == 201 else body["error"]["param"] == "groups"


@pytest.mark.parametrize(
    "groups",
    ["board", [None], [""], [" board"], ["a\0"], ["x" * 129], [f"g{number}" for number in range(101)], {"a": 1}],
)
def test_groups_that_cannot_be_are_400(acme, groups):
    answer = acme.client.post("/v1/api_keys", {"name": "n", "scopes": ["inference"], "groups": groups})
    assert answer.status_code == 400


def test_no_key_is_limited_and_speaks_for_all(acme):
    with acting_for(acme.tenant.id), pytest.raises(InvalidRequest):
        issue(name="n", scopes=["end_users.write"], groups=["board"], by=COMMAND_LINE)
    # The database's own word, past the domain.
    with acting_for(acme.tenant.id), pytest.raises(IntegrityError), tenant_scope():
        ApiKey.objects.filter(scopes__contains=["end_users.write"]).update(groups=["board"])


def test_a_keys_groups_are_followed_like_its_scopes(acme):
    with acting_for(acme.tenant.id):
        row, key = issue(name="n", scopes=["inference"], groups=["board"], by=COMMAND_LINE)
    assert authenticate_key(key).groups == {"board"}
    with acting_for(acme.tenant.id), tenant_scope():
        ApiKey.objects.filter(id=row.id).update(groups=["sales"])
    forget_verified_keys()  # as API_KEY_CACHE_SECONDS do
    assert authenticate_key(key).groups == {"sales"}
