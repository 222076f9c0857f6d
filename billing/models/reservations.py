"""Holds on budgets."""

from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantOwned

from ..closed_months import OpenMonth
from .columns import money


class Reservation(TenantModel):
    """A hold on every budget above a caller, taken before money can be spent and settled once."""

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"
        RELEASED = "released"
        UNKNOWN = "unknown"

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    parent_id = models.UUIDField(null=True, help_text="The reservation with which this one ends at the latest.")
    children = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="Holds taken under this one.")
    request_id = models.UUIDField(help_text="The generation or job it pays for.")
    key_id = models.UUIDField(null=True)
    operation = models.CharField(max_length=32)
    end_user = models.CharField(max_length=200, default="", db_default="")
    tags = models.JSONField(default=dict, db_default={}, help_text="Allocation tags, name → value, of key and call.")
    batch = models.BooleanField(default=False, db_default=False, help_text="A batch's line makes the call.")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN, db_default=State.OPEN)
    hold = money()
    currency = models.CharField(max_length=3)
    prices = models.JSONField(help_text="The prices in force at reservation (`UnitPrice.as_json`).")
    accounts = models.JSONField(default=list, help_text="The budget accounts that hold it.")
    tokens = models.BigIntegerField(default=0, db_default=0, help_text="Of the month's quotas, held beside the money.")
    quotas = models.JSONField(default=list, db_default=[], help_text="The token accounts that hold them.")
    period_start = models.DateField()
    created_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="By which its day and month are told; a part has its call's."
    )
    dispatched_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_reservation_owned"),
            OpenMonth(name="billing_reservation_open_month"),
        ]
        indexes = [
            models.Index(fields=["expires_at"], name="billing_reservation_open", condition=models.Q(state="open")),
            models.Index(
                fields=["tenant", "parent_id"],
                name="billing_reservation_children",
                condition=models.Q(parent_id__isnull=False),
            ),
        ]
