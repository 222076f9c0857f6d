"""What a month has, read from the ledger: the lines of its statement and what they add up to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from django.db import connection

from tenants.errors import AtriumError
from tenants.models import Tenant
from tenants.scope import tenant_scope

from ..models import StatementLine
from .months import format_month


class SeveralCurrencies(AtriumError):
    """A month's lines cannot be added up."""

    status = 409
    type = "invalid_request_error"
    code = "several_currencies"


@dataclass(frozen=True)
class Line:
    """Records of the ledger that stand together: one meter of one model at one price, or corrections of one kind.

    `included` of `quantity` units were the plan's to pay; `unit_price` and `per` are None where its records have
    several, `list_cost` where some record has none. `corrected_month` is whose records are corrected.
    """

    kind: str
    model: str
    meter: str
    price_id: UUID | None
    unit_price: Decimal | None
    per: int | None
    quantity: int
    included: int
    cost: Decimal
    list_cost: Decimal | None
    corrected_month: date | None
    reason: str
    records: int


@dataclass(frozen=True)
class Totals:
    """What lines of one currency add up to, taxes not included."""

    usage: Decimal
    corrections: Decimal
    credits: Decimal

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.usage + self.corrections + self.credits


@dataclass(frozen=True)
class Draft:
    """What a month's statement would say if the month were closed now."""

    month: date
    currency: str
    lines: Sequence[Line]

    @property
    def totals(self) -> Totals:
        """The sums of its lines."""
        return totals_of(self.lines)


def totals_of(lines: Iterable[Line | StatementLine]) -> Totals:
    """The sums of lines by kind."""
    sums = {kind: Decimal(0) for kind in StatementLine.Kind}
    for line in lines:
        sums[StatementLine.Kind(line.kind)] += line.cost
    kind = StatementLine.Kind
    return Totals(sums[kind.USAGE], sums[kind.CORRECTION], sums[kind.CREDIT])


def draft(*, month: date) -> Draft:
    """What the current tenant's ledger has of a month, whether it is closed or not.

    Raises:
        SeveralCurrencies: it has lines in several, which no amount can sum up.
    """
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM statement_lines(%s, %s)", [tenant_id, month])
        rows = cursor.fetchall()
        own = Tenant.objects.filter(id=tenant_id).values_list("currency", flat=True).first()
    currencies = {row[0] for row in rows} or {own or ""}
    if len(currencies) > 1:
        raise SeveralCurrencies(
            f"{format_month(month)} has lines in {' and '.join(sorted(currencies))}; a statement has one currency."
        )
    return Draft(month, currencies.pop(), [Line(*row[1:]) for row in rows])
