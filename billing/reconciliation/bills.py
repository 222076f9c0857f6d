"""Bills, imported: all rows of a file or none, summed up by day and SKU, and the same file once."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from hashlib import sha256 as sha256_of
from typing import BinaryIO, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction

from tenants.audit import Actor
from tenants.errors import AtriumError, NotFound
from tenants.scope import as_staff

from ..models import BillLine, ProviderBill
from .charges import USAGE, Charge, Junk, charge_of, told
from .files import NoBill, read_rows

#: Of the rows that make no sense so many are named.
_MOST_TOLD = 100
#: Lines of one bill. A month of hourly rows is summed up to far fewer.
_MOST_LINES = 500_000
_MOST_ROWS = 10_000_000
_AT_ONCE = 5_000


class BillApproved(AtriumError):
    """What was approved stays."""

    status = 409
    type = "invalid_request_error"
    code = "bill_approved"


class Key(NamedTuple):
    """What is one line of a bill."""

    day: date
    service: str
    sku: str
    unit: str


@dataclass
class Sums:
    """A file, summed up."""

    rows: int = 0
    currency: str = ""
    other_cost: Decimal = Decimal(0)
    days: set[date] = field(default_factory=set)
    lines: dict[Key, list[Decimal]] = field(default_factory=lambda: defaultdict(lambda: [Decimal(0)] * 3))

    def add(self, charge: Charge) -> None:
        """Another row.

        Raises:
            Junk: it is in another currency than those before.
        """
        if self.currency and charge.currency != self.currency:
            raise Junk(f"BillingCurrency {charge.currency}, where rows before have {self.currency}")
        self.currency = charge.currency
        self.rows += 1
        if charge.category != USAGE:
            self.other_cost += charge.cost
            return
        self.days.add(charge.day)
        line = self.lines[Key(charge.day, charge.service, charge.sku, charge.unit)]
        self.lines[Key(charge.day, charge.service, charge.sku, charge.unit)] = [
            line[0] + charge.quantity, line[1] + charge.cost, line[2] + 1,
        ]  # fmt: skip


def import_bill(*, provider: str, name: str, content: BinaryIO, by: Actor) -> tuple[ProviderBill, bool]:
    """Read a FOCUS file (CSV, gzipped or not, or Parquet) of what `provider` bills; returns it, and whether it is new.

    Args:
        provider: as deployments and the ledger name it.
        content: at its beginning; it is read twice.

    Raises:
        NoBill: not such a file, too large, or with rows that make no sense: their lines are named, nothing is imported.
    """
    content.seek(0, 2)
    size = content.tell()
    if size > settings.MAX_FILE_BYTES:
        raise NoBill(f"The file has {size:,} bytes; the limit is {settings.MAX_FILE_BYTES:,}.", param="file")
    content.seek(0)
    sha256 = _digest(content)
    content.seek(0)
    with as_staff():
        known = ProviderBill.objects.filter(provider=provider, sha256=sha256).first()
    if known is not None:
        return known, False
    return _write(provider, name, sha256, _sums(content), by)


def _digest(content: BinaryIO) -> str:
    digest = sha256_of()
    while part := content.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()


def _sums(content: BinaryIO) -> Sums:
    sums, junk = Sums(), 0
    problems: list[tuple[int, str]] = []
    for line, row in read_rows(content):
        try:
            sums.add(charge_of(row))
        except Junk as error:
            junk += 1
            if len(problems) < _MOST_TOLD:
                problems.append((line, str(error)))
        if sums.rows + junk > _MOST_ROWS:
            raise NoBill(f"The bill has more than {_MOST_ROWS:,} rows. Import it in parts.", param="file")
        if len(sums.lines) > _MOST_LINES:
            raise NoBill(f"The bill has more than {_MOST_LINES:,} SKUs and days. Import it in parts.", param="file")
    if problems:
        first = "; ".join(f"line {line}: {message}" for line, message in problems[:3])
        raise NoBill(
            f"{junk} of {sums.rows + junk} rows make no sense, and nothing was imported: {first}"
            f"{' …' if junk > 3 else '.'}",
            param="file",
            data={"rows": told(problems)},
        )
    if not sums.lines:
        raise NoBill("The bill has no usage.", param="file")
    return sums


def _write(provider: str, name: str, sha256: str, sums: Sums, by: Actor) -> tuple[ProviderBill, bool]:
    with as_staff(), transaction.atomic(using="staff"):
        bill, new = ProviderBill.objects.get_or_create(
            provider=provider,
            sha256=sha256,
            defaults={
                "name": name[:200], "currency": sums.currency, "first_day": min(sums.days), "last_day": max(sums.days),
                "rows": sums.rows, "other_cost": sums.other_cost, "imported_by": f"{by.type} {by.id}",
            },
        )  # fmt: skip
        if new:
            BillLine.objects.bulk_create(_lines(bill, sums), batch_size=_AT_ONCE)
    return bill, new


def _lines(bill: ProviderBill, sums: Sums) -> Iterator[BillLine]:
    for key, (quantity, cost, rows) in sums.lines.items():
        yield BillLine(bill=bill, **key._asdict(), quantity=quantity, cost=cost, rows=int(rows))


def get_bill(bill_id: UUID | None) -> ProviderBill:
    """One bill.

    Raises:
        NotFound: there is none.
    """
    with as_staff():
        bill = ProviderBill.objects.filter(id=bill_id).first() if bill_id else None
    if bill is None:
        raise NotFound("No such bill.")
    return bill


def delete_bill(*, bill_id: UUID | None) -> ProviderBill:
    """Forget a bill that nothing was posted for; it can be imported anew.

    Raises:
        NotFound: there is none.
        BillApproved: its corrections stand in the ledger.
    """
    bill = get_bill(bill_id)
    with as_staff():
        gone, _ = ProviderBill.objects.filter(id=bill.id, state=ProviderBill.State.IMPORTED).delete()
    if not gone:
        raise BillApproved("The bill was approved: what was posted for it names it.")
    return bill
