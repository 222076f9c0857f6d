"""Providers' bills over REST, `/v1/platform/bills` and `/v1/platform/sku_mappings`. Platform keys only."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import PlatformFinanceView
from tenants.audit import Actor
from tenants.ids import parse_public_id
from tenants.models import PlatformKey
from tenants.pagination import list_of, page

from ..models import BillCorrection, Meter, ProviderBill, SkuMapping
from . import bills, correcting, mappings
from .shapes import bill_json, comparison_json, correction_json, mapping_json

BILL_PREFIX, MAPPING_PREFIX, CORRECTION_PREFIX = "bill_", "skumap_", "billcor_"


class BillObject(serializers.Serializer):
    """A provider's bill. `state`: imported, approved (its corrections are being posted), posted."""

    id = serializers.CharField()
    object = serializers.CharField()
    provider = serializers.CharField()
    name = serializers.CharField()
    currency = serializers.CharField()
    first_day = serializers.DateField()
    last_day = serializers.DateField()
    rows = serializers.IntegerField()
    other_cost = serializers.CharField(help_text="Tax, purchases, credits and adjustments.")
    state = serializers.CharField()
    imported_by = serializers.CharField()
    approved_by = serializers.CharField(allow_null=True)
    approved_at = serializers.IntegerField(allow_null=True)
    created_at = serializers.IntegerField()


class BillDeleted(serializers.Serializer):
    """What deleting answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class MappingObject(serializers.Serializer):
    """Which model and meter SKUs are."""

    id = serializers.CharField()
    object = serializers.CharField()
    provider = serializers.CharField()
    pattern = serializers.CharField()
    model = serializers.CharField()
    meter = serializers.CharField()
    units = serializers.CharField()
    created_at = serializers.IntegerField()


class CorrectionObject(serializers.Serializer):
    """What a bill changes at a line of a tenant's ledger: differences, as decimal strings."""

    id = serializers.CharField()
    object = serializers.CharField()
    tenant_id = serializers.CharField()
    model = serializers.CharField()
    day = serializers.DateField()
    quantity = serializers.IntegerField()
    cost = serializers.CharField()
    provider_cost = serializers.CharField()
    reason = serializers.CharField()
    corrects = serializers.CharField()
    posted_as = serializers.CharField(allow_null=True)
    refusal = serializers.CharField(allow_null=True)


class MeterDifference(serializers.Serializer):
    """A model's meter in a day; amounts in the bill's currency."""

    model = serializers.CharField()
    day = serializers.DateField()
    meter = serializers.CharField()
    billed_units = serializers.IntegerField()
    metered_units = serializers.IntegerField()
    billed_cost = serializers.CharField()
    expected_cost = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())


class UnmappedSku(serializers.Serializer):
    """A SKU that no mapping fits."""

    service = serializers.CharField()
    sku = serializers.CharField()
    unit = serializers.CharField()
    quantity = serializers.CharField()
    cost = serializers.CharField()


class PlannedSums(serializers.Serializer):
    """What approving would post, or was planned with the approval."""

    corrections = serializers.IntegerField()
    cost = serializers.CharField(help_text="What tenants pay more, or less.")
    provider_cost = serializers.CharField(help_text="What the ledger says the platform pays more, or less.")


class ModelTotals(serializers.Serializer):
    """A model over the whole bill."""

    model = serializers.CharField()
    billed_cost = serializers.CharField()
    expected_cost = serializers.CharField()


class ComparisonObject(serializers.Serializer):
    """A bill beside the ledger as it is now. `explanations` say what the reasons mean."""

    object = serializers.CharField()
    bill = BillObject()
    billed_cost = serializers.CharField()
    expected_cost = serializers.CharField()
    unmapped_cost = serializers.CharField()
    models = ModelTotals(many=True)
    differences = MeterDifference(many=True)
    unmapped = UnmappedSku(many=True)
    plan = PlannedSums()
    explanations = serializers.DictField(child=serializers.CharField())


class BillsView(PlatformFinanceView):
    """`/v1/platform/bills`."""

    parser_classes = [MultiPartParser]

    class Import(serializers.Serializer):
        """A FOCUS file: CSV, gzipped or not, or Parquet."""

        provider = serializers.CharField(max_length=100, help_text="As deployments name it, such as bedrock.")
        file = serializers.FileField()

    @extend_schema(operation_id="list_bills", responses=list_of(BillObject))
    def get(self, request: Request) -> Response:
        """Providers' bills, the newest first."""
        return Response(page(ProviderBill.objects.all(), request, prefix=BILL_PREFIX, shape=bill_json))

    @extend_schema(
        operation_id="import_bill",
        request={"multipart/form-data": Import},
        responses={201: BillObject, 200: BillObject},
    )
    def post(self, request: Request) -> Response:
        """Import a bill, whole or not at all; the same file again answers the bill that is there (200)."""
        form = self.Import(data=request.data)
        form.is_valid(raise_exception=True)
        sent = form.validated_data["file"]
        bill, new = bills.import_bill(
            provider=form.validated_data["provider"], name=sent.name, content=sent.file, by=_actor(request)
        )
        return Response(bill_json(bills.get_bill(bill.id)), status=status.HTTP_201_CREATED if new else 200)


class BillView(PlatformFinanceView):
    """`/v1/platform/bills/{id}`."""

    @extend_schema(operation_id="get_bill", responses=BillObject)
    def get(self, request: Request, bill_id: str) -> Response:
        """One bill."""
        return Response(bill_json(bills.get_bill(parse_public_id(BILL_PREFIX, bill_id))))

    @extend_schema(operation_id="delete_bill", responses=BillDeleted)
    def delete(self, request: Request, bill_id: str) -> Response:
        """Forget a bill that was not approved."""
        bills.delete_bill(bill_id=parse_public_id(BILL_PREFIX, bill_id))
        return Response({"id": bill_id, "object": "provider_bill.deleted", "deleted": True})


class ComparisonView(PlatformFinanceView):
    """`/v1/platform/bills/{id}/comparison`."""

    @extend_schema(operation_id="compare_bill", responses=ComparisonObject)
    def get(self, request: Request, bill_id: str) -> Response:
        """What differs between the bill and the ledger as it is now, by model, meter and day, and why."""
        return Response(comparison_json(bills.get_bill(parse_public_id(BILL_PREFIX, bill_id))))


class ApprovalView(PlatformFinanceView):
    """`/v1/platform/bills/{id}/approve`."""

    @extend_schema(operation_id="approve_bill", request=None, responses=BillObject)
    def post(self, request: Request, bill_id: str) -> Response:
        """Post the corrections that the comparison plans, once; approving again changes nothing."""
        bill = correcting.approve(
            bill_id=parse_public_id(BILL_PREFIX, bill_id), by=_actor(request), now=datetime.now(UTC)
        )
        return Response(bill_json(bill))


class BillCorrectionsView(PlatformFinanceView):
    """`/v1/platform/bills/{id}/corrections`."""

    @extend_schema(operation_id="list_bill_corrections", responses=list_of(CorrectionObject))
    def get(self, request: Request, bill_id: str) -> Response:
        """What was planned with the approval, and what became of it."""
        bill = bills.get_bill(parse_public_id(BILL_PREFIX, bill_id))
        rows = BillCorrection.objects.filter(bill_id=bill.id)
        return Response(page(rows, request, prefix=CORRECTION_PREFIX, shape=correction_json))


class MappingsView(PlatformFinanceView):
    """`/v1/platform/sku_mappings`."""

    class Create(serializers.Serializer):
        """What SKUs of a pattern are; `*` in it stands for anything."""

        provider = serializers.CharField(max_length=100)
        pattern = serializers.CharField(max_length=300)
        model = serializers.CharField(max_length=200)
        meter = serializers.ChoiceField(choices=Meter.choices)
        units = serializers.DecimalField(
            max_digits=24, decimal_places=12, default=Decimal(1), help_text="Units of ours in one of the bill's."
        )

    @extend_schema(operation_id="list_sku_mappings", responses=list_of(MappingObject))
    def get(self, request: Request) -> Response:
        """The mappings, the newest first."""
        return Response(page(SkuMapping.objects.all(), request, prefix=MAPPING_PREFIX, shape=mapping_json))

    @extend_schema(operation_id="create_sku_mapping", request=Create, responses={201: MappingObject})
    def post(self, request: Request) -> Response:
        """Say what SKUs are; the longest pattern that fits counts."""
        body = self.Create(data=request.data)
        body.is_valid(raise_exception=True)
        row = mappings.add_mapping(**body.validated_data)
        row.refresh_from_db()
        return Response(mapping_json(row), status=status.HTTP_201_CREATED)


class MappingView(PlatformFinanceView):
    """`/v1/platform/sku_mappings/{id}`."""

    @extend_schema(operation_id="delete_sku_mapping", responses=BillDeleted)
    def delete(self, request: Request, mapping_id: str) -> Response:
        """Take a mapping back."""
        mappings.delete_mapping(mapping_id=parse_public_id(MAPPING_PREFIX, mapping_id))
        return Response({"id": mapping_id, "object": "sku_mapping.deleted", "deleted": True})


def _actor(request: Request) -> Actor:
    return Actor("platform_key", str(cast(PlatformKey, request.user).pk))
