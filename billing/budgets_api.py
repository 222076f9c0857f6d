"""Budgets over REST: set one, list them with this month's state. Amounts are decimal strings."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of

from .plans import set_budget
from .reservations import BudgetState, budget_states, plain


class BudgetRequest(serializers.Serializer):
    """A hard limit per calendar month (UTC)."""

    name = serializers.CharField(max_length=100, help_text="An existing budget of this name is changed.")
    limit = serializers.DecimalField(max_digits=24, decimal_places=12, min_value=Decimal(0))
    api_key_id = serializers.CharField(
        required=False, allow_null=True, help_text="All of the tenant's keys where null."
    )


class BudgetObject(serializers.Serializer):
    """A budget and its current month."""

    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    api_key_id = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    period_start = serializers.DateField()
    limit = serializers.CharField()
    spent = serializers.CharField()
    held = serializers.CharField(help_text="By calls under way.")
    left = serializers.CharField(help_text="What can still be reserved; negative where the limit was lowered below.")


class BudgetsView(TenantAPIView):
    """`/v1/budgets`."""

    scopes = {"GET": "budgets.read", "POST": "budgets.write"}

    @extend_schema(operation_id="list_budgets", responses=list_of(BudgetObject))
    def get(self, request: Request) -> Response:
        """The tenant's budgets with what is spent, held and left this month."""
        data = _shaped_states()
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return Response({"object": "list", "data": data, **ends, "has_more": False})

    @extend_schema(operation_id="set_budget", request=BudgetRequest, responses=BudgetObject)
    @idempotent()
    def post(self, request: Request) -> Response:
        """Create the budget of this name, or change its limit; holds from the next call on."""
        asked = BudgetRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        given, caller = asked.validated_data, caller_of(request)
        key = given.get("api_key_id")
        key_id = None if key is None else parse_public_id("key_", key)
        if key is not None and key_id is None:
            raise InvalidRequest("No such API key.", param="api_key_id")
        budget = set_budget(name=given["name"], limit=given["limit"], by=caller.actor, key_id=key_id)
        ident = public_id("budget_", budget.id)
        return Response(next(state for state in _shaped_states() if state["id"] == ident))


def _shaped_states() -> list[dict[str, Any]]:
    month = datetime.now(UTC).date().replace(day=1)
    return [{**_shape(state), "period_start": month.isoformat()} for state in budget_states(period_start=month)]


def _shape(state: BudgetState) -> dict[str, Any]:
    budget = state.budget
    return {
        "id": public_id("budget_", budget.id),
        "object": "budget",
        "name": budget.name,
        "api_key_id": None if budget.key_id is None else public_id("key_", budget.key_id),
        "currency": budget.currency,
        "limit": plain(budget.limit),
        "spent": plain(state.spent),
        "held": plain(state.held),
        "left": plain(state.left),
    }
