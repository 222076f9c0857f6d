"""Budgets over REST: set, change and delete them, with the state of their period. Amounts are decimal strings."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest, NotFound
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from ..amounts import plain
from ..models import Budget, BudgetAlert
from .alerts import PREFIX
from .setting import change_budget, delete_budget, set_budget
from .states import BudgetState, budget_states


class TagObject(serializers.Serializer):
    """An allocation tag."""

    name = serializers.CharField()
    value = serializers.CharField()


class BudgetChange(serializers.Serializer):
    """What of a budget can be changed."""

    name = serializers.CharField(max_length=100, required=False)
    limit = serializers.DecimalField(max_digits=24, decimal_places=12, min_value=Decimal(0), required=False)
    hard = serializers.BooleanField(
        required=False, help_text="Calls beyond it are refused (as usual), or it only warns."
    )
    alert_shares = serializers.ListField(
        child=serializers.IntegerField(),
        required=False,
        help_text="Percent of the limit at which it warns, once a period each; 80 and 100 of a new one. None: never.",
    )


class BudgetRequest(BudgetChange):
    """A limit per day or month (UTC), or in total."""

    name = serializers.CharField(max_length=100, help_text="An existing budget of this name is changed.")
    limit = serializers.DecimalField(max_digits=24, decimal_places=12, min_value=Decimal(0))
    api_key_id = serializers.CharField(
        required=False, allow_null=True, help_text="All of the tenant's keys where null."
    )
    tag = TagObject(required=False, allow_null=True, help_text="Only calls that have this allocation tag.")
    period = serializers.ChoiceField(choices=Budget.Period.values, default=Budget.Period.MONTH)
    starts_on = serializers.DateField(
        required=False, allow_null=True, help_text="A total counts from this day on; from today where null."
    )


class ForecastObject(serializers.Serializer):
    """Where a budget's period is heading at the pace until now."""

    projected = serializers.CharField(allow_null=True, help_text="At its end; null where that cannot be said yet.")
    exceeds_limit = serializers.BooleanField()
    runs_out_at = serializers.IntegerField(allow_null=True, help_text="When the limit is reached, Unix seconds.")


class BudgetObject(serializers.Serializer):
    """A budget and its current period."""

    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    api_key_id = serializers.CharField(allow_null=True)
    tag = TagObject(allow_null=True)
    period = serializers.CharField()
    hard = serializers.BooleanField()
    alert_shares = serializers.ListField(child=serializers.IntegerField())
    currency = serializers.CharField()
    period_start = serializers.DateField()
    period_end = serializers.DateField(allow_null=True, help_text="The first day after it; null of a total.")
    limit = serializers.CharField()
    spent = serializers.CharField()
    held = serializers.CharField(help_text="By calls under way.")
    left = serializers.CharField(help_text="What can still be reserved; negative where the limit was lowered below.")
    forecast = ForecastObject()


class BudgetAlertObject(serializers.Serializer):
    """An alert that a budget gave."""

    id = serializers.CharField()
    object = serializers.CharField()
    created_at = serializers.IntegerField()
    kind = serializers.CharField(help_text="`share` was reached, or by `forecast` the limit will be.")
    share = serializers.IntegerField(help_text="Percent of the limit.")
    period_start = serializers.DateField()
    limit = serializers.CharField()
    spent = serializers.CharField()
    projected = serializers.CharField(allow_null=True)


class BudgetDeleted(serializers.Serializer):
    """What deleting answers."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class BudgetsView(TenantAPIView):
    """`/v1/budgets`."""

    scopes = {"GET": "budgets.read", "POST": "budgets.write"}

    @extend_schema(operation_id="list_budgets", responses=list_of(BudgetObject))
    def get(self, request: Request) -> Response:
        """The tenant's budgets with what is spent, held and left of their period, and where it is heading."""
        data = [_shape(state) for state in budget_states(now=datetime.now(UTC))]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return Response({"object": "list", "data": data, **ends, "has_more": False})

    @extend_schema(operation_id="set_budget", request=BudgetRequest, responses=BudgetObject)
    @idempotent()
    def post(self, request: Request) -> Response:
        """Create the budget of this name, or change it; holds from the next call on."""
        asked = BudgetRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        given = dict(asked.validated_data)
        key, tag = given.pop("api_key_id", None), given.pop("tag", None)
        key_id = None if key is None else parse_public_id("key_", key)
        if key is not None and key_id is None:
            raise InvalidRequest("No such API key.", param="api_key_id")
        named = (tag["name"], tag["value"]) if tag else None
        budget = set_budget(**given, key_id=key_id, tag=named, by=caller_of(request).actor)
        return Response(_found(budget.id))


class BudgetView(TenantAPIView):
    """`/v1/budgets/{id}`."""

    scopes = {"GET": "budgets.read", "POST": "budgets.write", "DELETE": "budgets.write"}

    @extend_schema(operation_id="get_budget", responses=BudgetObject)
    def get(self, request: Request, budget_id: str) -> Response:
        """One budget."""
        return Response(_found(_parsed(budget_id)))

    @extend_schema(operation_id="change_budget", request=BudgetChange, responses=BudgetObject)
    def post(self, request: Request, budget_id: str) -> Response:
        """Change what is given of it; holds from the next call on. What it limits stays."""
        asked = BudgetChange(data=request.data)
        asked.is_valid(raise_exception=True)
        budget = change_budget(budget_id=_parsed(budget_id), by=caller_of(request).actor, **asked.validated_data)
        return Response(_found(budget.id))

    @extend_schema(operation_id="delete_budget", responses=BudgetDeleted)
    def delete(self, request: Request, budget_id: str) -> Response:
        """Delete it: it limits nothing from the next call on. What was spent stays in the ledger."""
        delete_budget(budget_id=_parsed(budget_id), by=caller_of(request).actor)
        return Response({"id": budget_id, "object": "budget.deleted", "deleted": True})


class BudgetAlertsView(TenantAPIView):
    """`/v1/budgets/{id}/alerts`."""

    scopes = {"GET": "budgets.read"}

    @extend_schema(operation_id="list_budget_alerts", responses=list_of(BudgetAlertObject))
    def get(self, request: Request, budget_id: str) -> Response:
        """The alerts that it gave, newest first."""
        ident = _parsed(budget_id)
        with tenant_scope():
            if not Budget.objects.filter(id=ident).exists():
                raise NotFound("No such budget.")
            alerts = BudgetAlert.objects.filter(budget_id=ident)
            return Response(page(alerts, request, prefix="alert_", shape=_shape_alert))


def _parsed(text: str) -> UUID:
    budget_id = parse_public_id(PREFIX, text)
    if budget_id is None:
        raise NotFound("No such budget.")
    return budget_id


def _found(budget_id: UUID) -> dict[str, Any]:
    found = [state for state in budget_states(now=datetime.now(UTC)) if state.budget.id == budget_id]
    if not found:
        raise NotFound("No such budget.")
    return _shape(found[0])


def _shape(state: BudgetState) -> dict[str, Any]:
    budget = state.budget
    return {
        "id": public_id(PREFIX, budget.id),
        "object": "budget",
        "name": budget.name,
        "api_key_id": None if budget.key_id is None else public_id("key_", budget.key_id),
        "tag": {"name": budget.tag_name, "value": budget.tag_value} if budget.tag_name else None,
        "period": budget.period,
        "hard": budget.hard,
        "alert_shares": budget.alert_shares,
        "currency": budget.currency,
        "period_start": state.period_start.isoformat(),
        "period_end": state.period_end.isoformat() if state.period_end else None,
        "limit": plain(budget.limit),
        "spent": plain(state.spent),
        "held": plain(state.held),
        "left": plain(state.left),
        "forecast": {
            "projected": None if state.projected is None else plain(state.projected),
            "exceeds_limit": state.will_be_exceeded,
            "runs_out_at": None if state.runs_out_at is None else int(state.runs_out_at.timestamp()),
        },
    }


def _shape_alert(alert: BudgetAlert) -> dict[str, Any]:
    return {
        "id": public_id("alert_", alert.id),
        "object": "budget.alert",
        "created_at": int(alert.created_at.timestamp()),
        "kind": alert.kind,
        "share": alert.share,
        "period_start": alert.period_start.isoformat(),
        "limit": plain(alert.limit),
        "spent": plain(alert.spent),
        "projected": None if alert.projected is None else plain(alert.projected),
    }
