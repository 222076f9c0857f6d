"""Platform staff take off a second factor that is lost: once, with a reason, and everybody concerned can see it."""

from collections.abc import Callable, Iterator

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.test import Client

from tenants.models import User
from tests.conftest import Member
from tests.tenants.accounts.test_passwords import actions, letters, log_in, person
from tests.tenants.accounts.test_two_factor import turn_on
from tests.tenants.admin_desk import desk, plain_static_files, seat
from tests.tenants.committed import _django_db_helper, committed, pytest_collection_modifyitems

__all__ = ["_django_db_helper", "committed", "plain_static_files", "pytest_collection_modifyitems"]
REASON = {"reason": "Called back at the number in the contract"}


@pytest.fixture
def acme(committed: Callable[[str], Member]) -> Iterator[Member]:
    yield committed("acme")
    for model in (Authenticator, UserSession, LogEntry):
        model.objects.all().delete()


@pytest.fixture
def staff(acme: Member) -> Client:
    return desk(User.objects.create_superuser("root", "root@platform.example"))


def off(user: User) -> str:
    return f"/admin/tenants/user/{user.pk}/second-factor/off/"


def test_it_ends_the_sessions_and_everybody_concerned_is_told(acme, committed, staff, settings):
    settings.EMAIL_URL = "filemail://"
    user, other = person(acme), committed("globex")
    seat(other, "viewer", email=user.email)
    client = log_in(user)
    turn_on(client)
    assert client.get("/admin/").status_code == 200
    page = staff.get(f"/admin/tenants/user/{user.pk}/change/").content.decode()
    assert f"/admin/tenants/user/{user.pk}/second-factor" in page
    assert staff.post(off(user), REASON)["Location"] == f"/admin/tenants/user/{user.pk}/change/"
    assert not Authenticator.objects.filter(user=user).exists()
    assert client.get("/admin/")["Location"].startswith("/admin/login/")
    assert log_in(user).get("/admin/").status_code == 200  # by password alone
    for member in (acme, other):
        assert actions(member)[-1] == "account.two_factor_disabled"
    assert letters(acme)[-1].subject == "Your two-factor authentication was turned off"
    history = staff.get(f"/admin/tenants/user/{user.pk}/history/").content.decode()
    assert REASON["reason"] in history
    assert (
        f"/admin/tenants/user/{user.pk}/second-factor"
        not in staff.get(f"/admin/tenants/user/{user.pk}/change/").content.decode()
    )


@pytest.mark.parametrize(
    ("given", "said"), [({}, "Say why"), ({"reason": " "}, "Say why"), (REASON, "no second factor")]
)
def test_without_a_reason_or_a_factor_nothing_changes(acme, staff, given, said):
    user = person(acme)
    client = log_in(user)
    if given is not REASON:
        turn_on(client)
    before = actions(acme)
    assert said in staff.post(off(user), given, follow=True).content.decode()
    assert client.get("/admin/").status_code == 200
    assert actions(acme) == before and not LogEntry.objects.exists()


def test_it_is_staffs_alone_and_never_for_oneself(acme, staff):
    user = person(acme)
    owner = log_in(user)
    turn_on(owner)
    assert owner.get(off(user)).status_code == owner.post(off(user), REASON).status_code == 403
    boss = User.objects.get(username="root")
    Authenticator.objects.create(user=boss, type="totp", data={})
    assert "your own" in staff.post(off(boss), REASON, follow=True).content.decode()
    assert Authenticator.objects.filter(user=boss).exists() and Authenticator.objects.filter(user=user).exists()
