"""Statements and credit notes as the OpenAPI document describes them. Amounts are decimal strings."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

PAGING = [OpenApiParameter(name) for name in ("after", "before", "limit", "order")]
#: What answers with a table.
CSV = {(200, "text/csv"): OpenApiTypes.STR}


class StatementLineObject(serializers.Serializer):
    """What one meter of one model came to at one price; corrections by the month that they correct, and why."""

    kind = serializers.CharField(help_text="usage, correction or credit.")
    model = serializers.CharField()
    meter = serializers.CharField()
    quantity = serializers.IntegerField()
    included = serializers.IntegerField(help_text="Units that the plan's allowance paid for.")
    overage = serializers.IntegerField(help_text="The rest, which is what `cost` is for.")
    unit_price = serializers.CharField(allow_null=True, help_text="Null where there are several, as with tiers.")
    per = serializers.IntegerField(allow_null=True, help_text="Units that `unit_price` buys.")
    cost = serializers.CharField()
    list_cost = serializers.CharField(allow_null=True, help_text="At the list price, where all of it has one.")
    corrected_month = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_null=True)


class StatementObject(serializers.Serializer):
    """A month: closed, or open and as far as it has come."""

    id = serializers.CharField(allow_null=True, help_text="Null while the month is open.")
    object = serializers.CharField()
    month = serializers.CharField(help_text="Such as 2026-11 (UTC).")
    period_start = serializers.IntegerField(help_text="Unix seconds, inclusive.")
    period_end = serializers.IntegerField(help_text="Unix seconds, exclusive.")
    status = serializers.CharField(help_text="open or closed.")
    currency = serializers.CharField()
    usage = serializers.CharField(help_text="What was used in the month.")
    corrections = serializers.CharField(help_text="What corrects this month or those before it.")
    credits = serializers.CharField(help_text="What credit notes gave back; never positive.")
    total = serializers.CharField(help_text="The sum of the three, which is that of the lines.")
    taxes = serializers.CharField(help_text="Always `excluded`.")
    closed_at = serializers.IntegerField(allow_null=True)
    closed_by = serializers.CharField(allow_null=True, help_text="staff, platform_key, or system on the set day.")


class FullStatementObject(StatementObject):
    """A month with its lines."""

    lines = StatementLineObject(many=True)


class PlatformStatementObject(StatementObject):
    """A closed month of one of the tenants."""

    tenant_id = serializers.CharField()
    tenant = serializers.CharField(allow_null=True, help_text="Its slug; null where the tenant was erased.")


class FullPlatformStatementObject(PlatformStatementObject):
    """It with its lines."""

    lines = StatementLineObject(many=True)


class CloseRequest(serializers.Serializer):
    """Which month to close, whose."""

    tenant_id = serializers.CharField(max_length=100)
    month = serializers.CharField(max_length=20, help_text="Such as 2026-11.")


class CreditNoteObject(serializers.Serializer):
    """Money given back."""

    id = serializers.CharField()
    object = serializers.CharField()
    statement_id = serializers.CharField(allow_null=True, help_text="The statement that it credits, or")
    record_id = serializers.CharField(allow_null=True, help_text="the one line of the ledger.")
    amount = serializers.CharField()
    currency = serializers.CharField()
    reason = serializers.CharField()
    month = serializers.CharField(help_text="Whose statement has it.")
    created_by = serializers.CharField()
    created_at = serializers.IntegerField()


class PlatformCreditNoteObject(CreditNoteObject):
    """Money given back to one of the tenants."""

    tenant_id = serializers.CharField()
    tenant = serializers.CharField(allow_null=True)


class CreditRequest(serializers.Serializer):
    """What to give back, for what, and why."""

    tenant_id = serializers.CharField(max_length=100)
    statement_id = serializers.CharField(required=False, allow_null=True, max_length=100)
    record_id = serializers.UUIDField(required=False, allow_null=True, help_text="One line of the ledger instead.")
    amount = serializers.CharField(max_length=40, help_text="A decimal string, in the tenant's currency.")
    reason = serializers.CharField(max_length=200)
