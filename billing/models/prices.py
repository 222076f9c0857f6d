"""List prices, plans' prices and contracted ones: dated, never changed."""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models

from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.row_security import TenantOwned

from .columns import money
from .meters import Meter
from .plans import Plan


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


class Price(PriceBase):
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
            )
        ]


class TenantPrice(PriceBase, TenantModel):
    """A contracted price: goes before the plan's, which goes before the list's."""

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [
            TenantOwned(name="billing_tenantprice_owned"),
            models.UniqueConstraint(
                fields=["tenant", "model", "meter", "currency", "valid_from"], name="billing_tenantprice_once"
            ),
        ]
