"""Who is let in, and for how long after it ended."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import ProgrammingError, connections
from rest_framework.test import APIClient

from tenants import authentication, memory
from tenants.api_keys import InvalidKey, format_key, issue, issue_platform_key, parse_key, revoke, verify_platform_key
from tenants.audit import COMMAND_LINE
from tenants.authentication import authenticate_key, forget_verified_keys
from tenants.ids import uuid7
from tenants.memory import Memory
from tenants.models import ApiKey, PlatformKey, Tenant
from tenants.registry import set_status
from tenants.scope import NoTenant, acting_for, as_staff, current_tenant, tenant_scope
from tenants.throttling import GUESSES

URL = "/v1/organization/costs?start_time=0"


def get(authorization=None, **extra):
    headers = {} if authorization is None else {"Authorization": authorization}
    return APIClient().get(URL, headers=headers, **extra)


@pytest.fixture
def clock(monkeypatch):
    """A hand on the clock by which verified keys are forgotten."""

    class Clock:
        now = 1_000_000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(authentication, "time", clock)
    monkeypatch.setattr(memory, "time", clock)
    return clock


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer sk-nonsense"])
def test_no_key_or_nonsense_is_401(db, header):
    response = get(header)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["code"] == "invalid_api_key"


def test_a_right_key_is_let_in(acme):
    assert get(f"Bearer {acme.key}").status_code == 200
    assert get(f"bearer  {acme.key} ").status_code == 200


def test_a_wrong_secret_an_unknown_prefix_and_an_unknown_tenant_answer_alike(acme):
    real = parse_key(acme.key)
    wrong = [
        format_key(real.tenant_id, real.prefix, "0" * 40),
        format_key(real.tenant_id, "00000000", real.secret),
        format_key(uuid7(), real.prefix, real.secret),
    ]
    answers = {(get(f"Bearer {key}").status_code, get(f"Bearer {key}").content) for key in wrong}
    assert len(answers) == 1
    assert answers.pop()[0] == 401


def test_a_key_under_another_tenants_name_is_no_key(acme, globex):
    real = parse_key(acme.key)
    assert get(f"Bearer {format_key(globex.tenant.id, real.prefix, real.secret)}").status_code == 401


def test_an_expired_key_is_401_even_while_it_is_remembered(acme):
    soon = datetime.now(UTC) + timedelta(hours=1)
    with acting_for(acme.tenant.id):
        row, key = issue(name="n", scopes=["usage.read"], by=COMMAND_LINE, expires_at=soon)
    assert get(f"Bearer {key}").status_code == 200
    with acting_for(acme.tenant.id), tenant_scope():
        ApiKey.objects.filter(id=row.id).update(expires_at=datetime.now(UTC))
    forget_verified_keys()
    assert get(f"Bearer {key}").status_code == 401


def test_what_is_remembered_does_not_outlive_its_end(acme):
    caller = authenticate_key(acme.key)
    past = datetime.now(UTC) - timedelta(seconds=1)
    ended = type(caller)(**{**vars(caller), "expires_at": past})
    for key in authentication._verified._kept:
        authentication._verified.keep(key, ended, since=time.monotonic())
    assert authentication.remembered(acme.key) is None


def test_a_key_revoked_elsewhere_dies_within_five_seconds(acme, clock):
    assert get(f"Bearer {acme.key}").status_code == 200
    with acting_for(acme.tenant.id):
        revoke(key_id=authenticate_key(acme.key).key_id, by=COMMAND_LINE, now=datetime.now(UTC))
    assert settings.API_KEY_CACHE_SECONDS <= 5
    clock.now += settings.API_KEY_CACHE_SECONDS + 0.001
    assert get(f"Bearer {acme.key}").status_code == 401


def test_a_verified_key_is_not_asked_for_again_for_a_moment(acme, clock, django_assert_num_queries):
    authenticate_key(acme.key)
    with django_assert_num_queries(0):
        authenticate_key(acme.key)


def test_a_suspended_tenants_key_is_403_and_comes_back(acme):
    set_status(tenant=acme.tenant, status=Tenant.Status.SUSPENDED, by=COMMAND_LINE)
    response = get(f"Bearer {acme.key}")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "tenant_suspended")
    set_status(tenant=acme.tenant, status=Tenant.Status.ACTIVE, by=COMMAND_LINE)
    assert get(f"Bearer {acme.key}").status_code == 200


def test_a_wrong_key_of_a_suspended_tenant_learns_nothing(acme):
    set_status(tenant=acme.tenant, status=Tenant.Status.SUSPENDED, by=COMMAND_LINE)
    real = parse_key(acme.key)
    assert get(f"Bearer {format_key(real.tenant_id, real.prefix, '0' * 40)}").status_code == 401


def test_last_use_is_noted_once_a_minute(acme, clock):
    def noted():
        with acting_for(acme.tenant.id), tenant_scope():
            return ApiKey.objects.get().last_used_at

    authenticate_key(acme.key)
    first = noted()
    assert first is not None
    clock.now += 30
    authenticate_key(acme.key)
    assert noted() == first
    clock.now += 31
    authenticate_key(acme.key)
    assert noted() > first


def test_the_current_tenant_ends_with_the_request(acme):
    assert get(f"Bearer {acme.key}").status_code == 200
    with pytest.raises(NoTenant):
        current_tenant()


def test_a_scope_that_the_key_lacks_is_403_and_named(acme):
    with acting_for(acme.tenant.id):
        _, key = issue(name="n", scopes=["inference"], by=COMMAND_LINE)
    response = get(f"Bearer {key}")
    assert response.status_code == 403
    assert "lacks the scope 'usage.read'" in response.json()["error"]["message"]


def test_a_method_that_does_not_exist_is_405(acme):
    assert acme.client.delete(URL).status_code == 405


def test_many_remembered_keys_do_not_fill_the_memory(acme, monkeypatch):
    monkeypatch.setattr(authentication, "_verified", Memory(5, most=2))
    for _ in range(3):
        with acting_for(acme.tenant.id):
            _, key = issue(name="n", scopes=["inference"], by=COMMAND_LINE)
        authenticate_key(key)
        assert len(authentication._verified._kept) <= 2


PLATFORM = "/v1/platform/tenants"


def platform(key, address="192.0.2.1"):
    return APIClient().get(PLATFORM, headers={"Authorization": f"Bearer {key}"}, REMOTE_ADDR=address)


def test_platform_keys_open_the_platforms_doors_only(committed):
    acme = committed("acme")
    key = issue_platform_key(name="ops")
    assert platform(key).status_code == 200
    assert APIClient().get("/v1/files", headers={"Authorization": f"Bearer {key}"}).status_code == 401
    assert platform(acme.key).status_code == 401


def test_ended_platform_keys_are_401(committed):
    keys = [issue_platform_key(name=name) for name in ("revoked", "expired", "fine")]
    with as_staff():
        PlatformKey.objects.filter(name="revoked").update(revoked_at=datetime.now(UTC))
        PlatformKey.objects.filter(name="expired").update(expires_at=datetime.now(UTC))
    assert [platform(key).status_code for key in keys] == [401, 401, 200]
    with as_staff():
        assert keys[2] not in str(list(PlatformKey.objects.values()))


def test_guessing_platform_keys_is_slow_by_address(committed):
    right = issue_platform_key(name="ops")
    most = int(GUESSES.partition("/")[0])
    # Twice the limit: a minute may turn over in between.
    answers = [platform("pk-wrong", "192.0.2.77") for _ in range(2 * most + 1)]
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert platform(right, "192.0.2.77").status_code == 429
    assert platform(right, "192.0.2.78").status_code == 200


def test_the_app_role_cannot_read_platform_keys(db):
    with pytest.raises(ProgrammingError, match="permission denied"):
        PlatformKey.objects.count()


def test_threads_do_not_see_each_others_tenant(committed):
    acme, globex = committed("acme"), committed("globex")
    wrong = []

    def run(member):
        for _ in range(20):
            with acting_for(member.tenant.id), tenant_scope():
                if set(ApiKey.objects.values_list("tenant_id", flat=True)) != {member.tenant.id}:
                    wrong.append(member.tenant.slug)
        connections.close_all()

    threads = [threading.Thread(target=run, args=(member,)) for member in (acme, globex, acme, globex)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_verifying_nonsense_asks_no_database(django_assert_num_queries, db):
    with django_assert_num_queries(0), pytest.raises(InvalidKey):
        verify_platform_key("pk-\0", now=datetime.now(UTC))
