"""Safety: each version of a tenant's policies, and what the screens found."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantOwned


class SafetyPolicy(TenantModel):
    """One version of a policy; the highest counts. Append-only: a change is a new version, so history stays readable."""

    alias = models.CharField(
        max_length=200,
        blank=True,
        default="",
        help_text="The model, by its alias, that the policy is for. Empty: every model without one of its own.",
    )
    version = models.PositiveIntegerField()
    settings = models.JSONField(
        null=True, help_text="See the API's documentation. Null: removed, so that the general policy holds."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT", "INSERT")

    class Meta:
        verbose_name = "safety policy"
        verbose_name_plural = "safety policies"
        constraints = [
            TenantOwned(name="inference_safetypolicy_owned"),
            models.UniqueConstraint(fields=["tenant", "alias", "version"], name="inference_safetypolicy_once"),
            models.CheckConstraint(condition=models.Q(version__gte=1), name="inference_safetypolicy_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.alias or 'all models'}, version {self.version}"


class Screening(TenantModel):
    """What one screen found in one stage of a call: how much of which category, and where. Never what it read."""

    class Stage(models.TextChoices):
        INPUT = "input"
        PASSAGES = "passages"
        OUTPUT = "output"

    class Action(models.TextChoices):
        BLOCK = "block"
        MASK = "mask"
        FLAG = "flag"

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    generation_id = models.UUIDField(help_text="The call.")
    stage = models.CharField(max_length=16, choices=Stage)
    screen = models.CharField(max_length=32)
    action = models.CharField(max_length=8, choices=Action)
    categories = ArrayField(models.CharField(max_length=64), default=list)
    count = models.PositiveIntegerField()
    details = models.JSONField(
        default=list,
        help_text="The first ten: category, place, span, and a keyed digest by which equal finds are seen.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [TenantOwned(name="inference_screening_owned")]
        indexes = [
            models.Index(fields=["tenant", "generation_id"], name="inference_screening_call"),
            models.Index(fields=["tenant", "-created_at"], name="inference_screening_recent"),
            models.Index(fields=["tenant", "action", "id"], name="inference_screening_action"),
            models.Index(fields=["tenant", "screen", "id"], name="inference_screening_screen"),
        ]

    def __str__(self) -> str:
        return f"{self.screen} {self.action} {self.stage}"
