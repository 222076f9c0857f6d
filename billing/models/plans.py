"""What customers buy, and who bought what."""

from django.core.validators import MinValueValidator
from django.db import models

from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.row_security import TenantOwned

from .columns import money


class Plan(models.Model):
    """What a customer bought: limits, the fair share of workers."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    requests_per_minute = models.PositiveIntegerField()
    tokens_per_minute = models.PositiveIntegerField()
    concurrent_calls = models.PositiveIntegerField()
    weight = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    monthly_budget = money(
        null=True, blank=True, help_text="A hard tenant budget a new tenant of this plan starts with."
    )

    app_may = ("SELECT",)

    def __str__(self) -> str:
        return self.name


class Subscription(TenantModel):
    """The plan a tenant is on."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT)

    class Meta:
        constraints = [
            TenantOwned(name="billing_subscription_owned"),
            models.UniqueConstraint(fields=["tenant"], name="billing_subscription_once"),
        ]
