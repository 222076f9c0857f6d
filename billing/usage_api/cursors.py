"""Pages of buckets: which one is asked for, and the cursor of the next, bound to its reader and its query."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core import signing
from rest_framework.request import Request

from tenants.errors import InvalidRequest

from ..reports import Range

_PAGE = "page_"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def range_of(
    asked: dict[str, Any], limits: dict[str, tuple[int, int]], *, request: Request, reader: str, now: datetime
) -> Range:
    """The page of buckets that a query asks for. A later page ends where the first did, also where that was `now`.

    Raises:
        InvalidRequest: too many buckets, an end before the start, a page of another query or reader.
    """
    usual, most = limits[asked["bucket_width"]]
    count = asked.get("limit", usual)
    if count > most:
        raise InvalidRequest(
            f"Invalid 'limit': at most {most} buckets of {asked['bucket_width']} a page.", param="limit"
        )
    start = datetime.fromtimestamp(asked["start_time"], UTC)
    end = datetime.fromtimestamp(asked["end_time"], UTC) if "end_time" in asked else now
    if "page" in asked:
        start, end = _opened(asked["page"], request, reader)
    if end <= start:
        raise InvalidRequest("Invalid 'end_time': must be after 'start_time'.", param="end_time")
    return Range(start=start, end=end, width=asked["bucket_width"], count=count)


def next_page(within: Range, *, request: Request, reader: str) -> str | None:
    """The cursor of the page after `within`; None on the last."""
    if within.next_start is None:
        return None
    times = [(moment - _EPOCH) // _MICROSECOND for moment in (within.next_start, within.end)]
    return _PAGE + _signer(request, reader).sign_object(times)


def _opened(text: str, request: Request, reader: str) -> tuple[datetime, datetime]:
    try:
        start, end = _signer(request, reader).unsign_object(text.removeprefix(_PAGE))
    except (signing.BadSignature, ValueError) as error:
        raise InvalidRequest(
            "Invalid 'page': use the 'next_page' of an answer to the same query, with nothing else changed.",
            param="page",
        ) from error
    return _EPOCH + start * _MICROSECOND, _EPOCH + end * _MICROSECOND


def _signer(request: Request, reader: str) -> signing.Signer:
    """Signs for one reader and one query: under any other a cursor is worth nothing."""
    query = sorted((name, sorted(values)) for name, values in request.query_params.lists() if name != "page")
    return signing.Signer(salt=f"usage page {reader} {request.path} {query}")
