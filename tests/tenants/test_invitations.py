"""Invitations: by letter alone, once, for seven days; each way in which a link can be over says so and what to do."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.auth import BACKEND_SESSION_KEY
from django.test import Client

from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.invitations import InvitationOver, accept, accept_as_new, find, invite, resend
from tenants.members import AlreadyMember
from tenants.models import AuditEvent, Invitation, Letter, Membership, Role, User
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def paths_of(member: Member) -> list[str]:
    """The links of the letters that wait, oldest first."""
    with acting_for(member.tenant.id), tenant_scope():
        texts = Letter.objects.order_by("id").values_list("text", flat=True)
        return [re.search(r"http://testserver(\S+)", text)[1] for text in texts]  # type: ignore[index]


def send(client: Client, email: str = "new@acme.example", role: str = "finance") -> str:
    answer = client.post("/admin/tenants/invitation/add/", {"email": email, "role": role})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/tenants/membership/")
    return answer.wsgi_request.get_host()


def actions_of(member: Member) -> list[str]:
    with acting_for(member.tenant.id), tenant_scope():
        return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def made(member: Member, role: Role = Role.VIEWER, email: str = "new@acme.example") -> tuple[Invitation, str]:
    tokens: list[str] = []
    invitation = invite(
        email=email, role=role, by=COMMAND_LINE, link=lambda token: tokens.append(token) or token, now=NOW
    )
    return invitation, tokens[0]


def test_somebody_new_chooses_a_password_and_is_in(acme):
    send(desk(seat(acme, "owner")))
    [path] = paths_of(acme)
    guest = Client()
    page = guest.get(path).content.decode()
    assert "Acme" in page and "finance" in page and "new@acme.example" in page
    weak = guest.post(path, {"new_password1": "12345678", "new_password2": "12345678"})
    assert "too common" in weak.content.decode()
    password = {"new_password1": "correct horse battery", "new_password2": "correct horse battery"}
    assert guest.post(path, password)["Location"] == "/admin/"
    assert UserSession.objects.get().user.email == "new@acme.example"
    assert guest.get("/admin/billing/usagerecord/").status_code == 200
    with acting_for(acme.tenant.id), tenant_scope():
        assert Membership.objects.get(user__email="new@acme.example").role == "finance"
    assert User.objects.get(email="new@acme.example").check_password("correct horse battery")
    assert actions_of(acme)[-3:] == ["member.invited", "member.added", "invitation.accepted"]
    assert "used already" in Client().get(path).content.decode()


def test_somebody_who_logs_in_already_accepts_and_keeps_the_password(acme, globex):
    user = seat(globex, "owner", email="both@example.com")
    user.set_password("correct horse battery")
    user.save()
    send(desk(seat(acme, "owner")), email="Both@Example.com", role="viewer")
    [path] = paths_of(acme)
    stranger = Client()
    assert f"/admin/login/?next={path.replace('/', '%2F')}" in stranger.get(path).content.decode()
    stolen = {"new_password1": "another horse battery", "new_password2": "another horse battery"}
    assert stranger.post(path, stolen).status_code == 200
    user.refresh_from_db()
    assert user.check_password("correct horse battery")
    client = desk(user)
    assert "Join Acme" in client.get(path).content.decode()
    assert client.post(path)["Location"] == "/admin/"
    assert client.get("/admin/tenants/apikey/").status_code == 403  # acme's desk, as viewer
    with acting_for(acme.tenant.id), tenant_scope():
        assert Membership.objects.get(user=user).role == "viewer"


def test_another_person_cannot_take_it(acme, globex):
    send(desk(seat(acme, "owner")))
    [path] = paths_of(acme)
    other = desk(seat(globex, "owner"))
    assert "You are logged in as owner@globex.example" in other.get(path).content.decode()
    answer = other.post(path)
    assert answer.status_code == 410 and "is for new@acme.example" in answer.content.decode()
    with acting_for(acme.tenant.id), tenant_scope():
        assert Membership.objects.count() == 1


def test_what_an_identity_provider_says_of_somebody_accepts_nothing(acme, globex):
    user = seat(globex, "owner", email="both@example.com")
    send(desk(seat(acme, "owner")), email="both@example.com")
    [path] = paths_of(acme)
    client = desk(user)
    session = client.session
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.AllowAllUsersModelBackend"
    session.save()
    client.post(path)
    with acting_for(acme.tenant.id), tenant_scope():
        assert not Membership.objects.filter(user=user).exists()


@pytest.mark.parametrize("how", ["expired", "revoked", "replaced", "cut off"])
def test_a_link_that_is_over_says_why_and_what_to_do(acme, how):
    owner = desk(seat(acme, "owner"))
    send(owner)
    [path] = paths_of(acme)
    with acting_for(acme.tenant.id), tenant_scope():
        invitation = Invitation.objects.get()
        if how == "expired":
            Invitation.objects.update(expires_at=datetime.now(UTC))
    if how == "revoked":
        assert owner.post(f"/admin/tenants/invitation/{invitation.id}/revoke/").status_code == 302
    if how == "replaced":
        assert owner.post(f"/admin/tenants/invitation/{invitation.id}/send-again/").status_code == 302
        assert Client().get(paths_of(acme)[-1]).status_code == 200
    answer = Client().get(path[:-9] + "/" if how == "cut off" else path)
    words = {"expired": "ended on", "revoked": "withdrawn", "replaced": "newer letter", "cut off": "copied whole"}
    assert answer.status_code == 410
    text = answer.content.decode()
    assert words[how] in text and "sk whoever invited you" in text
    if how != "cut off":
        password = {"new_password1": "correct horse", "new_password2": "correct horse"}
        assert Client().post(path, password).status_code == 410


def test_a_link_works_once_and_only_for_seven_days(acme):
    with acting_for(acme.tenant.id):
        _, token = made(acme)
        assert find(token=token, now=NOW + timedelta(days=7, seconds=-1)).email == "new@acme.example"
        with pytest.raises(InvitationOver, match="ended on 08 May 2026 at 12:00 UTC"):
            find(token=token, now=NOW + timedelta(days=7))
        user, _ = accept_as_new(token=token, password="correct horse", now=NOW)
        with pytest.raises(InvitationOver, match="used already"):
            accept(token=token, user=user, now=NOW)
        with pytest.raises(AlreadyMember):
            made(acme)


def test_inviting_again_renews_the_open_invitation(acme):
    with acting_for(acme.tenant.id):
        first, old = made(acme)
        second, new = made(acme, role=Role.ADMIN)
        assert (first.id, second.role) == (second.id, "admin")
        with pytest.raises(InvitationOver):
            find(token=old, now=NOW)
        assert find(token=new, now=NOW).role == "admin"
        with pytest.raises(InvitationOver, match="accepted already"):
            accept_as_new(token=new, password="correct horse", now=NOW)
            resend(invitation_id=first.id, by=COMMAND_LINE, link=str, now=NOW)


def test_a_link_of_one_tenant_is_nothing_in_another(acme, globex):
    with acting_for(acme.tenant.id):
        _, token = made(acme)
    with acting_for(globex.tenant.id), pytest.raises(InvitationOver):
        find(token=token, now=NOW)
    forged = globex.tenant.id.hex + token[32:]
    assert Client().get(f"/admin/invitation/{forged}/").status_code == 410


def test_the_database_keeps_no_secret_and_the_log_no_link(acme, capsys):
    send(desk(seat(acme, "owner")))
    [path] = paths_of(acme)
    secret = path.strip("/").rpartition("-")[2]
    with acting_for(acme.tenant.id), tenant_scope():
        row = Invitation.objects.get()
        told = str(list(AuditEvent.objects.values_list("changes", flat=True)))
    assert secret not in str(vars(row)) and secret not in told
    Client().get(path)
    assert secret not in "".join(capsys.readouterr())


def test_only_owners_invite_owners_and_without_mail_nobody_is_invited(acme, settings):
    seat(acme, "owner")
    admin = desk(seat(acme, "admin"))
    form = {"email": "x@acme.example", "role": "owner"}
    assert admin.post("/admin/tenants/invitation/add/", form).status_code == 200
    settings.EMAIL_URL = ""
    answer = admin.post("/admin/tenants/invitation/add/", form | {"role": "viewer"}, follow=True)
    assert "cannot send e-mail" in answer.content.decode()
    with acting_for(acme.tenant.id), tenant_scope():
        assert not Invitation.objects.exists() and not Letter.objects.exists()


def test_the_members_page_shows_who_is_invited_and_offers_to_invite(acme):
    owner = desk(seat(acme, "owner"))
    send(owner)
    text = owner.get("/admin/tenants/membership/").content.decode()
    assert "new@acme.example" in text and "Invite a colleague" in text and "Send again" in text


def test_another_tenants_invitation_is_as_if_it_were_not_there(acme, globex):
    with acting_for(acme.tenant.id):
        invitation, _ = made(acme, email="acmemark@acme.example")
    stranger = desk(seat(globex, "owner"))
    for door in ("send-again", "revoke"):
        found = []
        for key in (invitation.id, uuid7()):
            answer = stranger.post(f"/admin/tenants/invitation/{key}/{door}/", follow=True)
            found.append((answer.status_code, [str(message) for message in answer.context["messages"]]))
        assert found[0] == found[1] == (200, ["No such invitation."])
    with acting_for(acme.tenant.id), tenant_scope():
        assert Invitation.objects.get(id=UUID(str(invitation.id))).revoked_at is None
