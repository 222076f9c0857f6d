"""What tenant-owned models have in common: the id, the tenant, and a manager that fails closed."""

from django.db import models

from .ids import uuid7
from .scope import current_tenant, is_staff


class TenantManager(models.Manager):
    """Adds the literal tenant filter to every query, and raises without a current tenant.

    The filter is not the protection (row-level security is): it lets the planner prune partitions and use indexes
    that start with the tenant. Platform staff, on their own audited alias, see all.
    """

    def get_queryset(self) -> models.QuerySet:
        """Rows of the current tenant; all of them for platform staff.

        Raises:
            NoTenant: there is no current tenant.
        """
        rows = super().get_queryset()
        return rows if is_staff() else rows.filter(tenant_id=current_tenant())


class TenantModel(models.Model):
    """Base of every tenant-owned table. Add `TenantOwned` to its `Meta.constraints`; a system check insists."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, db_index=False, editable=False)

    objects = TenantManager()

    #: What the app role may do with the table; append-only tables name less.
    app_may: tuple[str, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")
    #: What the pinned SECURITY DEFINER functions need.
    definer_may: tuple[str, ...] = ()

    class Meta:
        abstract = True
