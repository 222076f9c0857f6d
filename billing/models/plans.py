"""What customers buy, and who bought what."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models

from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.row_security import TenantOwned

from .columns import day_of_month, money


class Plan(models.Model):
    """What a customer bought: limits, the fair share of workers. A limit of 0 is none.

    What is in force for a tenant or a key may differ by dated rows of `LimitOverride`; see `billing.limits`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    requests_per_minute = models.PositiveIntegerField()
    tokens_per_minute = models.PositiveIntegerField()
    concurrent_calls = models.PositiveIntegerField()
    user_requests_per_minute = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Of each end user that calls name; 0: no limit."
    )
    user_tokens_per_minute = models.PositiveIntegerField(default=0, db_default=0)
    user_concurrent_calls = models.PositiveIntegerField(default=0, db_default=0)
    tokens_per_month = models.PositiveBigIntegerField(default=0, db_default=0, help_text="0: no limit.")
    documents = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Files in vector stores, each store's own; 0: no limit."
    )
    stored_bytes = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Of all files; 0: no limit.")
    ocr_pages_per_month = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Pages read by optical character recognition; 0: no limit."
    )
    weight = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text="Its share of the workers, against other tenants'."
    )
    priority = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="Seconds that its work counts as waiting longer than others' with the same share under way.",
    )
    allowed_models = ArrayField(
        models.CharField(max_length=200),
        default=list,
        db_default=[],
        blank=True,
        help_text="Of the models granted, those that may be called, variants of them included; empty: all.",
    )
    content_retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Days that a new tenant keeps prompts and answers, where nobody says; empty: 30.",
    )
    clamps_output = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Where too little is left of a budget or quota for a call's max_tokens, the answer is shorter, not refused.",
    )
    monthly_budget = money(
        null=True, blank=True, help_text="A hard tenant budget a new tenant of this plan starts with."
    )
    closing_day = day_of_month("Day (UTC) on which the month before is closed. Empty: a person closes it.")

    app_may = ("SELECT",)
    definer_may = ("SELECT",)

    def __str__(self) -> str:
        return self.name


class Subscription(TenantModel):
    """The plan a tenant is on."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT)
    closing_day = day_of_month("Day (UTC) on which the month before is closed. Empty: the plan's.")

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_subscription_owned"),
            models.UniqueConstraint(fields=["tenant"], name="billing_subscription_once"),
        ]
