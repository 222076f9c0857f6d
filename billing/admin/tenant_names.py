"""Names for pseudonyms: rows that outlive their tenant hold its id alone."""

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from tenants.models import Tenant


def with_tenant_names(rows: QuerySet[Any]) -> QuerySet[Any]:
    """With `tenant_name`, None where the tenant was erased."""
    names = Tenant.objects.filter(id=OuterRef("pseudonym")).values("name")[:1]
    return rows.annotate(tenant_name=Subquery(names))


@display(description="Tenant")
def tenant_column(self: Any, row: Any) -> SafeString:
    """A tenant's name, or the id of an erased one."""
    if row.tenant_name is None:
        return format_html("<code>{}</code> (erased)", row.pseudonym)
    return format_html("{}", row.tenant_name)
