"""Attempts: one row for each time a deployment was asked."""

from django.db import models

from billing.models import money
from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantOwned


class InferenceAttempt(TenantModel):
    """One call of one deployment for a generation, written with its settlement.

    Append-only, and like the ledger without foreign keys: it is written by the function that ends its generation, and
    says what happened when the deployment is long gone.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    generation_id = models.UUIDField()
    number = models.PositiveSmallIntegerField(help_text="Usage lines carry it as their attempt.")
    deployment_id = models.UUIDField(null=True)
    deployment = models.CharField(max_length=100)
    model = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    latency_ms = models.FloatField()
    ttft_ms = models.FloatField(null=True, help_text="Until the first token.")
    input_tokens = models.BigIntegerField(default=0, db_default=0)
    output_tokens = models.BigIntegerField(default=0, db_default=0)
    cost = money(null=True)
    category = models.CharField(max_length=16, default="", db_default="")
    code = models.CharField(max_length=100, default="", db_default="")
    error_class = models.CharField(max_length=100, default="", db_default="")
    retryable = models.BooleanField(null=True)

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [TenantOwned(name="inference_inferenceattempt_owned")]
        indexes = [
            models.Index(fields=["tenant", "generation_id"], name="inference_attempt_generation"),
            models.Index(
                fields=["tenant", "category", "id"], name="inference_attempt_failed", condition=~models.Q(category="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.deployment}"
