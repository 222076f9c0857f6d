"""Letters to members: written with the change, sent once, kept while the mail server is away."""

from datetime import timedelta
from smtplib import SMTPRecipientsRefused

import pytest
from django.core import mail as django_mail
from django.core.mail import EmailMessage

from tenants import work
from tenants.audit import COMMAND_LINE
from tenants.mail import claim_next, recover, send, tell_members
from tenants.members import add_member
from tenants.models import Letter, Role, Work
from tenants.scope import acting_for, tenant_scope
from tenants.tasks import send_mail


@pytest.fixture
def told(acme, settings):
    """One letter to acme's only owner, claimed by nobody yet."""
    settings.EMAIL_URL = "smtp://mail.example.com"
    with acting_for(acme.tenant.id):
        for role in (Role.OWNER, Role.FINANCE, Role.VIEWER):
            add_member(email=f"{role}@acme.example", role=role, by=COMMAND_LINE)
        assert tell_members(roles=[Role.OWNER], subject="Budget\r\nBcc: x@example.com", text="Spent.") == 1
        yield


def letters():
    with tenant_scope():
        return list(Letter.objects.all())


def test_a_letter_is_sent_to_those_with_the_role_and_is_gone(told, monkeypatch):
    monkeypatch.setattr("tenants.tasks.ring", lambda task: None)
    send_mail()
    (sent,) = django_mail.outbox
    assert (sent.to, sent.subject, sent.body) == (["owner@acme.example"], "Budget Bcc: x@example.com", "Spent.")
    assert letters() == []
    send_mail()
    assert len(django_mail.outbox) == 1


def test_a_server_that_is_away_is_waited_for(told, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(EmailMessage, "send", lambda self: (_ for _ in ()).throw(ConnectionRefusedError()))
        send(claim_next(worker="w"))
    with tenant_scope():
        row = Work.objects.get(queue="mail")
    assert (row.state, row.reason, len(letters())) == ("delayed", "ConnectionRefusedError", 1)
    with tenant_scope():
        assert work.hasten(row.tenant_id, row.id)
    send(claim_next(worker="w"))
    assert (len(django_mail.outbox), letters()) == (1, [])


def test_an_address_that_is_refused_for_good_is_a_dead_letter(told, monkeypatch):
    refusal = SMTPRecipientsRefused({"owner@acme.example": (550, b"no such user")})
    monkeypatch.setattr(EmailMessage, "send", lambda self: (_ for _ in ()).throw(refusal))
    send(claim_next(worker="w"))
    assert (work.depth(work.MAIL).dead, claim_next(worker="w")) == (1, None)


def test_a_letter_whose_worker_died_is_sent_by_the_next(told):
    claim = work.claim(work.MAIL, worker="w", lease=timedelta(seconds=-1))
    assert work.expired(work.MAIL) == [claim]
    recover(claim)
    send(claim_next(worker="w"))
    with tenant_scope():
        assert not work.finish(claim)  # the dead worker's late end changes nothing
    assert len(django_mail.outbox) == 1


def test_without_a_mail_server_nobody_is_told(acme, settings):
    settings.EMAIL_URL = ""
    with acting_for(acme.tenant.id):
        add_member(email="o@acme.example", role=Role.OWNER, by=COMMAND_LINE)
        assert tell_members(roles=[Role.OWNER], subject="s", text="t") == 0
        assert letters() == []
