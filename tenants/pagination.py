"""Lists in OpenAI's shape: `{"object": "list", data, first_id, last_id, has_more}`, paged by `after`, `limit`, `order`."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request

from .errors import InvalidRequest
from .ids import parse_public_id

MAX_LIMIT = 100


@cache
def list_of(shape: type[serializers.Serializer]) -> type[serializers.Serializer]:
    """The OpenAPI schema of a list of `shape`: one, however many operations answer it."""
    members = {
        "object": serializers.CharField(),
        "data": shape(many=True),
        "first_id": serializers.CharField(allow_null=True),
        "last_id": serializers.CharField(allow_null=True),
        "has_more": serializers.BooleanField(),
    }
    return type(f"{shape.__name__.removesuffix('Object')}List", (serializers.Serializer,), members)


def page(
    rows: QuerySet,
    request: Request,
    *,
    prefix: str,
    shape: Callable[[Any], dict[str, Any]],
    max_limit: int = MAX_LIMIT,
    default_order: str = "desc",
) -> dict[str, Any]:
    """One page of `rows` (which have UUIDv7 ids, so their order is the order of creation). Call it inside the scope.

    Args:
        prefix: of the public ids, as in `file-`.
        shape: row → the object clients see.
        default_order: `asc` or `desc`, where the client does not say.

    Raises:
        InvalidRequest: a limit, order or cursor that makes no sense.
    """
    query = request.query_params
    limit = _limit(query.get("limit"), max_limit)
    order = _order(query.get("order", default_order))
    sign = "" if order == "asc" else "-"
    for name, forward in (("after", True), ("before", False)):
        if name in query:
            cursor = parse_public_id(prefix, query[name])
            if cursor is None:
                raise InvalidRequest(f"Invalid '{name}': not an id of this list.", param=name)
            rows = rows.filter(**{"id__gt" if (order == "asc") == forward else "id__lt": cursor})
    found = list(rows.order_by(f"{sign}id")[: limit + 1])
    return _listed([shape(row) for row in found[:limit]], has_more=len(found) > limit)


def page_of(
    items: list[dict[str, Any]], request: Request, *, max_limit: int = MAX_LIMIT, default_order: str = "asc"
) -> dict[str, Any]:
    """One page of objects that are all at hand, in ascending order, each with an `id`.

    Raises:
        InvalidRequest: a limit, order or cursor that makes no sense.
    """
    query = request.query_params
    limit = _limit(query.get("limit"), max_limit)
    ordered = items if _order(query.get("order", default_order)) == "asc" else items[::-1]
    if "after" in query:
        places = [place for place, item in enumerate(ordered, start=1) if item["id"] == query["after"]]
        if not places:
            raise InvalidRequest("Invalid 'after': not an id of this list.", param="after")
        ordered = ordered[places[0] :]
    return _listed(ordered[:limit], has_more=len(ordered) > limit)


def _listed(data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def _order(text: str) -> str:
    if text not in ("asc", "desc"):
        raise InvalidRequest("Invalid 'order': must be 'asc' or 'desc'.", param="order")
    return text


def _limit(text: str | None, most: int) -> int:
    if text is None:
        return 20
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise InvalidRequest(f"Invalid 'limit': must be a whole number from 1 to {most}.", param="limit")
    return int(text)
