"""Bills of providers, as they were imported, how their SKUs are ours, and what was corrected for them. Staff's alone,
but for the corrections, which belong to the tenants whose lines they correct."""

from decimal import Decimal

from django.db import models
from django.db.models.functions import Now

from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.row_security import TenantOwned

from .columns import money
from .meters import Meter


def quantity() -> models.DecimalField:
    """A column for what a bill counts: fractions of thousands of tokens, and negative ones where it takes back."""
    return models.DecimalField(max_digits=32, decimal_places=12)


class ProviderBill(models.Model):
    """A FOCUS file of one provider. The same bytes are imported once."""

    class State(models.TextChoices):
        IMPORTED = "imported"
        APPROVED = "approved"
        POSTED = "posted"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=100, help_text="As deployments name it, such as bedrock.")
    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64, editable=False)
    currency = models.CharField(max_length=3)
    first_day = models.DateField()
    last_day = models.DateField()
    rows = models.PositiveIntegerField(help_text="Lines of the file.")
    other_cost = money(help_text="What is no usage: tax, purchases, credits, adjustments.")
    state = models.CharField(max_length=8, choices=State, default=State.IMPORTED, db_default=State.IMPORTED)
    imported_by = models.CharField(max_length=100)
    approved_by = models.CharField(max_length=100, default="", db_default="")
    approved_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ()
    definer_may = ("SELECT", "UPDATE")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "sha256"], name="billing_providerbill_once")]

    def __str__(self) -> str:
        return f"{self.provider} {self.first_day} to {self.last_day}: {self.name}"


class BillLine(models.Model):
    """A day's usage of one SKU, as a bill sums up."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    bill = models.ForeignKey(ProviderBill, on_delete=models.CASCADE, related_name="lines")
    day = models.DateField()
    service = models.CharField(max_length=200)
    sku = models.CharField(max_length=300)
    unit = models.CharField(max_length=100)
    quantity = quantity()
    cost = money()
    rows = models.PositiveIntegerField()

    app_may = ()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bill", "day", "service", "sku", "unit"], name="billing_billline_once")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.sku}"


class SkuMapping(models.Model):
    """Which model and meter a provider's SKUs are, by a pattern in which `*` stands for anything."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=100)
    pattern = models.CharField(
        max_length=300, help_text="Of the SKU (AWS: the usage type), such as *-Claude3.5Sonnet-input-tokens."
    )
    model = models.CharField(max_length=200)
    meter = models.CharField(max_length=32, choices=Meter)
    units = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        default=Decimal(1),
        help_text="Units of ours in one of the bill's: 1000 where it counts thousands of tokens.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ()

    class Meta:
        verbose_name = "SKU mapping"
        constraints = [
            models.UniqueConstraint(fields=["provider", "pattern"], name="billing_skumapping_once"),
            models.CheckConstraint(condition=models.Q(units__gt=0), name="billing_skumapping_units"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.pattern}"


class BillCorrection(TenantModel):
    """What an approved bill changes at one line of a tenant's ledger: planned with the approval, posted once."""

    bill_id = models.UUIDField()
    line_id = models.UUIDField(help_text="The line of the ledger.")
    model = models.CharField(max_length=200)
    day = models.DateField()
    quantity = models.BigIntegerField()
    cost = money()
    provider_cost = money()
    reason = models.CharField(max_length=200)
    posted_id = models.UUIDField(null=True, help_text="The row of the ledger that corrects it.")
    refusal = models.CharField(max_length=300, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_billcorrection_owned"),
            models.UniqueConstraint(fields=["tenant", "bill_id", "line_id"], name="billing_billcorrection_once"),
        ]
        indexes = [
            models.Index(fields=["bill_id"], name="billing_correction_unposted", condition=models.Q(posted_id=None)),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.day}: {self.reason}"
