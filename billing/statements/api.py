"""A tenant's statements and credit notes over REST: to read. The platform closes months and gives credit."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.errors import NotFound
from tenants.ids import parse_public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from ..models import CreditNote, Statement
from . import closing, credits
from .documents import credit_note_json, draft_json, statement_csv, statement_json
from .lines import draft
from .months import format_month, month_of, parse_month
from .shapes import CSV, PAGING, CreditNoteObject, FullStatementObject, StatementObject


class AnyAccept(DefaultContentNegotiation):
    """A table is a table, whatever the client says that it takes."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The first, which shapes errors."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class StatementsView(TenantAPIView):
    """`/v1/statements`."""

    scopes = {"GET": "usage.read"}

    @extend_schema(operation_id="list_statements", parameters=PAGING, responses=list_of(StatementObject))
    def get(self, request: Request) -> Response:
        """Closed months, the last closed first."""
        with tenant_scope():
            return Response(page(Statement.objects.all(), request, prefix=closing.PREFIX, shape=statement_json))


class UpcomingStatementView(TenantAPIView):
    """`/v1/statements/upcoming`."""

    scopes = {"GET": "usage.read"}

    @extend_schema(
        operation_id="get_upcoming_statement",
        parameters=[OpenApiParameter("month", description="Such as 2026-11; the current one where missing.")],
        responses=FullStatementObject,
    )
    def get(self, request: Request) -> Response:
        """What a month's statement says or, while the month is open, would say now."""
        asked = request.query_params.get("month")
        month = month_of(datetime.now(UTC)) if asked is None else parse_month(asked)
        with tenant_scope():
            standing = Statement.objects.filter(period_start=month).first()
            if standing is None:
                return Response(draft_json(draft(month=month)))
            return Response(statement_json(standing, standing.lines.order_by("position")))


class StatementView(TenantAPIView):
    """`/v1/statements/{id}`."""

    scopes = {"GET": "usage.read"}

    @extend_schema(operation_id="get_statement", responses=FullStatementObject)
    def get(self, request: Request, statement_id: str) -> Response:
        """A closed month with its lines."""
        with tenant_scope():
            statement = find_statement(statement_id)
            return Response(statement_json(statement, statement.lines.order_by("position")))


class StatementCsvView(TenantAPIView):
    """`/v1/statements/{id}/csv`."""

    scopes = {"GET": "usage.read"}
    content_negotiation_class = AnyAccept

    @extend_schema(operation_id="get_statement_csv", responses=CSV)
    def get(self, request: Request, statement_id: str) -> HttpResponse:
        """A closed month as a table: its lines, the sums, the total."""
        with tenant_scope():
            return csv_answer(find_statement(statement_id))


class CreditNotesView(TenantAPIView):
    """`/v1/credit_notes`."""

    scopes = {"GET": "usage.read"}

    @extend_schema(operation_id="list_credit_notes", parameters=PAGING, responses=list_of(CreditNoteObject))
    def get(self, request: Request) -> Response:
        """What was given back, the newest first."""
        with tenant_scope():
            return Response(page(CreditNote.objects.all(), request, prefix=credits.PREFIX, shape=credit_note_json))


class CreditNoteView(TenantAPIView):
    """`/v1/credit_notes/{id}`."""

    scopes = {"GET": "usage.read"}

    @extend_schema(operation_id="get_credit_note", responses=CreditNoteObject)
    def get(self, request: Request, credit_id: str) -> Response:
        """One credit note."""
        ident = parse_public_id(credits.PREFIX, credit_id)
        with tenant_scope():
            note = None if ident is None else CreditNote.objects.filter(id=ident).first()
        if note is None:
            raise NotFound("No such credit note.")
        return Response(credit_note_json(note))


def find_statement(text: str) -> Statement:
    """The statement with this public id among those that the caller may see.

    Raises:
        NotFound: there is none.
    """
    ident = parse_public_id(closing.PREFIX, text)
    statement = None if ident is None else Statement.objects.filter(id=ident).first()
    if statement is None:
        raise NotFound("No such statement.")
    return statement


def csv_answer(statement: Statement) -> HttpResponse:
    """A statement as a file; it has a line for each model and meter, not for each call."""
    lines = statement_csv(statement.period_start, statement.currency, "closed", statement.lines.order_by("position"))
    return csv_file(f"statement-{format_month(statement.period_start)}.csv", lines)


def csv_file(name: str, lines: Iterable[str]) -> HttpResponse:
    """A small table as a file to keep."""
    headers: dict[str, Any] = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse("".join(lines), content_type="text/csv; charset=utf-8", headers=headers)
