"""What webhooks were told of metered hours."""

from django.db import models

from tenants.managers import TenantModel
from tenants.row_security import TenantOwned

from .meters import Meter


class MeterEvent(TenantModel):
    """An hour of one meter as it was told: how much of it, in how many events."""

    start = models.DateTimeField()
    meter = models.CharField(max_length=32, choices=Meter)
    quantity = models.BigIntegerField()
    events = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            TenantOwned(name="billing_meterevent_owned"),
            models.UniqueConstraint(fields=["tenant", "start", "meter"], name="billing_meterevent_once"),
        ]

    def __str__(self) -> str:
        return f"{self.meter} {self.start:%Y-%m-%d %H:00}"
