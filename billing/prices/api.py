"""The price books over REST, `/v1/platform/prices` and beside it. Platform keys only. Amounts are decimal strings."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import PlatformFinanceView
from tenants.audit import Actor
from tenants.errors import InvalidRequest, NotFound
from tenants.ids import parse_public_id, public_id
from tenants.models import PlatformKey, Tenant
from tenants.pagination import list_of, page

from ..models import PlanAllowance, Price, ProviderPrice, TenantAllowance, TenantPrice
from .books import Book, NewAllowance, NewPrice, add_allowance, add_prices
from .quotes import short

_LATEST = 4_102_444_800  # the year 2100


class TierField(serializers.ListField):
    """[units, amount]: a pair of a whole number and a decimal string."""

    child = serializers.CharField()

    def to_internal_value(self, data: Any) -> Any:
        """As it came: `checks.tiers` says what is wrong with it."""
        return data

    def to_representation(self, data: Any) -> Any:
        """As the row has it."""
        return data


class ProviderPriceRequest(serializers.Serializer):
    """What the platform pays for a model's meter."""

    model = serializers.CharField(max_length=200)
    meter = serializers.CharField(max_length=32)
    currency = serializers.CharField(max_length=3, required=False, help_text="ISO 4217. A tenant's own by default.")
    amount = serializers.DecimalField(max_digits=24, decimal_places=12, min_value=Decimal(0))
    per = serializers.IntegerField(default=1_000_000, min_value=1, help_text="Units that `amount` buys.")
    valid_from = serializers.IntegerField(
        required=False, min_value=0, max_value=_LATEST, help_text="Unix seconds; now where missing."
    )
    source = serializers.CharField(default="", allow_blank=True, max_length=200, help_text="Such as a contract.")  # type: ignore[assignment]
    provider = serializers.CharField(
        default="", allow_blank=True, max_length=100, help_text="As deployments name it. Empty: whichever answers."
    )


class PriceRequest(ProviderPriceRequest):
    """A list price; with `plan` one of that plan, with `tenant_id` one of that tenant's contract."""

    provider = None  # type: ignore[assignment]
    plan = serializers.CharField(required=False, max_length=50)
    tenant_id = serializers.CharField(required=False, max_length=100)
    tiers = serializers.ListField(
        child=TierField(),
        default=list,
        help_text="[[units, amount], …]: beyond that many units of a month it costs that.",
    )


class ProviderPriceObject(serializers.Serializer):
    """What the platform pays from `valid_from` on, until a later row holds."""

    id = serializers.CharField()
    object = serializers.CharField()
    model = serializers.CharField()
    meter = serializers.CharField()
    currency = serializers.CharField()
    amount = serializers.CharField()
    per = serializers.IntegerField()
    valid_from = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    added_by = serializers.CharField()
    provider = serializers.CharField()


class PriceObject(ProviderPriceObject):
    """A price from `valid_from` on, until a later row of the same book holds."""

    provider = None  # type: ignore[assignment]
    plan = serializers.CharField(allow_null=True)
    tenant_id = serializers.CharField(allow_null=True)
    tiers = serializers.ListField(child=TierField())


class AllowanceRequest(serializers.Serializer):
    """Units that a plan, or a tenant's contract, includes in each month."""

    model = serializers.CharField(default="", allow_blank=True, max_length=200, help_text="Empty: any model.")
    meter = serializers.CharField(max_length=32)
    quantity = serializers.IntegerField(min_value=0, help_text="Units a month; 0 ends what was included.")
    valid_from = serializers.DateField(help_text="The first day of a month.")
    source = serializers.CharField(default="", allow_blank=True, max_length=200)  # type: ignore[assignment]
    plan = serializers.CharField(required=False, max_length=50)
    tenant_id = serializers.CharField(required=False, max_length=100)


class AllowanceObject(serializers.Serializer):
    """What is included from `valid_from` on, until a later row holds."""

    id = serializers.CharField()
    object = serializers.CharField()
    model = serializers.CharField()
    meter = serializers.CharField()
    quantity = serializers.IntegerField()
    valid_from = serializers.DateField()
    source = serializers.CharField()  # type: ignore[assignment]
    added_by = serializers.CharField()
    plan = serializers.CharField(allow_null=True)
    tenant_id = serializers.CharField(allow_null=True)


def _filters(*names: str) -> list[OpenApiParameter]:
    return [OpenApiParameter(name, str) for name in names]


class PricesView(PlatformFinanceView):
    """`/v1/platform/prices`."""

    @extend_schema(
        operation_id="list_prices",
        parameters=_filters("model", "meter", "currency", "plan", "tenant_id"),
        responses=list_of(PriceObject),
    )
    def get(self, request: Request) -> Response:
        """List and plans' prices, newest first; with `tenant_id` that tenant's contract."""
        rows = _of(request, Price.objects.select_related("plan"), TenantPrice.objects.all())
        return Response(
            page(_named(rows, request, "model", "meter", "currency"), request, prefix="price_", shape=_price)
        )

    @extend_schema(operation_id="add_price", request=PriceRequest, responses={201: PriceObject})
    def post(self, request: Request) -> Response:
        """Add a price; those that are there stay as they are."""
        given = _given(PriceRequest, request)
        made = _add(request, given, _book(given), tiers=given["tiers"])
        return Response(_price(made), status=status.HTTP_201_CREATED)


class ProviderPricesView(PlatformFinanceView):
    """`/v1/platform/provider_prices`."""

    @extend_schema(
        operation_id="list_provider_prices",
        parameters=_filters("model", "meter", "currency", "provider"),
        responses=list_of(ProviderPriceObject),
    )
    def get(self, request: Request) -> Response:
        """What the platform pays, newest first."""
        rows = _named(ProviderPrice.objects.all(), request, "model", "meter", "currency", "provider")
        return Response(page(rows, request, prefix="price_", shape=_shape))

    @extend_schema(
        operation_id="add_provider_price", request=ProviderPriceRequest, responses={201: ProviderPriceObject}
    )
    def post(self, request: Request) -> Response:
        """Add what the platform pays from a moment on; margins are counted by it."""
        given = _given(ProviderPriceRequest, request)
        return Response(_shape(_add(request, given, Book(provider=given["provider"]))), status=status.HTTP_201_CREATED)


class AllowancesView(PlatformFinanceView):
    """`/v1/platform/allowances`."""

    @extend_schema(
        operation_id="list_allowances",
        parameters=_filters("model", "meter", "plan", "tenant_id"),
        responses=list_of(AllowanceObject),
    )
    def get(self, request: Request) -> Response:
        """What plans include, newest first; with `tenant_id` what that tenant's contract does."""
        rows = _of(request, PlanAllowance.objects.select_related("plan"), TenantAllowance.objects.all())
        return Response(page(_named(rows, request, "model", "meter"), request, prefix="allowance_", shape=_allowance))

    @extend_schema(operation_id="add_allowance", request=AllowanceRequest, responses={201: AllowanceObject})
    def post(self, request: Request) -> Response:
        """Include units in a plan or a contract, from a month on that has not begun, or where nothing was included."""
        given = _given(AllowanceRequest, request)
        named = {name: given[name] for name in ("model", "meter", "quantity", "valid_from", "source")}
        row = NewAllowance(book=_book(given), **named)
        made = add_allowance(row=row, by=_actor(request), now=datetime.now(UTC))
        return Response(_allowance(made), status=status.HTTP_201_CREATED)


def _given(form: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    asked = form(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def _add(request: Request, given: dict[str, Any], book: Book, **more: Any) -> Any:
    begins = given.get("valid_from")
    row = NewPrice(
        model=given["model"], meter=given["meter"], amount=given["amount"], currency=given.get("currency"), book=book,
        per=given["per"], valid_from=None if begins is None else datetime.fromtimestamp(begins, UTC),
        source=given["source"], **more,
    )  # fmt: skip
    return add_prices(rows=[row], by=_actor(request), now=datetime.now(UTC))[0]


def _book(given: dict[str, Any]) -> Book:
    tenant = given.get("tenant_id")
    return Book(plan=given.get("plan"), tenant_id=None if tenant is None else _tenant(tenant))


def _tenant(text: str) -> UUID:
    tenant_id = parse_public_id("tenant_", text)
    if tenant_id is None or not Tenant.objects.filter(id=tenant_id).exists():
        raise NotFound("No such tenant.", param="tenant_id")
    return tenant_id


def _of(request: Request, usual: QuerySet[Any], contracts: QuerySet[Any]) -> QuerySet[Any]:
    """The rows of the books, of one plan's, or of one tenant's contract."""
    plan, tenant = request.query_params.get("plan"), request.query_params.get("tenant_id")
    if plan is not None and tenant is not None:
        raise InvalidRequest("Ask for a plan or for a tenant.", param="plan")
    if tenant is not None:
        return contracts.filter(tenant_id=_tenant(tenant))
    return usual if plan is None else usual.filter(plan__slug=plan)


def _named(rows: QuerySet[Any], request: Request, *names: str) -> QuerySet[Any]:
    """Those that the query names."""
    return rows.filter(**{name: request.query_params[name] for name in names if name in request.query_params})


def _actor(request: Request) -> Actor:
    return Actor("platform_key", str(cast(PlatformKey, request.user).pk))


def _shape(row: Any) -> dict[str, Any]:
    said = {"provider": row.provider} if isinstance(row, ProviderPrice) else {}
    return {
        "id": public_id("price_", row.id), "object": "price", "model": row.model, "meter": row.meter,
        "currency": row.currency, "amount": short(row.amount), "per": row.per,
        "valid_from": int(row.valid_from.timestamp()), "source": row.source, "added_by": row.added_by, **said,
    }  # fmt: skip


def _price(row: Any) -> dict[str, Any]:
    return {**_shape(row), **_whose(row), "tiers": row.tiers}


def _allowance(row: Any) -> dict[str, Any]:
    return {
        "id": public_id("allowance_", row.id), "object": "allowance", "model": row.model, "meter": row.meter,
        "quantity": row.quantity, "valid_from": row.valid_from.isoformat(), "source": row.source,
        "added_by": row.added_by, **_whose(row),
    }  # fmt: skip


def _whose(row: Any) -> dict[str, str | None]:
    plan, tenant = getattr(row, "plan", None), getattr(row, "tenant_id", None)
    return {
        "plan": None if plan is None else plan.slug,
        "tenant_id": None if tenant is None else public_id("tenant_", tenant),
    }
