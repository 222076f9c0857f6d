"""List prices, plans' prices, contracted ones, and what the platform pays itself: dated, never changed."""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now

from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.row_security import TenantOwned

from .columns import money
from .meters import Meter
from .plans import Plan

#: Of a price that would divide by nothing, or pay whoever calls.
_SOUND = models.Q(amount__gte=0, per__gte=1)


class PriceBase(models.Model):
    """What every price row says. Rows are never changed: a new price is a new row with a later `valid_from`."""

    model = models.CharField(max_length=200)
    meter = models.CharField(max_length=32, choices=Meter)
    currency = models.CharField(max_length=3)
    amount = money(validators=[MinValueValidator(Decimal(0))])
    per = models.PositiveIntegerField(default=1_000_000, help_text="Units of the meter that `amount` buys.")
    valid_from = models.DateTimeField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.model} {self.meter}: {self.amount:f} {self.currency} per {self.per}"


class Entry(models.Model):
    """Who put a row into the price books, when, and from where."""

    source = models.CharField(
        max_length=200, default="", db_default="", blank=True, help_text="Where it comes from, such as a contract."
    )
    added_by = models.CharField(max_length=100, default="", db_default="", editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


class BookPrice(PriceBase, Entry):
    """A price that tenants pay, in tiers if it has some."""

    tiers = models.JSONField(
        default=list,
        db_default=[],
        blank=True,
        help_text="[[units, amount], …]: beyond that many units of a tenant's calendar month, `per` units cost that much. "
        "Up to the first of them they cost the amount above.",
    )

    class Meta:
        abstract = True


class Price(BookPrice):
    """A list price, or one of a plan."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, blank=True)

    app_may = ("SELECT",)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "model", "meter", "currency", "valid_from"],
                nulls_distinct=False,
                name="billing_price_once",
            ),
            models.CheckConstraint(condition=_SOUND, name="billing_price_sound"),
        ]


class TenantPrice(BookPrice, TenantModel):
    """A contracted price: goes before the plan's, which goes before the list's."""

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [
            TenantOwned(name="billing_tenantprice_owned"),
            models.UniqueConstraint(
                fields=["tenant", "model", "meter", "currency", "valid_from"], name="billing_tenantprice_once"
            ),
            models.CheckConstraint(condition=_SOUND, name="billing_tenantprice_sound"),
        ]


class ProviderPrice(PriceBase, Entry):
    """What the platform pays: to one of its providers, or, where none is named, to whichever answers."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(
        max_length=100, default="", db_default="", blank=True, help_text="As deployments name it. Empty: any."
    )

    app_may = ("SELECT",)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["model", "meter", "provider", "currency", "valid_from"], name="billing_providerprice_once"
            ),
            models.CheckConstraint(condition=_SOUND, name="billing_providerprice_sound"),
        ]
