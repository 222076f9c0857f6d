"""Pages over tables that may have a million rows of one tenant and more.

They are paged by key (`tenants.desk.lists`), found in by id alone, and filtered by what has an index. Platform staff see
one tenant's rows at a time, for every index begins with the tenant; an id is found whosever it is.
"""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from .base import TenantAdmin
from .filters import TenantFilter, as_uuid
from .lists import LongList


class LongListAdmin(TenantAdmin):
    """A page over many rows, newest first."""

    #: Fields that a typed id is looked for in, each under an index: one after the other, the first that has it counts.
    found_by: tuple[str, ...] = ("id",)
    #: The lookup for what is typed and is no id; empty: nothing has it.
    found_by_text = ""
    #: The moment that rows are in the order of, under an index with the tenant; empty: their ids, which are in time's.
    made_at = ""
    by_tenant = True
    sortable_by = ()
    list_select_related: Any = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Paged by key."""
        return LongList

    def get_ordering(self, request: HttpRequest) -> list[str]:
        """By the time of making."""
        return [f"-{self.made_at}", "-pk"] if self.made_at else ["-pk"]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Staff choose a tenant first."""
        filters = [*super().get_list_filter(request)]
        return [TenantFilter, *filters] if self._names_tenant(request) else filters

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """What the box finds is `matching`'s to say."""
        return list(self.found_by)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Rows by what was typed; staff who neither chose a tenant nor typed an id see none."""
        term = search_term.strip()
        whose = TenantFilter.parameter_name in request.GET or not self._names_tenant(request)
        if not whose and as_uuid(term) is None:
            return queryset.none(), False
        return (self.matching(queryset, term) if term else queryset), False

    def matching(self, rows: QuerySet, term: str) -> QuerySet:
        """The rows that `term` means."""
        ident = as_uuid(term)
        if ident is None:
            return self.with_text(rows, term)
        matches = [rows.filter(**{field: ident}) for field in self.found_by]
        return next((match for match in matches[:-1] if match.exists()), matches[-1])

    def with_text(self, rows: QuerySet, text: str) -> QuerySet:
        """The rows that text means which is no id."""
        return rows.filter(**{self.found_by_text: text}) if self.found_by_text else rows.none()
