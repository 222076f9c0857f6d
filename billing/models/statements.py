"""What a closed month came to: statements and their lines, and the notes that credit them. All of it append-only."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tenants.append_only import AppendOnly
from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantForeignKey, TenantOwned

from .columns import money


class Statement(TenantModel):
    """A closed month of a tenant. That it stands is what closes the month: the ledger takes no more rows of it.

    Nobody reopens one: the roles lack UPDATE and DELETE, and a trigger refuses them to the owner. It names no row that
    erasure removes. Amounts are without taxes.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    period_start = models.DateField()
    currency = models.CharField(max_length=3)
    usage = money(help_text="What was used in the month.")
    corrections = money(help_text="What corrects lines of this month or of those before it.")
    credits = money(help_text="What credit notes gave back; never positive.")
    total = money(help_text="The three together, which is the sum of the ledger's lines of the month.")
    records = models.BigIntegerField(help_text="How many lines of the ledger that is.")
    closed_by_type = models.CharField(max_length=16)
    closed_by_id = models.CharField(max_length=64)
    closed_at = models.DateTimeField()

    app_may = ("SELECT", "INSERT")
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_statement_owned"),
            AppendOnly(name="billing_statement_append_only"),
            models.UniqueConstraint(fields=["tenant", "period_start"], name="billing_statement_once"),
            models.CheckConstraint(
                condition=models.Q(total=models.F("usage") + models.F("corrections") + models.F("credits")),
                name="billing_statement_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period_start:%Y-%m}"


class StatementLine(TenantModel):
    """What one meter of one model came to at one price; corrections by the month that they correct, and why."""

    class Kind(models.TextChoices):
        USAGE = "usage"
        CORRECTION = "correction"
        CREDIT = "credit"

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    statement = models.ForeignKey(Statement, on_delete=models.DO_NOTHING, db_constraint=False, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    model = models.CharField(max_length=200)
    meter = models.CharField(max_length=32)
    price_id = models.UUIDField(null=True)
    unit_price = money(null=True, help_text="Empty where its records have several, as with tiers.")
    per = models.PositiveIntegerField(null=True)
    quantity = models.BigIntegerField()
    included = models.BigIntegerField(help_text="Units that the plan's allowance paid for; the rest is overage.")
    cost = money()
    list_cost = money(null=True, help_text="At the list price; empty where some record has none.")
    corrected_month = models.DateField(null=True)
    reason = models.CharField(max_length=200, default="", db_default="")
    records = models.BigIntegerField()

    app_may = ("SELECT", "INSERT")
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_statementline_owned"),
            AppendOnly(name="billing_statementline_append_only"),
            TenantForeignKey(name="billing_statementline_statement", field="statement"),
            models.UniqueConstraint(fields=["tenant", "statement", "position"], name="billing_statementline_once"),
        ]


class CreditNote(TenantModel):
    """Money given back to a tenant by a person: correcting lines of the ledger in the month that was open then."""

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    statement_id = models.UUIDField(null=True, help_text="The statement that it credits.")
    record_id = models.UUIDField(null=True, help_text="Or the one line of the ledger.")
    records = ArrayField(models.UUIDField(), help_text="The ledger's lines that it consists of.")
    amount = money(help_text="What the tenant gets back; positive.")
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200)
    period_start = models.DateField(help_text="The month whose statement has it.")
    created_by_type = models.CharField(max_length=16)
    created_by_id = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    app_may = ("SELECT", "INSERT")
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_creditnote_owned"),
            AppendOnly(name="billing_creditnote_append_only"),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="billing_creditnote_positive"),
            models.CheckConstraint(
                condition=models.Q(statement_id=None) ^ models.Q(record_id=None), name="billing_creditnote_names_one"
            ),
        ]
        indexes = [models.Index(fields=["tenant", "period_start"], name="billing_creditnote_by_month")]

    def __str__(self) -> str:
        return self.reason
