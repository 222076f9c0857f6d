"""Files of usage and costs that finance asks for, and what asks for them again each day, week or month."""

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantOwned


class ReportBase(TenantModel):
    """What shall stand in a file. The platform's own, over all tenants, stand under `billing.exports.PLATFORM`."""

    class Kind(models.TextChoices):
        USAGE = "usage"
        COSTS = "costs"
        LEDGER = "ledger"
        FOCUS = "focus"

    class Format(models.TextChoices):
        CSV = "csv"
        XLSX = "xlsx"
        PARQUET = "parquet"

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    kind = models.CharField(max_length=8, choices=Kind)
    format = models.CharField(max_length=8, choices=Format)
    options = models.JSONField(default=dict, help_text="Width of the buckets, grouping, filters.")
    asked_by_type = models.CharField(max_length=16)
    asked_by_id = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


class ReportSchedule(ReportBase):
    """A report that is made again for each day, week (from Monday) or month (UTC) that is over."""

    class Every(models.TextChoices):
        DAY = "day"
        WEEK = "week"
        MONTH = "month"

    name = models.CharField(max_length=100)
    every = models.CharField(max_length=5, choices=Every)
    active = models.BooleanField(default=True)
    next_start = models.DateField(help_text="The first day of the next period to be reported.")
    due_at = models.DateTimeField(help_text="When that is over, and a little more.")

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_reportschedule_owned"),
            models.UniqueConstraint(fields=["tenant", "name"], name="billing_reportschedule_name"),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="billing_reportschedule_due", condition=models.Q(active=True)),
        ]

    def __str__(self) -> str:
        return self.name


class Report(ReportBase):
    """A file of usage and costs: a job of the queue `reports`, and what became of it."""

    class State(models.TextChoices):
        QUEUED = "queued"
        IN_PROGRESS = "in_progress"
        COMPLETED = "completed"
        FAILED = "failed"
        EXPIRED = "expired"

    start = models.DateTimeField(help_text="Inclusive.")
    end = models.DateTimeField(help_text="Exclusive.")
    schedule_id = models.UUIDField(null=True)
    state = models.CharField(max_length=11, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Per cent of the period.")
    rows = models.BigIntegerField(null=True)
    bytes = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, default="", help_text="Of the file.")
    totals = models.JSONField(default=dict, help_text="Currency → the sum of the lines behind the file's rows.")
    error = models.JSONField(null=True, help_text="{code, message}, where it failed.")
    stored_as = models.CharField(max_length=200, default="", help_text="Its name in the object store.")
    completed_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True, help_text="When the file is removed.")

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_report_owned"),
            models.UniqueConstraint(
                fields=["tenant", "schedule_id", "start"],
                condition=models.Q(schedule_id__isnull=False),
                name="billing_report_once_a_period",
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], name="billing_report_expiry", condition=models.Q(state="completed")),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.start:%Y-%m-%d} to {self.end - timedelta(microseconds=1):%Y-%m-%d}"
