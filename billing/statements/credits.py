"""Credit notes: money given back to a tenant, as corrections of the ledger in the month that is open.

A note credits one line of the ledger or a statement. What a statement gets back is shared out among its lines of usage
by what they cost, exactly, and each share corrects the dearest record of its line: so reports by model and meter show
where the money came from. Nobody gets back more than was charged.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_DOWN, Decimal, localcontext
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Q, Sum

from tenants.audit import Actor, record
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import uuid7
from tenants.scope import tenant_scope

from ..corrections import correct
from ..models import CreditNote, Statement, StatementLine, UsageRecord
from ..reservations import plain
from .months import month_of

PREFIX = "credit_"
_SMALLEST = Decimal(1).scaleb(-12)


def credit(
    *,
    amount: Decimal,
    reason: str,
    by: Actor,
    now: datetime,
    statement_id: UUID | None = None,
    record_id: UUID | None = None,
) -> CreditNote:
    """Give the current tenant `amount`, in its currency, back; returns the note.

    Args:
        statement_id: the statement that it credits; or
        record_id: the one line of the ledger. One of the two.
        reason: for those who read the next statement, in 1 to 200 characters.

    Raises:
        NotFound: this tenant has no such statement or line.
        InvalidRequest: an amount that cannot be kept, or is more than is left of what was charged; no reason.
    """
    if not amount.is_finite() or amount <= 0 or amount != round(amount, 12):
        raise InvalidRequest("Invalid 'amount': above 0, with at most 12 digits after the point.", param="amount")
    if (statement_id is None) == (record_id is None):
        raise InvalidRequest("Name what is credited: a statement, or one line of the ledger.", param="statement_id")
    with tenant_scope() as tenant_id:
        _one_at_a_time(tenant_id)
        if statement_id is not None:
            shares, currency = _of_statement(statement_id, amount)
        else:
            assert record_id is not None
            shares, currency = _of_record(record_id, amount)
        written = [
            correct(corrects=line, quantity=0, cost=-share, provider_cost=Decimal(0), reason=reason, by=by, now=now).id
            for line, share in shares
        ]
        note = CreditNote.objects.create(
            id=uuid7(),
            tenant_id=tenant_id,
            statement_id=statement_id,
            record_id=record_id,
            records=written,
            amount=amount,
            currency=currency,
            reason=reason.strip(),
            period_start=month_of(now),
            created_by_type=by.type,
            created_by_id=by.id,
            created_at=now,
        )
        record(
            by=by, action="credit_note.created", target=note, changes={"amount": plain(amount), "reason": note.reason}
        )
    return note


def _one_at_a_time(tenant_id: UUID) -> None:
    """Two notes on one charge must not both find it uncredited."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"credit {tenant_id}"])


def _refuse_more_than(left: Decimal, amount: Decimal, currency: str) -> None:
    if amount > left:
        raise InvalidRequest(
            f"At most {plain(max(left, Decimal(0)))} {currency} is left to credit: what was charged, less what was "
            "credited or corrected.",
            param="amount",
        )


def _of_record(ident: UUID, amount: Decimal) -> tuple[list[tuple[UUID, Decimal]], str]:
    line = UsageRecord.objects.filter(id=ident, corrects=None).first()
    if line is None:
        raise NotFound("No such line of the ledger, or it is a correction itself.", param="record_id")
    left = UsageRecord.objects.filter(Q(id=ident) | Q(corrects=ident)).aggregate(cost=Sum("cost"))["cost"]
    statement = Statement.objects.filter(period_start=line.period_start).first()
    if statement is not None:
        left = min(left, _left_of(statement))
    _refuse_more_than(left, amount, line.currency)
    return [(ident, amount)], line.currency


def _of_statement(ident: UUID, amount: Decimal) -> tuple[list[tuple[UUID, Decimal]], str]:
    statement = Statement.objects.filter(id=ident).first()
    if statement is None:
        raise NotFound("No such statement.", param="statement_id")
    _refuse_more_than(_left_of(statement), amount, statement.currency)
    lines = list(statement.lines.filter(kind=StatementLine.Kind.USAGE, cost__gt=0).order_by("position"))
    dearest = _dearest_records(statement)
    shares = zip(lines, shared_out(amount, [line.cost for line in lines]), strict=True)
    return [
        (dearest[line.model, line.meter, line.price_id], share) for line, share in shares if share
    ], statement.currency


def _left_of(statement: Statement) -> Decimal:
    """What a month's usage cost, with all that corrected it since."""
    own = UsageRecord.objects.filter(period_start=statement.period_start, id=OuterRef("corrects"))
    corrections = UsageRecord.objects.filter(Exists(own), corrects__isnull=False)
    return statement.usage + (corrections.aggregate(cost=Sum("cost"))["cost"] or Decimal(0))


def _dearest_records(statement: Statement) -> dict[tuple[str, str, UUID | None], UUID]:
    """(model, meter, price) → the record of the statement's month that cost most."""
    line = ("model", "meter", "price_id")
    rows = UsageRecord.objects.filter(period_start=statement.period_start, corrects=None)
    found = rows.order_by(*line, "-cost", "id").distinct(*line).values_list(*line, "id")
    return {(model, meter, price): ident for model, meter, price, ident in found}


def shared_out(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """`amount` in parts that relate as the weights do: 12 digits, rounded down, the last has what is left over."""
    with localcontext(prec=80):
        whole = sum(weights, Decimal(0))
        parts = [(amount * weight / whole).quantize(_SMALLEST, ROUND_DOWN) for weight in weights[:-1]]
        return [*parts, amount - sum(parts, Decimal(0))]
