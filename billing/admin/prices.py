"""The price books: list prices, plans' and contracted ones, what providers take, and what is included."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest
from unfold.decorators import display

from tenants.audit import Actor
from tenants.desk.base import AtriumAdmin, TenantAdmin
from tenants.desk.visitor import visitor_of
from tenants.scope import current_tenant

from ..models import PlanAllowance, Price, ProviderPrice, TenantAllowance, TenantPrice
from ..prices.books import Book, NewAllowance, NewPrice, add_allowance, add_prices
from ..prices.quotes import short
from .columns import amount_column


def _actor(request: HttpRequest) -> Actor:
    visitor = visitor_of(request)
    if visitor is None:
        raise PermissionDenied
    return visitor.actor


def _new_price(data: dict[str, Any], book: Book) -> NewPrice:
    return NewPrice(
        model=data["model"], meter=data["meter"], amount=Decimal(data["amount"]), currency=data["currency"] or None,
        per=data["per"], tiers=data.get("tiers") or (), valid_from=data["valid_from"], book=book, source=data["source"],
    )  # fmt: skip


def _new_allowance(data: dict[str, Any], book: Book) -> NewAllowance:
    named = {name: data[name] for name in ("model", "meter", "quantity", "valid_from", "source")}
    return NewAllowance(book=book, **named)


class BookAdmin(AtriumAdmin):
    """A book that no tenant owns. Rows are added by the domain, which knows what may stand beside what."""

    offers = frozenset({"add"})
    readonly_fields = ("added_by", "created_at")

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        """Who added a row is asked of nobody."""
        fields = [name for name in super().get_fields(request, obj) if isinstance(name, str)]
        return fields if obj is not None else [name for name in fields if name not in self.readonly_fields]

    def add_row(self, data: dict[str, Any], *, by: Actor, now: datetime) -> models.Model:
        """Add what the form says by its domain function; returns the row."""
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        """`add_row`; Django goes on with the row that it made."""
        vars(obj).update(vars(self.add_row(form.cleaned_data, by=_actor(request), now=datetime.now(UTC))))


class PriceColumns:
    """What lists of prices show."""

    list_filter: tuple[str, ...] = ("meter",)
    search_fields = ("model",)
    ordering = ("model", "meter", "-valid_from")

    shown_amount = amount_column("amount", "Price")

    @display(description="Beyond")
    def shown_tiers(self, row: Any) -> str:
        return "; ".join(f"{units}: {short(Decimal(amount))}" for units, amount in row.tiers)


@admin.register(Price)
class PriceAdmin(PriceColumns, BookAdmin):
    """List prices and those of plans. Never changed: a new price is a new row with a later date."""

    icon = "payments"
    list_display = ("model", "meter", "shown_amount", "per", "shown_tiers", "plan", "valid_from", "source")
    list_select_related = ("plan",)
    list_filter = ("meter", "plan", "currency")

    def add_row(self, data: dict[str, Any], *, by: Actor, now: datetime) -> models.Model:
        """`add_prices`: the list's, or the plan's."""
        book = Book(plan=data["plan"].slug) if data["plan"] else Book()
        return add_prices(rows=[_new_price(data, book)], by=by, now=now)[0]


@admin.register(ProviderPrice)
class ProviderPriceAdmin(PriceColumns, BookAdmin):
    """What the platform pays. Never changed: a new price is a new row with a later date."""

    icon = "request_quote"
    list_display = ("model", "meter", "shown_amount", "per", "provider", "valid_from", "source")
    list_filter = ("meter", "provider", "currency")

    def add_row(self, data: dict[str, Any], *, by: Actor, now: datetime) -> models.Model:
        """`add_prices`: the provider's."""
        row = _new_price(data, Book(provider=data["provider"]))
        return add_prices(rows=[row], by=by, now=now)[0]


@admin.register(PlanAllowance)
class PlanAllowanceAdmin(BookAdmin):
    """What plans include in each month. Never changed: a new row begins with a later month."""

    icon = "redeem"
    list_display = ("plan", "meter", "model", "quantity", "valid_from", "source")
    list_select_related = ("plan",)
    list_filter = ("meter", "plan")
    ordering = ("plan__slug", "meter", "model", "-valid_from")

    def add_row(self, data: dict[str, Any], *, by: Actor, now: datetime) -> models.Model:
        """`add_allowance`: the plan's."""
        return add_allowance(row=_new_allowance(data, Book(plan=data["plan"].slug)), by=by, now=now)


class ContractAdmin(TenantAdmin):
    """A book of contracts. The domain writes them as staff, for the tenant that was chosen."""

    offers = frozenset({"add"})

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> models.Model:
        """Add what the form says."""
        return self.add_for(current_tenant(), form.cleaned_data, by=_actor(request), now=now)

    def add_for(self, tenant_id: UUID, data: dict[str, Any], *, by: Actor, now: datetime) -> models.Model:
        """Add what the form says to a tenant's contract by its domain function; returns the row."""
        raise NotImplementedError


@admin.register(TenantPrice)
class TenantPriceAdmin(PriceColumns, ContractAdmin):
    """Contracted prices. Never changed: a new price is a new row with a later date."""

    icon = "request_quote"
    list_display = ("model", "meter", "shown_amount", "per", "shown_tiers", "valid_from", "source")
    add_fields = ("model", "meter", "currency", "amount", "per", "tiers", "valid_from", "source")
    fields = (*add_fields, "added_by", "created_at")

    def add_for(self, tenant_id: UUID, data: dict[str, Any], *, by: Actor, now: datetime) -> models.Model:
        """`add_prices`: the contract's."""
        return add_prices(rows=[_new_price(data, Book(tenant_id=tenant_id))], by=by, now=now)[0]


@admin.register(TenantAllowance)
class TenantAllowanceAdmin(ContractAdmin):
    """What contracts include in each month, instead of the plan. Never changed: a new row begins with a later month."""

    icon = "redeem"
    list_display = ("meter", "model", "quantity", "valid_from", "source")
    list_filter = ("meter",)
    ordering = ("meter", "model", "-valid_from")
    add_fields = ("model", "meter", "quantity", "valid_from", "source")
    fields = (*add_fields, "added_by", "created_at")

    def add_for(self, tenant_id: UUID, data: dict[str, Any], *, by: Actor, now: datetime) -> models.Model:
        """`add_allowance`: the contract's."""
        return add_allowance(row=_new_allowance(data, Book(tenant_id=tenant_id)), by=by, now=now)
