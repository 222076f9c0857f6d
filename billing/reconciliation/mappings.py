"""Which model and meter a SKU is: patterns of staff's, the longest that fits first."""

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

from django.db import IntegrityError, transaction

from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.scope import as_staff

from ..models import Meter, SkuMapping

_MOST_STARS = 8


class MappingExists(AtriumError):
    """The provider has a mapping with this pattern."""

    status = 409
    type = "invalid_request_error"
    code = "mapping_exists"


def add_mapping(*, provider: str, pattern: str, model: str, meter: str, units: Decimal) -> SkuMapping:
    """Say what SKUs are, for bills that are there and that come.

    Raises:
        InvalidRequest: an unknown meter, an empty pattern or units that are not above nothing.
        MappingExists: there is one with this pattern.
    """
    if meter not in Meter.values:
        raise InvalidRequest(f"Invalid 'meter': there is no '{meter}'.", param="meter")
    if not pattern.strip("* "):
        raise InvalidRequest("Invalid 'pattern': it would fit every SKU.", param="pattern")
    if pattern.count("*") > _MOST_STARS:
        raise InvalidRequest(f"Invalid 'pattern': at most {_MOST_STARS} asterisks.", param="pattern")
    if units <= 0:
        raise InvalidRequest("Invalid 'units': above 0.", param="units")
    try:
        with as_staff(), transaction.atomic(using="staff"):
            return SkuMapping.objects.create(provider=provider, pattern=pattern, model=model, meter=meter, units=units)
    except IntegrityError as error:
        raise MappingExists(f"'{pattern}' of {provider} is mapped already.", param="pattern") from error


def delete_mapping(*, mapping_id: UUID | None) -> SkuMapping:
    """Take a mapping back.

    Raises:
        NotFound: there is none.
    """
    with as_staff():
        row = SkuMapping.objects.filter(id=mapping_id).first() if mapping_id else None
        if row is None:
            raise NotFound("No such mapping.")
        SkuMapping.objects.filter(id=row.id).delete()
    return row


class Mappings:
    """A provider's, ready to be asked."""

    def __init__(self, rows: Iterable[SkuMapping]) -> None:
        self._rows = sorted(rows, key=lambda row: (-len(row.pattern.replace("*", "")), row.pattern))
        self._known: dict[str, SkuMapping | None] = {}

    def of(self, sku: str) -> SkuMapping | None:
        """The mapping of a SKU; None where nobody said what it is."""
        if sku not in self._known:
            self._known[sku] = next((row for row in self._rows if _compiled(row.pattern).fullmatch(sku)), None)
        return self._known[sku]

    def maps(self, model: str, meter: str) -> bool:
        """Whether some SKU is this model's meter."""
        return any(row.model == model and row.meter == meter for row in self._rows)

    @property
    def models(self) -> list[str]:
        """Every model that a SKU is of."""
        return sorted({row.model for row in self._rows})


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE)


def mappings_of(provider: str) -> Mappings:
    """Those of a provider."""
    with as_staff():
        return Mappings(SkuMapping.objects.filter(provider=provider))
