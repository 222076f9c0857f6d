"""How far a tenant's month has come, where prices have tiers or plans include units."""

from django.db import models

from tenants.managers import TenantModel
from tenants.row_security import TenantOwned


class UnitCounts(TenantModel):
    """The units that a tenant used in a month (UTC), as settlements count them; corrections do not move them.

    `units` holds by allowance id what was used of it, and by `<model> <meter>`, whose price has tiers, what was charged
    above allowances. One row a month, and so one lock: no two settlements can wait for each other's counts.
    """

    period_start = models.DateField()
    units = models.JSONField(default=dict, db_default={})

    class Meta:
        constraints = [
            TenantOwned(name="billing_unitcounts_owned"),
            models.UniqueConstraint(fields=["tenant", "period_start"], name="billing_unitcounts_once"),
        ]
