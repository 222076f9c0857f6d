"""Variants: a tenant's fine-tuned models."""

from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.row_security import TenantOwned

#: Variants are priced, metered and reported under `ft:<base>:<name>`; no model of the catalogue begins so.
VARIANT_PREFIX = "ft:"


class Variant(TenantModel):
    """A fine-tune of a catalogue model: an adapter that the base's own deployments serve."""

    class State(models.TextChoices):
        TRAINING = "training"
        EVALUATING = "evaluating"
        CANDIDATE = "candidate"
        CANARY = "canary"
        LIVE = "live"
        RETIRED = "retired"

    #: Those that may answer a call.
    SERVED = (State.CANARY, State.LIVE)

    name = models.CharField(max_length=64, validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")])
    base = models.ForeignKey("inference.Model", on_delete=models.PROTECT, related_name="+")
    adapter = models.CharField(
        max_length=2048,
        blank=True,
        default="",
        help_text="What the base's deployments know it as: a LoRA's name, or the ARN of a custom model of Bedrock.",
    )
    by_tenant = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Named by the tenant itself: then the tenant's own accounts serve it, and nobody else's.",
    )
    state = models.CharField(max_length=16, choices=State, default=State.TRAINING, db_default=State.TRAINING)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="inference_variant_owned"),
            models.UniqueConstraint(fields=["tenant", "name"], name="inference_variant_once"),
            # What is served must be known to the server by a name.
            models.CheckConstraint(
                condition=~models.Q(adapter="") | models.Q(state__in=["training", "evaluating", "retired"]),
                name="inference_variant_adapter",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def model_name(self) -> str:
        """What prices, meters and reports know it as; needs the base loaded."""
        return f"{VARIANT_PREFIX}{self.base.name}:{self.name}"
