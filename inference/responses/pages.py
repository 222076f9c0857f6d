"""Pages of items, which have their order from their place and not from their ids."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from tenants.errors import InvalidRequest
from tenants.pagination import MAX_LIMIT

from .items import Item, parse_item_id, shown


def items_json(items: Sequence[Item], *, has_more: bool = False) -> dict[str, Any]:
    """Items as a list in OpenAI's shape."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }


def page_of(items: Sequence[Item], request: Request) -> dict[str, Any]:
    """The page of `items` (in their order) that the request asks for.

    Raises:
        InvalidRequest: a limit, order or cursor that makes no sense.
    """
    limit, newest_first, after = _asked(request)
    ordered = list(reversed(items)) if newest_first else list(items)
    start = 0
    if after is not None:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise _no_cursor()
        start = places[0] + 1
    return items_json(ordered[start : start + limit], has_more=len(ordered) > start + limit)


def page_of_rows(rows: QuerySet, request: Request) -> dict[str, Any]:
    """The same of a conversation's rows, inside their scope; raises alike."""
    limit, newest_first, after = _asked(request)
    if after is not None:
        ident = parse_item_id(after)
        cursor = rows.filter(id=ident).first() if ident else None
        if cursor is None:
            raise _no_cursor()
        rows = rows.filter(**{"position__lt" if newest_first else "position__gt": cursor.position})
    found = list(rows.order_by("-position" if newest_first else "position")[: limit + 1])
    return items_json([shown(row.item, row.id) for row in found[:limit]], has_more=len(found) > limit)


def _asked(request: Request) -> tuple[int, bool, str | None]:
    """(limit, whether the newest comes first, cursor)."""
    query = request.query_params
    text, order = query.get("limit", "20"), query.get("order", "desc")
    if not text.isdecimal() or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidRequest(f"Invalid 'limit': must be a whole number from 1 to {MAX_LIMIT}.", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("Invalid 'order': must be 'asc' or 'desc'.", param="order")
    return int(text), order == "desc", query.get("after") or None


def _no_cursor() -> InvalidRequest:
    return InvalidRequest("Invalid 'after': not an id of this list.", param="after")
