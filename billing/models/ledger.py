"""The ledger: append-only, without foreign keys to rows that can be erased."""

from decimal import Decimal

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F
from django.db.models.functions import Cast, Now

from tenants.append_only import AppendOnly
from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantOwned

from ..closed_months import OpenMonth
from .columns import money
from .meters import Meter

#: Rows of a reservation need no look: months with open ones are not closed, and the reservation itself was looked at.
#: What has none is a correction, or of another month than the current one.
_WITHOUT_HOLD = (
    "NEW.corrects IS NOT NULL OR NEW.period_start <> date_trunc('month', clock_timestamp() AT TIME ZONE 'utc')::date"
)


class CurrentTransaction(models.Func):
    """The number of the transaction that writes the row."""

    function = "pg_current_xact_id"
    template = "(%(function)s()::text)"
    output_field = models.TextField()


class UsageRecord(TenantModel):
    """One line of the ledger. Append-only: a correction is a new row that names what it corrects."""

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    reservation_id = models.UUIDField()
    request_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    operation = models.CharField(max_length=32)
    model = models.CharField(max_length=200)
    meter = models.CharField(max_length=32, choices=Meter)
    quantity = models.BigIntegerField()
    price_id = models.UUIDField(null=True)
    unit_price = money()
    per = models.PositiveIntegerField()
    cost = money(help_text="What the tenant is charged: exact, rounded once, never above the hold.")
    variance = money(db_default=Decimal(0), help_text="What usage above the hold cost; the platform bears it.")
    estimated = models.BooleanField(
        default=False, db_default=False, help_text="The quantity is our own count: the provider gave none."
    )
    included = models.BigIntegerField(default=0, db_default=0, help_text="Units that the plan's allowance paid for.")
    tiered_from = models.BigIntegerField(
        null=True, help_text="Units of the month that came before, where the price has tiers."
    )
    list_cost = money(null=True, help_text="What it would cost at the list price; empty where there is none.")
    provider_cost = money(null=True, help_text="What the platform pays its provider; empty where that is not known.")
    provider = models.CharField(max_length=100, default="", db_default="", help_text="Who billed the platform for it.")
    currency = models.CharField(max_length=3)
    key_id = models.UUIDField(null=True)
    end_user = models.CharField(max_length=200, default="", db_default="")
    tags = models.JSONField(default=dict, db_default={}, help_text="Allocation tags, name → value, of key and call.")
    batch = models.BooleanField(default=False, db_default=False, help_text="A batch's line made the call.")
    leads = models.BooleanField(
        default=False, db_default=False, help_text="The first line of its call: the one by which calls are counted."
    )
    period_start = models.DateField()
    occurred_at = models.DateTimeField(db_default=Now())
    corrects = models.UUIDField(null=True, help_text="The line that this one corrects.")
    reason = models.CharField(max_length=200, default="", db_default="", help_text="Why, of a correction.")
    xact = models.BigIntegerField(
        db_default=Cast(CurrentTransaction(), models.BigIntegerField()),
        editable=False,
        help_text="The transaction that wrote it: by it the sums know which lines are new, in whatever order they commit.",
    )

    app_may = ("SELECT", "INSERT")
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_usagerecord_owned"),
            AppendOnly(name="billing_usagerecord_append_only"),
            OpenMonth(name="billing_usagerecord_open_month", of=_WITHOUT_HOLD),
            models.UniqueConstraint(
                fields=["tenant", "request_id", "attempt", "meter"],
                condition=models.Q(corrects=None),
                name="billing_usagerecord_once",
            ),
            models.CheckConstraint(
                condition=models.Q(corrects__isnull=False)
                | models.Q(quantity__gte=0, cost__gte=0, variance__gte=0, included__gte=0, included__lte=F("quantity")),
                name="billing_usagerecord_not_negative",
            ),
            models.CheckConstraint(
                condition=models.Q(corrects=None, reason="")
                | (models.Q(corrects__isnull=False, leads=False) & ~models.Q(reason="")),
                name="billing_usagerecord_corrections_say_why",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "occurred_at"], name="billing_usage_by_time"),
            # Rows come in the order of their months, so this one is tiny and costs an insert next to nothing.
            BrinIndex(fields=["period_start"], name="billing_usage_by_month"),
            models.Index(
                fields=["tenant", "corrects"],
                name="billing_usage_corrections",
                condition=models.Q(corrects__isnull=False),
            ),
            models.Index(fields=["xact"], name="billing_usage_new"),
        ]
