"""What staff write into the price books: list and plans' prices, contracts, providers' prices, allowances.

Rows are added, never changed or taken away, and none may begin where another is in force already: what a call cost then
is said by the row that held then. Several rows are added all or none, in one transaction of the staff role. Contracts
have an audit row in their tenant's log; the other books know no tenant, so their rows say by whom they were added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import IntegrityError, models, transaction

from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.models import Tenant
from tenants.scope import as_staff

from ..models import BookPrice, Entry, Plan, PlanAllowance, Price, ProviderPrice, TenantAllowance, TenantPrice
from . import checks
from .quotes import short

log = structlog.get_logger("atrium.billing")


class PriceConflict(AtriumError):
    """A row of the same thing begins at the same moment, or was in force then."""

    status = 409
    type = "invalid_request_error"
    code = "price_conflict"


@dataclass(frozen=True, kw_only=True)
class Book:
    """Which book a row goes into: a plan's (by slug), a tenant's contract, a provider's; with none of them the list."""

    plan: str | None = None
    tenant_id: UUID | None = None
    provider: str | None = None


LIST = Book()


@dataclass(frozen=True, kw_only=True)
class NewPrice:
    """A price to be: `amount` for `per` units of `meter` on `model`, from `valid_from` (now where missing) on.

    `currency` may be missing in a contract, which is in its tenant's. `tiers` are [units, amount]: see `BookPrice`.
    """

    model: str
    meter: str
    amount: Decimal
    currency: str | None = None
    per: int = 1_000_000
    tiers: Sequence[Sequence[Any]] = ()
    valid_from: datetime | None = None
    book: Book = LIST
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class NewAllowance:
    """`quantity` units of `meter` a month, on `model` ('': on any), from the month that starts on `valid_from` on."""

    meter: str
    quantity: int
    valid_from: date
    book: Book
    model: str = ""
    source: str = ""


def add_prices(*, rows: Sequence[NewPrice], by: Actor, now: datetime) -> list[BookPrice | ProviderPrice]:
    """Add prices, all or none; they hold within seconds of their moment.

    Raises:
        InvalidRequest: naming the field at fault, and the row where there are several.
        NotFound: no such plan or tenant.
        PriceConflict: a row of the same thing is in force at that moment, or begins then.
    """
    with as_staff(), transaction.atomic(using="staff"):
        return [_named(number, rows, lambda row=row: _add_price(row, by, now)) for number, row in enumerate(rows, 1)]


def add_allowance(*, row: NewAllowance, by: Actor, now: datetime) -> PlanAllowance | TenantAllowance:
    """Include units in a plan, or in a tenant's contract.

    Raises: as `add_prices`.
    """
    with as_staff(), transaction.atomic(using="staff"):
        return _add_allowance(row, by, now)


def _named(number: int, rows: Sequence[NewPrice], add: Any) -> Any:
    """One of several rows; its refusal says which it is."""
    try:
        return add()
    except AtriumError as error:
        if len(rows) > 1:
            error.args = (f"Row {number}: {error.message}",)
            error.message = error.args[0]
        raise


def _add_price(row: NewPrice, by: Actor, now: datetime) -> Any:
    book = _owner(row.book)
    currency = _currency(row, book)
    checks.price(row, currency=currency)
    begins = checks.moment(row.valid_from, now)
    told = {
        **book, "model": row.model, "meter": row.meter, "currency": currency, "amount": row.amount, "per": row.per,
        "valid_from": begins, "source": row.source,
    }  # fmt: skip
    made: Any = ProviderPrice(**told) if "provider" in book else _kind(book, TenantPrice, Price)(**told)
    if "provider" not in book:
        made.tiers = checks.tiers(row.tiers)
    elif row.tiers:
        raise InvalidRequest("What a provider takes has no tiers here.", param="tiers")
    same = {**book, "model": row.model, "meter": row.meter, "currency": currency}
    _refuse_history(type(made).objects.filter(**_filter(same)), begins, now)
    changes = {
        "model": row.model,
        "meter": row.meter,
        "amount": short(row.amount),
        "currency": currency,
        "per": row.per,
    }
    return _insert(made, by, "price.added", changes)


def _add_allowance(row: NewAllowance, by: Actor, now: datetime) -> Any:
    book = _owner(row.book)
    if not book or "provider" in book:
        raise InvalidRequest("An allowance belongs to a plan or to a tenant.", param="plan")
    checks.allowance(row)
    same = {**book, "model": row.model, "meter": row.meter}
    kind = _kind(book, TenantAllowance, PlanAllowance)
    # A month has one: a second would count from nothing again.
    _refuse_history(kind.objects.filter(**same), row.valid_from, _next_month(now))
    made = kind(**same, quantity=row.quantity, valid_from=row.valid_from, source=row.source)
    changes = {"model": row.model, "meter": row.meter, "quantity": row.quantity, "valid_from": str(row.valid_from)}
    return _insert(made, by, "allowance.added", changes)


def _owner(book: Book) -> dict[str, Any]:
    """The columns that say whose row it is.

    Raises:
        InvalidRequest: more than one.
        NotFound: no such plan or tenant.
    """
    if sum(named is not None for named in (book.plan, book.tenant_id, book.provider)) > 1:
        raise InvalidRequest("A row belongs to one of a plan, a tenant and a provider.", param="plan")
    if book.plan is not None:
        plan = Plan.objects.filter(slug=book.plan).first()
        if plan is None:
            known = ", ".join(Plan.objects.order_by("slug").values_list("slug", flat=True))
            raise NotFound(f"No plan '{book.plan}'. Known: {known}.", param="plan")
        return {"plan": plan}
    if book.tenant_id is not None:
        if not Tenant.objects.filter(id=book.tenant_id).exists():
            raise NotFound("No such tenant.", param="tenant_id")
        return {"tenant_id": book.tenant_id}
    return {} if book.provider is None else {"provider": book.provider}


def _kind(book: dict[str, Any], contract: type[Any], usual: type[Any]) -> type[Any]:
    return contract if "tenant_id" in book else usual


def _filter(same: dict[str, Any]) -> dict[str, Any]:
    """List prices are those of no plan."""
    return same if same.keys() & {"plan", "tenant_id", "provider"} else {**same, "plan": None}


def _currency(row: NewPrice, book: dict[str, Any]) -> str:
    """A tenant is billed in one currency; a price of its contract in another would never hold."""
    if "tenant_id" in book:
        own = Tenant.objects.values_list("currency", flat=True).get(id=book["tenant_id"])
        if row.currency not in (None, own):
            raise InvalidRequest(f"This tenant is billed in {own}, not in {row.currency}.", param="currency")
        return own
    if row.currency is None:
        raise InvalidRequest("Missing 'currency'.", param="currency")
    return row.currency


def _next_month(now: datetime) -> date:
    day = now.astimezone(UTC).date()
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _refuse_history(rows: models.QuerySet[Any], begins: Any, open_from: Any) -> None:
    """Nothing may begin before `open_from` beside a row that is in force by then."""
    before = rows.filter(valid_from__lt=open_from).order_by("-valid_from").first()
    if before is not None and begins < open_from:
        raise PriceConflict(
            f"In force since {before.valid_from.isoformat()}: {before}. What was charged by it stays; a row after it "
            f"begins on {open_from.isoformat()} or later.",
            param="valid_from",
        )


def _insert(made: Entry, by: Actor, action: str, changes: dict[str, Any]) -> Entry:
    made.added_by = f"{by.type} {by.id}"[:100]
    try:
        with transaction.atomic(using="staff"):
            made.save(force_insert=True)
    except IntegrityError as error:
        raise PriceConflict(
            f"There is a row for this already that begins on {made.valid_from.isoformat()}.",  # type: ignore[attr-defined]
            param="valid_from",
        ) from error
    made.refresh_from_db()
    if isinstance(made, TenantPrice | TenantAllowance):
        record(by=by, action=action, target=made, changes=changes, tenant_id=made.tenant_id)
    log.info(action, **changes, by=made.added_by, row=str(made.pk))
    return made
