"""What can be asked for: a kind of file, a period, how it is grouped and which rows count."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tenants.errors import InvalidRequest

from ..models import Report

#: Under whose id the platform's own reports stand: no tenant has it.
PLATFORM = UUID(int=0)
Kind = Report.Kind
Format = Report.Format
#: Name of a bucket's width → PostgreSQL's.
WIDTHS = {"1h": "hour", "1d": "day", "1mo": "month"}
#: What usage and costs can be grouped by, beside their meter and, for the platform, the tenant.
DIMENSIONS = ("api_key_id", "user_id", "model", "operation", "batch", "tags")
_DEFAULT_GROUPS = ("api_key_id", "model", "tags")
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
MOST_YEARS = 5


@dataclass(frozen=True)
class Wanted:
    """The rows of a file: of the current tenant, or, where that is `PLATFORM`, of all.

    `start` is inclusive, `end` exclusive (UTC). Empty filters let everything pass. `bucket_width` and `group_by` say
    nothing where the lines themselves are asked for; FOCUS has groups of its own.
    """

    kind: str
    start: datetime
    end: datetime
    bucket_width: str = "1d"
    group_by: tuple[str, ...] = _DEFAULT_GROUPS
    models: tuple[str, ...] = ()
    key_ids: tuple[UUID, ...] = ()
    tenant_ids: tuple[UUID, ...] = ()

    def options(self) -> dict[str, Any]:
        """All but kind and period, as JSON."""
        told = asdict(self)
        for name in ("kind", "start", "end"):
            told.pop(name)
        return {name: _plain(value) for name, value in told.items()}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else [str(one) for one in value]


def wanted_of(*, kind: str, start: datetime, end: datetime, options: dict[str, Any]) -> Wanted:
    """What `options` say of a kept report or schedule."""
    return Wanted(
        kind=kind,
        start=start,
        end=end,
        bucket_width=options["bucket_width"],
        group_by=tuple(options["group_by"]),
        models=tuple(options["models"]),
        key_ids=tuple(UUID(text) for text in options["key_ids"]),
        tenant_ids=tuple(UUID(text) for text in options["tenant_ids"]),
    )


def check_period(*, start: datetime, end: datetime) -> None:
    """A period that a report can have.

    Raises:
        InvalidRequest: it ends before it starts, lies outside 2000 to 2099, or is longer than five years.
    """
    if start < _EARLIEST:
        raise InvalidRequest("Invalid 'start_time': there is nothing before 2000.", param="start_time")
    if start >= _LATEST:
        raise InvalidRequest("Invalid 'start_time': nothing is reported after 2099.", param="start_time")
    if end <= start:
        raise InvalidRequest("Invalid 'end_time': must be after 'start_time'.", param="end_time")
    if end > _LATEST:
        raise InvalidRequest("Invalid 'end_time': nothing is reported after 2099.", param="end_time")
    # A 29th of February has no day of its name five years on; the 1st of March ends the same period.
    day = (start.month, start.day) if (start.month, start.day) != (2, 29) else (3, 1)
    if end > start.replace(year=start.year + MOST_YEARS, month=day[0], day=day[1]):
        raise InvalidRequest(
            f"Invalid 'end_time': a report covers at most {MOST_YEARS} years. Ask for several.", param="end_time"
        )


def check_shape(*, kind: str, format: str, group_by: Iterable[str]) -> None:
    """A file that there is.

    Raises:
        InvalidRequest: FOCUS has no XLSX; an unknown or repeated dimension.
    """
    if kind == Kind.FOCUS and format == Format.XLSX:
        raise InvalidRequest("Invalid 'format': a FOCUS file is 'csv' or 'parquet'.", param="format")
    names = list(group_by)
    if len(set(names)) != len(names) or set(names) - set(DIMENSIONS):
        known = ", ".join(DIMENSIONS)
        raise InvalidRequest(f"Invalid 'group_by': each once, of {known}.", param="group_by")
