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
    rows: QuerySet, request: Request, *, prefix: str, shape: Callable[[Any], dict[str, Any]], max_limit: int = MAX_LIMIT
) -> dict[str, Any]:
    """One page of `rows` (which have UUIDv7 ids, so their order is the order of creation). Call it inside the scope.

    Args:
        prefix: of the public ids, as in `file-`.
        shape: row → the object clients see.

    Raises:
        InvalidRequest: a limit, order or cursor that makes no sense.
    """
    query = request.query_params
    limit = _limit(query.get("limit"), max_limit)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("Invalid 'order': must be 'asc' or 'desc'.", param="order")
    sign = "" if order == "asc" else "-"
    for name, forward in (("after", True), ("before", False)):
        if name in query:
            cursor = parse_public_id(prefix, query[name])
            if cursor is None:
                raise InvalidRequest(f"Invalid '{name}': not an id of this list.", param=name)
            rows = rows.filter(**{"id__gt" if (order == "asc") == forward else "id__lt": cursor})
    found = list(rows.order_by(f"{sign}id")[: limit + 1])
    data = [shape(row) for row in found[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }


def _limit(text: str | None, most: int) -> int:
    if text is None:
        return 20
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise InvalidRequest(f"Invalid 'limit': must be a whole number from 1 to {most}.", param="limit")
    return int(text)
