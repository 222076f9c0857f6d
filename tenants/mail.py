"""Letters to a tenant's members: rows written with the change they tell of, sent by a worker.

So a letter is sent only if its change was committed, and waits where the mail server is away. One whose worker died
between the server's answer and the commit is sent again: rather twice than never. A letter is deleted once it is sent.
"""

from collections.abc import Collection, Iterable
from datetime import timedelta
from smtplib import SMTPException, SMTPRecipientsRefused

import structlog
from django.conf import settings
from django.core.mail import EmailMessage

from . import work
from .ids import uuid7
from .leases import lease_time
from .models import Letter, Membership, Role
from .scope import current_tenant, tenant_scope
from .work import MAIL, Claim

log = structlog.get_logger("atrium.mail")
#: A minute, then twice as long each time, up to some hours: a server that is away for a day and a half is waited for.
_MOST_ATTEMPTS = 14
_LONGEST_WAIT = timedelta(hours=4)
_LONGEST_SUBJECT = 200


def tell_members(*, roles: Collection[Role], subject: str, text: str) -> int:
    """Write a letter to each of the current tenant's members who have one of `roles`; returns how many.

    Called in the scope and the transaction of the change it tells of. Without a mail server (`EMAIL_URL`) nobody is told.
    """
    if not settings.EMAIL_URL:
        return 0
    with tenant_scope():
        members = Membership.objects.filter(role__in=roles, user__is_active=True).order_by("id")
        return _write(members.values_list("user__email", flat=True), subject=subject, text=text)


def write_letter(*, recipient: str, subject: str, text: str) -> None:
    """Write a letter of the current tenant to one address, in the scope and the transaction of what it tells of."""
    with tenant_scope():
        _write([recipient], subject=subject, text=text)


def _write(recipients: Iterable[str], *, subject: str, text: str) -> int:
    tenant_id, line = current_tenant(), " ".join(subject.split())[:_LONGEST_SUBJECT]
    letters = [
        Letter(id=uuid7(), tenant_id=tenant_id, recipient=recipient, subject=line, text=text)
        for recipient in recipients
    ]
    Letter.objects.bulk_create(letters)
    if letters:
        work.enqueue_all(tenant_id, [letter.id for letter in letters], MAIL)
    return len(letters)


def tell_person(*, email: str, subject: str, text: str) -> None:
    """Write one letter to `email` on behalf of the current tenant, in the transaction of the change it tells of.

    Without a mail server (`EMAIL_URL`) nobody is told.
    """
    if settings.EMAIL_URL:
        write_letter(recipient=email, subject=subject, text=text)


def claim_next(*, worker: str) -> Claim | None:
    """The next letter, by fairness between tenants."""
    return work.claim(MAIL, worker=worker, lease=lease_time())


def send(claim: Claim) -> None:
    """Send a claimed letter; where the server does not take it, later again, and at last not at all (dead letter)."""
    with tenant_scope():
        letter = Letter.objects.filter(id=claim.id).first()
    if letter is not None:
        message = EmailMessage(letter.subject, letter.text, to=[letter.recipient])
        try:
            message.send()
        except (SMTPException, OSError) as error:
            _put_off(claim, error)
            return
    with tenant_scope():
        if work.finish(claim):
            Letter.objects.filter(id=claim.id).delete()


def recover(claim: Claim) -> None:
    """A worker died with the letter: again."""
    with tenant_scope():
        work.retry(claim, delay=timedelta(), reason="the worker died")


def _put_off(claim: Claim, error: Exception) -> None:
    # The address stands in the row; the log gets the kind of the failure only.
    reason = type(error).__name__
    refused = isinstance(error, SMTPRecipientsRefused) and all(code >= 500 for code, _ in error.recipients.values())
    with tenant_scope():
        if refused or claim.attempt >= _MOST_ATTEMPTS:
            work.bury(claim, reason=reason)
        else:
            work.retry(claim, delay=min(timedelta(minutes=2 ** (claim.attempt - 1)), _LONGEST_WAIT), reason=reason)
    log.warning("a letter could not be sent", letter_id=str(claim.id), attempt=claim.attempt, error=reason)
