"""Sums of the ledger by hour and by day: what reports read instead of its lines. Written by `roll_up_usage` alone."""

from decimal import Decimal

from django.db import models

from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantOwned

from .meters import Meter


def _total(**options: object) -> models.DecimalField:
    """A column for sums of amounts: so wide that no upstream's nonsense in one tenant's lines can stop the sums of all."""
    return models.DecimalField(max_digits=40, decimal_places=12, default=Decimal(0), **options)  # type: ignore[arg-type]


def _count() -> models.DecimalField:
    """A column for sums of counts, as wide."""
    return models.DecimalField(max_digits=40, decimal_places=0, default=Decimal(0))


class LedgerSum(TenantModel):
    """The sums of ledger lines that share `start` and every dimension; `id` is a digest of those.

    No foreign keys: like the ledger, the sums outlive what they are about.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    start = models.DateTimeField(help_text="The first moment of the hour or day (UTC).")
    operation = models.CharField(max_length=32)
    model = models.CharField(max_length=200)
    meter = models.CharField(max_length=32, choices=Meter)
    currency = models.CharField(max_length=3)
    provider = models.CharField(max_length=100)
    batch = models.BooleanField()
    corrects = models.BooleanField(help_text="Sums of corrections: they stand apart from what they correct.")
    quantity = _count()
    included = _count()
    calls = _count()
    lines = _count()
    cost = _total()
    variance = _total()
    list_cost = _total(help_text="Of the lines that have one.")
    unlisted_cost = _total(help_text="The cost of those that have no list cost.")
    provider_cost = _total(help_text="Of the lines that have one.")
    unmatched_cost = _total(help_text="The cost of those whose provider cost is not known.")

    app_may = ("SELECT",)
    definer_may = ("SELECT", "INSERT", "UPDATE")

    class Meta:
        abstract = True


class ModelDay(LedgerSum):
    """A day's of each model and meter, whoever called: so few that a month over all tenants is read at a glance."""

    class Meta:
        constraints = [TenantOwned(name="billing_modelday_owned")]
        indexes = [
            models.Index(fields=["tenant", "start"], name="billing_modelday_time"),
            models.Index(fields=["start"], name="billing_modelday_all"),
        ]


class UsageSum(LedgerSum):
    """Sums that tell keys, prices and tags apart.

    `tags` are a dimension as a whole, so that any of them can be grouped by; end users are one in `UserDay` only, since
    there are as many of them as calls.
    """

    key_id = models.UUIDField(null=True)
    price_id = models.UUIDField(null=True)
    tags = models.JSONField(default=dict)

    class Meta:
        abstract = True


class UsageHour(UsageSum):
    """An hour's."""

    class Meta:
        constraints = [TenantOwned(name="billing_usagehour_owned")]
        indexes = [models.Index(fields=["tenant", "start"], name="billing_usagehour_time")]


class UsageDay(UsageSum):
    """A day's."""

    class Meta:
        constraints = [TenantOwned(name="billing_usageday_owned")]
        indexes = [
            models.Index(fields=["tenant", "start"], name="billing_usageday_time"),
            models.Index(fields=["start"], name="billing_usageday_all"),
        ]


class UserDay(UsageSum):
    """A day's of each end user; `end_user` is empty where the call named none."""

    end_user = models.CharField(max_length=200)

    class Meta:
        constraints = [TenantOwned(name="billing_userday_owned")]
        indexes = [
            # For one user of a long time, and for all users of a short one.
            models.Index(fields=["tenant", "end_user", "start"], name="billing_userday_user"),
            models.Index(fields=["tenant", "start"], name="billing_userday_time"),
        ]


class RollUpMark(models.Model):
    """How far the sums go: ledger lines of transactions before `up_to` are in them, all others are not. One row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    up_to = models.BigIntegerField()
    rolled_at = models.DateTimeField()

    app_may = ("SELECT",)
    definer_may = ("SELECT", "INSERT", "UPDATE")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="billing_rollupmark_one")]
