"""Calendar months (UTC), named by their first day; outside as `2026-11`."""

import re
from datetime import UTC, date, datetime

from tenants.errors import InvalidRequest

_FORM = re.compile(r"\d{4}-\d{2}", re.ASCII)


def month_of(moment: datetime) -> date:
    """The month of a moment that has a time zone."""
    return moment.astimezone(UTC).date().replace(day=1)


def following(month: date) -> date:
    """The month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def start_of(month: date) -> datetime:
    """Its first moment."""
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def parse_month(text: str, *, param: str = "month") -> date:
    """The month that a text like `2026-11` names.

    Raises:
        InvalidRequest: it names none.
    """
    try:
        if _FORM.fullmatch(text) is None:
            raise ValueError(text)
        month = date.fromisoformat(f"{text}-01")
        following(month)  # the last month that a date can name has none
    except ValueError as error:
        raise InvalidRequest(f"Invalid '{param}': must be a month like 2026-11.", param=param) from error
    return month


def format_month(month: date) -> str:
    """As `parse_month` reads it."""
    return f"{month.year:04}-{month.month:02}"
