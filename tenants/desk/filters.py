"""Filters of the desk's lists. Each asks an index, or rows that were found by one; none reads the values there are.

Beside Django's (`choices`: links) a filter may have `inputs`: fields of the one form above a list.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from ..models import Tenant
from .visitor import visitor_of

_MOST_CHOICES = 200


@dataclass(frozen=True)
class Input:
    """A field of the form above a list."""

    name: str
    label: str
    value: str
    type: str = "text"
    placeholder: str = ""


class DeskFilter(admin.SimpleListFilter):
    """One of several values."""

    #: What stands in place of a value that was not chosen.
    nothing = "any"

    def choices(self, changelist: Any) -> Any:
        """Django's, with its own word for no choice."""
        found = list(super().choices(changelist))
        return [{**found[0], "display": self.nothing.capitalize()}, *found[1:]]

    @property
    def shown(self) -> str:
        """What is chosen, in words."""
        return next((str(name) for value, name in self.lookup_choices if str(value) == self.value()), self.nothing)

    def inputs(self) -> list[Input]:
        """None."""
        return []


def one_of(name: str, choices: list[tuple[str, str]], title: str) -> type[DeskFilter]:
    """A filter of a field by values that are known beforehand."""

    class OneOf(DeskFilter):
        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return choices

        def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
            known = self.value() in [value for value, _ in choices]
            return queryset.filter(**{name: self.value()}) if known else queryset

    OneOf.title, OneOf.parameter_name = title, name
    return OneOf


class TypedFilter(DeskFilter):
    """A field's value, typed as a whole."""

    placeholder = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """None to choose from."""
        return []

    def has_output(self) -> bool:
        """It is a field."""
        return True

    @property
    def typed(self) -> str:
        """Without the blanks around it."""
        return (self.value() or "").strip()

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Rows with the value."""
        return queryset.filter(**{str(self.parameter_name): self.typed}) if self.typed else queryset

    def inputs(self) -> list[Input]:
        """One."""
        return [Input(str(self.parameter_name), str(self.title), self.value() or "", placeholder=self.placeholder)]


def exactly(name: str, label: str) -> type[TypedFilter]:
    """A filter of a field by a value that is typed."""
    return type("Exactly", (TypedFilter,), {"title": label, "parameter_name": name})


class TenantFilter(DeskFilter):
    """Whose rows, for platform staff; a long list shows theirs of one tenant at a time."""

    title, parameter_name = "tenant", "of_tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The first two hundred by name; a tenant's own page links here for the rest."""
        visitor = visitor_of(request)
        if visitor is None or not visitor.staff:
            return []
        rows = Tenant.objects.order_by("slug").values_list("id", "slug")[:_MOST_CHOICES]
        return [(str(ident), slug) for ident, slug in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """The tenant's."""
        ident = as_uuid(self.value() or "")
        return queryset.filter(tenant_id=ident) if ident else queryset


_SPANS = {
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}
_SINCE, _UNTIL = "since", "until"


class WhenFilter(DeskFilter):
    """When a row was made, by what its list is in order of: a list is cut off, not searched."""

    title, parameter_name, nothing = "time", "when", "any time"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        self._bounds = {name: params.pop(name, [""])[-1] for name in (_SINCE, _UNTIL)}
        self._made_at = model_admin.made_at
        super().__init__(request, params, model, model_admin)

    def expected_parameters(self) -> list[str | None]:
        """Also the two ends."""
        return [self.parameter_name, _SINCE, _UNTIL]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Up to a month back."""
        return [(value, text.capitalize()) for value, (text, _) in _SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Rows of the time."""
        since, until = _moment(self._bounds[_SINCE]), _moment(self._bounds[_UNTIL])
        if self.value() in _SPANS:
            since = datetime.now(UTC) - _SPANS[str(self.value())][1]
        if self._made_at:
            bounds: dict[str, Any] = {f"{self._made_at}__gte": since, f"{self._made_at}__lt": until}
        else:
            bounds = {"pk__gte": since and first_id_at(since), "pk__lt": until and first_id_at(until)}
        return queryset.filter(**{name: value for name, value in bounds.items() if value is not None})

    def inputs(self) -> list[Input]:
        """From and until, to the minute."""
        return [
            Input(_SINCE, "From (UTC)", self._bounds[_SINCE], "datetime-local"),
            Input(_UNTIL, "Until (UTC)", self._bounds[_UNTIL], "datetime-local"),
        ]


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def first_id_at(moment: datetime) -> UUID:
    """The least id that a row made at `moment` can have: a UUIDv7 begins with the milliseconds since 1970."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def as_uuid(text: str) -> UUID | None:
    """The UUID that somebody typed or pasted: alone, or after the prefix of a public id."""
    digits = text.strip().rpartition("_")[2]
    for prefix in ("chatcmpl-", "file-"):
        digits = digits.removeprefix(prefix)
    try:
        return UUID(digits)
    except ValueError:
        return None
