"""The platform's finance over REST: statements of all tenants, closing a month, credit notes, margins."""

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
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
from tenants.scope import acting_for

from ..models import CreditNote, Statement
from . import closing, credits
from .api import AnyAccept, csv_answer, find_statement
from .documents import credit_note_json, statement_json
from .months import parse_month
from .shapes import (
    CSV,
    PAGING,
    CloseRequest,
    CreditRequest,
    FullPlatformStatementObject,
    PlatformCreditNoteObject,
    PlatformStatementObject,
)

_TENANT = "tenant_"
_FILTERS = [OpenApiParameter("tenant_id"), OpenApiParameter("month", description="Such as 2026-11.")]


class PlatformStatementsView(PlatformFinanceView):
    """`/v1/platform/statements`."""

    @extend_schema(
        operation_id="list_platform_statements",
        parameters=[*_FILTERS, *PAGING],
        responses=list_of(PlatformStatementObject),
    )
    def get(self, request: Request) -> Response:
        """Closed months of all tenants, the last closed first."""
        named = _Slugs()
        rows = _chosen(request, Statement.objects.all())
        return Response(page(rows, request, prefix=closing.PREFIX, shape=lambda row: named(statement_json(row), row)))

    @extend_schema(
        operation_id="close_month",
        request=CloseRequest,
        responses={200: FullPlatformStatementObject, 201: FullPlatformStatementObject},
    )
    def post(self, request: Request) -> Response:
        """Close a month of a tenant, for good. Again: the statement that stands, with 200."""
        asked = _read(CloseRequest, request)
        month = parse_month(asked["month"])
        with acting_for(_tenant(asked["tenant_id"])):
            closed = closing.close_month(month=month, by=_actor(request), now=datetime.now(UTC))
        code = status.HTTP_201_CREATED if closed.created else status.HTTP_200_OK
        return Response(_full(closed.statement), status=code)


class PlatformStatementView(PlatformFinanceView):
    """`/v1/platform/statements/{id}`."""

    @extend_schema(operation_id="get_platform_statement", responses=FullPlatformStatementObject)
    def get(self, request: Request, statement_id: str) -> Response:
        """A closed month with its lines."""
        return Response(_full(find_statement(statement_id)))


class PlatformStatementCsvView(PlatformFinanceView):
    """`/v1/platform/statements/{id}/csv`."""

    content_negotiation_class = AnyAccept

    @extend_schema(operation_id="get_platform_statement_csv", responses=CSV)
    def get(self, request: Request, statement_id: str) -> HttpResponse:
        """A closed month as a table, as the tenant sees it."""
        return csv_answer(find_statement(statement_id))


class PlatformCreditNotesView(PlatformFinanceView):
    """`/v1/platform/credit_notes`."""

    @extend_schema(
        operation_id="list_platform_credit_notes",
        parameters=[*_FILTERS, *PAGING],
        responses=list_of(PlatformCreditNoteObject),
    )
    def get(self, request: Request) -> Response:
        """What was given back to tenants, the newest first; `month` is the one whose statement has it."""
        named = _Slugs()
        rows = _chosen(request, CreditNote.objects.all())
        return Response(page(rows, request, prefix=credits.PREFIX, shape=lambda row: named(credit_note_json(row), row)))

    @extend_schema(operation_id="create_credit_note", request=CreditRequest, responses={201: PlatformCreditNoteObject})
    def post(self, request: Request) -> Response:
        """Give money back for a statement or one line of the ledger; it is on the statement of the month that is open."""
        asked = _read(CreditRequest, request)
        named = asked.get("statement_id")
        ident = None if named is None else parse_public_id(closing.PREFIX, named)
        if named is not None and ident is None:
            raise NotFound("No such statement.", param="statement_id")
        with acting_for(_tenant(asked["tenant_id"])):
            note = credits.credit(
                amount=_amount(asked["amount"]),
                reason=asked["reason"],
                statement_id=ident,
                record_id=asked.get("record_id"),
                by=_actor(request),
                now=datetime.now(UTC),
            )
        return Response(_Slugs()(credit_note_json(note), note), status=status.HTTP_201_CREATED)


class _Slugs:
    """Puts whose a row is into its object; the names of all tenants are asked for once, at the first."""

    def __init__(self) -> None:
        self._slugs: dict[UUID, str] | None = None

    def __call__(self, shaped: dict[str, Any], row: Any) -> dict[str, Any]:
        if self._slugs is None:
            self._slugs = dict(Tenant.objects.values_list("id", "slug"))
        return {**shaped, "tenant_id": public_id(_TENANT, row.tenant_id), "tenant": self._slugs.get(row.tenant_id)}


def _full(statement: Statement) -> dict[str, Any]:
    return _Slugs()(statement_json(statement, statement.lines.order_by("position")), statement)


def _read(form: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    asked = form(data=request.data)
    asked.is_valid(raise_exception=True)
    return asked.validated_data


def _tenant(text: str) -> UUID:
    """A tenant that stands: what is written names it in the audit log, so an erased one's books stay as they are."""
    ident = parse_public_id(_TENANT, text)
    if ident is None or not Tenant.objects.filter(id=ident).exists():
        raise NotFound("No such tenant.", param="tenant_id")
    return ident


def _chosen(request: Request, rows: QuerySet[Any]) -> QuerySet[Any]:
    query = request.query_params
    if "tenant_id" in query:
        ident = parse_public_id(_TENANT, query["tenant_id"])
        rows = rows.none() if ident is None else rows.filter(tenant_id=ident)
    if "month" in query:
        month: date = parse_month(query["month"])
        rows = rows.filter(period_start=month)
    return rows


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise InvalidRequest("Invalid 'amount': must be a decimal string.", param="amount") from error


def _actor(request: Request) -> Actor:
    return Actor("platform_key", str(cast(PlatformKey, request.user).pk))
