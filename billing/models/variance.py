"""What usage above holds cost the platform."""

from django.db import models

from tenants.ids import uuid7

from .columns import money


class Variance(models.Model):
    """What usage above holds cost the platform, by model, tenant and currency. Written by `book_variance` alone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.CharField(max_length=200)
    pseudonym = models.UUIDField(help_text="The tenant's id, which names nobody once the tenant is erased.")
    currency = models.CharField(max_length=3)
    amount = money()
    calls = models.PositiveIntegerField()

    app_may: tuple[str, ...] = ()
    definer_may = ("SELECT", "INSERT", "UPDATE")

    class Meta:
        abstract = True


class VarianceAccount(Variance):
    """A day's (UTC): all of them together are the variance of the ledger's lines, exactly."""

    day = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["day", "model", "pseudonym", "currency"], name="billing_variance_once")
        ]


class VarianceAlert(Variance):
    """An hour in which a tenant's calls of a model used more than was held for them. Raised once."""

    hour = models.DateTimeField()
    raised_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", "model", "pseudonym", "currency"], name="billing_alert_once")
        ]
        indexes = [
            models.Index(fields=["id"], name="billing_alert_unraised", condition=models.Q(raised_at=None)),
        ]
