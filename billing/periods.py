"""Spans of time that people look at: the last day, week or month, as the buckets (UTC) of a chart."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from .statements.months import month_of, start_of
from .sums import DAY, HOUR, WIDTHS, Span, ceiling, floor


@dataclass(frozen=True)
class Period:
    """`start` begins a bucket of `width` ("1h", "1d"); `end`, exclusive, ends one, the present's where it is not over."""

    name: str
    label: str
    start: datetime
    end: datetime
    width: str

    @property
    def within(self) -> Span:
        """Start and end."""
        return self.start, self.end

    @property
    def buckets(self) -> list[datetime]:
        """The start of each bucket."""
        width = WIDTHS[self.width]
        return [self.start + number * width for number in range((self.end - self.start) // width)]

    @property
    def last_day(self) -> date:
        """The last day that it touches."""
        return (self.end - timedelta(microseconds=1)).date()


def _hours(now: datetime) -> tuple[datetime, datetime, str]:
    return floor(now, HOUR) - 23 * HOUR, ceiling(now, HOUR), "1h"


def _days(number: int) -> Callable[[datetime], tuple[datetime, datetime, str]]:
    return lambda now: (floor(now, DAY) - (number - 1) * DAY, ceiling(now, DAY), "1d")


def _this_month(now: datetime) -> tuple[datetime, datetime, str]:
    return start_of(month_of(now)), ceiling(now, DAY), "1d"


def _last_month(now: datetime) -> tuple[datetime, datetime, str]:
    end = start_of(month_of(now))
    return start_of(month_of(end - DAY)), end, "1d"


#: Name in URLs → what people read, and the span at a moment.
PERIODS: dict[str, tuple[str, Callable[[datetime], tuple[datetime, datetime, str]]]] = {
    "24h": ("Last 24 hours", _hours),
    "7d": ("Last 7 days", _days(7)),
    "30d": ("Last 30 days", _days(30)),
    "month": ("This month", _this_month),
    "last_month": ("Last month", _last_month),
}


def period_named(name: str | None, *, now: datetime, default: str = "7d") -> Period:
    """The period of this name at `now`; the default one where there is none."""
    known = name if name in PERIODS else default
    label, span = PERIODS[known]
    # The first moment of a bucket is in it.
    start, end, width = span(now.astimezone(UTC) + timedelta(microseconds=1))
    return Period(known, label, start, end, width)


def whole_days(first: date, last: date) -> Period:
    """From one day to another, both included."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = datetime(last.year, last.month, last.day, tzinfo=UTC) + DAY
    return Period("days", f"{first:%-d %b %Y} to {last:%-d %b %Y}", start, end, "1d")
