"""`/v1/organization/usage/*` and `/v1/organization/costs`, for a tenant's reader and for the platform's."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import ApiKeyAuthentication, IfPlatformKey, MayRead, caller_of
from tenants.errors import InvalidRequest
from tenants.ids import parse_public_id, public_id
from tenants.models import PlatformKey
from tenants.scope import as_staff

from .. import reports
from ..sums import TAG, Selection
from .cursors import next_page, range_of
from .queries import CostsQuery, Query, read
from .results import KINDS, CostsResult, Kind, cost_figures, page_of

#: There is one; it is what answers say too.
_SERVICE_TIER = "default"
#: Filter → dimension.
_FILTERS = {"user_ids": "user_id", "models": "model", "line_items": "line_item"}
_KEY, _TENANT = "key_", "tenant_"


class FinanceView(TenantAPIView, ABC):
    """A report: reads the query, asks for one page of buckets, shapes each row."""

    authentication_classes = [IfPlatformKey, ApiKeyAuthentication]
    permission_classes = [MayRead]
    scopes = {"GET": "usage.read"}
    query: type[Query] = Query
    #: The dimensions that every result names.
    dimensions: tuple[str, ...] = ()

    @abstractmethod
    def report(self, within: reports.Range, selection: Selection) -> list[reports.Bucket]:
        """The buckets of one page."""

    @abstractmethod
    def shape(self, row: dict[str, Any], bucket: reports.Bucket, *, platform: bool) -> dict[str, Any]:
        """The object clients see for a row, but for its dimensions."""

    def answer(self, request: Request) -> Response:
        """One page.

        Raises:
            InvalidRequest: a parameter that makes no sense.
        """
        platform = isinstance(request.user, PlatformKey)
        reader = "platform" if platform else str(caller_of(request).tenant_id)
        asked = read(self.query, request)
        within = range_of(asked, self.query.limits, request=request, reader=reader, now=datetime.now(UTC))
        selection = _selection(asked, platform=platform)
        with as_staff() if platform else nullcontext():
            found = self.report(within, selection)
        data = [self._bucket(bucket, asked, platform) for bucket in found]
        page = next_page(within, request=request, reader=reader)
        return Response({"object": "page", "data": data, "has_more": page is not None, "next_page": page})

    def _bucket(self, bucket: reports.Bucket, asked: dict[str, Any], platform: bool) -> dict[str, Any]:
        results = [
            self.shape(row, bucket, platform=platform) | _dimensions(row, asked["group_by"], self.dimensions, platform)
            for row in bucket.rows
        ]
        times = {"start_time": int(bucket.start.timestamp()), "end_time": int(bucket.end.timestamp())}
        return {"object": "bucket", **times, "results": results}


def _view_of(kind: Kind) -> type[FinanceView]:
    """The endpoint of a kind of usage."""

    class UsageView(FinanceView):
        query = kind.query
        dimensions = tuple(name for name in _DIMENSIONS if name in kind.result().fields)

        @extend_schema(
            parameters=[kind.query],
            responses=page_of(kind.result),
            operation_id=f"usage_{kind.name}",
            description=f"{kind.summary}, by time bucket.",
        )
        def get(self, request: Request) -> Response:
            return self.answer(request)

        def report(self, within: reports.Range, selection: Selection) -> list[reports.Bucket]:
            if kind.shape is None:
                return [reports.Bucket(start, end, []) for start, end in within.buckets]
            return reports.usage(kind=kind.name, within=within, selection=selection)

        def shape(self, row: dict[str, Any], bucket: reports.Bucket, *, platform: bool) -> dict[str, Any]:
            figures = kind.shape(row, bucket) if kind.shape else {}
            return {"object": kind.object_name, **figures}

    UsageView.__doc__ = f"`GET /v1/organization/usage/{kind.name}`."
    return UsageView


class CostsView(FinanceView):
    """`GET /v1/organization/costs`."""

    query = CostsQuery
    dimensions = ("project_id", "user_id", "api_key_id", "line_item")

    @extend_schema(parameters=[CostsQuery], responses=page_of(CostsResult), operation_id="costs")
    def get(self, request: Request) -> Response:
        """What the tenant is charged, by day; the platform's reader sees what it pays beside it."""
        return self.answer(request)

    def report(self, within: reports.Range, selection: Selection) -> list[reports.Bucket]:
        """The buckets of one page."""
        return reports.costs(within=within, selection=selection)

    def shape(self, row: dict[str, Any], bucket: reports.Bucket, *, platform: bool) -> dict[str, Any]:
        """OpenAI's costs result."""
        return {"object": "organization.costs.result", **cost_figures(row, provider=platform)}


_DIMENSIONS = ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier")
#: Kind of usage → its view.
USAGE_VIEWS: Mapping[str, type[FinanceView]] = {kind.name: _view_of(kind) for kind in KINDS}


def _selection(asked: dict[str, Any], *, platform: bool) -> Selection:
    """What is asked of the ledger; a project is a tenant to the platform, and a key to a tenant.

    Raises:
        InvalidRequest: end users of all tenants together, whose names mean nothing without their tenant.
    """
    groups = asked["group_by"]
    if platform and "user_id" in groups and "project_id" not in groups:
        raise InvalidRequest("Users are a tenant's own: group by 'project_id' too.", param="group_by")
    only: dict[str, Any] = {dimension: asked[name] for name, dimension in _FILTERS.items() if name in asked}
    only |= {TAG + name: values for name, values in asked.get("tags", {}).items()}
    if asked.get("batch") is not None:
        only["batch"] = [asked["batch"]]
    keys = _parsed(_KEY, asked.get("api_key_ids"))
    projects = _parsed(_TENANT if platform else _KEY, asked.get("project_ids"))
    if projects is not None and platform:
        only["tenant_id"] = projects
    elif projects is not None:
        keys = projects if keys is None else [key for key in keys if key in projects]
    if keys is not None:
        only["api_key_id"] = keys
    columns = [_column(name, platform) for name in groups if name != "service_tier"]
    return Selection(group_by=list(dict.fromkeys(columns)), only=only)


def _column(name: str, platform: bool) -> str:
    """The ledger's dimension of one that clients name."""
    if name != "project_id":
        return name
    return "tenant_id" if platform else "api_key_id"


def _parsed(prefix: str, texts: list[str] | None) -> list[UUID] | None:
    """The ids that are some; others match nothing, like those of objects that do not exist."""
    if texts is None:
        return None
    return [ident for text in texts if (ident := parse_public_id(prefix, text)) is not None]


def _dimensions(row: dict[str, Any], groups: list[str], names: tuple[str, ...], platform: bool) -> dict[str, Any]:
    """Every dimension of a row; those that were not grouped by are null."""
    tags = {name.removeprefix(TAG): row[name] for name in groups if name.startswith(TAG)}
    values = {name: _shown(name, row, platform) if name in groups else None for name in names}
    return {**values, "tags": tags or None}


def _shown(name: str, row: dict[str, Any], platform: bool) -> Any:
    if name == "service_tier":
        return _SERVICE_TIER
    value = row[_column(name, platform)]
    if isinstance(value, UUID):
        return public_id(_TENANT if platform and name == "project_id" else _KEY, value)
    return None if value == "" else value
