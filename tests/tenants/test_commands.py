"""The operator's commands: JSON on request, one line and status 1 where they fail."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command

from billing.models import Budget, Subscription
from tenants.api_keys import verify_platform_key
from tenants.authentication import authenticate_key
from tenants.models import Membership, Tenant, User
from tenants.permissions import KEY_SCOPES
from tenants.registry import require_tenant
from tenants.scope import acting_for, tenant_scope


def run(name, *arguments):
    out = io.StringIO()
    call_command(name, *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def initech(db):
    return run("create_tenant", "--slug=initech", "--name=Initech Ltd")


def inside(slug):
    return acting_for(require_tenant(slug))


def test_create_tenant(db):
    said = run(
        "create_tenant", "--slug=umbrella", "--name=Umbrella", "--plan=scale", "--currency=EUR", "--retention-days=0"
    )
    assert (said["slug"], said["name"], said["currency"]) == ("umbrella", "Umbrella", "EUR")
    with inside("umbrella"), tenant_scope():
        tenant = Tenant.objects.get()
        assert (str(tenant.id), tenant.content_retention_days) == (said["id"], 0)
        assert Subscription.objects.get().plan.slug == "scale"


def test_issue_api_key(initech):
    said = run("issue_api_key", "--tenant=initech", "--name=app", "--scopes=inference, usage.read")
    assert authenticate_key(said["key"]).scopes == {"inference", "usage.read"}
    assert run("issue_api_key", "--tenant=initech", "--scopes=all")["scopes"] == sorted(KEY_SCOPES)


def test_a_key_may_end(initech):
    said = run("issue_api_key", "--tenant=initech", "--scopes=all", "--expires-days=1")
    assert authenticate_key(said["key"]).expires_at is not None


def test_issue_platform_key(committed):
    said = run("issue_platform_key", "--name=ops")
    assert verify_platform_key(said["key"], now=datetime.now(UTC)).name == "ops"


def test_set_budget(initech):
    assert run("set_budget", "--tenant=initech", "--limit=5.00")["limit"] == "5.00"
    said = run("set_budget", "--tenant=initech", "--limit=7.5")
    assert (said["name"], said["limit"], said["currency"]) == ("monthly", "7.50", "USD")
    with inside("initech"), tenant_scope():
        assert Budget.objects.get().limit == Decimal("7.5")
    run("set_budget", "--tenant=initech", "--limit=1", "--name=ads", "--period=day", "--tag=team=ads", "--soft")
    with inside("initech"), tenant_scope():
        made = Budget.objects.get(name="ads")
        assert (made.period, made.tag_name, made.tag_value, made.hard) == ("day", "team", "ads", False)


def test_create_member(initech, monkeypatch):
    monkeypatch.setenv("THE_PASSWORD", "correct horse battery")
    said = run(
        "create_member", "--tenant=initech", "--email=Ann@example.com", "--role=owner", "--password-env=THE_PASSWORD"
    )
    assert (said["email"], said["role"]) == ("ann@example.com", "owner")
    assert User.objects.get(email="ann@example.com").check_password("correct horse battery")
    with inside("initech"), tenant_scope():
        assert Membership.objects.get().role == "owner"


def test_create_staff(db, monkeypatch):
    monkeypatch.setenv("P", "correct horse battery")
    assert run("create_staff", "--email=Boss@Platform.example", "--password-env=P")["email"] == "boss@platform.example"
    boss = User.objects.get()
    assert boss.is_superuser and boss.check_password("correct horse battery")
    assert "at the command line" in LogEntry.objects.get(object_id=str(boss.pk)).get_change_message()
    for email, password, said in (
        ("boss@platform.example", "correct horse battery", "known already"),
        ("other@platform.example", "12345678", "Invalid 'password'"),
        ("other@platform.example", "", "empty or not set"),
    ):
        monkeypatch.setenv("P", password)
        with pytest.raises(CommandError, match=said):
            run("create_staff", f"--email={email}", "--password-env=P")
    assert User.objects.count() == 1


def test_a_member_without_a_password_cannot_log_in(initech):
    run("create_member", "--tenant=initech", "--email=bob@example.com", "--role=viewer")
    assert not User.objects.get(email="bob@example.com").has_usable_password()


def test_a_person_of_another_tenant_keeps_their_password(initech, monkeypatch):
    run("create_tenant", "--slug=umbrella", "--name=Umbrella")
    monkeypatch.setenv("P", "correct horse battery")
    run("create_member", "--tenant=initech", "--email=ann@example.com", "--role=owner", "--password-env=P")
    monkeypatch.setenv("P", "another horse altogether")
    with pytest.raises(CommandError, match="has a password already"):
        run("create_member", "--tenant=umbrella", "--email=ann@example.com", "--role=owner", "--password-env=P")
    assert User.objects.get().check_password("correct horse battery")
    with inside("umbrella"), tenant_scope():
        assert Membership.objects.count() == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["create_tenant", "--slug=initech", "--name=Again"], "The slug 'initech' is taken."),
        (["create_tenant", "--slug=Bad Slug", "--name=B"], "Invalid 'slug'"),
        (["create_tenant", "--slug=b", "--name=B", "--currency=dollars"], "Invalid 'currency'"),
        (["create_tenant", "--slug=b", "--name=B", "--plan=gold"], "No plan 'gold'"),
        (["create_tenant", "--slug=b", "--name=B", "--retention-days=-1"], "Invalid 'content_retention_days'"),
        (["issue_api_key", "--tenant=nobody", "--scopes=all"], "No tenant 'nobody'"),
        (["issue_api_key", "--tenant=initech", "--scopes=root"], "Unknown scopes: root"),
        (["issue_api_key", "--tenant=initech", "--scopes=,"], "at least one scope"),
        (["issue_api_key", "--tenant=initech", "--scopes=all", "--expires-days=-1"], "Invalid 'expires_at'"),
        (["set_budget", "--tenant=nobody", "--limit=1"], "No tenant 'nobody'"),
        (["set_budget", "--tenant=initech", "--limit=-1"], "Invalid 'limit'"),
        (["set_budget", "--tenant=initech", "--limit=lots"], "'lots' is not an amount"),
        (["create_member", "--tenant=nobody", "--email=a@example.com", "--role=owner"], "No tenant 'nobody'"),
        (["create_member", "--tenant=initech", "--email=a@example.com", "--role=king"], "invalid choice"),
        (
            [
                "create_member",
                "--tenant=initech",
                "--email=a@example.com",
                "--role=owner",
                "--password-env=NOT_SET_AT_ALL",
            ],
            "NOT_SET_AT_ALL is empty or not set",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(initech, arguments, reason):
    with pytest.raises(CommandError) as failure:
        run(*arguments)
    assert reason in str(failure.value)
    assert "\n" not in str(failure.value)
    assert failure.value.returncode == 1


def test_a_weak_password_is_refused(initech, monkeypatch):
    monkeypatch.setenv("P", "password")
    with pytest.raises(CommandError, match="Invalid 'password'"):
        run("create_member", "--tenant=initech", "--email=a@example.com", "--role=owner", "--password-env=P")
    assert User.objects.count() == 0


def test_without_json_the_answer_is_lines(initech):
    out = io.StringIO()
    call_command("set_budget", "--tenant=initech", "--limit=5", stdout=out)
    assert "limit: 5.00\n" in out.getvalue()
