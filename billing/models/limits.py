"""What is in force instead of a plan's limits, and what is used of those that count."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.row_security import TenantOwned


class Limit(models.TextChoices):
    """What can be overridden; each is a column of `Plan`."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    CONCURRENT_CALLS = "concurrent_calls"
    USER_REQUESTS_PER_MINUTE = "user_requests_per_minute"
    USER_TOKENS_PER_MINUTE = "user_tokens_per_minute"
    USER_CONCURRENT_CALLS = "user_concurrent_calls"
    TOKENS_PER_MONTH = "tokens_per_month"
    DOCUMENTS = "documents"
    STORED_BYTES = "stored_bytes"
    OCR_PAGES_PER_MONTH = "ocr_pages_per_month"
    WEIGHT = "weight"
    PRIORITY = "priority"
    ALLOWED_MODELS = "allowed_models"


class LimitOverride(TenantModel):
    """From a moment on a limit of the tenant, or of one of its keys, is another than the plan's.

    Rows are never changed: the latest `valid_from` that has come is in force. One without a value ends the override.
    """

    key_id = models.UUIDField(null=True, blank=True, help_text="Empty: the tenant's.")
    limit = models.CharField(max_length=32, choices=Limit)
    value = models.BigIntegerField(null=True, blank=True, help_text="0: no limit. Empty: the plan's again.")
    names = ArrayField(
        models.CharField(max_length=200), null=True, blank=True, help_text="Of allowed models; none named: all."
    )
    valid_from = models.DateTimeField()
    reason = models.CharField(max_length=200, default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [
            TenantOwned(name="billing_limitoverride_owned"),
            models.UniqueConstraint(
                fields=["tenant", "key_id", "limit", "valid_from"],
                nulls_distinct=False,
                name="billing_limitoverride_once",
            ),
            models.CheckConstraint(
                condition=models.Q(limit=Limit.ALLOWED_MODELS, value=None)
                | (~models.Q(limit=Limit.ALLOWED_MODELS) & models.Q(names=None)),
                name="billing_limitoverride_kind",
            ),
            models.CheckConstraint(
                condition=models.Q(value=None) | models.Q(value__gte=0), name="billing_limitoverride_not_negative"
            ),
        ]

    def __str__(self) -> str:
        shown = self.names if self.limit == Limit.ALLOWED_MODELS else self.value
        return f"{self.limit}: {'as in the plan' if shown is None else shown}"


class QuotaUse(TenantModel):
    """What a tenant has used of a monthly quota."""

    quota = models.CharField(max_length=32, choices=Limit)
    period_start = models.DateField()
    used = models.BigIntegerField()

    class Meta:
        constraints = [
            TenantOwned(name="billing_quotause_owned"),
            models.UniqueConstraint(fields=["tenant", "quota", "period_start"], name="billing_quotause_once"),
            models.CheckConstraint(condition=models.Q(used__gte=0), name="billing_quotause_not_negative"),
        ]
