"""Lists of rows: their filters stand above them as plain links and fields, and long ones are paged by key.

A long list counts nothing and skips nothing. Its rows stand in the order of their ids, which is that of their making;
a page begins after the id at which the one before it ended, so the thousandth page costs what the first one does.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.views import ChangeList

#: Parameters of a long list's pages: rows after an id, rows before one, and the last page.
AFTER, BEFORE, LAST = "after", "before", "last"


class BoundedPaginator(Paginator):
    """Counts to a bound, so that no list scans a million rows to say how many; filters reach what lies beyond."""

    bound = 10_000

    @cached_property
    def count(self) -> int:
        """Rows, or the bound where there are more."""
        rows: Any = self.object_list
        return rows.order_by()[: self.bound].count()


class DeskList(ChangeList):
    """unfold's list. Its drawer of filters is not for the keyboard, so `desk/list.html` shows them itself."""

    filters: list[Any]

    def get_results(self, request: HttpRequest) -> None:
        """Django's."""
        super().get_results(request)
        self._show_filters()

    def _show_filters(self) -> None:
        self.filters, self.has_filters = self.filter_specs, False

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What a form of the list sends again: every parameter that is no page."""
        return [(name, value) for name, values in self.filter_params.items() for value in values]


@dataclass(frozen=True)
class Pages:
    """Links to the pages around one of a long list; empty where there is none."""

    newest: str = ""
    newer: str = ""
    older: str = ""
    oldest: str = ""
    template_name = "desk/pages_by_key.html"


class LongList(DeskList):
    """A list that is paged by key."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        """Without the parameters of pages, which are no filters."""
        self._at = {name: self._taken(name) for name in (AFTER, BEFORE, LAST)}
        return super().get_queryset(request, exclude_parameters)

    def _taken(self, name: str) -> str:
        self.params.pop(name, None)
        values = self.filter_params.pop(name, None)
        return values[-1] if values else ""

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[str]:
        """The newest first, whatever is asked for: another order would read the whole table."""
        return self._order("-")

    def _order(self, sign: str) -> list[str]:
        moment = self.model_admin.made_at
        return [f"{sign}{moment}", f"{sign}pk"] if moment else [f"{sign}pk"]

    def get_results(self, request: HttpRequest) -> None:
        """One row more than the page shows tells whether there is another page."""
        size, backwards = self.list_per_page, bool(self._at[BEFORE] or self._at[LAST])
        rows = self._beyond(self._at[BEFORE], "gt") if self._at[BEFORE] else self._beyond(self._at[AFTER], "lt")
        found = list(rows.order_by(*self._order("" if backwards else "-"))[: size + 1])
        more, found = len(found) > size, found[:size]
        if backwards:
            found.reverse()
        self.result_list: Any = found
        self.result_count = self.full_result_count = len(found)  # else unfold offers to show all
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all, self.multi_page = False, False
        newer = more if backwards else bool(self._at[AFTER])
        self.paginator: Any = self._pages(found, newer=newer, older=bool(self._at[BEFORE]) or (more and not backwards))
        self._show_filters()

    def _beyond(self, cursor: str, side: str) -> Any:
        """Rows on one side of a row. Where rows are in the order of a moment, several may share it."""
        if not cursor:
            return self.queryset
        moment, key = _place(cursor)
        name = self.model_admin.made_at
        if not name:
            return self.queryset.filter(**{f"pk__{side}": key})
        if moment is None:
            raise IncorrectLookupParameters
        beyond = Q(**{f"{name}__{side}": moment}) | Q(**{name: moment, f"pk__{side}": key})
        return self.queryset.filter(beyond, **{f"{name}__{side}e": moment})

    def _cursor(self, row: Any) -> str:
        name = self.model_admin.made_at
        return f"{getattr(row, name).isoformat()}~{row.pk}" if name else str(row.pk)

    def _pages(self, found: list[Any], *, newer: bool, older: bool) -> Pages:
        if not found:
            return Pages(newest=self.get_query_string() if any(self._at.values()) else "")
        return Pages(
            newest=self.get_query_string() if newer else "",
            newer=self.get_query_string({BEFORE: self._cursor(found[0])}) if newer else "",
            older=self.get_query_string({AFTER: self._cursor(found[-1])}) if older else "",
            oldest=self.get_query_string({LAST: "1"}) if older else "",
        )


def _place(cursor: str) -> tuple[datetime | None, UUID]:
    moment, _, key = cursor.rpartition("~")
    try:
        return datetime.fromisoformat(moment) if moment else None, UUID(key)
    except ValueError as error:
        raise IncorrectLookupParameters from error
