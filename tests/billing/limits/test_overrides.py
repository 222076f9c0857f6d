"""Which limits are in force: the plan's, its overrides by date, and what a key, a user and a model make of them."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.limits import Limits, Rates, levels_for, limits_in_force
from billing.limits.in_force import forget_limits
from billing.limits.overrides import NewOverride, OverrideConflict, add_override
from billing.models import Limit, LimitOverride, Plan
from tenants.api_keys import Caller
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import public_id, uuid7
from tenants.models import ApiKey, AuditEvent
from tenants.scope import acting_for, tenant_scope
from tenants.work import Share
from tests.conftest import Member

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLAN = Plan(requests_per_minute=600, tokens_per_minute=500_000, concurrent_calls=50, weight=2, priority=3)


def caller(**own):
    rates = {"requests_per_minute": None, "tokens_per_minute": None, "concurrent_calls": None}
    return Caller(
        tenant_id=uuid7(), key_id=uuid7(), key_prefix="ab", scopes=frozenset(), currency="USD", retention_days=30,
        expires_at=None, **{**rates, **own},
    )  # fmt: skip


def test_a_keys_override_goes_before_what_it_was_made_with_and_that_before_the_plans():
    who = caller(requests_per_minute=10, tokens_per_minute=7)
    limits = Limits.of(PLAN, {who.key_id: {Limit.REQUESTS_PER_MINUTE: 20}})
    key, tenant = levels_for(who, limits)
    assert (key.name, key.id, key.rates) == ("key", who.key_id, Rates(20, 7, 50))
    assert (tenant.name, tenant.id, tenant.rates) == ("tenant", who.tenant_id, Rates(600, 500_000, 50))
    assert limits.share == Share(weight=2, head_start=3)


def test_an_end_user_has_a_level_where_users_are_limited_and_who_was_signed_for_goes_first():
    who = caller(end_user="signed")
    plain, limited = Limits.of(PLAN), Limits.of(PLAN, {None: {Limit.USER_REQUESTS_PER_MINUTE: 5}})
    assert [level.name for level in levels_for(who, plain, end_user="ann")] == ["key", "tenant"]
    assert [level.name for level in levels_for(caller(), limited)] == ["key", "tenant"]
    [signed, *_] = levels_for(who, limited, end_user="ann")
    [named, *_] = levels_for(caller(), limited, end_user="signed")
    [other, *_] = levels_for(caller(), limited, end_user="ann")
    assert signed == named != other and signed.rates == Rates(5, 0, 0)


def test_a_key_makes_its_users_limits_narrower_and_never_wider():
    who = caller()
    for own, found in ((2, 2), (9, 5), (0, 5)):
        overrides = {None: {Limit.USER_REQUESTS_PER_MINUTE: 5}, who.key_id: {Limit.USER_REQUESTS_PER_MINUTE: own}}
        assert levels_for(who, Limits.of(PLAN, overrides), end_user="ann")[0].rates == Rates(found, 0, 0)


def test_models_are_those_that_both_tenant_and_key_may_call():
    key = uuid7()
    limits = Limits.of(PLAN, {None: {Limit.ALLOWED_MODELS: ["a", "b"]}, key: {Limit.ALLOWED_MODELS: ["b", "c"]}})
    assert [limits.may_call(name) for name in "abc"] == [True, True, False]
    assert [limits.may_call(name, key) for name in "abc"] == [False, True, False]
    assert Limits.of(PLAN).may_call("anything", key)


def test_the_latest_override_that_has_begun_is_in_force_and_rows_stay(acme):
    def in_force():
        forget_limits()
        return limits_in_force().value(Limit.DOCUMENTS)

    def add(value, **options):
        return add_override(NewOverride("documents", value, **options), by=COMMAND_LINE, now=datetime.now(UTC))

    with acting_for(acme.tenant.id):
        assert in_force() == 0
        add(7, reason="trial")
        assert in_force() == 7
        later = datetime.now(UTC) + timedelta(hours=1)
        add(9, valid_from=later)
        assert in_force() == 7
        with pytest.raises(OverrideConflict):
            add(8, valid_from=later)
        add(None)
        assert in_force() == 0
        with tenant_scope():
            assert list(LimitOverride.objects.order_by("valid_from").values_list("value", flat=True)) == [7, None, 9]
            event = AuditEvent.objects.filter(action="limit.overridden").order_by("id").first()
            assert event.changes["value"] == 7 and event.changes["reason"] == "trial"


@pytest.mark.parametrize(
    ("new", "param"),
    [
        (NewOverride("wishes", 1), "limit"),
        (NewOverride("documents", -1), "value"),
        (NewOverride("requests_per_minute", 2**31), "value"),
        (NewOverride("weight", 0), "value"),
        (NewOverride("priority", 40_000), "value"),
        (NewOverride("documents", names=["a"]), "names"),
        (NewOverride("allowed_models", 1), "value"),
        (NewOverride("allowed_models", names=[""]), "names"),
        (NewOverride("documents", 1, key_id=uuid7()), "limit"),
        (NewOverride("documents", 1, valid_from=NOW - timedelta(seconds=1)), "valid_from"),
    ],
)
def test_what_makes_no_sense_is_refused(acme, new, param):
    with acting_for(acme.tenant.id), pytest.raises(InvalidRequest) as refused:
        add_override(new, by=COMMAND_LINE, now=NOW)
    assert refused.value.param == param


def test_another_tenants_key_is_no_key(acme, globex):
    with acting_for(globex.tenant.id), tenant_scope():
        foreign = ApiKey.objects.get().id
    with acting_for(acme.tenant.id), pytest.raises(NotFound):
        add_override(NewOverride("requests_per_minute", 1, key_id=foreign), by=COMMAND_LINE, now=NOW)


def test_a_tenant_reads_its_limits_and_sets_its_keys(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        key = public_id("key_", ApiKey.objects.get().id)
    made = acme.client.post(f"/v1/api_keys/{key}/limits", {"limit": "requests_per_minute", "value": 41}, format="json")
    assert made.status_code == 201, made.json()
    assert (made.json()["api_key_id"], made.json()["value"]) == (key, 41)
    # Every answer of a known caller says where its limits stand, this key's being the nearest; and takes nothing.
    for path in (f"/v1/api_keys/{key}/limits", "/v1/files/file-none"):
        forget_limits()
        answer = acme.client.get(path)
        assert answer["x-ratelimit-limit-requests"] == answer["x-ratelimit-remaining-requests"] == "41", path
        assert answer["RateLimit-Policy"].startswith('"rpm";q=41;w=60')
    assert "x-ratelimit-limit-requests" not in Member(acme.tenant, "sk-wrong").client.get("/v1/limits")
    refused = acme.client.post(f"/v1/api_keys/{key}/limits", {"limit": "documents", "value": 1}, format="json")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "limit")
    said = acme.client.get("/v1/limits").json()
    assert (said["plan"], said["weight"], said["allowed_models"]) == ("standard", 1, None)
    limits = {row["limit"]: row for row in said["limits"]}
    assert limits["documents"] == {"limit": "documents", "value": None, "used": 0, "resets_at": None}
    assert limits["requests_per_minute"]["value"] == 600
    assert limits["ocr_pages_per_month"]["resets_at"] > datetime.now(UTC).date().isoformat()
