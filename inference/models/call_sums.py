"""Sums of calls by hour: how many ended how, and how long they took. Written by `roll_up_calls` alone."""

from django.db import models

from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantOwned

from .generations import Generation


class CallHour(TenantModel):
    """How many of an hour's calls ended in one state after about the same time."""

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    start = models.DateTimeField(help_text="The first moment of the hour (UTC) in which they ended.")
    state = models.CharField(max_length=16, choices=Generation.State)
    took = models.PositiveSmallIntegerField(
        help_text="n: from 1.1ⁿ⁻¹ to 1.1ⁿ milliseconds. 0: not measured, for nobody waited or nothing was answered."
    )
    calls = models.BigIntegerField()

    app_may = ("SELECT",)
    definer_may = ("SELECT", "INSERT", "UPDATE", "DELETE")

    class Meta:
        constraints = [
            TenantOwned(name="inference_callhour_owned"),
            models.UniqueConstraint(fields=["tenant", "start", "state", "took"], name="inference_callhour_once"),
        ]
        indexes = [models.Index(fields=["start"], name="inference_callhour_all")]


class CallMark(models.Model):
    """Calls that ended before `up_to` are in the sums, later ones are not. One row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    up_to = models.DateTimeField()

    app_may = ("SELECT",)
    definer_may = ("SELECT", "INSERT", "UPDATE")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="inference_callmark_one")]
